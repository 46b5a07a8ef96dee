//! Kept ranges between their audit and their payment, from the side of everybody who takes part: the range's provider, who
//! asks for holders; the auditors that are drawn, who fetch what it has made, sign and keep it; and the client, whose
//! deposit pays for that.
//!
//! [`Machine`] decides, a pure state machine that is the same for all parties; [`Keeper`] follows the contracts and carries
//! out what it decides; [`look`] reads an ask from the chain. A client that has a range acknowledges it, and nothing of this
//! is needed; its machine sees to it that the deposit reaches, asks where the provider does not, ends asks whose ranges are
//! over, and takes back what is left.
//!
//! The rules are `docs/decisions/0018-replicas-and-availability.md` ("A kept range").

mod case;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod contract;
mod deposit;
mod found;
mod heard;
mod keeper;
mod machine;
mod moves;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
mod tried;
mod view;
mod words;
#[cfg(test)]
mod world;

pub(crate) use self::deposit::likely_ranges;
pub use self::{
    deposit::{Deposit, keep_seconds, least_fee, prices_of},
    found::holders_of,
    heard::heard,
    keeper::{Hand, Keeper, Post},
    machine::Machine,
    view::{View, look},
    words::{Effect, Event, Part, Party, Role, Rules, Standing},
};
