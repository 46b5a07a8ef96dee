//! Moves of which nothing comes. Whoever does the same again and again only burns gas.

use std::mem::{Discriminant, discriminant};

use alloy::primitives::B256;
use tilth_contracts::HoldState;

use super::{spotting::SpotView, view::View, words::Effect};
use crate::audit::Millis;

/// First and longest pause after something failed or changed nothing.
const PAUSE: (Millis, Millis) = (500, 30_000);

/// A move, and how things stood then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    mark: Mark,
    /// How often in a row nothing came of it.
    times: u32,
    not_before: Millis,
}

/// All that a move can be meant to change: state, asks, signatures, who looks at them, what is free, beacon, lapses,
/// block.
type Mark = (Discriminant<Effect>, HoldState, u8, u16, SpotView, u128, Option<B256>, u8, u64);

impl Tried {
    /// Notes a move that is to be made after an earlier one.
    ///
    /// # Errors
    /// How long to wait, if it is the same again and nothing has come of it.
    pub(super) fn again(
        before: Option<Self>,
        effect: &Effect,
        view: &View,
        now: Millis,
    ) -> Result<Option<Self>, Millis> {
        let (free, block) = match effect {
            // Where blocks are awaited, each is something that has come of it.
            Effect::Poke { .. } => (0, view.block),
            // What others take out of the deposit has not come of another move.
            Effect::Fund { .. } => (view.free, 0),
            // No transactions; when they fail they pause by themselves.
            Effect::Size { .. } | Effect::Fetch { .. } => return Ok(before),
            _ => (0, 0),
        };
        let View { state, asked, bits, spot, beacon, lapses, .. } = *view;
        let mark = (discriminant(effect), state, asked, bits, spot, free, beacon, lapses, block);
        let times = match before.filter(|tried| tried.mark == mark) {
            Some(tried) if tried.not_before > now => return Err(tried.not_before - now),
            Some(tried) => tried.times.saturating_add(1),
            None => 0,
        };
        Ok(Some(Self { mark, times, not_before: now.saturating_add(pause(times)) }))
    }

    /// The clock was set back.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
    }
}

/// The pause after so many fruitless attempts before this one.
pub(super) fn pause(before: u32) -> Millis {
    PAUSE.0.saturating_mul(1 << before.min(10)).min(PAUSE.1)
}
