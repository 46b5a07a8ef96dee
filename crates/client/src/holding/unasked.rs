//! What is due about a range for which nobody has asked for holders, or for which they must be asked again.

use tilth_contracts::HoldState;
use tilth_protocol::RangeId;

use super::{
    case::{Act, Case},
    filling::{Lack, lack},
    party::{Role, Rules},
    view::View,
    words::Effect,
};
use crate::{
    audit::Millis,
    cases::{LOOK_AGAIN, UNHEARD_OURS},
};

impl Case {
    /// Nobody has asked for holders, or it must be asked for again.
    pub(super) fn unasked(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        now: Millis,
    ) -> Act {
        let role = view.role(rules.party);
        self.held_up |= !view.may_pay && view.next >= view.window_end;
        if view.state == HoldState::Again && matches!(role, Role::Holder | Role::Anybody) {
            return self.await_another(view, now);
        }
        let fills_up = role == Role::Client && (view.is_waived() || !view.is_payable());
        if fills_up && let Some(fund) = fund(rules, range, view) {
            return Act::Do(fund);
        }
        if view.is_waived() {
            return Act::Wait(LOOK_AGAIN);
        }
        if !view.is_payable() {
            let wait = view.window_end.checked_sub(view.next).filter(|wait| *wait > 0);
            return Act::Wait(wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
        }
        match role {
            Role::Provider => self.ask(range, view),
            // What others can have before they work for us, nobody else asks for.
            Role::Client if range.is_inputs() => self.ask(range, view),
            Role::Client => self.ask_for(rules, range, view, now),
            Role::Holder | Role::Anybody => Act::Wait(LOOK_AGAIN),
        }
    }

    /// Of an auditor: its range may be asked for once more, and is heard of again then. What is here of it is not kept
    /// for ever for those who do not ask.
    fn await_another(&mut self, view: &View, now: Millis) -> Act {
        let since = self.askable.note(view.state, now);
        let waits = now.saturating_sub(since) < UNHEARD_OURS;
        if waits { Act::Wait(LOOK_AGAIN) } else { Act::Forget }
    }

    /// The deposit does not pay for what was asked for.
    pub(super) fn refused(&mut self) {
        self.unpaid = Some(self.free);
    }

    /// Our range, or our inputs.
    fn ask(&mut self, range: RangeId, view: &View) -> Act {
        let is_again = view.state == HoldState::Again;
        if is_again && range.is_inputs() {
            return Act::Do(Effect::Ask { range, mib: view.mib });
        }
        if !is_again && self.unpaid == Some(view.free) {
            // It would be refused again. That it costs less the nearer the job's deadline is, is not waited for.
            return Act::Wait(LOOK_AGAIN);
        }
        self.free = view.free;
        // The second time the size may be a smaller one: the first may have been the client's, who knows none.
        let most = if is_again { view.mib } else { view.max_mib };
        match self.sized.filter(|(part, _)| *part == view.part) {
            None => Act::Do(Effect::Size { range, part: view.part }),
            Some((_, mib)) if mib <= most => Act::Do(Effect::Ask { range, mib }),
            // Nobody would hold it; only the client can take it.
            Some(_) => Act::Wait(LOOK_AGAIN),
        }
    }

    /// The client's range that its provider does not ask for: without an ask it would stay as it is for ever. How long
    /// the provider has had the chain says, and not for how long we have looked: who runs for less than that at a time
    /// would never ask. Only where we have seen that its audit ended late it has as long from then on.
    fn ask_for(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let is_again = view.state == HoldState::Again;
        let since = if is_again { view.from } else { view.window_end };
        let mut wait = since.saturating_add(rules.ask_after).saturating_sub(view.next);
        if self.held_up && !is_again {
            let seen = self.askable.note(view.state, now);
            wait = wait.max(seen.saturating_add(rules.ask_after).saturating_sub(now));
        }
        if wait > 0 {
            return Act::Wait(wait.min(LOOK_AGAIN));
        }
        let mib = if is_again { view.mib } else { view.max_mib };
        Act::Do(Effect::Ask { range, mib })
    }
}

/// What the client adds to a deposit, within what it has set: what is missing for all that are out and the next range, or the job
/// gives out none; or else what is missing for this range, which is paid without holders otherwise.
fn fund(rules: Rules, range: RangeId, view: &View) -> Option<Effect> {
    if view.max_mib == 0 || range.is_inputs() {
        return None;
    }
    let kept = (view.deposit, view.deposit.saturating_sub(view.free));
    let may = |due: &u128| matches!(lack(*due, kept, rules.most), Lack::Within(_));
    let due = [view.rest, view.cost].into_iter().find(may)?;
    Some(Effect::Fund { range, due })
}

#[cfg(test)]
#[path = "unasked_tests.rs"]
mod tests;
