//! One replica as a party knows it, and what is due in it.

use std::collections::BTreeMap;

use tilth_contracts::ReplicaState;
use tilth_protocol::RangeId;
use tilth_verification::{
    replica::Found,
    walk::{Node, Place},
};

use super::{
    tried::{Tried, pause},
    view::View,
    words::{Effect, Part, Role, Rules, Standing},
};
use crate::audit::{FINAL, Millis};

/// How often a replica is looked at although nothing is heard of it.
const LOOK_AGAIN: Millis = 15_000;
/// How often, while the beacon is awaited.
pub(super) const BEACON_PAUSE: Millis = 1_000;
/// How often a replica is looked at that is over: it may not have been. No time of a replica is shorter than two of these.
const LOOK_AT_ENDED: Millis = FINAL / 2;
/// After a deadline wait so much longer: chains round times, and the late one may just be sending.
const GRACE: Millis = 2_000;
/// Blocks after which a beacon that nobody noted is lost, and its round moves.
pub(super) const REACH: u64 = 256;
/// Blocks after which a replica that the chain has never heard of was in a block that does not count any more.
const UNHEARD: u64 = 64;
/// And so much time, if it is one we answer for: a node that reads the chain anew knows of it late. No replica is open so long.
const UNHEARD_OURS: Millis = 86_400_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) view: Option<View>,
    /// Whether a log has said that we are its primary or its mate.
    pub(super) ours: bool,
    /// Whether we are neither by what the chain shows: a mate that was late is not asked for anything any more.
    pub(super) bystander: bool,
    /// The beacon's round, as far as a log has said it.
    pub(super) round: Option<u64>,
    /// Whether there was news since the last look was begun.
    pub(super) news: bool,
    pub(super) busy: bool,
    /// Whether a look is what is under way.
    pub(super) looking: bool,
    pub(super) not_before: Millis,
    failures: u32,
    /// What we found, in which tasks.
    pub(super) found: Option<(Part, Found)>,
    /// What was posted first in the steps of a walk: by whom and where, and which nodes. All of it is kept, six steps at most:
    /// a log that a node has told late may be of a step that is over.
    pub(super) posted: BTreeMap<(u32, Place), Vec<Node>>,
    pub(super) shown: Option<Standing>,
    /// The head when the beacon was found missing, and since when it is that.
    head: Option<(u64, Millis)>,
    draw_from: Option<Millis>,
    conclude_from: Option<Millis>,
    /// The head when the chain first knew nothing of the replica, and when that was.
    unheard: Option<(u64, Millis)>,
    /// Since when it is over.
    over_since: Option<Millis>,
    /// Whether its end was in what was read of the past.
    pub(super) is_past: bool,
    tried: Option<Tried>,
}

/// What is due in a replica.
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
        // After failures the pause is kept, or a busy replica would have us ask all the time.
        if self.failures == 0 {
            self.not_before = 0;
        }
    }

    /// The clock was set back: pauses last as long as they were meant to.
    pub(super) fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before.saturating_sub(by);
        for from in [&mut self.draw_from, &mut self.conclude_from] {
            *from = from.map(|from| from.saturating_sub(by));
        }
        self.over_since = self.over_since.map(|since| since.saturating_sub(by));
        for place in [&mut self.head, &mut self.unheard] {
            *place = place.map(|(head, since)| (head, since.saturating_sub(by)));
        }
        if let Some(tried) = &mut self.tried {
            tried.set_back(by);
        }
    }

    /// What is due now, by what the chain shows.
    pub(super) fn act(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        let role = view.role(rules.party);
        self.bystander = view.state != ReplicaState::None && role == Role::Anybody;
        // A verdict against the primary ends the range, and the mate still waits for what follows for it.
        let over = view.range_over && view.state != ReplicaState::Disputed;
        if over || view.state == ReplicaState::Closed {
            return self.linger(now);
        }
        self.over_since = None;
        match self.due(rules, range, view, now) {
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

    /// It is over. Who answers for it goes on looking for a while, and is there if it is open again.
    fn linger(&mut self, now: Millis) -> Act {
        let since = *self.over_since.get_or_insert(now);
        let left = since.saturating_add(FINAL).checked_sub(now);
        let left = left.filter(|left| self.ours && *left > 0);
        left.map_or(Act::Forget, |left| Act::Wait(left.min(LOOK_AT_ENDED)))
    }

    fn due(&mut self, rules: Rules, range: RangeId, view: &View, now: Millis) -> Act {
        if view.state == ReplicaState::None {
            return self.unheard(view, now);
        }
        self.unheard = None;
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
        let from = now.saturating_add(turn(rules, range, view));
        let from = *self.conclude_from.get_or_insert(from);
        match from.checked_sub(now).filter(|wait| *wait > 0) {
            Some(wait) => Act::Wait(wait),
            None => Act::Do(Effect::Conclude { range }),
        }
    }

    /// The chain knows nothing of the replica: the node is late, or the block in which we have heard of it is gone.
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
        // Known, or nobody kept it: then the draw finds nobody, and says so to all.
        let lost = view.lapses > 0 || view.block > view.round.saturating_add(REACH);
        if view.beacon.is_some() || lost {
            let from = now.saturating_add(turn(rules, range, view));
            let from = *self.draw_from.get_or_insert(from);
            return match from.checked_sub(now).filter(|wait| *wait > 0) {
                Some(wait) => Act::Wait(wait),
                None => Act::Do(Effect::Draw { range }),
            };
        }
        let since = match self.head {
            Some((head, since)) if head == view.block => since,
            _ => now,
        };
        self.head = Some((view.block, since));
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
