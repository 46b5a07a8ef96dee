//! How parties decide. The defaults of every trait are what an honest party does; an adversary is
//! another implementation.

use alloy_primitives::{Address, B256};
use tilth_client::{audit::Millis, mates::Role};
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_verification::audit::answer;

pub use super::outsiders::{Proposer, Stranger};
use super::{
    public::{Job, Public},
    scene::Handed,
    workload::units,
};
use crate::random::Random;

/// What a provider hands in.
#[derive(Clone, Debug)]
pub struct HandIn {
    /// Its leaves.
    pub leaves: Vec<Leaf>,
    /// Units that it really executed.
    pub executed: u64,
    /// A root and a sum of units that are not those of the leaves.
    pub instead: Option<(B256, u64)>,
}

impl HandIn {
    /// What execution finds.
    pub fn honest(truth: &[Leaf]) -> Self {
        Self { leaves: truth.to_vec(), executed: units(truth), instead: None }
    }
}

/// To which holders a provider serves what its kept ranges have made, and a client the inputs of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// To all.
    Anybody,
    /// To none.
    Nobody,
    /// To no more than must sign.
    Majority,
}

/// What an auditor does when it is drawn to hold a range, or inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Fetches what it signs for.
    Fetches,
    /// Fetches what it signs for, and has it no more when it has signed.
    Deletes,
    /// Fetches nothing, and signs.
    Lies,
    /// Nothing.
    Absent,
}

/// What an auditor says when it is drawn to look whether holders serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// What it sees.
    Looks,
    /// That nobody serves.
    Denies,
    /// That all do.
    Vouches,
    /// Nothing.
    Absent,
}

/// How a provider decides.
pub trait ProviderMind {
    /// Whether it works for a job.
    fn wants(&mut self, _job: JobId, _facts: &Job, _public: &Public) -> bool {
        true
    }
    /// How many tasks it asks for at once.
    fn asks_for(&self, _public: &Public) -> u32 {
        u32::MAX
    }
    /// What it hands in when it should have found `truth`. `None`: nothing, ever.
    fn hand_in(
        &mut self,
        _range: RangeId,
        truth: &[Leaf],
        _public: &Public,
        _random: &mut Random,
    ) -> Option<HandIn> {
        Some(HandIn::honest(truth))
    }
    /// Whether it names drawn leaves.
    fn names(&self) -> bool {
        true
    }
    /// Whether it opens them.
    fn opens(&self) -> bool {
        true
    }
    /// Whether auditors get inputs from it.
    fn serves_inputs(&self) -> bool {
        true
    }
    /// Whether its clients get their outputs.
    fn serves_outputs(&self) -> bool {
        true
    }
    /// To which holders it serves what its kept ranges have made.
    fn serves_holders(&self) -> Service {
        Service::Anybody
    }
    /// Whether it asks for holders of what its clients have not acknowledged.
    fn asks_for_holders(&self) -> bool {
        true
    }
    /// Whether it wants to be on the line of a replicated job that is not over, if it has a bond.
    fn waits(&mut self, _job: JobId, _public: &Public) -> bool {
        true
    }
    /// Whether it waits again when it has left, or has lost its place.
    fn comes_back(&self) -> bool {
        false
    }
    /// What it finds as the mate in a range in which it should have found `truth`. `handed`: what the primary handed
    /// in, which only its friends know. `None`: nothing, ever.
    fn replicate(
        &mut self,
        _range: RangeId,
        truth: &[Leaf],
        _handed: &Handed,
        _random: &mut Random,
    ) -> Option<HandIn> {
        Some(HandIn::honest(truth))
    }
    /// Whether, as a mate, it commits to the primary's seal and shows what the primary shows.
    fn copies(&self) -> bool {
        false
    }
    /// Whether it shows the root that it has committed to.
    fn shows(&self, _range: RangeId, _role: Role, _public: &Public) -> bool {
        true
    }
    /// Whether it shows it as late as it can.
    fn holds_back(&self, _range: RangeId, _role: Role, _public: &Public) -> bool {
        false
    }
    /// Whether it goes on in a walk that is at nodes of this level, or (0) shows its leaf.
    fn walks(&self, _level: u32) -> bool {
        true
    }
    /// Whether it makes its moves in a walk as late as it can.
    fn walks_late(&self) -> bool {
        false
    }
    /// Whether it has the mate of its range drawn; `lost`: nobody kept the beacon.
    fn draws(&self, _lost: bool) -> bool {
        true
    }
    /// Whether it tries to have its ranges paid from the moment on in which they are handed in, in every block, instead of
    /// when they may be.
    fn is_impatient(&self) -> bool {
        false
    }
    /// Milliseconds for a task, if not what its machine happens to need.
    fn pace(&self) -> Option<Millis> {
        None
    }
    /// Whether the real program's machine decides what it claims, runs, hands in and has paid: then it finds what there is
    /// to be found, and is not asked about any of that.
    fn works_by_machine(&self) -> bool {
        false
    }
    /// How long it lives between two crashes; each loses what is not on disk. `None`: it does not crash.
    fn life(&self) -> Option<Millis> {
        None
    }
}

/// What an auditor is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// About which range.
    pub range: RangeId,
    /// What execution of the drawn leaves finds, in their order.
    pub truth: Vec<Leaf>,
    /// What was handed in at these places, which only the provider's friends know.
    pub handed: Vec<Leaf>,
    /// The whole of what was handed in.
    pub facts: &'a Handed,
}

impl Question<'_> {
    /// What an honest auditor commits to.
    pub fn honest(&self) -> B256 {
        answer(self.range.job, &self.truth)
    }

    /// What the provider will show.
    pub fn claimed(&self) -> B256 {
        answer(self.range.job, &self.handed)
    }
}

/// What an auditor does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Executes the leaves and commits to what it found.
    Honest,
    /// Executes nothing and commits to this.
    Say(B256),
    /// Sends somebody else's commitment as its own.
    Copy(B256),
    /// Not now.
    Later,
    /// Does not come.
    Never,
}

/// How an auditor decides.
pub trait AuditorMind {
    /// What it does when it is asked.
    fn reply(&mut self, _ask: &Question<'_>, _public: &Public, _random: &mut Random) -> Reply {
        Reply::Honest
    }
    /// Whether it shows what it committed to.
    fn reveals(&self) -> bool {
        true
    }
    /// What it does when it is drawn to hold a range.
    fn holds(&self) -> Conduct {
        Conduct::Fetches
    }
    /// What it says when it is drawn to look whether holders serve.
    fn looks(&self) -> Sight {
        Sight::Looks
    }
}

/// How a client decides.
pub trait ClientMind {
    /// Whether a provider gets its inputs.
    fn serves(&self, _provider: Address) -> bool {
        true
    }
    /// Whether auditors do.
    fn serves_auditors(&self) -> bool {
        true
    }
    /// To which holders it serves the inputs of its kept job.
    fn serves_holders(&self) -> Service {
        Service::Anybody
    }
    /// Whether it acknowledges results that may be paid.
    fn acknowledges(&self) -> bool {
        true
    }
    /// Whether it acknowledges kept results only when their provider has had to ask for holders.
    fn waits_for_asks(&self) -> bool {
        false
    }
    /// Whether it acknowledges what nobody has looked into yet, in every block.
    fn is_impatient(&self) -> bool {
        false
    }
    /// Whether it takes back what of its deposit is free, and fills it up no more, as soon as a range is handed in.
    fn withdraws(&self) -> bool {
        false
    }
    /// Whether it has mates drawn.
    fn draws(&self) -> bool {
        true
    }
    /// Whether it cancels a job of its now. Nobody asks again once it has.
    fn cancels(&self, _job: JobId, _public: &Public) -> bool {
        false
    }
    /// Whether the real program's machine decides what it acknowledges, and when it ends its jobs: then it is not asked
    /// about that, and neither takes its deposit back before its time nor cancels.
    fn tends_by_machine(&self) -> bool {
        false
    }
}

/// Whoever keeps to the rules.
#[derive(Clone, Copy, Debug)]
pub struct Honest;

impl ProviderMind for Honest {
    fn works_by_machine(&self) -> bool {
        true
    }
}
impl AuditorMind for Honest {}
impl ClientMind for Honest {
    fn tends_by_machine(&self) -> bool {
        true
    }
}
impl Proposer for Honest {}
