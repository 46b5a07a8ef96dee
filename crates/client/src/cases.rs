//! Following cases, one for a range: what the machines of audits ([`crate::audit`]), of replicas ([`crate::mates`]) and
//! of kept ranges ([`crate::holding`]) have in common. Pure, as they are.
//!
//! # How
//! A case is looked at, what is due by what was seen is done, and then it is looked at again. Whatever is heard of it
//! is only one more reason to look. [`Cases`] does that for all of them; what is due in one, a [`Followed`] says.
//!
//! # Invariants
//! - At most one thing is under way for each case.
//! - What failed, and what was done and changed nothing, is done again only after pauses that grow.
//! - What one case does for all, no other one does at the same time.
//! - Without cases there is no wake-up time.

mod course;
mod tried;
mod turn;

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::RangeId;

pub(crate) use self::{
    course::{Course, UNHEARD_OURS},
    tried::pause,
    turn::{Since, Turn, rank},
};

/// Milliseconds; of our own clock, where nothing else is said.
pub type Millis = u64;

/// So long after the end of a case, or of a range, those who answer for it keep what proves it: the verdict may be in a
/// block that will not count. No chain that jobs are on takes back blocks that are older (two epochs of the slowest are
/// 13 minutes).
pub const FINAL: Millis = 900_000;

/// How often a case is looked at although nothing is heard of it.
pub(crate) const LOOK_AGAIN: Millis = 15_000;
/// How often, while the beacon is awaited.
pub(crate) const BEACON_PAUSE: Millis = 1_000;
/// After a deadline wait so much longer: chains round times, and the late one may just be sending.
pub(crate) const GRACE: Millis = 2_000;
/// Blocks after which a beacon that nobody noted is lost, and its round moves.
pub(crate) const REACH: u64 = 256;

/// What is due in a case.
pub(crate) enum Act<E> {
    Do(E),
    /// Nothing for so long; then look again.
    Wait(Millis),
    Forget,
}

/// Looks under way at a time: a start after a long absence must not flood a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    own: usize,
    /// `None`: all have the same room.
    others: Option<usize>,
}

impl Room {
    /// So many looks, whosever the cases are; ours come first.
    pub(crate) const fn shared(looks: usize) -> Self {
        Self { own: looks, others: None }
    }

    /// So many at our own cases, and so many at others'.
    pub(crate) const fn apart(own: usize, others: usize) -> Self {
        Self { own, others: Some(others) }
    }

    fn of(&mut self, ours: bool) -> &mut usize {
        match &mut self.others {
            Some(others) if !ours => others,
            _ => &mut self.own,
        }
    }
}

/// A case as a party knows it.
pub(crate) trait Followed: Default {
    /// What is fixed for the life of the machine.
    type Rules: Copy;
    /// What a look shows.
    type View: Copy;
    /// What is to be done.
    type Effect;
    /// All that a move can be meant to change.
    type Mark: PartialEq;
    /// What one case does for all, as to have a beacon's round noted.
    type Errand: Ord;

    /// Most looks under way at a time.
    const ROOM: Room;

    /// How far it is.
    fn course(&self) -> &Course<Self::View, Self::Mark>;

    /// The same, to be changed.
    fn course_mut(&mut self) -> &mut Course<Self::View, Self::Mark>;

    /// Whether it is looked at before others'.
    fn comes_first(&self, rules: Self::Rules) -> bool;

    /// The clock was set back: its own times, without those of its course.
    fn set_back(&mut self, by: Millis);

    /// Says to people how it stands, where that is new.
    fn say(
        &mut self,
        rules: Self::Rules,
        range: RangeId,
        view: &Self::View,
        out: &mut Vec<Self::Effect>,
    );

    /// What is due now, by what the chain shows.
    fn act(
        &mut self,
        rules: Self::Rules,
        range: RangeId,
        view: &Self::View,
        now: Millis,
    ) -> Act<Self::Effect>;

    /// What a move can be meant to change, as it is now. `None`: it is not counted, for it is no transaction and pauses
    /// by itself when it fails.
    fn mark(effect: &Self::Effect, view: &Self::View) -> Option<Self::Mark>;

    /// What a move does for all cases, if anything.
    fn errand(effect: &Self::Effect) -> Option<Self::Errand>;

    /// To have it looked at.
    fn look_at(&self, range: RangeId) -> Self::Effect;

    /// To have forgotten what is kept for it.
    fn forget(range: RangeId) -> Self::Effect;
}

/// All cases that are followed.
#[derive(Debug)]
pub(crate) struct Cases<C: Followed> {
    pub(crate) all: BTreeMap<RangeId, C>,
    /// Which case does something for all.
    errands: BTreeMap<C::Errand, RangeId>,
    wake: Option<Millis>,
    latest: Millis,
}

impl<C: Followed> Cases<C> {
    /// No case.
    pub(crate) fn new() -> Self {
        Self { all: BTreeMap::new(), errands: BTreeMap::new(), wake: None, latest: 0 }
    }

    /// When a case is to be looked at next. `None`: when there is news.
    pub(crate) fn next_wake(&self) -> Option<Millis> {
        self.wake
    }

    /// Takes in what time it is. Answers with how far the clock was set back.
    pub(crate) fn note_time(&mut self, now: Millis) -> Millis {
        let back = self.latest.saturating_sub(now);
        self.latest = now;
        if back > 0 {
            for case in self.all.values_mut() {
                case.course_mut().set_back(back);
                case.set_back(back);
            }
        }
        back
    }

    /// The case of a range, which may be a new one.
    pub(crate) fn open(&mut self, range: RangeId) -> &mut C {
        self.all.entry(range).or_default()
    }

    /// Something was said about a range.
    pub(crate) fn heard(&mut self, range: RangeId) {
        if let Some(case) = self.all.get_mut(&range) {
            case.course_mut().hear();
        }
    }

    /// A look has ended; `None`: the chain did not answer.
    pub(crate) fn looked(&mut self, range: RangeId, view: Option<C::View>, now: Millis) {
        if let Some(case) = self.all.get_mut(&range) {
            case.course_mut().looked(view, now);
        }
    }

    /// A move has ended, carried out or not.
    pub(crate) fn ended(&mut self, range: RangeId, done: bool, now: Millis) {
        if let Some(case) = self.all.get_mut(&range) {
            case.course_mut().end(done, now);
        }
    }

    /// A move was carried out, from which something is known of the case.
    pub(crate) fn learnt(&mut self, range: RangeId, now: Millis, learn: impl FnOnce(&mut C)) {
        if let Some(case) = self.all.get_mut(&range) {
            learn(case);
            case.course_mut().end(true, now);
        }
    }

    /// What is to be done now.
    pub(crate) fn plan(&mut self, rules: C::Rules, now: Millis) -> Vec<C::Effect> {
        let mut out = Vec::new();
        self.act(rules, now, &mut out);
        self.look(rules, now, &mut out);
        out
    }

    /// Does what is due in all cases whose state is known.
    fn act(&mut self, rules: C::Rules, now: Millis, out: &mut Vec<C::Effect>) {
        let Self { all, errands, .. } = self;
        errands.retain(|_, range| all.get(range).is_some_and(|case| case.course().busy));
        let mut over = Vec::new();
        for (range, case) in all.iter_mut() {
            let Some(view) = case.course().ready(now) else { continue };
            case.say(rules, *range, &view, out);
            match case.act(rules, *range, &view, now) {
                Act::Do(effect) => {
                    let errand = C::errand(&effect);
                    let is_done = errand.as_ref().is_some_and(|of| errands.contains_key(of));
                    // What another case does is no try of this one.
                    let held_back = if is_done {
                        Err(BEACON_PAUSE)
                    } else {
                        case.course_mut().note(C::mark(&effect, &view), now)
                    };
                    if let Err(pause) = held_back {
                        case.course_mut().wait(pause, now);
                    } else {
                        errands.extend(errand.map(|errand| (errand, *range)));
                        case.course_mut().busy = true;
                        out.push(effect);
                    }
                }
                Act::Wait(pause) => case.course_mut().wait(pause, now),
                Act::Forget => over.push(*range),
            }
        }
        for range in over {
            self.all.remove(&range);
            out.push(C::forget(range));
        }
    }

    /// Has cases looked at whose time has come: ours first, then those that have waited longest.
    fn look(&mut self, rules: C::Rules, now: Millis, out: &mut Vec<C::Effect>) {
        self.wake = None;
        let mut waiting = BTreeSet::new();
        let mut room = C::ROOM;
        for (range, case) in &self.all {
            let (course, ours) = (case.course(), case.comes_first(rules));
            if course.looking {
                let left = room.of(ours);
                *left = left.saturating_sub(1);
            } else if !course.busy && course.not_before > now {
                let wake = self.wake.get_or_insert(course.not_before);
                *wake = course.not_before.min(*wake);
            } else if !course.busy && course.view.is_none() {
                waiting.insert((!ours, course.not_before, *range));
            }
        }
        // Those that find no room are looked at when another look ends.
        for (foreign, _, range) in waiting {
            let room = room.of(!foreign);
            let Some(left) = room.checked_sub(1) else { continue };
            *room = left;
            if let Some(case) = self.all.get_mut(&range) {
                case.course_mut().begin_look();
                out.push(case.look_at(range));
            }
        }
    }
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
