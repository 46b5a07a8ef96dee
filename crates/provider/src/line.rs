//! Moves in the lines of those who wait to be drawn as mates.

use alloy_primitives::aliases::U96;
use tilth_client::{Account, ChainError, Link};
use tilth_contracts::{Audits, EntryState, Registry, Waiting, WaitingEntry};
use tilth_protocol::{Amount, JobId, Price};
use tilth_verification::replica::DRAW_SPAN_S;
use tracing::{debug, info, warn};

use crate::{chain::Chain, machine::Place};

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is bound to it, base units; not zero.
    pub bond: U96,
    /// Least price of a unit, base units.
    pub min_price: U96,
}

impl Chain {
    /// Waits in a job's line with a bond of at most so much, and of at most half of our room. Says where we are then;
    /// `None`: it failed.
    pub(crate) async fn wait_in_line(
        &self,
        job: JobId,
        number: u32,
        bond: Amount,
        min_price: Price,
    ) -> Option<Place> {
        let waited = self.try_to_wait(job, number, bond, min_price).await;
        self.moved(waited, job, "waiting to be drawn").await
    }

    /// Leaves a job's line; who has left already gets its bond back if that is free. Says where we are then; `None`: it
    /// failed.
    pub(crate) async fn leave_line(&self, job: JobId, number: u32) -> Option<Place> {
        let left = leave(&self.node, job, number).await;
        self.moved(left, job, "leaving a line").await
    }

    async fn moved(
        &self,
        moved: Result<Option<Place>, ChainError>,
        job: JobId,
        doing: &str,
    ) -> Option<Place> {
        match moved {
            Ok(place) => place,
            Err(error) => {
                // Whoever cannot leave can be drawn, and an end that waits for it must not be a riddle.
                warn!(%job, %error, "{doing} failed");
                self.mend(&error).await;
                None
            }
        }
    }

    async fn try_to_wait(
        &self,
        job: JobId,
        number: u32,
        bond: Amount,
        min_price: Price,
    ) -> Result<Option<Place>, ChainError> {
        let link = &self.link;
        let entry = entry(link, job, number).await?;
        if is_in_line(&entry) {
            return Ok(Some(Place::On));
        }
        let room = self.room_for_bonds(number).await?;
        let Ok(min_price) = U96::try_from(min_price.0) else { return Ok(None) };
        let now = link.next_time().await?;
        let Some(terms) = terms(&entry, now, bond.0, min_price, room) else {
            debug!(%job, room, "no stake is free for a bond");
            return Ok(None);
        };
        let Terms { bond, min_price } = terms;
        let call = Waiting::waitCall { jobId: job.0, bond, minPrice: min_price };
        self.node.execute(link.addresses().waiting, call).await?;
        info!(%job, bond = %Amount(bond.to::<u128>()), "waiting to be drawn as mate");
        Ok(Some(Place::On))
    }

    /// What we may still take on in audited jobs.
    async fn room_for_bonds(&self, number: u32) -> Result<u128, ChainError> {
        let at = *self.link.addresses();
        let standing = Registry::standingCall { node: self.node.address() };
        let carried = self.link.read(at.registry, standing).await?.room;
        let room = self.link.read(at.audits, Audits::roomCall { provider: number }).await?;
        Ok(carried.min(u128::try_from(room).unwrap_or(u128::MAX)))
    }
}

/// The entry of a provider in a job's line.
async fn entry(link: &Link, job: JobId, number: u32) -> Result<WaitingEntry, ChainError> {
    let call = Waiting::entryCall { jobId: job.0, number };
    link.read(link.addresses().waiting, call).await
}

/// Leaves a line, or has the bond back. `None`: it is not free yet.
pub(crate) async fn leave(
    node: &Account,
    job: JobId,
    number: u32,
) -> Result<Option<Place>, ChainError> {
    let link = node.link();
    let before = entry(link, job, number).await?;
    let now = link.next_time().await?;
    let place = match on_leaving(&before, now) {
        Leaving::Needless => return Ok(Some(Place::Off)),
        Leaving::Early => return Ok(None),
        Leaving::To(place) => place,
    };
    let call = Waiting::leaveCall { jobId: job.0 };
    node.execute(link.addresses().waiting, call).await?;
    info!(%job, ?place, "left the line of those who wait to be drawn as mates");
    Ok(Some(place))
}

/// What comes of leaving a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// We are not in it.
    Needless,
    /// We have left it, and the bond is not free yet.
    Early,
    /// We are there then.
    To(Place),
}

/// What comes of leaving a line in which we stand so, at a second.
pub fn on_leaving(entry: &WaitingEntry, now: u64) -> Leaving {
    match EntryState::try_from(entry.state) {
        Ok(EntryState::Nobody) => Leaving::Needless,
        Ok(EntryState::Left) if is_bound(entry, now) => Leaving::Early,
        Ok(EntryState::Left) => Leaving::To(Place::Off),
        Ok(EntryState::Waiting) | Err(_) => Leaving::To(Place::Left),
    }
}

/// Whether an entry is one of somebody who waits.
pub fn is_in_line(entry: &WaitingEntry) -> bool {
    EntryState::try_from(entry.state) == Ok(EntryState::Waiting)
}

/// Whether an entry that has left can still be drawn, or has something to do, at a second.
fn is_bound(entry: &WaitingEntry, now: u64) -> bool {
    let until = entry.leftAt.to::<u64>().saturating_add(DRAW_SPAN_S.into());
    entry.busy != 0 || now <= until
}

/// On which terms to wait at a second, with a bond of at most so many base units: at most half of the room, or what we had
/// offered before, as long as that binds us. `None`: on none that the contract takes.
pub fn terms(
    entry: &WaitingEntry,
    now: u64,
    bond: u128,
    min_price: U96,
    room: u128,
) -> Option<Terms> {
    let has_left = EntryState::try_from(entry.state) == Ok(EntryState::Left);
    if has_left && is_bound(entry, now) {
        let old = Terms { bond: entry.bond, min_price: entry.minPrice };
        return Some(old).filter(|old| old.min_price >= min_price);
    }
    let bond = U96::try_from(bond.min(room / 2)).ok().filter(|bond| !bond.is_zero())?;
    Some(Terms { bond, min_price })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::aliases::U40;

    use super::*;

    fn entry(state: EntryState, left_at: u64, busy: u16) -> WaitingEntry {
        WaitingEntry {
            bond: U96::from(40),
            minPrice: U96::from(5),
            leftAt: U40::from(left_at),
            busy,
            state: state.into(),
        }
    }

    #[test]
    fn a_bond_is_at_most_half_of_the_room_and_who_comes_back_keeps_its_terms() {
        let new = |bond: u64| Some(Terms { bond: U96::from(bond), min_price: U96::from(6) });
        let nobody = entry(EntryState::Nobody, 0, 0);
        let on = |entry: &WaitingEntry, bond, room| terms(entry, 10_000, bond, U96::from(6), room);
        assert_eq!(on(&nobody, 30, 100), new(30));
        assert_eq!(on(&nobody, 80, 100), new(50));
        assert_eq!(on(&nobody, 80, 1), None, "nothing is free");
        // It has asked for less than we ask for now, and is bound to it.
        let left = entry(EntryState::Left, 9_000, 0);
        assert_eq!(on(&left, 80, 100), None);
        let old = terms(&left, 10_000, 80, U96::from(5), 100).unwrap();
        assert_eq!(old, Terms { bond: U96::from(40), min_price: U96::from(5) });
        assert_eq!(on(&entry(EntryState::Left, 10_000 - 3_601, 0), 80, 100), new(50));
        assert_eq!(on(&entry(EntryState::Left, 10_000 - 3_600, 0), 80, 100), None, "to the second");
        assert_eq!(on(&entry(EntryState::Left, 0, 1), 80, 100), None, "it has a range");
        assert!(is_in_line(&entry(EntryState::Waiting, 0, 1)) && !is_in_line(&left));
    }

    #[test]
    fn who_leaves_is_bound_for_an_hour_and_has_its_bond_back_then() {
        let on = |state, left_at, busy| on_leaving(&entry(state, left_at, busy), 10_000);
        assert_eq!(on(EntryState::Nobody, 0, 0), Leaving::Needless);
        assert_eq!(on(EntryState::Waiting, 0, 1), Leaving::To(Place::Left));
        assert_eq!(on(EntryState::Left, 6_400, 0), Leaving::Early, "to the second");
        assert_eq!(on(EntryState::Left, 6_399, 1), Leaving::Early, "it has a range");
        assert_eq!(on(EntryState::Left, 6_399, 0), Leaving::To(Place::Off));
    }
}
