//! A replica as the chain shows it.

use alloy::primitives::B256;
use tilth_contracts::{
    AuditOutcome, Audits, JobBook, RangeState, ReplicaOutcome, ReplicaState, Replicas,
    SoloRandomness,
};
use tilth_protocol::RangeId;
use tilth_service::Doing;
use tilth_verification::walk::Place;

use super::words::{Part, Party, Role};
use crate::{ChainError, Link, audit::Millis, clock};

/// Bits of `shown`.
const PRIMARY: u8 = 1;
const MATE: u8 = 2;

/// A replica at a moment: as it is in the last block that is believed, by the clock of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: ReplicaState,
    /// What it came to.
    pub outcome: ReplicaOutcome,
    /// Up to when the next move is possible, by the chain's clock; 0 when it is closed.
    pub due: Millis,
    /// The range's tasks.
    pub part: Part,
    /// The beacon's round.
    pub round: u64,
    /// Number of the range's provider.
    pub primary: u32,
    /// Number of the mate; 0: none.
    pub mate: u32,
    /// Who has shown its root, in a walk its nodes, or its leaf: 1 the primary, 2 the mate, 3 both.
    pub shown: u8,
    /// Where a walk is; the default before it.
    pub at: Place,
    /// Whether auditors have decided about the leaf at which it has ended.
    pub decided: bool,
    /// Mates that were late.
    pub tries: u8,
    /// The beacon's value, if it is known.
    pub beacon: Option<B256>,
    /// How often the beacon's value was not kept in time.
    pub lapses: u8,
    /// The latest block.
    pub block: u64,
    /// Its time: no later one is earlier, whatever clocks say.
    pub now: Millis,
    /// The time that the next block is likely to have: our clock's, if that is ahead of the chain's.
    pub next: Millis,
    /// Whether the range is settled or rejected: nothing that is done about the replica matters any more.
    pub range_over: bool,
}

/// Reads a replica.
///
/// # Errors
/// Those of [`Link::read`]; [`ChainError::BadAnswer`] for states that this version does not know.
pub fn look(link: &Link, range: RangeId) -> Doing<'_, Result<View, ChainError>> {
    Box::pin(async move {
        let at = *link.addresses();
        let (job, seq) = (range.job.0, range.seq);
        // As of audits, nothing is seen that could be taken back: a mate whose commitment was taken back after the primary
        // had shown its root could commit to that.
        let link = &link.confirmed().await?;
        // The head first: where nothing is taken back, what is read after it is at least as new.
        let block = link.block_number().await?;
        // The range before its replica: what ends a range closes its replica first, and what is read later is not older.
        let record = link.read(at.job_book, JobBook::rangeCall { jobId: job, seq }).await?;
        let pair = link.read(at.replicas, Replicas::pairCall { jobId: job, seq }).await?;
        let value = SoloRandomness::valueCall { round: pair.round };
        let beacon = link.read(at.randomness, value).await?;
        let lapses = SoloRandomness::lapsesCall { round: pair.round };
        let lapses = link.read(at.randomness, lapses).await?;
        let standing = known(ReplicaState::try_from(pair.state))?;
        let decided = standing == ReplicaState::Disputed && {
            let case = Audits::auditCaseCall { jobId: job, seq };
            let case = link.read(at.audits, case).await?;
            known(AuditOutcome::try_from(case.outcome))? != AuditOutcome::Open
        };
        let state = RangeState::try_from(record.state);
        let (now, wall) = (link.now().await?, clock::wall().as_secs());
        Ok(View {
            state: standing,
            outcome: known(ReplicaOutcome::try_from(pair.outcome))?,
            due: pair.due.to::<u64>().saturating_mul(1_000),
            part: Part { from: record.from, count: record.count },
            round: pair.round,
            primary: pair.primary,
            mate: pair.mate,
            shown: pair.shown,
            at: Place { level: u32::from(pair.level), index: pair.index },
            decided,
            tries: pair.tries,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block,
            now: now.saturating_mul(1_000),
            next: now.max(wall).saturating_mul(1_000),
            range_over: matches!(state, Ok(RangeState::Settled | RangeState::Rejected)),
        })
    })
}

impl View {
    /// What we are in it.
    pub fn role(&self, party: Party) -> Role {
        match party {
            Party::Provider(number) if number == self.primary => Role::Primary,
            Party::Provider(number) if number == self.mate => Role::Mate,
            _ => Role::Anybody,
        }
    }

    /// Whether somebody in this role has shown what is asked for now; who has nothing to show has.
    pub fn has_shown(&self, role: Role) -> bool {
        match role {
            Role::Primary => self.shown & PRIMARY != 0,
            Role::Mate => self.shown & MATE != 0,
            Role::Anybody => true,
        }
    }

    /// Whether the next move is somebody's in this role, and only theirs.
    pub fn awaits(&self, role: Role) -> bool {
        match (self.state, role) {
            (ReplicaState::Working, Role::Mate) => true,
            (ReplicaState::Alone, Role::Primary)
            | (
                ReplicaState::Revealing | ReplicaState::Walking | ReplicaState::Showing,
                Role::Primary | Role::Mate,
            ) => !self.has_shown(role),
            _ => false,
        }
    }
}

fn known<T>(value: Result<T, impl ToString>) -> Result<T, ChainError> {
    value.map_err(|error| ChainError::BadAnswer {
        action: "reading a replica",
        detail: error.to_string(),
    })
}
