//! Replicated ranges before their audit, from the side of everybody who takes part in one: the range's provider
//! (its primary), the mate that was drawn, and anybody who wants it to go on.
//!
//! [`Machine`] decides, a pure state machine that is the same for all parties; [`view`] reads a replica from the chain.
//! Whether a provider is primary, mate or neither of a range follows from what the chain shows. [`Keeper`] is the actor
//! around both; it seals, shows and walks down different roots, and leaves it to its [`Hand`] to find a range's results
//! or to run it. When a replica closes with a root, the range's ordinary audit begins: [`crate::audit`].
//!
//! The rules are `docs/decisions/0018-replicas-and-availability.md`.

mod case;
#[cfg(test)]
mod checks;
mod keeper;
mod machine;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
mod tried;
mod view;
mod walking;
mod words;
#[cfg(test)]
mod world;

pub use self::{
    keeper::{Hand, Keeper, Post, heard},
    machine::Machine,
    view::{View, look},
    walking::Move,
    words::{Effect, Event, Part, Party, Role, Rules, Standing},
};
