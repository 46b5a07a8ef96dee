//! The inputs of kept jobs before anybody works on them, and kept ranges between their audit and their payment, from
//! the side of everybody who takes part: the range's provider, who asks for holders; the auditors that are drawn, who
//! fetch what it has made, sign and keep it; others that are drawn when its time is over, who look whether they still
//! do; and the client, whose deposit pays for that.
//!
//! [`Machine`] decides, a pure state machine that is the same for all parties; [`Keeper`] follows the contracts and carries
//! out what it decides; [`look`] reads an ask from the chain. A client that has a range acknowledges it, and nothing of this
//! is needed; its machine sees to it that the deposit reaches, asks where the provider does not, ends asks whose ranges are
//! over, and takes back what is left. It also asks for holders of its job's inputs, before which nobody works on it.
//!
//! The rules are `docs/decisions/0018-replicas-and-availability.md` ("A kept range").

mod case;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod contract;
mod deposit;
mod filling;
mod found;
mod hand;
mod heard;
#[cfg(test)]
mod holders;
mod inputs;
mod keeper;
#[cfg(test)]
mod lives;
mod machine;
mod moves;
#[cfg(test)]
mod node;
mod party;
#[cfg(test)]
mod properties;
mod said;
#[cfg(test)]
mod scenarios;
mod served;
#[cfg(test)]
mod spots;
mod spotting;
#[cfg(test)]
mod stories;
mod subject;
mod tried;
mod unasked;
mod view;
mod words;
#[cfg(test)]
mod world;

pub(crate) use self::{
    deposit::likely_ranges,
    filling::{Filling, fill_up},
    inputs::{unserved, why_no_work},
};
pub use self::{
    deposit::{Deposit, keep_seconds, least_fee, prices_of},
    found::holders_of,
    hand::{Hand, Post},
    heard::heard,
    inputs::{ask_for_inputs, inputs_state, is_unserved},
    keeper::Keeper,
    machine::Machine,
    party::{Party, Role, Rules},
    said::Standing,
    spotting::SpotView,
    view::{View, look},
    words::{Effect, Event, Part},
};
