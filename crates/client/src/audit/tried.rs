//! Which moves are the same again, with nothing come of the last one.

use std::mem::{Discriminant, discriminant};

use alloy::primitives::B256;
use tilth_contracts::{AuditState, SeatState};

use super::{view::View, words::Effect};

/// All that a move can be meant to change: state, our seat, beacon, lapses, block.
pub(super) type Mark =
    (Discriminant<Effect>, AuditState, Option<(u8, SeatState)>, Option<B256>, u8, u64);

/// What a move can be meant to change, as it is now; `None`: it is no transaction.
pub(super) fn mark(effect: &Effect, view: &View) -> Option<Mark> {
    let block = match effect {
        // Where blocks are awaited, each is something that has come of it.
        Effect::Poke { .. } => view.block,
        Effect::Prepare { .. } | Effect::Examine { .. } | Effect::Seal { .. } => return None,
        _ => 0,
    };
    Some((discriminant(effect), view.state, view.seat, view.beacon, view.lapses, block))
}
