//! Which moves are the same again, with nothing come of the last one.

use std::mem::{Discriminant, discriminant};

use alloy::primitives::B256;
use tilth_contracts::HoldState;

use super::{spotting::SpotView, view::View, words::Effect};

/// All that a move can be meant to change: state, asks, signatures, who looks at them, what is free, beacon, lapses,
/// block.
pub(super) type Mark =
    (Discriminant<Effect>, HoldState, u8, u16, SpotView, u128, Option<B256>, u8, u64);

/// What a move can be meant to change, as it is now; `None`: it is no transaction.
pub(super) fn mark(effect: &Effect, view: &View) -> Option<Mark> {
    let (free, block) = match effect {
        // Where blocks are awaited, each is something that has come of it.
        Effect::Poke { .. } => (0, view.block),
        // What others take out of the deposit has not come of another move.
        Effect::Fund { .. } => (view.free, 0),
        Effect::Size { .. } | Effect::Fetch { .. } => return None,
        _ => (0, 0),
    };
    let View { state, asked, bits, spot, beacon, lapses, .. } = *view;
    Some((discriminant(effect), state, asked, bits, spot, free, beacon, lapses, block))
}
