//! Audits of submitted ranges, from the side of everybody who takes part in one: the provider whose
//! range it is, the auditors, and the client.
//!
//! [`Machine`] decides, a pure state machine that is the same for all parties; [`view`] reads a case from
//! the chain; [`Keeper`] is the actor around both. What only one party can do is left to its [`Hand`]:
//! providers name and open their leaves, auditors re-execute, commit and reveal (both in the crate
//! `provider`, which has a sandbox). The rules are `docs/reference/trust.md`.

mod case;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod contract;
mod due;
mod keeper;
mod machine;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
mod tried;
mod view;
mod words;
#[cfg(test)]
mod world;

pub use self::{
    keeper::{Hand, Keeper, Post, heard},
    machine::Machine,
    view::{View, look},
    words::{Effect, Event, FINAL, Millis, Party, Question, Rules, Sealed, Standing},
};
