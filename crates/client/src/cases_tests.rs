//! What all machines have in common, with cases that are nobody's.

use tilth_protocol::JobId;

use super::*;

const NOW: Millis = 1_790_000_000_000;
const HOUR: Millis = 3_600_000;
const NOTHING: [Effect; 0] = [];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Look(RangeId),
    /// What is meant to change what a look shows.
    Push(RangeId),
    /// What one does for all.
    Note(RangeId),
    Forget(RangeId),
}

#[derive(Clone, Copy, Debug)]
enum View {
    Push(u8),
    Note,
    Rest,
    Over,
}

#[derive(Debug, Default)]
struct Case {
    course: Course<View, u8>,
    ours: bool,
}

impl Followed for Case {
    type Rules = ();
    type View = View;
    type Effect = Effect;
    type Mark = u8;
    type Errand = ();

    const ROOM: Room = Room::apart(3, 2);

    fn course(&self) -> &Course<View, u8> {
        &self.course
    }

    fn course_mut(&mut self) -> &mut Course<View, u8> {
        &mut self.course
    }

    fn comes_first(&self, (): ()) -> bool {
        self.ours
    }

    fn set_back(&mut self, _: Millis) {}

    fn say(&mut self, (): (), _: RangeId, _: &View, _: &mut Vec<Effect>) {}

    fn act(&mut self, (): (), range: RangeId, view: &View, _: Millis) -> Act<Effect> {
        match view {
            View::Push(_) => Act::Do(Effect::Push(range)),
            View::Note => Act::Do(Effect::Note(range)),
            View::Rest => Act::Wait(LOOK_AGAIN),
            View::Over => Act::Forget,
        }
    }

    fn mark(effect: &Effect, view: &View) -> Option<u8> {
        match (effect, view) {
            (Effect::Push(_), View::Push(place)) => Some(*place),
            (Effect::Note(_), View::Note) => Some(0),
            _ => None,
        }
    }

    fn errand(effect: &Effect) -> Option<()> {
        matches!(effect, Effect::Note(_)).then_some(())
    }

    fn look_at(&self, range: RangeId) -> Effect {
        Effect::Look(range)
    }

    fn forget(range: RangeId) -> Effect {
        Effect::Forget(range)
    }
}

fn at(seq: u32) -> RangeId {
    RangeId { job: JobId(1), seq }
}

/// So many cases, of which the later ones are ours.
fn follow(others: u32, ours: u32) -> Cases<Case> {
    let mut cases: Cases<Case> = Cases::new();
    cases.note_time(NOW);
    for seq in 0..others + ours {
        cases.open(at(seq)).ours = seq >= others;
    }
    cases
}

/// A look at each of these shows this; what is done then.
fn see(cases: &mut Cases<Case>, seen: &[(u32, View)], now: Millis) -> Vec<Effect> {
    for (seq, view) in seen {
        cases.looked(at(*seq), Some(*view), now);
    }
    cases.plan((), now)
}

#[test]
fn ours_are_looked_at_first_and_others_have_room_of_their_own() {
    let mut cases = follow(4, 5);
    let looks = [4, 5, 6, 0, 1].map(|seq| Effect::Look(at(seq)));
    assert_eq!(cases.plan((), NOW), looks);
    assert_eq!(cases.plan((), NOW), NOTHING, "no more at a time");
    assert_eq!(see(&mut cases, &[(5, View::Rest)], NOW), [Effect::Look(at(7))]);
    assert_eq!(see(&mut cases, &[(0, View::Rest)], NOW), [Effect::Look(at(2))]);
    assert_eq!(cases.next_wake(), Some(NOW + LOOK_AGAIN));
}

#[test]
fn one_case_does_for_all_what_all_wait_for() {
    let mut cases = follow(0, 2);
    assert_eq!(cases.plan((), NOW).len(), 2);
    let done = see(&mut cases, &[(0, View::Note), (1, View::Note)], NOW);
    assert_eq!(done, [Effect::Note(at(0))]);
    assert_eq!(cases.next_wake(), Some(NOW + BEACON_PAUSE));
    let later = NOW + BEACON_PAUSE;
    assert_eq!(cases.plan((), later), [Effect::Look(at(1))]);
    assert_eq!(see(&mut cases, &[(1, View::Note)], later), NOTHING, "it is still under way");
    cases.ended(at(0), false, later);
    let later = later + BEACON_PAUSE;
    assert_eq!(cases.plan((), later).len(), 2, "both are looked at");
    assert_eq!(see(&mut cases, &[(1, View::Note)], later), [Effect::Note(at(1))]);
}

#[test]
fn what_another_case_does_for_all_is_no_try() {
    let mut cases = follow(0, 2);
    assert_eq!(cases.plan((), NOW).len(), 2);
    let done = see(&mut cases, &[(0, View::Note), (1, View::Note)], NOW);
    assert_eq!(done, [Effect::Note(at(0))]);
    let mut now = NOW;
    for _ in 0..5 {
        now += BEACON_PAUSE;
        assert_eq!(cases.plan((), now), [Effect::Look(at(1))], "as often as before");
        assert_eq!(see(&mut cases, &[(1, View::Note)], now), NOTHING, "it is under way");
    }
    cases.ended(at(0), false, now);
    now += BEACON_PAUSE;
    assert_eq!(cases.plan((), now).len(), 2);
    let note = [Effect::Note(at(1))];
    assert_eq!(see(&mut cases, &[(1, View::Note)], now), note, "it has never tried");
    // Its own tries count.
    cases.ended(at(1), true, now);
    assert_eq!(cases.plan((), now), [Effect::Look(at(1))]);
    assert_eq!(see(&mut cases, &[(1, View::Note)], now), NOTHING);
}

#[test]
fn what_changed_nothing_is_done_again_after_a_pause_whatever_the_clock_does() {
    let mut cases = follow(0, 1);
    let look = [Effect::Look(at(0))];
    let push = [Effect::Push(at(0))];
    assert_eq!(cases.plan((), NOW), look);
    assert_eq!(see(&mut cases, &[(0, View::Push(1))], NOW), push);
    cases.ended(at(0), true, NOW);
    assert_eq!(cases.plan((), NOW), look);
    assert_eq!(see(&mut cases, &[(0, View::Push(2))], NOW), push, "something has come of it");
    cases.ended(at(0), true, NOW);
    assert_eq!(cases.plan((), NOW), look);
    assert_eq!(see(&mut cases, &[(0, View::Push(2))], NOW), NOTHING);
    let pause = cases.next_wake().unwrap() - NOW;
    assert!((100..10_000).contains(&pause), "{pause} ms");
    assert_eq!(cases.note_time(NOW - HOUR), HOUR);
    assert_eq!(cases.plan((), NOW - HOUR), NOTHING);
    let wake = NOW - HOUR + pause;
    assert_eq!(cases.next_wake(), Some(wake), "as long as it was meant to be");
    assert_eq!(cases.plan((), wake), look);
    assert_eq!(see(&mut cases, &[(0, View::Push(2))], wake), push);
}

#[test]
fn what_is_heard_during_a_look_outdates_it_and_does_not_end_the_pause_of_a_failure() {
    let mut cases = follow(0, 1);
    let look = [Effect::Look(at(0))];
    assert_eq!(cases.plan((), NOW), look);
    cases.heard(at(0));
    assert_eq!(see(&mut cases, &[(0, View::Over)], NOW), look);
    cases.looked(at(0), None, NOW);
    cases.heard(at(0));
    assert_eq!(cases.plan((), NOW), NOTHING);
    let wake = cases.next_wake().unwrap();
    assert_eq!(cases.plan((), wake), look);
    assert_eq!(see(&mut cases, &[(0, View::Over)], wake), [Effect::Forget(at(0))]);
    assert_eq!(cases.next_wake(), None);
    assert!(cases.all.is_empty());
}
