//! Who may sit in a case, by what the beacon draws.

use alloy_primitives::{B256, Log};
use alloy_sol_types::SolEvent;
use tilth_contracts::{Audits, RangeState, SeatState};
use tilth_protocol::JobId;
use tilth_verification::arithmetic::{ONE, Share};

use super::*;
use crate::{
    farm::Farm,
    random::Random,
    trust::{
        Allowed, Cast, Side,
        cast::terms,
        mind::{Conduct, Sight},
        pairs,
        public::{Job, Range},
    },
};

const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
const ROUND: u64 = 9;
const BEACON: B256 = B256::repeat_byte(5);
/// The range's client, provider and mate, who are auditors, too, and two others.
const PEOPLE: usize = 5;
const STAKES: [u128; PEOPLE] = [50, 40, 30, 20, 10];

fn who(number: usize) -> Address {
    Address::repeat_byte(u8::try_from(number).unwrap())
}

struct Play {
    scene: Scene,
    oracle: Oracle,
}

impl Play {
    /// A case of this rate has begun.
    fn new(rate: u32) -> Self {
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let terms = terms(&Cast::honest(16, 0, 0).clients[0], 0);
        let job = Job { client: who(1), terms, settled: 0, over: false };
        scene.public.jobs.insert(ID.job, job);
        let (provider, state, root) = (who(2), RangeState::Submitted, B256::ZERO);
        let found = Range { provider, from: 0, count: 4, price: 1, state, at: 10, root };
        scene.public.ranges.insert(ID, found);
        let mut oracle = Oracle::new(Allowed::default(), Share::new(0));
        for (number, stake) in (1..).zip(STAKES) {
            oracle.keeps.meet(who(number), (Conduct::Fetches, Sight::Looks), stake);
        }
        // Somebody's stake has changed since.
        oracle.keeps.people[4].stake = 1_000;
        oracle.keeps.lines.insert(ID, STAKES.to_vec());
        oracle.keeps.beacons.insert(ROUND, BEACON);
        for number in [2, 3] {
            oracle.pairs.meet(who(number), Side::Honest, 100);
        }
        let seen = pairs::Seen { primary: 1, mate: 2, disputed: true, ..pairs::Seen::default() };
        oracle.pairs.ranges.insert(ID, seen);
        let mut play = Self { scene, oracle };
        play.tell(&Audits::AuditDue { jobId: 1, seq: 0, round: ROUND, provider: 1, rate });
        play
    }

    fn tell(&mut self, event: &impl SolEvent) {
        let address = self.scene.farm.addresses().audits;
        self.oracle.read(&Log { address, data: event.encode_log_data() }, &self.scene);
    }

    fn give(&mut self, auditor: u32, seat: u8, stage: u8) {
        self.tell(&Audits::SeatGiven { jobId: 1, seq: 0, auditor, seat, stage });
    }

    /// Nobody comes to this seat, or shows nothing.
    fn lose(&mut self, seat: u8, state: SeatState) {
        self.tell(&Audits::SeatLost { jobId: 1, seq: 0, seat, state: state.into(), cut: 0 });
    }
}

/// Whom so many draws of a stage name, from the first of them on, where these numbers are left out.
fn named(stage: u8, first: u32, wanted: usize, out: &[usize]) -> Vec<u32> {
    let people: Vec<Person<usize>> =
        (1..).zip(STAKES).map(|(owner, stake)| Person { owner, stake }).collect();
    let seed = Seed::new(BEACON, ID, stage);
    let votes = seed.votes(Purpose::Auditor, first, wanted, &people, |who| out.contains(who));
    votes.members.into_iter().map(|place| u32::try_from(place + 1).unwrap()).collect()
}

/// The seats of these draws in their order, where nobody sat before.
fn seats(draws: &[u32]) -> Vec<u8> {
    let mut seats = Vec::new();
    let place = |auditor: &u32| {
        let found = seats.iter().position(|one| one == auditor);
        let place = found.unwrap_or(seats.len());
        if found.is_none() {
            seats.push(*auditor);
        }
        u8::try_from(place).unwrap()
    };
    draws.iter().map(place).collect()
}

#[test]
fn votes_go_to_whom_the_beacon_draws() {
    for (rate, out) in [(ONE.0, &[1, 2][..]), (DISPUTED_RATE, &[1, 2, 3][..])] {
        let draws = named(0, 0, 7, out);
        let mut play = Play::new(rate);
        for (auditor, seat) in draws.iter().zip(seats(&draws)) {
            play.give(*auditor, seat, 0);
        }
        // The next stage begins anew, and whoever sits already keeps its seat.
        let later = named(1, 0, 4, out);
        let all = seats(&[draws.clone(), later.clone()].concat());
        for (auditor, seat) in later.iter().zip(&all[draws.len()..]) {
            play.give(*auditor, *seat, 1);
        }
        assert_eq!(play.oracle.faults, Vec::<String>::new(), "{rate}");
        assert_eq!(play.oracle.counts.seats, 11);
    }
}

#[test]
fn whoever_was_silent_is_not_asked_again() {
    for state in [SeatState::Absent, SeatState::NotRevealed] {
        let first = named(0, 0, 1, &[1, 2]);
        let silent = usize::try_from(first[0]).unwrap();
        let after = named(0, 1, 3, &[1, 2, silent]);
        let mut play = Play::new(ONE.0);
        play.give(first[0], 0, 0);
        play.lose(0, state);
        let all = seats(&[first, after.clone()].concat());
        for (auditor, seat) in after.iter().zip(&all[1..]) {
            play.give(*auditor, *seat, 0);
        }
        assert_eq!(play.oracle.faults, Vec::<String>::new(), "{state}");
        // Nor does it come back.
        play.give(u32::try_from(silent).unwrap(), 0, 0);
        assert_eq!(play.oracle.faults.len(), 1, "{state}");
    }
}

#[test]
fn anybody_else_at_any_other_place_is_a_fault() {
    let drawn = named(0, 0, 1, &[1, 2])[0];
    for number in 3..=5 {
        let mut play = Play::new(ONE.0);
        play.give(number, 0, 0);
        assert_eq!(play.oracle.faults.is_empty(), number == drawn, "{number}");
    }
    let mut elsewhere = Play::new(ONE.0);
    elsewhere.give(drawn, 1, 0);
    assert_eq!(elsewhere.oracle.faults.len(), 1);
    // Of a beacon that nobody knows nobody is drawn.
    let mut early = Play::new(ONE.0);
    early.oracle.keeps.beacons.clear();
    early.give(drawn, 0, 0);
    assert_eq!(early.oracle.faults.len(), 1);
    assert_eq!(early.oracle.counts.seats, 0);
}

#[test]
fn nobody_sits_where_nothing_was_handed_in_or_there_is_no_case() {
    let drawn = named(0, 0, 1, &[1, 2])[0];
    type Change = fn(&mut Oracle);
    let rows: [(Change, usize); 4] = [
        (|_| {}, 0),
        (|oracle| oracle.keeps.lines.clear(), 1),
        (|oracle| oracle.cases.clear(), 1),
        (|oracle| oracle.panels.clear(), 1),
    ];
    for (place, (change, faults)) in rows.into_iter().enumerate() {
        let mut play = Play::new(ONE.0);
        change(&mut play.oracle);
        play.give(drawn, 0, 0);
        assert_eq!(play.oracle.faults.len(), faults, "{place}: {:?}", play.oracle.faults);
        assert_eq!(play.oracle.counts.seats, u64::from(faults == 0), "{place}");
    }
}

#[test]
fn the_line_is_that_of_the_second_before_a_range_is_handed_in() {
    let mut play = Play::new(ONE.0);
    // By the stakes that they have now the last one would have nearly all votes.
    let draws = named(0, 0, 12, &[1, 2]);
    assert!(draws.iter().filter(|number| **number != 5).count() > 4, "{draws:?}");
    for (auditor, seat) in draws.iter().zip(seats(&draws)) {
        play.give(*auditor, seat, 0);
    }
    assert_eq!(play.oracle.faults, Vec::<String>::new());
}
