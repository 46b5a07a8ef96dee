//! What the world asserts about every effect when it is asked for.

use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_protocol::RangeId;
use tilth_verification::{
    draw::Seed,
    holding::{ASKS, SPOT_TIME_S},
};

use super::{
    party::Party,
    words::Effect,
    world::{AUDITOR, DUE, MAX_MIB, MIB, MOST, OURS, PROVIDER, SPOT_ROUND, SPOTS, World},
};
use crate::cases::REACH;

impl World {
    pub(super) fn check(&self, effect: &Effect) {
        assert!(self.caught_up, "{effect:?} before the past is known");
        let Some(of) = effect.range() else {
            assert!(self.party == Party::Client && self.job_over, "closes what is not over");
            assert_eq!(self.asked(), 0, "leaves something behind");
            return;
        };
        if let Effect::Keep { until, .. } = effect {
            let case = self.cases[of.seq as usize];
            let due = match case.spot.state {
                SpotState::None => case.until + DUE + SPOT_TIME_S * 1_000,
                SpotState::Asked => case.spot.end,
                SpotState::Over => panic!("keeps what was looked at"),
            };
            assert_eq!(*until, due, "keeps it for another time");
        }
        if matches!(effect, Effect::Show { .. } | Effect::Keep { .. } | Effect::Forget { .. }) {
            return self.check_end(effect);
        }
        let busy = self.under_way.iter().any(|other| other.range() == Some(of));
        assert!(!busy, "two things at a time: {effect:?} beside {:?}", self.under_way);
        self.check_move(effect, of.seq as usize);
        self.check_look(effect, of);
    }

    /// What is done about those who hold it, when their time is over.
    fn check_look(&self, effect: &Effect, of: RangeId) {
        let seq = of.seq as usize;
        let case = self.cases[seq];
        let signed = self.party == Party::Auditor(AUDITOR) && case.bits & OURS != 0;
        let looks = |draw: u8| {
            assert_eq!(self.party, Party::Auditor(AUDITOR));
            assert_eq!((case.state, case.spot.state), (HoldState::Held, SpotState::Asked));
            let bit = 1_u8 << draw;
            assert_eq!(SPOTS & !case.spot.bits & bit, bit, "looks as somebody else");
            assert!(self.now <= case.spot.end, "looks too late");
        };
        match effect {
            Effect::Poke { once: true, .. } => {
                assert_eq!((case.state, case.spot.state), (HoldState::Held, SpotState::Asked));
                assert!(case.spot_beacon.is_some(), "there is nothing to be noted");
                assert_eq!(case.spot.bits, 0, "a vote has had it noted");
            }
            Effect::Check { .. } => {
                assert!(signed && case.spot.state == SpotState::None, "it is not its to call");
                assert_eq!(case.state, HoldState::Held);
                assert!(self.now + self.wrong_clock > case.until && self.now <= case.until + DUE);
            }
            Effect::Inspect { part, draw, seed, holders, left, .. } => {
                looks(*draw);
                let beacon = case.spot_beacon.expect("nobody is drawn yet");
                assert_eq!((*part, *seed), (case.part, Seed::new(beacon, of, 0).0));
                assert_eq!(*left, case.spot.end - self.now);
                let bits = holders.iter().fold(0_u16, |bits, (draw, _)| bits | 1_u16 << draw);
                let is_noted = case.spot_noted || case.spot.bits != 0;
                assert!(is_noted, "looks for longer than the beacon may last");
                assert_eq!(bits, case.bits, "others than those who have signed");
                let named = self.named(seq);
                assert!(holders.iter().all(|(draw, of)| named[usize::from(*draw)] == *of));
            }
            Effect::Spot { draw, seen, .. } => {
                looks(*draw);
                let looked = case.looked[usize::from(*draw)];
                assert_eq!(looked, Some(*seen), "says what it has not seen");
            }
            Effect::Conclude { .. } => {
                assert_eq!(case.state, HoldState::Held);
                assert_ne!(case.spot.state, SpotState::Over);
                assert!(self.now + self.wrong_clock > self.spot_end(seq), "it has its time");
                let called = signed && case.spot.state == SpotState::Asked;
                assert!(called || self.party == Party::Client, "it is not its to end");
            }
            _ => {}
        }
    }

    /// What is acted on was seen in the same moment, so the range is as the machine knows it.
    fn check_move(&self, effect: &Effect, seq: usize) {
        let case = self.cases[seq];
        let submitted = case.range == RangeState::Submitted;
        let (ours, client) = (self.party == Party::Provider(PROVIDER), self.party == Party::Client);
        match effect {
            Effect::Size { part, .. } => assert!(ours && *part == case.part),
            Effect::Ask { mib, .. } => {
                assert!(
                    submitted && case.may_pay && self.now + self.wrong_clock >= case.window_end
                );
                let due = match case.state {
                    HoldState::None if ours => MIB,
                    HoldState::None => MAX_MIB,
                    HoldState::Again if ours => MIB.min(case.mib),
                    HoldState::Again => case.mib,
                    state => panic!("asks for what is {state}"),
                };
                assert!((ours || client) && *mib == due, "asks for {mib}");
            }
            Effect::Draw { .. } => assert_eq!(case.state, HoldState::Asked),
            Effect::Fail { .. } => {
                assert!(case.state.is_open());
                assert!(!submitted || case.state == HoldState::Open, "ends what has its time");
                assert!(submitted || client, "it is the client's");
                let punished = ours && submitted && case.asked >= ASKS;
                assert!(!punished, "called for its own punishment");
            }
            Effect::Fetch { part, mib, .. } => {
                assert!(self.party == Party::Auditor(AUDITOR) && case.state == HoldState::Open);
                assert!(*part == case.part && *mib == case.mib, "fetches something else");
            }
            Effect::Sign { part, draw, .. } => {
                assert!(case.state == HoldState::Open && *part == case.part);
                assert_eq!(case.here, Some(*part), "signs for what it has not");
                let bit = 1_u16 << draw;
                assert_eq!(OURS & !case.bits & bit, bit, "signs for another's draw");
            }
            Effect::Fund { due, .. } => {
                let amount = due - self.free();
                assert!(
                    client && amount != 0 && self.deposit + amount <= MOST,
                    "more than was set"
                );
                let funds = |other: &Effect| matches!(other, Effect::Fund { .. });
                assert!(!self.under_way.iter().any(funds), "fills it up twice");
            }
            _ => {}
        }
    }

    fn check_end(&self, effect: &Effect) {
        let Effect::Forget { range } = effect else { return };
        let seq = range.seq as usize;
        let case = self.cases[seq];
        match self.party {
            Party::Provider(_) => assert!(self.is_final(seq), "forgot its duty"),
            Party::Client => {
                assert!(!case.state.is_open(), "forgot its money");
                let is_held = case.state == HoldState::Held && case.spot.state != SpotState::Over;
                assert!(!is_held || self.now <= self.spot_end(seq), "nobody else can have it");
            }
            Party::Auditor(_) => {
                let may_be_looked_at = match case.spot.state {
                    SpotState::None => self.now <= case.until + DUE,
                    SpotState::Asked => true,
                    SpotState::Over => false,
                };
                let held = case.state == HoldState::Held && may_be_looked_at;
                let us = self.party == Party::Auditor(AUDITOR);
                let (ours, drawn) = if us { (OURS, SPOTS) } else { (0, 0) };
                assert!(!held || case.bits & ours == 0, "forgot what it has signed for");
                let is_called = case.spot.state == SpotState::Asked && self.now <= case.spot.end;
                let has_said = case.spot_beacon.is_some() && drawn & !case.spot.bits == 0;
                let lost = case.spot_beacon.is_none() && case.block > SPOT_ROUND + REACH;
                assert!(!is_called || has_said || lost, "forgot what it was called for");
            }
        }
    }
}
