//! One replica as a party knows it, and what is due in it.

use std::collections::BTreeMap;

use tilth_contracts::ReplicaState;
use tilth_protocol::RangeId;
use tilth_verification::{
    replica::Found,
    walk::{Node, Place},
};

use super::{
    tried::{Mark, mark},
    view::View,
    words::{Effect, Part, Role, Rules, Standing},
};
use crate::{
    audit::Millis,
    cases::{self, BEACON_PAUSE, Course, Followed, GRACE, LOOK_AGAIN, REACH, Room, Since, Turn},
};

/// Looks under way at a time.
const LOOKS: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) course: Course<View, Mark>,
    /// Whether a log has said that we are its primary or its mate.
    pub(super) ours: bool,
    /// Whether we are neither by what the chain shows: a mate that was late is not asked for anything any more.
    pub(super) bystander: bool,
    /// The beacon's round, as far as a log has said it.
    pub(super) round: Option<u64>,
    /// What we found, in which tasks.
    pub(super) found: Option<(Part, Found)>,
    /// What was posted first in the steps of a walk: by whom and where, and which nodes. All of it is kept, six steps at most:
    /// a log that a node has told late may be of a step that is over.
    pub(super) posted: BTreeMap<(u32, Place), Vec<Node>>,
    pub(super) shown: Option<Standing>,
    /// The head when the beacon was found missing, and since when it is that.
    head: Since<u64>,
    draws: Turn,
    concludes: Turn,
    /// Whether its end was in what was read of the past.
    pub(super) is_past: bool,
}

type Act = cases::Act<Effect>;

impl Followed for Case {
    type Rules = Rules;
    type View = View;
    type Effect = Effect;
    type Mark = Mark;
    /// The beacon's round that is noted.
    type Errand = u64;

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
        self.head.set_back(by);
        self.draws.set_back(by);
        self.concludes.set_back(by);
    }

    fn say(&mut self, _: Rules, range: RangeId, view: &View, out: &mut Vec<Effect>) {
        if let Some(standing) = stands(view)
            && self.shown != Some(standing)
        {
            self.shown = Some(standing);
            out.push(Effect::Show { range, standing });
        }
    }

    fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let role = view.role(rules.party);
        self.bystander = view.state != ReplicaState::None && role == Role::Anybody;
        // A verdict against the primary ends the range, and the mate still waits for what follows for it.
        let over = view.range_over && view.state != ReplicaState::Disputed;
        if over || view.state == ReplicaState::Closed {
            return self.course.linger(self.ours, now);
        }
        self.course.reopen();
        self.due(rules, range, view, now)
    }

    fn mark(effect: &Effect, view: &View) -> Option<Mark> {
        mark(effect, view)
    }

    fn errand(effect: &Effect) -> Option<u64> {
        match effect {
            Effect::Poke { round, .. } => Some(*round),
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
    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.state == ReplicaState::None {
            return self.course.unheard(view.block, self.ours, now);
        }
        self.course.appear();
        let role = view.role(rules.party);
        if view.awaits(role) {
            return self.own_move(range, view, role);
        }
        if view.state == ReplicaState::Disputed {
            return self.conclude(rules, range, view, now);
        }
        // Whoever is late is passed over; the draw is nobody's own, and late it is refused.
        if view.state == ReplicaState::Sealed && view.now <= view.due {
            return self.await_beacon(rules, range, view, now);
        }
        let from = view.due.saturating_add(GRACE).saturating_add(turn(rules, range, view));
        match from.checked_sub(view.next).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait.min(LOOK_AGAIN)),
            None => Act::Do(Effect::Advance { range }),
        }
    }

    /// What only we can do. Our own clock does not count, the chain's does; and nobody calls for its own punishment.
    fn own_move(&self, range: RangeId, view: &View, role: Role) -> Act {
        let Some(left) = view.due.checked_sub(view.now) else { return Act::Wait(LOOK_AGAIN) };
        let (part, found) = (view.part, self.found.filter(|(part, _)| *part == view.part));
        Act::Do(match (found, view.state) {
            (_, ReplicaState::Walking) => {
                let Some(theirs) = self.theirs(view, role) else { return Act::Wait(BEACON_PAUSE) };
                Effect::Post { range, role, part, at: view.at, theirs, left }
            }
            (_, ReplicaState::Showing) => {
                Effect::Open { range, role, part, position: view.at.index, left }
            }
            (None, _) => Effect::Run { range, role, part: view.part, left },
            (Some((part, found)), ReplicaState::Working) => Effect::Commit { range, part, found },
            (Some((_, found)), _) => Effect::Reveal { range, role, found },
        })
    }

    /// The nodes that the other one has posted, which ours must come with; empty: none yet. `None`: they were not heard
    /// of yet.
    fn theirs(&self, view: &View, role: Role) -> Option<Vec<Node>> {
        if view.shown == 0 {
            return Some(Vec::new());
        }
        let other = if role == Role::Primary { view.mate } else { view.primary };
        self.posted.get(&(other, view.at)).cloned()
    }

    /// Nobody answers for a dispute here, and the case moves by itself; what follows from it anybody may do.
    fn conclude(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if !view.decided {
            return Act::Wait(LOOK_AGAIN);
        }
        self.concludes.take(turn(rules, range, view), now, Effect::Conclude { range })
    }

    fn await_beacon(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        // Known, or nobody kept it: then the draw finds nobody, and says so to all.
        let lost = view.lapses > 0 || view.block > view.round.saturating_add(REACH);
        if view.beacon.is_some() || lost {
            return self.draws.take(turn(rules, range, view), now, Effect::Draw { range });
        }
        let since = self.head.note(view.block, now);
        let turn = turn(rules, range, view);
        if now >= since.saturating_add(rules.poke_after).saturating_add(turn) {
            return Act::Do(Effect::Poke { range, round: view.round });
        }
        Act::Wait(BEACON_PAUSE.min(rules.poke_after))
    }
}

/// How long others are given to do what anybody may do. It is somebody else's turn in every replica, and those who have
/// nothing at stake in it come last.
fn turn(rules: Rules, range: RangeId, view: &View) -> Millis {
    let half = rules.spread / 2;
    let rank = rules.rank(range, view.round, view.state) % half.max(1);
    match view.role(rules.party) {
        Role::Anybody => half.saturating_add(rank),
        Role::Primary | Role::Mate => rank,
    }
}

/// How a replica stands, if the chain knows of it.
pub(super) fn stands(view: &View) -> Option<Standing> {
    match view.state {
        ReplicaState::None => None,
        ReplicaState::Closed => Some(Standing::Over(view.outcome)),
        state => Some(Standing::Open(state)),
    }
}
