//! Named adversaries: who plays them, against whom, and what may happen to honest people then.
//!
//! Left out, because the contracts do not have what they attack: colluding replicas (no replicas are
//! assigned) and griefing challengers in the sense of disputes (nobody can dispute a leaf; [`griefing`] calls
//! what anybody may call).

pub mod bribe;
pub mod cartel;
pub mod clock;
pub mod copying;
pub mod crash;
pub mod forging;
pub mod griefing;
pub mod hoarding;
pub mod inflating;
pub mod laziness;
pub mod mixture;
pub mod proposing;
pub mod swarm;
pub mod wash;
pub mod withholding;

use crate::{random::Random, trust::Cast};

/// A named way to cheat.
#[derive(Clone, Copy, Debug)]
pub struct Adversary {
    /// Name, as in tables.
    pub name: &'static str,
    /// Who takes part.
    pub cast: fn(&mut Random) -> Cast,
}

/// Tasks of a victim's job.
pub const TASKS: u32 = 96;
/// Honest providers beside an adversary.
pub const PROVIDERS: usize = 2;
/// Honest auditors: two more than there must be.
pub const AUDITORS: usize = 9;

fn honest(_: &mut Random) -> Cast {
    Cast::honest(TASKS, PROVIDERS + 1, AUDITORS)
}

/// All of them, in the order of seeds.
pub const ALL: [Adversary; 25] = [
    Adversary { name: "nobody", cast: honest },
    Adversary { name: "forger, one leaf", cast: forging::one_leaf },
    Adversary { name: "forger, a tenth", cast: forging::tenth },
    Adversary { name: "forger, everything", cast: forging::everything },
    Adversary { name: "unit inflater", cast: inflating::cast },
    Adversary { name: "lazy provider", cast: laziness::provider },
    Adversary { name: "copying provider", cast: copying::provider },
    Adversary { name: "copying auditor", cast: copying::auditor },
    Adversary { name: "withholding provider", cast: withholding::provider },
    Adversary { name: "withholding client", cast: withholding::client },
    Adversary { name: "client and provider withhold", cast: withholding::both },
    Adversary { name: "crash-looper", cast: crash::cast },
    Adversary { name: "claim-hoarder", cast: hoarding::cast },
    Adversary { name: "wash trader", cast: wash::cast },
    Adversary { name: "sybil swarm", cast: swarm::cast },
    Adversary { name: "lazy auditor", cast: laziness::auditor },
    Adversary { name: "bribed auditor", cast: bribe::cast },
    Adversary { name: "auditor cartel", cast: cartel::upholding },
    Adversary { name: "framing cartel", cast: cartel::framing },
    Adversary { name: "crowd of small auditors", cast: cartel::crowd },
    Adversary { name: "griefing stranger", cast: griefing::cast },
    Adversary { name: "censoring proposer", cast: proposing::cast },
    Adversary { name: "reorganising proposer", cast: proposing::reorganising },
    Adversary { name: "clock liar", cast: clock::cast },
    Adversary { name: "most of them at once", cast: mixture::cast },
];
