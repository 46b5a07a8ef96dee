//! Inputs of kept jobs in the machine, told as short stories: what is theirs alone.

use alloy::primitives::{Address, B256};
use tilth_contracts::{HoldState, RangeState};
use tilth_protocol::{JobId, RangeId};
use tilth_verification::holding::HOLDERS;

use super::{
    machine::Machine,
    spotting::SpotView,
    view::View,
    words::{Effect, Event, Part, Party, Standing},
    world::{AUDITOR, HOUR, MIB, PROVIDER, ROUND, START, rules},
};
use crate::audit::Millis;

const INPUTS: RangeId = RangeId::inputs(JobId(1));
const PART: Part = Part { from: 0, count: 0, root: B256::repeat_byte(3) };
const NOTHING: [Effect; 0] = [];

fn view(state: HoldState, now: Millis) -> View {
    let asked = u8::from(state != HoldState::None);
    View {
        range: RangeState::Submitted,
        part: PART,
        provider: Address::ZERO,
        window_end: 0,
        may_pay: true,
        state,
        round: ROUND,
        from: START,
        until: if state == HoldState::Held { START + 9 * HOUR } else { 0 },
        mib: if asked == 0 { 0 } else { MIB },
        max_mib: u32::MAX,
        bits: if state == HoldState::Held { 0b1111 } else { 0 },
        draws: 0,
        named: [0; HOLDERS],
        spot: SpotView::default(),
        asked,
        deposit: 900,
        free: 900,
        cost: 0,
        rest: 0,
        beacon: (asked > 0).then_some(B256::repeat_byte(9)),
        lapses: 0,
        block: ROUND + 1,
        now,
        next: now,
    }
}

/// A party that has just heard of the job, and how the inputs are looked at.
fn begun(party: Party) -> (Machine, Vec<Effect>) {
    let mut machine = Machine::new(rules(party));
    machine.step(Event::Opened { inputs: INPUTS }, START);
    let effects = machine.step(Event::CaughtUp { head: ROUND }, START);
    (machine, effects)
}

fn looked(view: View) -> Event {
    Event::Looked { range: INPUTS, view: Some(Box::new(view)) }
}

/// Without what is said to people.
fn moves(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| !matches!(effect, Effect::Show { .. })).collect()
}

#[test]
fn a_client_asks_at_once_for_what_it_knows_the_size_of() {
    let (mut machine, effects) = begun(Party::Client);
    assert_eq!(effects, [Effect::Look { range: INPUTS }]);
    let unasked = view(HoldState::None, START);
    let effects = moves(machine.step(looked(unasked), START));
    assert_eq!(effects, [Effect::Size { range: INPUTS, part: PART }]);
    let sized = Event::Sized { range: INPUTS, part: PART, mib: MIB };
    assert_eq!(machine.step(sized, START), [Effect::Look { range: INPUTS }]);
    let effects = moves(machine.step(looked(unasked), START));
    assert_eq!(effects, [Effect::Ask { range: INPUTS, mib: MIB }]);
}

#[test]
fn only_the_client_asks() {
    for party in [Party::Provider(PROVIDER), Party::Auditor(AUDITOR)] {
        let (machine, effects) = begun(party);
        assert_eq!((effects, machine.cases().count()), (Vec::new(), 0), "{party:?}");
    }
    // A provider has nothing to do with them when they are asked for, either.
    let mut machine = Machine::new(rules(Party::Provider(PROVIDER)));
    let asked = Event::Asked { range: INPUTS, provider: Address::ZERO, round: ROUND };
    machine.step(asked, START);
    assert_eq!(machine.step(Event::CaughtUp { head: ROUND }, START), NOTHING);
    assert_eq!(machine.at_stake(), 0);
}

#[test]
fn what_failed_once_is_asked_for_again_with_its_size() {
    let (mut machine, _) = begun(Party::Client);
    let effects = machine.step(looked(view(HoldState::Again, START)), START);
    let said = Effect::Show { range: INPUTS, standing: Standing::Open(HoldState::Again) };
    assert_eq!(effects, [said, Effect::Ask { range: INPUTS, mib: MIB }]);
}

#[test]
fn a_client_ends_an_ask_that_nobody_answers_though_it_is_the_last() {
    let (mut machine, _) = begun(Party::Client);
    let mut open = view(HoldState::Open, START);
    open.asked = 2;
    assert_eq!(moves(machine.step(looked(open), START)), NOTHING, "there is time");
    let late = START + 3 * HOUR;
    assert_eq!(machine.step(Event::Tick, late), [Effect::Look { range: INPUTS }]);
    (open.now, open.next) = (late, late);
    assert_eq!(moves(machine.step(looked(open), late)), [Effect::Fail { range: INPUTS }]);
}

#[test]
fn what_came_of_it_is_told_and_then_forgotten() {
    for state in [HoldState::Held, HoldState::Lost] {
        let (mut machine, _) = begun(Party::Client);
        let effects = machine.step(looked(view(state, START)), START);
        let said = Effect::Show { range: INPUTS, standing: Standing::Over(state) };
        assert_eq!(effects, [said, Effect::Forget { range: INPUTS }]);
        assert_eq!(machine.next_wake(), None);
    }
}

#[test]
fn what_is_reserved_for_them_comes_back_when_the_job_is_cancelled() {
    let (mut machine, _) = begun(Party::Client);
    let cancelled = View { range: RangeState::Settled, ..view(HoldState::Open, START) };
    assert_eq!(moves(machine.step(looked(cancelled), START)), [Effect::Fail { range: INPUTS }]);
}

#[test]
fn a_holder_has_them_looked_at_when_their_job_is_over() {
    let mut machine = Machine::new(rules(Party::Auditor(AUDITOR)));
    let asked = Event::Asked { range: INPUTS, provider: Address::ZERO, round: ROUND };
    machine.step(asked, START);
    machine.step(Event::Signed { range: INPUTS, auditor: AUDITOR }, START);
    let effects = machine.step(Event::CaughtUp { head: ROUND }, START);
    assert_eq!(effects, [Effect::Look { range: INPUTS }]);
    let mut held = View { draws: 1 << 2, ..view(HoldState::Held, START) };
    let effects = machine.step(looked(held), START);
    let until = held.kept_until();
    assert!(effects.contains(&Effect::Keep { range: INPUTS, until }), "{effects:?}");
    let mut now = machine.next_wake().unwrap();
    assert!(now <= START + HOUR, "the job may be over long before");
    // Cancelled, but ranges of before are still judged.
    held.range = RangeState::Settled;
    assert_eq!(machine.step(Event::Tick, now), [Effect::Look { range: INPUTS }]);
    (held.now, held.next) = (now, now);
    assert_eq!(moves(machine.step(looked(held), now)), NOTHING);
    // Nobody needs them any more: those who look are called for at once, by one holder after the other.
    held.range = RangeState::Rejected;
    for _ in 0..3 {
        now = machine.next_wake().unwrap();
        assert_eq!(machine.step(Event::Tick, now), [Effect::Look { range: INPUTS }]);
        (held.now, held.next) = (now, now);
        if moves(machine.step(looked(held), now)) == [Effect::Check { range: INPUTS }] {
            assert!(now < held.until, "not only when its time was over");
            return;
        }
    }
    panic!("nobody calls for those who look");
}
