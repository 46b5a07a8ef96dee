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
    kept::{self, ASK_THE_NODE, KeptError},
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
    Kept(#[from] KeptError),
    #[error(
        "its journal, or the folder's `replica.key`, gives another seal than we have committed to"
    )]
    OtherSeal,
    #[error("it was not done in time")]
    Late,
    #[error("its journal was gone or incomplete, and it was not done again in time")]
    LostAndLate,
}

impl MateError {
    /// What its owner can do.
    fn advice(&self) -> &'static str {
        match self {
            Self::Chain(_) => ASK_THE_NODE,
            Self::Kept(error) => error.advice(),
            Self::OtherSeal => KeptError::Lost.advice(),
            Self::Late => "nothing for this range; see what else the machine had to do",
            Self::LostAndLate => {
                "nothing for this range; keep the provider's folder on a disk that lasts, and see what else the machine had to do"
            }
        }
    }

    /// What has happened when something is not done again that was committed to.
    fn again(self) -> Self {
        match self {
            Self::Late => Self::LostAndLate,
            error => error,
        }
    }

    /// Whether the whole stake is lost with the range, and not a tenth of what that is worth.
    fn costs_the_stake(&self) -> bool {
        !matches!(self, Self::Late)
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
        self.told(range, found).await
    }

    async fn leaves(
        &self,
        range: RangeId,
        role: Role,
        part: Part,
        left: Millis,
    ) -> Option<Vec<Leaf>> {
        self.say(Event::Duty { range });
        let leaves = match (self.read(range, part).await, role) {
            // What a mate has lost it can do again.
            (Err(MateError::Kept(KeptError::Lost)), Role::Mate) => {
                self.leaves_again(range, part, left).await
            }
            (read, _) => read,
        };
        self.told(range, leaves).await
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
    /// What was found, or `None` and people are told why not.
    async fn told<T>(&self, range: RangeId, found: Result<T, MateError>) -> Option<T> {
        let error = match found {
            Ok(found) => return Some(found),
            Err(error) => error,
        };
        let (detail, advice) = (error.to_string(), error.advice());
        if error.costs_the_stake() {
            error!(
                %range,
                detail,
                advice,
                "what we have sealed of a range cannot be shown, and not to show it costs the stake"
            );
        } else {
            warn!(%range, detail, advice, "a range that we are the mate of is not committed to");
        }
        if let MateError::Chain(error) = error {
            self.failed(&error).await;
        }
        None
    }

    /// What we have handed in as the seal of a range of ours.
    async fn sealed(&self, range: RangeId, part: Part) -> Result<Found, MateError> {
        let link = &self.shop.chain.link;
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let claimed = link.read(link.addresses().job_book, call).await?;
        let found = self.find(range, part).await?;
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
        let found = match self.find(range, part).await {
            Ok(found) => found,
            Err(error @ MateError::Kept(KeptError::Lost)) => {
                // When that has failed it is too late to put anything back.
                warn!(
                    %range,
                    detail = %error,
                    advice = error.advice(),
                    "what we have committed to as the mate of a range is lost; doing it again"
                );
                self.have_done(range, part, left).await.map_err(MateError::again)?
            }
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

    /// The leaves of a range whose journal is lost, after it was run once more.
    async fn leaves_again(
        &self,
        range: RangeId,
        part: Part,
        left: Millis,
    ) -> Result<Vec<Leaf>, MateError> {
        warn!(
            %range,
            detail = %KeptError::Lost,
            advice = KeptError::Lost.advice(),
            "what a walk needs of a range that we are the mate of is lost; doing it again"
        );
        // This life may have run it. What it came to is known then, and its leaves are not.
        self.shop.forget_found(range);
        let due = now().saturating_add(left);
        // It is in the mailbox before the next `Drawn`, which changes nothing of what is kept. A closed mailbox means that the
        // provider stops.
        let _ = self.events.send(Event::KeptLost { range, due }).await;
        self.have_done(range, part, left).await.map_err(MateError::again)?;
        self.read(range, part).await
    }

    /// What the journal of a range comes to.
    async fn find(&self, range: RangeId, part: Part) -> Result<Found, MateError> {
        let leaves = self.read(range, part).await?;
        let found = tokio::task::spawn_blocking(move || found_in(range, &leaves));
        found.await.map_err(|_| KeptError::Interrupted)?.ok_or(MateError::Kept(KeptError::Lost))
    }

    /// The leaves in the journal of a range.
    async fn read(&self, range: RangeId, part: Part) -> Result<Vec<Leaf>, MateError> {
        let path = self.shop.folder.journal(range);
        let read = tokio::task::spawn_blocking(move || kept::leaves(&path, range, part));
        Ok(read.await.map_err(|_| KeptError::Interrupted)??)
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

    /// What was committed to and is lost costs the stake, and is not told as a range that is merely late.
    #[test]
    fn what_is_lost_after_the_commitment_is_not_told_as_late() {
        let (late, again) = (MateError::Late, MateError::Late.again());
        assert!(!late.costs_the_stake() && again.costs_the_stake());
        assert!(again.to_string().contains("gone or incomplete"), "{again}");
        assert!(again.advice().contains("folder") && !late.advice().contains("folder"));
        let lost = MateError::from(KeptError::Lost).again();
        assert!(lost.advice().contains("from a copy"), "{}", lost.advice());
    }

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
