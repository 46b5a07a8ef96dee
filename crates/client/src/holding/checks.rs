//! What the world asserts about every effect when it is asked for.

use tilth_contracts::{HoldState, RangeState};
use tilth_verification::holding::ASKS;

use super::{
    words::{Effect, Party},
    world::{AUDITOR, MAX_MIB, MIB, MOST, OURS, PROVIDER, World},
};

impl World {
    pub(super) fn check(&self, effect: &Effect) {
        assert!(self.caught_up, "{effect:?} before the past is known");
        let Some(of) = effect.range() else {
            assert!(self.party == Party::Client && self.job_over, "closes what is not over");
            assert_eq!(self.reserved(), 0, "leaves something behind");
            return;
        };
        if let Effect::Keep { until, .. } = effect {
            assert_eq!(*until, self.cases[of.seq as usize].until, "keeps it for another time");
        }
        if matches!(effect, Effect::Show { .. } | Effect::Keep { .. } | Effect::Forget { .. }) {
            return self.check_end(effect);
        }
        let busy = self.under_way.iter().any(|other| other.range() == Some(of));
        assert!(!busy, "two things at a time: {effect:?} beside {:?}", self.under_way);
        self.check_move(effect, of.seq as usize);
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
            Effect::Fund { amount, .. } => {
                assert!(client && self.deposit + amount <= MOST, "more than was set");
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
            Party::Client => assert!(!case.state.is_open(), "forgot its money"),
            Party::Auditor(_) => {
                let keeps = case.state == HoldState::Held
                    && case.range != RangeState::Rejected
                    && case.bits & OURS != 0;
                assert!(!keeps || self.now >= case.until, "forgot what it has signed for");
            }
        }
    }
}
