//! The provider's part in replicated ranges: it finds what it has sealed in its journals, and has the ranges that it is
//! drawn for run, as any other, by the machine.
//!
//! Seals need no file: their salts are made from the folder's secret and from what was found ([`Sealer`]).

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use tilth_client::{
    ChainError,
    audit::Millis,
    clock::now,
    mates::{Effect, Hand, Part, Role, Standing},
};
use tilth_contracts::{JobBook, Replicas};
use tilth_protocol::{Leaf, RangeId};
use tilth_service::Spawner;
use tilth_verification::{MerkleSum, replica::Found};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use crate::{
    journal::{Extent, Journal, JournalError},
    machine::{Claim, Event},
    role::spawn,
    shop::{Partner, Shop},
};

/// How often the machine is told of a range again that it has not stored: it may not have known the job.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Why what was found in a range is not known.
#[derive(Debug, thiserror::Error)]
enum MateError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("its journal is gone or incomplete")]
    Lost,
    #[error(
        "its journal is of another range than the chain has there; a node that is late says so, too"
    )]
    OtherRange,
    #[error(
        "its journal, or the folder's `replica.key`, gives another seal than we have committed to"
    )]
    OtherSeal,
    #[error("it was not done in time")]
    Late,
    #[error("reading its journal was interrupted")]
    Interrupted,
}

impl MateError {
    /// What its owner can do.
    fn advice(&self) -> &'static str {
        match self {
            Self::Chain(_) => {
                "check that the node answers and that there is coin for gas: it is tried again, and must be done within half an hour"
            }
            Self::Journal(_) => {
                "check the disk and who may read the provider's folder: it is tried again, and must be done within half an hour"
            }
            Self::Lost | Self::OtherSeal => {
                "put the provider's folder back from a copy, or start the provider in the folder in which it has worked, within half an hour"
            }
            Self::OtherRange => {
                "nothing if the node was late, it is tried again; else start the provider in the folder in which it has worked on this chain"
            }
            Self::Late => "nothing for this range; see what else the machine had to do",
            Self::Interrupted => "nothing, it is tried again; report it if it comes again",
        }
    }
}

/// Answers for replicated ranges.
#[derive(Debug)]
pub(crate) struct Mates {
    shop: Arc<Shop>,
    partner: Partner,
    events: mpsc::Sender<Event>,
    /// What is told without waiting, in this order.
    said: mpsc::UnboundedSender<Event>,
}

impl Mates {
    /// `events`: the machine's mailbox. What is passed on to it ends with the provider.
    pub(crate) fn new(
        shop: Arc<Shop>,
        partner: Partner,
        events: mpsc::Sender<Event>,
        tasks: &Spawner,
    ) -> Self {
        let (said, heard) = mpsc::unbounded_channel();
        spawn(tasks, "duties", pass_on(heard, events.clone()));
        Self { shop, partner, events, said }
    }

    fn say(&self, event: Event) {
        // A closed mailbox means that the provider stops.
        let _ = self.said.send(event);
    }
}

async fn pass_on(mut heard: mpsc::UnboundedReceiver<Event>, events: mpsc::Sender<Event>) {
    while let Some(event) = heard.recv().await {
        if events.send(event).await.is_err() {
            return;
        }
    }
}

impl Hand for Mates {
    async fn run(&self, range: RangeId, role: Role, part: Part, left: Millis) -> Option<Found> {
        self.say(Event::Duty { range });
        let found = match role {
            Role::Primary => self.sealed(range, part).await,
            Role::Mate => self.done(range, part, left).await,
            // The machine asks for nothing of others.
            Role::Anybody => return None,
        };
        match found {
            Ok(found) => Some(found),
            Err(MateError::Late) => {
                warn!(%range, "a range that we are the mate of was not done in time");
                None
            }
            Err(error) => {
                error!(
                    %range,
                    detail = %error,
                    advice = error.advice(),
                    "what we have sealed of a range cannot be shown, and not to show it costs the stake"
                );
                if let MateError::Chain(error) = error {
                    self.failed(&error).await;
                }
                None
            }
        }
    }

    fn note(&self, effect: &Effect) {
        match effect {
            Effect::Show { range, standing } => {
                info!(%range, ?standing, "a replicated range of ours");
                if matches!(standing, Standing::Open(_)) {
                    self.say(Event::Duty { range: *range });
                }
            }
            Effect::Forget { range } => self.say(Event::DutyOver { range: *range }),
            _ => {}
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    fn caught_up(&self, cases: Vec<RangeId>) {
        cases.into_iter().for_each(|range| self.say(Event::Duty { range }));
        self.say(Event::DutiesKnown);
    }

    /// The agent's own bookmark is at its oldest open job, and no replica is older than its job.
    fn read_up_to(&self, _: u64) {}
}

impl Mates {
    /// What we have handed in as the seal of a range of ours.
    async fn sealed(&self, range: RangeId, part: Part) -> Result<Found, MateError> {
        let link = &self.shop.chain.link;
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let claimed = link.read(link.addresses().job_book, call).await?;
        let found = self.read(range, part).await?;
        self.check(range, found, claimed.root)
    }

    /// What we find, or have found, in a range that we are the mate of.
    async fn done(&self, range: RangeId, part: Part, left: Millis) -> Result<Found, MateError> {
        let link = &self.shop.chain.link;
        let call = Replicas::pairCall { jobId: range.job.0, seq: range.seq };
        let sealed = link.read(link.addresses().replicas, call).await?.word;
        if sealed.is_zero() {
            return self.have_done(range, part, left).await;
        }
        // We have committed, so it was done before; if it is gone, it can be done again.
        let found = match self.read(range, part).await {
            Ok(found) => found,
            Err(MateError::Lost) => self.have_done(range, part, left).await?,
            Err(error) => return Err(error),
        };
        self.check(range, found, sealed)
    }

    fn check(&self, range: RangeId, found: Found, sealed: B256) -> Result<Found, MateError> {
        let ours = self.partner.sealer.seal(range, &found);
        if ours == sealed { Ok(found) } else { Err(MateError::OtherSeal) }
    }

    /// Has a range run and stored.
    async fn have_done(
        &self,
        range: RangeId,
        part: Part,
        left: Millis,
    ) -> Result<Found, MateError> {
        let Part { from, count } = part;
        let began = now();
        let claim = Claim { range, from, count, at: began };
        let due = began.saturating_add(left);
        let mut stored = self.shop.stored();
        let telling = async {
            while self.events.send(Event::Drawn { claim, due }).await.is_ok() {
                sleep(TELL_AGAIN).await;
            }
            // The provider stops.
            std::future::pending::<()>().await;
        };
        let of_it = |of: &(Part, Found)| of.0 == part;
        let finding = async {
            // What is borrowed must not live across the next await.
            let all = stored.wait_for(|all| all.get(&range).is_some_and(of_it)).await;
            all.ok().and_then(|all| all.get(&range).map(|(_, found)| *found))
        };
        let found = timeout(Duration::from_millis(left), async {
            tokio::select! {
                found = finding => found,
                () = telling => None,
            }
        });
        found.await.ok().flatten().ok_or(MateError::Late)
    }

    /// What the journal of a range comes to.
    async fn read(&self, range: RangeId, part: Part) -> Result<Found, MateError> {
        let path = self.shop.folder.journal(range);
        let read = tokio::task::spawn_blocking(move || {
            let journal = Journal::read(&path)?.ok_or(MateError::Lost)?;
            let Extent { range: of, from, count, .. } = *journal.extent();
            if (of, from, count) != (range, part.from, part.count) {
                return Err(MateError::OtherRange);
            }
            let leaves = journal.complete().ok_or(MateError::Lost)?;
            found_in(range, &leaves).ok_or(MateError::Lost)
        });
        read.await.map_err(|_| MateError::Interrupted)?
    }
}

/// What leaves come to; `None` for those that nobody can submit.
fn found_in(range: RangeId, leaves: &[Leaf]) -> Option<Found> {
    let root = MerkleSum::build(range.job, leaves).ok()?.root();
    let (units, failures) = (root.tally.units, root.tally.failures);
    Some(Found { root: root.hash, units, failures })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use tilth_protocol::{JobId, Status};
    use tilth_verification::replica::Sealer;

    use super::*;

    const RANGE: RangeId = RangeId { job: JobId(3), seq: 1 };

    /// What is kept between two lives is the journal's leaves and the folder's secret.
    #[test]
    fn a_seal_comes_from_leaves_and_secret_alone() {
        let leaves = [Leaf::finished(8, &[1; 90], 9), Leaf::failed(9, Status::Trap, 10)];
        let found = found_in(RANGE, &leaves).unwrap();
        assert_eq!((found.units, found.failures), (19, 1));
        let seal = |secret, leaves: &[Leaf]| {
            let found = found_in(RANGE, leaves).unwrap();
            Sealer::new(7, Address::ZERO, Address::ZERO, secret).seal(RANGE, &found)
        };
        let sealed = seal([1; 32], &leaves);
        assert_eq!(seal([1; 32], &leaves), sealed);
        assert_ne!(seal([2; 32], &leaves), sealed);
        let flipped = [Leaf::finished(8, &[0; 90], 9), leaves[1]];
        assert_ne!(seal([1; 32], &flipped), sealed);
        assert_eq!(found_in(RANGE, &[]), None);
    }
}
