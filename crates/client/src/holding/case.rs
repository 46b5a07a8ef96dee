//! One kept range as a party knows it, and what is due about it.

use tilth_contracts::{HoldState, RangeState};
use tilth_protocol::RangeId;
use tilth_verification::holding::ASKS;

use super::{
    served::Sight,
    tried::{Tried, pause},
    view::View,
    words::{Effect, Part, Party, Role, Rules, Standing},
};
use crate::audit::{FINAL, Millis};

/// How often an ask is looked at although nothing is heard of it.
pub(super) const LOOK_AGAIN: Millis = 15_000;
/// How often, while the beacon is awaited.
pub(super) const BEACON_PAUSE: Millis = 1_000;
/// How often an ask is looked at that is over: it may not have been.
const LOOK_AT_ENDED: Millis = FINAL / 2;
/// After a deadline wait so much longer: chains round times, and the late one may just be sending.
pub(super) const GRACE: Millis = 2_000;
/// Blocks after which a beacon that nobody noted is lost, and its round moves.
pub(super) const REACH: u64 = 256;
/// Blocks after which a submission that the chain has never heard of was in a block that does not count any more.
const UNHEARD: u64 = 64;
/// And so much time, if it is one we answer for: a node that reads the chain anew knows of it late.
pub(super) const UNHEARD_OURS: Millis = 86_400_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) view: Option<View>,
    /// Whether a log has said that it is our range, or that we have signed for it.
    pub(super) ours: bool,
    /// The beacon's round, as far as a log has said it.
    pub(super) round: Option<u64>,
    /// Whether there was news since the last look was begun.
    pub(super) news: bool,
    pub(super) busy: bool,
    /// Whether a look is what is under way.
    pub(super) looking: bool,
    pub(super) not_before: Millis,
    failures: u32,
    /// How large what we have made is.
    pub(super) sized: Option<(Part, u32)>,
    /// What is here.
    pub(super) fetched: Option<Part>,
    pub(super) shown: Option<Standing>,
    /// What was said to be kept, and up to when.
    pub(super) kept: Option<(Part, Millis)>,
    /// In which state it could be asked for, and since when.
    pub(super) askable: Option<(HoldState, Millis)>,
    /// The head when the beacon was found missing, and since when it is that.
    head: Option<(u64, Millis)>,
    draw_from: Option<Millis>,
    /// From when on we call for those who look at inputs whose job is over.
    pub(super) call_from: Option<Millis>,
    /// The head when the chain first knew nothing of the submission, and when that was.
    unheard: Option<(u64, Millis)>,
    /// Since when it is over.
    pub(super) over_since: Option<Millis>,
    /// Whether its end was in what was read of the past.
    pub(super) is_past: bool,
    /// What we were to look at last, as one of those who look.
    pub(super) sight: Option<Sight>,
    /// What came of it: for which of our draws, and the draws that have served it.
    pub(super) seen: Option<(Sight, u8, u16)>,
    /// The beacon's round that we have had noted because no vote had.
    pub(super) noted: Option<u64>,
    /// Whether a client has tried to end a look by its own clock.
    pub(super) has_asked_early: bool,
    tried: Option<Tried>,
}

/// What is due about a range.
pub(super) enum Act {
    Do(Effect),
    /// Nothing for so long; then look again.
    Wait(Millis),
    Forget,
}

impl Case {
    /// What was under way has ended; what the chain showed before is outdated.
    pub(super) fn end(&mut self, done: bool, now: Millis) {
        (self.busy, self.looking) = (false, false);
        self.view = None;
        if done {
            (self.failures, self.not_before) = (0, 0);
        } else {
            self.not_before = now.saturating_add(pause(self.failures));
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Something was said about it.
    pub(super) fn hear(&mut self) {
        self.news = true;
        self.view = None;
        // After failures the pause is kept, or a busy range would have us ask all the time.
        if self.failures == 0 {
            self.not_before = 0;
        }
    }

    /// The clock was set back: pauses last as long as they were meant to.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
        self.draw_from = self.draw_from.map(|from| from.saturating_sub(by));
        self.call_from = self.call_from.map(|from| from.saturating_sub(by));
        self.over_since = self.over_since.map(|since| since.saturating_sub(by));
        self.askable = self.askable.map(|(state, since)| (state, since.saturating_sub(by)));
        for place in [&mut self.head, &mut self.unheard] {
            *place = place.map(|(head, since)| (head, since.saturating_sub(by)));
        }
        if let Some(tried) = &mut self.tried {
            tried.set_back(by);
        }
    }

    /// What is due now, by what the chain shows.
    pub(super) fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let act = if view.state == HoldState::Held {
            self.held(rules, range, view, now)
        } else if view.is_over() {
            self.ended(rules, range, view, now)
        } else {
            self.over_since = None;
            self.due(rules, range, view, now)
        };
        match act {
            Act::Do(effect) => match Tried::again(self.tried, &effect, view, now) {
                Ok(tried) => {
                    self.tried = tried;
                    Act::Do(effect)
                }
                Err(pause) => Act::Wait(pause),
            },
            act => act,
        }
    }

    /// Nothing more happens to the ask.
    fn ended(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // What is reserved for it is the client's.
        if rules.party == Party::Client && view.state.is_open() {
            return Act::Do(Effect::Fail { range });
        }
        self.linger(now)
    }

    /// It is over. Who answers for it goes on looking for a while, and is there if it is open again.
    pub(super) fn linger(&mut self, now: Millis) -> Act {
        let since = *self.over_since.get_or_insert(now);
        let left = since.saturating_add(FINAL).checked_sub(now);
        let left = left.filter(|left| self.ours && *left > 0);
        left.map_or(Act::Forget, |left| Act::Wait(left.min(LOOK_AT_ENDED)))
    }

    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.range != RangeState::Submitted {
            return self.unheard(view, now);
        }
        self.unheard = None;
        match view.state {
            HoldState::None | HoldState::Again => self.unasked(rules, range, view, now),
            HoldState::Asked => self.await_beacon(rules, range, view, now),
            HoldState::Open => self.open(rules, range, view),
            HoldState::Held | HoldState::Lost | HoldState::Dropped => self.linger(now),
        }
    }

    /// Holders may sign.
    fn open(&self, rules: Rules, range: RangeId, view: &View) -> Act {
        // Our own clock does not count, the chain's does.
        let left = view.end().checked_sub(view.now);
        if let (Some(draw), Some(left)) = (view.next_draw(), left) {
            let part = view.part;
            return Act::Do(if self.fetched == Some(part) {
                Effect::Sign { range, part, draw }
            } else {
                Effect::Fetch { range, part, mib: view.mib, left }
            });
        }
        match view.role(rules.party) {
            // An auditor whom no draw names. It hears of another ask.
            Role::Anybody => return Act::Forget,
            // Nobody calls for its own punishment.
            Role::Provider if view.asked >= ASKS => return Act::Wait(LOOK_AGAIN),
            Role::Provider | Role::Client | Role::Holder => {}
        }
        let from = view.end().saturating_add(GRACE).saturating_add(turn(rules, range, view));
        match from.checked_sub(view.next).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait.min(LOOK_AGAIN)),
            None => Act::Do(Effect::Fail { range }),
        }
    }

    /// The chain knows nothing of the submission: the node is late, or the block in which we have heard of it is gone.
    fn unheard(&mut self, view: &View, now: Millis) -> Act {
        let (head, since) = *self.unheard.get_or_insert((view.block, now));
        if view.block.saturating_sub(head) < UNHEARD {
            return Act::Wait(BEACON_PAUSE);
        }
        if self.ours && now.saturating_sub(since) < UNHEARD_OURS {
            return Act::Wait(LOOK_AGAIN);
        }
        Act::Forget
    }

    fn await_beacon(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // Known, or nobody kept it: then the ask has failed, and the draw says so to all. Nobody calls for its own
        // punishment.
        let lost = view.is_beacon_lost();
        if lost && view.role(rules.party) == Role::Provider && view.asked >= ASKS {
            return Act::Wait(LOOK_AGAIN);
        }
        if view.beacon.is_some() || lost {
            let from = now.saturating_add(turn(rules, range, view));
            let from = *self.draw_from.get_or_insert(from);
            return match from.checked_sub(now).filter(|wait| *wait > 0) {
                Some(wait) => Act::Wait(wait),
                None => Act::Do(Effect::Draw { range }),
            };
        }
        self.draw_from = None;
        self.await_block(rules, range, view, now)
    }

    /// The beacon is not known before another block; where none comes we make it.
    pub(super) fn await_block(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        now: Millis,
    ) -> Act {
        if self.is_still(rules, range, view, now) {
            return Act::Do(Effect::Poke { range, round: view.round });
        }
        Act::Wait(BEACON_PAUSE.min(rules.poke_after))
    }

    /// Whether no block has come for so long that it is our turn to make one.
    pub(super) fn is_still(
        &mut self,
        rules: Rules,
        range: RangeId,
        view: &View,
        now: Millis,
    ) -> bool {
        let since = match self.head {
            Some((head, since)) if head == view.block => since,
            _ => now,
        };
        self.head = Some((view.block, since));
        let turn = turn(rules, range, view);
        now >= since.saturating_add(rules.poke_after).saturating_add(turn)
    }
}

/// How long others are given to do what anybody may do. It is somebody else's turn in every ask; the provider, which
/// wants to be paid, is among the first.
pub(super) fn turn(rules: Rules, range: RangeId, view: &View) -> Millis {
    let half = rules.spread / 2;
    let rank = rules.rank(range, view.round, view.state) % half.max(1);
    match view.role(rules.party) {
        Role::Provider | Role::Client => rank,
        Role::Holder | Role::Anybody => half.saturating_add(rank),
    }
}
