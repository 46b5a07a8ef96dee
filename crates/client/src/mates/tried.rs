//! Which moves are the same again, with nothing come of the last one.

use std::mem::{Discriminant, discriminant};

use alloy::primitives::B256;
use tilth_contracts::ReplicaState;
use tilth_verification::walk::Place;

use super::{view::View, words::Effect};

/// All that a move can be meant to change: state, mate, who has shown, where a walk is, beacon, lapses, block.
pub(super) type Mark = (Discriminant<Effect>, ReplicaState, u32, u8, Place, Option<B256>, u8, u64);

/// What a move can be meant to change, as it is now; `None`: it is no transaction.
pub(super) fn mark(effect: &Effect, view: &View) -> Option<Mark> {
    let block = match effect {
        // Where blocks are awaited, each is something that has come of it.
        Effect::Poke { .. } => view.block,
        Effect::Run { .. } => return None,
        _ => 0,
    };
    let View { state, mate, shown, at, beacon, lapses, .. } = *view;
    Some((discriminant(effect), state, mate, shown, at, beacon, lapses, block))
}
