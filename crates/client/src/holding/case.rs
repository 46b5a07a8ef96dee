//! One kept range as a party knows it, and what is due about it.

use tilth_contracts::{HoldState, RangeState};
use tilth_protocol::RangeId;
use tilth_verification::holding::ASKS;

use super::{
    party::{Party, Role, Rules},
    said::{Standing, say},
    served::{Round, Sight},
    tried::{Mark, mark},
    view::View,
    words::{Effect, Part},
};
use crate::{
    audit::Millis,
    cases::{self, BEACON_PAUSE, Course, Followed, GRACE, LOOK_AGAIN, Room, Since, Turn},
};

/// Looks under way at a time.
const LOOKS: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) course: Course<View, Mark>,
    /// Whether a log has said that it is our range, or that we have signed for it; or our notes, that we may have.
    pub(super) ours: bool,
    /// The beacon's round, as far as a log has said it.
    pub(super) round: Option<u64>,
    /// How large what we have made is.
    pub(super) sized: Option<(Part, u32)>,
    /// What of the deposit was free when we last asked for holders.
    pub(super) free: u128,
    /// And when that was found not to pay for them.
    pub(super) unpaid: Option<u128>,
    /// What is here.
    pub(super) fetched: Option<Part>,
    pub(super) shown: Option<Standing>,
    /// What was said to be kept, and up to when.
    pub(super) kept: Option<(Part, Millis)>,
    /// In which state it could be asked for, and since when.
    pub(super) askable: Since<HoldState>,
    /// Whether we have seen that its audit or its replica did not let it be paid although its window was over.
    pub(super) held_up: bool,
    /// The head when the beacon was found missing, and since when it is that.
    head: Since<u64>,
    draws: Turn,
    /// When it is our turn to call for those who look at inputs whose job is over.
    pub(super) calls: Turn,
    /// Whether its end was in what was read of the past.
    pub(super) is_past: bool,
    /// What we were to look at last, as one of those who look.
    pub(super) sight: Option<Sight>,
    /// What came of it: for which of our draws, and the draws that have served it.
    pub(super) seen: Option<(Sight, u8, u16)>,
    /// When it is our turn to have the beacon noted that draws who looks.
    pub(super) notes: Turn,
    /// Which one our last move was to have noted, if that is what it was for.
    pub(super) noting: Option<Round>,
    /// Which one we know to be noted because we have seen to it.
    pub(super) noted: Option<Round>,
    /// Whether a client has tried to end a look by its own clock.
    pub(super) has_asked_early: bool,
}

pub(super) type Act = cases::Act<Effect>;

/// What one range does for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    /// Has a beacon's round noted.
    Note(u64),
    /// Fills up the deposit.
    Fund,
}

impl Followed for Case {
    type Rules = Rules;
    type View = View;
    type Effect = Effect;
    type Mark = Mark;
    type Errand = Errand;

    const ROOM: Room = Room::shared(LOOKS);

    fn course(&self) -> &Course<View, Mark> {
        &self.course
    }

    fn course_mut(&mut self) -> &mut Course<View, Mark> {
        &mut self.course
    }

    fn comes_first(&self, _: Rules) -> bool {
        self.ours
    }

    fn set_back(&mut self, by: Millis) {
        self.askable.set_back(by);
        self.head.set_back(by);
        self.draws.set_back(by);
        self.calls.set_back(by);
        self.notes.set_back(by);
    }

    fn say(&mut self, rules: Rules, range: RangeId, view: &View, out: &mut Vec<Effect>) {
        say(rules, range, self, view, out);
    }

    fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        self.noting = None;
        if view.state == HoldState::Held {
            return self.held(rules, range, view, now);
        }
        if view.is_over() {
            return self.ended(rules, range, view, now);
        }
        self.course.reopen();
        self.due(rules, range, view, now)
    }

    fn mark(effect: &Effect, view: &View) -> Option<Mark> {
        mark(effect, view)
    }

    fn errand(effect: &Effect) -> Option<Errand> {
        match effect {
            Effect::Poke { round, .. } => Some(Errand::Note(*round)),
            Effect::Fund { .. } => Some(Errand::Fund),
            _ => None,
        }
    }

    fn look_at(&self, range: RangeId) -> Effect {
        Effect::Look { range }
    }

    fn forget(range: RangeId) -> Effect {
        Effect::Forget { range }
    }
}

impl Case {
    /// Nothing more happens to the ask.
    fn ended(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // What is reserved for it is the client's.
        if rules.party == Party::Client && view.state.is_open() {
            return Act::Do(Effect::Fail { range });
        }
        self.course.linger(self.ours, now)
    }

    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.range != RangeState::Submitted {
            return self.course.unheard(view.block, self.ours, now);
        }
        self.course.appear();
        match view.state {
            HoldState::None | HoldState::Again => self.unasked(rules, range, view, now),
            HoldState::Asked => self.await_beacon(rules, range, view, now),
            HoldState::Open => self.open(rules, range, view),
            HoldState::Held | HoldState::Lost | HoldState::Dropped => {
                self.course.linger(self.ours, now)
            }
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

    fn await_beacon(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // Known, or nobody kept it: then the ask has failed, and the draw says so to all. Nobody calls for its own
        // punishment.
        let lost = view.is_beacon_lost();
        if lost && view.role(rules.party) == Role::Provider && view.asked >= ASKS {
            return Act::Wait(LOOK_AGAIN);
        }
        if view.beacon.is_some() || lost {
            return self.draws.take(turn(rules, range, view), now, Effect::Draw { range });
        }
        self.draws = Turn::default();
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
            return Act::Do(Effect::Poke { range, round: view.round, once: false });
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
        let since = self.head.note(view.block, now);
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
