//! The provider's part in audits of its ranges: it says at which positions the drawn leaves are, and opens
//! them once the auditors have committed. Everything it needs is in the range's journal, which stays until
//! the range is paid or rejected, and some time longer, for the verdict may be in a block that will not count. If the
//! journal is lost, what was published of the range has the same leaves.

use std::sync::Arc;

use alloy::sol_types::SolCall;
use alloy_primitives::B256;
use tilth_client::{
    Account, ChainError,
    audit::{Effect, Event, Hand, View, look},
    holding,
    mates::Part,
};
use tilth_contracts::{
    AuditState, Audits, JobBook,
    bindings::audits::MerkleSum::{Leaf as OnChainLeaf, Sibling},
};
use tilth_protocol::{Leaf, RangeId};
use tilth_service::Spawner;
use tilth_verification::{
    MerkleSum,
    audit::SAMPLES,
    draw::{Pick, Seed},
};
use tracing::{debug, error, info, warn};

use crate::{
    guards,
    kept::{self, ASK_THE_NODE, KeptError},
    published,
    role::spawn,
    shop::Shop,
};

/// Why drawn leaves cannot be named or opened.
#[derive(Debug, thiserror::Error)]
enum OpeningError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("its journal gives another root than was submitted")]
    OtherRoot,
}

impl OpeningError {
    /// What its owner can do.
    fn advice(&self) -> &'static str {
        match self {
            Self::Chain(_) => ASK_THE_NODE,
            Self::Kept(error) => error.advice(),
            Self::OtherRoot => {
                "put the range's journal back from a copy within half an hour; if nobody has touched it, report this and keep the folder"
            }
        }
    }
}

/// Answers for this provider's ranges.
#[derive(Debug)]
pub(crate) struct Openings {
    pub(crate) shop: Arc<Shop>,
    /// What goes on beside the cases ends with the provider: the next life of its folder has guards of its own.
    pub(crate) tasks: Spawner,
}

/// A submitted range with the tree over its leaves.
struct Submitted {
    leaves: Vec<Leaf>,
    tree: MerkleSum,
}

impl Submitted {
    /// By its leaves, if they are those that were submitted. Takes a microsecond per leaf.
    fn of(leaves: Vec<Leaf>, range: RangeId, root: B256) -> Result<Self, OpeningError> {
        let tree = MerkleSum::build(range.job, &leaves).map_err(|_| OpeningError::OtherRoot)?;
        if tree.root().hash != root {
            return Err(OpeningError::OtherRoot);
        }
        Ok(Self { leaves, tree })
    }
}

impl Hand for Openings {
    async fn perform(&self, effect: Effect) -> Event {
        let range = effect.range();
        let (done, step) = match effect {
            Effect::Name { seed, .. } => (self.name(range, seed).await, AuditState::Naming),
            Effect::Open { positions, .. } => {
                (self.open(range, &positions).await, AuditState::Opening)
            }
            // The machine asks a provider for nothing else.
            _ => return Event::Ended { range, done: false },
        };
        if let Err(error) = &done {
            self.tell(range, step, error).await;
            if let OpeningError::Chain(error) = error {
                self.failed(error).await;
            }
        }
        Event::Ended { range, done: done.is_ok() }
    }

    fn note(&self, effect: &Effect) {
        match effect {
            Effect::Show { range, standing } => {
                info!(%range, ?standing, "the audit of a range of ours");
                if !standing.is_blind() {
                    guards::lift(&self.shop, *range);
                }
            }
            Effect::Forget { range } => guards::lift(&self.shop, *range),
            _ => {}
        }
    }

    async fn failed(&self, error: &ChainError) {
        self.shop.chain.mend(error).await;
    }

    /// What an earlier life has left of ranges that are no secret any more is served to all. A range that the chain
    /// does not know yet may just be handed in.
    fn caught_up(&self, cases: Vec<RangeId>) {
        let shop = Arc::clone(&self.shop);
        spawn(&self.tasks, "old guards", async move {
            for range in guards::others(&shop, &cases) {
                match look(&shop.chain.link, range, None).await {
                    Ok(seen) if is_open(&seen) => guards::lift(&shop, range),
                    Ok(_) => {}
                    Err(error) => {
                        warn!(%range, %error, "its results are its client's alone until the next start");
                    }
                }
            }
        });
    }

    /// The agent's own bookmark is at its oldest open job, and no case is older than its job.
    fn read_up_to(&self, _: u64) {}
}

impl Openings {
    async fn name(&self, range: RangeId, seed: Seed) -> Result<(), OpeningError> {
        let submitted = self.read(range).await?;
        let positions = positions(&submitted.tree, submitted.leaves.len(), seed);
        let positions = positions.ok_or(KeptError::Lost)?;
        let call = Audits::nameCall { jobId: range.job.0, seq: range.seq, positions };
        self.send(call).await?;
        info!(%range, "named the drawn leaves of a range");
        Ok(())
    }

    async fn open(&self, range: RangeId, positions: &[u32]) -> Result<(), OpeningError> {
        let submitted = self.read(range).await?;
        let (leaves, proofs) = opened(&submitted, range, positions).ok_or(KeptError::Lost)?;
        let call = Audits::openCall { jobId: range.job.0, seq: range.seq, leaves, proofs };
        self.send(call).await?;
        info!(%range, "opened the drawn leaves of a range");
        Ok(())
    }

    /// Tells people what keeps drawn leaves from being shown in a step of a case: the whole stake is at risk.
    async fn tell(&self, range: RangeId, step: AuditState, error: &OpeningError) {
        let OpeningError::Chain(refusal @ ChainError::Reverted { .. }) = error else {
            error!(
                %range,
                detail = %error,
                advice = error.advice(),
                "the drawn leaves of a range cannot be shown, and not to show them costs the stake"
            );
            return;
        };
        // Most refusals mean that it was done already or that it is too late. Any other costs the stake without a word.
        match look(&self.shop.chain.link, range, None).await {
            Ok(seen) if is_due(&seen, step) => error!(
                %range,
                detail = %refusal,
                advice = "check the node that is used and which keys it is; it is tried again, and report it if that does not help",
                "to show the drawn leaves of a range was refused although it is its time; the stake is at risk"
            ),
            _ => debug!(%range, error = %refusal, "showing drawn leaves was refused"),
        }
    }

    async fn send<C: SolCall>(&self, call: C) -> Result<(), ChainError> {
        let node: &Account = &self.shop.chain.node;
        node.execute(node.link().addresses().audits, call).await.map(drop)
    }

    /// Leaves and tree of a range as they were submitted.
    async fn read(&self, range: RangeId) -> Result<Submitted, OpeningError> {
        let (link, at) = (&self.shop.chain.link, *self.shop.chain.link.addresses());
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let claimed = link.read(at.job_book, call).await?;
        let path = self.shop.folder.journal(range);
        let part = Part { from: claimed.from, count: claimed.count };
        let read = tokio::task::spawn_blocking(move || {
            Submitted::of(kept::leaves(&path, range, part)?, range, claimed.root)
        });
        let lost = match read.await.map_err(|_| KeptError::Interrupted)? {
            Ok(submitted) => return Ok(submitted),
            Err(lost) => lost,
        };
        let Part { from, count } = part;
        let part = holding::Part { from, count, root: claimed.root };
        match Box::pin(published::leaves(&self.shop, range, part)).await {
            Ok(leaves) => {
                warn!(
                    %range,
                    detail = %lost,
                    "drawn leaves are shown by what was published of their range"
                );
                Submitted::of(leaves, range, claimed.root)
            }
            Err(error) => {
                debug!(%range, %error, "what was published of a range cannot be used");
                Err(lost)
            }
        }
    }
}

/// Whether a case has gone so far that its results are everybody's.
fn is_open(seen: &View) -> bool {
    // Whoever comes after a dispute is to find out by itself.
    let votes_are_in = matches!(seen.state, AuditState::Revealing | AuditState::Closed);
    seen.range_over || !seen.disputed && votes_are_in
}

/// Whether a step of a case is still awaited, and can be done.
fn is_due(seen: &View, step: AuditState) -> bool {
    !seen.range_over && seen.state == step && seen.now <= seen.deadline
}

/// Where the drawn leaves are. `None` for a tree without leaves, which nobody can submit.
fn positions(tree: &MerkleSum, leaves: usize, seed: Seed) -> Option<Vec<u32>> {
    let (leaves, units) = (u32::try_from(leaves).ok()?, tree.root().tally.units);
    let place = |i| match seed.pick(i, leaves, units)? {
        Pick::Position(position) => Some(position),
        Pick::Unit(unit) => tree.position_of_unit(unit),
    };
    (0..SAMPLES).map(place).collect()
}

/// Leaves and openings at some positions, as the contract reads them.
fn opened(
    submitted: &Submitted,
    range: RangeId,
    positions: &[u32],
) -> Option<(Vec<OnChainLeaf>, Vec<Vec<Sibling>>)> {
    let (mut leaves, mut proofs) = (Vec::new(), Vec::new());
    for position in positions {
        let leaf = submitted.leaves.get(usize::try_from(*position).ok()?)?;
        leaves.push(OnChainLeaf {
            job: range.job.0,
            index: leaf.index,
            status: leaf.status as u8,
            output: leaf.output.into(),
            size: leaf.size,
            units: leaf.units,
        });
        let siblings = submitted.tree.open(*position)?.siblings.into_iter();
        proofs
            .push(siblings.map(|(hash, tally)| Sibling { hash, tally: tally.packed() }).collect());
    }
    Some((leaves, proofs))
}

#[cfg(test)]
mod tests {
    use tilth_contracts::AuditOutcome;
    use tilth_protocol::{JobId, Status};
    use tilth_verification::arithmetic::Share;

    use super::*;

    fn seen() -> View {
        View {
            state: AuditState::Opening,
            outcome: AuditOutcome::Open,
            deadline: 2_000,
            round: 5,
            rate: Share::new(1),
            disputed: false,
            positions: [0; SAMPLES as usize],
            seat: None,
            beacon: None,
            lapses: 0,
            block: 9,
            now: 2_000,
            next: 2_001,
            range_over: false,
        }
    }

    /// What was done already, or is too late, is refused in the course of things; the rest is for people to see.
    #[test]
    fn a_refusal_is_told_only_while_the_step_is_awaited() {
        let seen = seen();
        assert!(is_due(&seen, AuditState::Opening));
        assert!(!is_due(&seen, AuditState::Naming), "named already");
        assert!(!is_due(&View { state: AuditState::Revealing, ..seen }, AuditState::Opening));
        assert!(!is_due(&View { now: 2_001, ..seen }, AuditState::Opening), "too late");
        assert!(!is_due(&View { range_over: true, ..seen }, AuditState::Opening));
    }

    /// A dispute is about one leaf, and the range's own auditors come after it.
    #[test]
    fn results_are_no_secret_once_the_range_s_own_auditors_have_answered() {
        for (state, disputed, range_over, open) in [
            (AuditState::Opening, false, false, false),
            (AuditState::Revealing, false, false, true),
            (AuditState::Closed, false, false, true),
            (AuditState::Revealing, true, false, false),
            (AuditState::Closed, true, false, false),
            (AuditState::Closed, true, true, true),
        ] {
            let seen = View { state, disputed, range_over, ..seen() };
            assert_eq!(is_open(&seen), open, "{state}, disputed: {disputed}, over: {range_over}");
        }
    }

    #[test]
    fn named_leaves_are_those_that_were_drawn() {
        let range = RangeId { job: JobId(3), seq: 1 };
        let leaves: Vec<_> =
            (0..37).map(|i| Leaf::failed(i, Status::Trap, u64::from(i % 5))).collect();
        let root = MerkleSum::build(range.job, &leaves).unwrap().root().hash;
        let all = &leaves[..];
        for (others, root) in [(&all[1..], root), (&all[..0], root), (all, B256::ZERO)] {
            let other = Submitted::of(others.to_vec(), range, root);
            assert!(matches!(other, Err(OpeningError::OtherRoot)), "not what was submitted");
        }
        let submitted = Submitted::of(leaves, range, root).unwrap();
        for n in 0..50 {
            let seed = Seed::new(B256::repeat_byte(n), range, 0);
            let positions = positions(&submitted.tree, 37, seed).unwrap();
            assert_eq!(positions.len(), 8);
            for (i, position) in (0..).zip(&positions) {
                let pick = seed.pick(i, 37, submitted.tree.root().tally.units).unwrap();
                let opening = submitted.tree.open(*position).unwrap();
                assert!(pick.is_answered_by(&opening, &submitted.leaves[*position as usize]));
            }
            let (leaves, proofs) = opened(&submitted, range, &positions).unwrap();
            assert!(leaves.len() == 8 && proofs.iter().all(|proof| (1..=6).contains(&proof.len())));
        }
        assert!(opened(&submitted, range, &[37]).is_none());
    }
}
