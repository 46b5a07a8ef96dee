//! Named adversaries: who plays them, against whom, and what may happen to honest people then.
//!
//! | adversary | file |
//! | --- | --- |
//! | forger: one wrong leaf, a part of all leaves | [`forging`] |
//! | unit inflater | [`inflating`] |
//! | lazy provider | [`lazy_provider`] |
//! | copier | [`copying`]: a provider, an auditor; a mate in [`mates`] |
//! | withholding provider | [`withholding_provider`]; where ranges are kept, [`holders`] |
//! | withholding client | [`withholding_client`]; where inputs are kept, [`inputs`] |
//! | crash-looper | [`crash`] |
//! | claim-hoarder | [`hoarding`] |
//! | wash trader on own jobs | [`wash`] |
//! | sybil swarm | [`swarm`]; of auditors, [`cartel`] |
//! | colluding replicas | [`colluding`]; with all others at work, [`exhausting`]; without a beacon, [`lapsing`] |
//! | lazy auditor | [`lazy_auditor`] |
//! | bribed auditor | [`bribe`] |
//! | auditor cartel | [`cartel`] |
//! | griefing challenger | [`challenging`] |
//! | censoring or reorganising proposer | [`proposing`] |
//! | clock liar | [`clock`] |
//! | most of these at once | [`mixture`] |
//! | mates that are silent, late, wrong or in the way | [`mates`]; as auditors, [`kin`]; with nobody else there, [`outages`] |
//! | holders that delete, auditors that lie about them | [`spotters`] |
//! | strangers that call what anybody may call | [`griefing`] |
//! | clients that cancel, people who cannot wait | [`cancelling`], [`impatient`] |

pub mod bribe;
pub mod cancelling;
pub mod cartel;
pub mod challenging;
pub mod clock;
pub mod colluding;
pub mod copying;
pub mod crash;
pub mod exhausting;
pub mod forging;
pub mod griefing;
pub mod hoarding;
pub mod holders;
pub mod impatient;
pub mod inflating;
pub mod inputs;
pub mod kin;
pub mod lapsing;
pub mod lazy_auditor;
pub mod lazy_provider;
pub mod mates;
pub mod mixture;
pub mod outages;
pub mod proposing;
pub mod spotters;
pub mod swarm;
pub mod wash;
pub mod withholding_client;
pub mod withholding_provider;

use tilth_protocol::amount::GRAIN;

use crate::{
    random::Random,
    trust::{Cast, Side},
};

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

/// Honest people with a replicated job; each of the providers waits with so many GRAIN as its bond, and half of them do
/// nothing else: a range that nobody is left for has no mate.
fn replicated(bond: u128) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS + 1, AUDITORS);
    cast.clients[0].replicated = true;
    (0..=PROVIDERS).for_each(|_| cast.provider(Side::Honest, 200, mates::Standby));
    cast.providers.iter_mut().for_each(|provider| provider.bond = bond * GRAIN);
    cast
}

fn honest_mates(_: &mut Random) -> Cast {
    replicated(40)
}

/// All of them, in the order of seeds; those of replicated jobs and then those of kept ones come last. What was added
/// since stands behind them, so that the first world of each is what it was.
pub const ALL: [Adversary; 72] = [
    Adversary { name: "nobody", cast: honest },
    Adversary { name: "forger, one leaf", cast: forging::one_leaf },
    Adversary { name: "forger, a tenth", cast: forging::tenth },
    Adversary { name: "forger, everything", cast: forging::everything },
    Adversary { name: "unit inflater", cast: inflating::cast },
    Adversary { name: "lazy provider", cast: lazy_provider::cast },
    Adversary { name: "copying provider", cast: copying::provider },
    Adversary { name: "copying auditor", cast: copying::auditor },
    Adversary { name: "withholding provider", cast: withholding_provider::cast },
    Adversary { name: "withholding client", cast: withholding_client::cast },
    Adversary { name: "client and provider withhold", cast: withholding_client::both },
    Adversary { name: "crash-looper", cast: crash::cast },
    Adversary { name: "claim-hoarder", cast: hoarding::cast },
    Adversary { name: "wash trader", cast: wash::cast },
    Adversary { name: "sybil swarm", cast: swarm::cast },
    Adversary { name: "lazy auditor", cast: lazy_auditor::cast },
    Adversary { name: "bribed auditor", cast: bribe::cast },
    Adversary { name: "auditor cartel", cast: cartel::upholding },
    Adversary { name: "framing cartel", cast: cartel::framing },
    Adversary { name: "crowd of small auditors", cast: cartel::crowd },
    Adversary { name: "griefing stranger", cast: griefing::cast },
    Adversary { name: "censoring proposer", cast: proposing::cast },
    Adversary { name: "reorganising proposer", cast: proposing::reorganising },
    Adversary { name: "clock liar", cast: clock::cast },
    Adversary { name: "most of them at once", cast: mixture::cast },
    Adversary { name: "canceller", cast: cancelling::cast },
    Adversary { name: "impatient", cast: impatient::cast },
    Adversary { name: "nobody, replicated", cast: honest_mates },
    Adversary { name: "friends, a tenth of the bonds", cast: colluding::tenth },
    Adversary { name: "friends, a third of the bonds", cast: colluding::third },
    Adversary { name: "friends, all bonds", cast: colluding::all },
    Adversary { name: "friend that joins late", cast: colluding::late },
    Adversary { name: "primary silent at its mate", cast: colluding::fickle },
    Adversary { name: "copying mate", cast: mates::copying },
    Adversary { name: "absent mate", cast: mates::absent },
    Adversary { name: "silent mate", cast: mates::silent },
    Adversary { name: "framing mate", cast: mates::framing },
    Adversary { name: "primary that stops in a walk", cast: colluding::stopping },
    Adversary { name: "mate that stops in a walk", cast: mates::stopping },
    Adversary { name: "inflating mate", cast: mates::inflating },
    Adversary { name: "queue hoarder", cast: mates::squatting },
    Adversary { name: "lapser", cast: lapsing::cast },
    Adversary { name: "exhauster", cast: exhausting::cast },
    Adversary { name: "canceller, replicated", cast: cancelling::mates },
    Adversary { name: "mate that is an auditor", cast: kin::cast },
    Adversary { name: "framing mate, others down", cast: outages::half },
    Adversary { name: "framing mate, others down too long", cast: outages::whole },
    Adversary { name: "impatient, replicated", cast: impatient::mates },
    Adversary { name: "griefing stranger, replicated", cast: griefing::mates },
    Adversary { name: "nobody, kept", cast: holders::honest },
    Adversary { name: "nobody, replicated and kept", cast: holders::mates },
    Adversary { name: "provider that serves nobody", cast: holders::nobody },
    Adversary { name: "provider that serves only holders", cast: holders::only_holders },
    Adversary { name: "provider that serves a majority", cast: holders::majority },
    Adversary { name: "holders that fetch nothing", cast: holders::lying },
    Adversary { name: "absent holders", cast: holders::absent },
    Adversary { name: "client that never acknowledges", cast: holders::thankless },
    Adversary { name: "client that acknowledges late", cast: holders::late },
    Adversary { name: "client without a deposit", cast: holders::penniless },
    Adversary { name: "client that serves nobody", cast: inputs::nobody },
    Adversary { name: "client that serves only holders", cast: inputs::only_holders },
    Adversary { name: "client that serves only its friends", cast: inputs::only_friends },
    Adversary { name: "holders that delete", cast: spotters::deleting },
    Adversary { name: "holders that delete, and vouch", cast: spotters::vouching },
    Adversary { name: "auditors that see nobody serve", cast: spotters::denying },
    Adversary { name: "auditors that do not look", cast: spotters::absent },
    Adversary { name: "reorganising proposer, kept", cast: spotters::reorganising },
    Adversary { name: "canceller, kept", cast: cancelling::holders },
    Adversary { name: "client that gives its inputs up", cast: cancelling::inputs },
    Adversary { name: "griefing stranger, kept", cast: griefing::holders },
    Adversary { name: "impatient, kept", cast: impatient::holders },
    Adversary { name: "griefing challenger", cast: challenging::cast },
];
