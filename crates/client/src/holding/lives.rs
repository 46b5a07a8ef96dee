//! How the model world goes on: restarts, and time that passes.

use tilth_contracts::{HoldState, RangeState, SpotState};
use tilth_verification::holding::SPOTTERS;

use super::{
    machine::Machine,
    party::Party,
    words::Event,
    world::{OURS, PROVIDER, ROUND, START, WINDOW, World, at, rules},
};
use crate::audit::Millis;

/// From one block's news to the next.
const BLOCK: Millis = 1_000;

impl World {
    /// The agent is killed and started again: what is on chain stays, and what is on disk.
    pub(super) fn restart(&mut self) {
        self.machine = Machine::new(rules(self.party));
        (self.under_way, self.caught_up) = (Vec::new(), false);
        // What it had seen it has to see again.
        self.cases.iter_mut().for_each(|case| case.looked = [None; SPOTTERS]);
        self.now += 1;
        self.introduce();
    }

    pub(super) fn introduce(&mut self) {
        for seq in 0..self.cases.len() {
            let (range, provider) = (at(seq), PROVIDER);
            let case = self.cases[seq];
            // What is here is noted, and where it is read on from there no log of before says anything of it.
            let reads_on = self.now.is_multiple_of(2);
            if reads_on && case.here.is_some() && !self.forgotten[seq] {
                self.tell(Event::Noted { range });
                continue;
            }
            self.tell(Event::Submitted { range, provider });
            if case.asked > 0 {
                self.tell(Event::Asked { range, provider, round: ROUND });
            }
            if let Party::Auditor(auditor) = self.party
                && case.bits & OURS != 0
            {
                self.tell(Event::Signed { range, auditor });
            }
            if case.range != RangeState::Submitted || case.state == HoldState::Held {
                self.tell(Event::Over { range });
            }
            if case.spot.state != SpotState::None {
                self.tell(Event::Called { range });
            }
            if case.spot.state == SpotState::Over {
                self.tell(Event::Over { range });
            }
        }
        if self.job_over {
            self.tell(Event::JobOver);
        }
        self.tell(Event::CaughtUp { head: self.cases[0].block });
    }

    /// Everything under way ends as it should.
    pub(super) fn work_off(&mut self) {
        while let Some(last) = self.under_way.len().checked_sub(1) {
            self.end(last, true);
        }
    }

    /// Everything works and time passes.
    pub(super) fn settle(&mut self) {
        self.now = self.now.max(START + WINDOW);
        // A clock that is wrong by hours is tried by that often.
        self.wrong_clock = self.wrong_clock.min(60_000);
        for _ in 0..3_000 {
            self.work_off();
            for seq in 0..self.cases.len() {
                if self.cases[seq].range == RangeState::Submitted {
                    self.move_on(seq);
                    self.tell(self.told(seq));
                } else if self.cases[seq].spot.state == SpotState::Asked {
                    self.note_spot(seq);
                }
            }
            let over = self.cases.iter().all(|case| case.range != RangeState::Submitted);
            if over && !self.job_over {
                self.job_over = true;
                self.tell(Event::JobOver);
            }
            let idle = self.under_way.is_empty() && self.machine.cases().next().is_none();
            if over && idle && self.machine.next_wake().is_none() {
                return;
            }
            // While it looks there is no time to wake at, and news has it look at once; time passes nevertheless.
            self.now = self.machine.next_wake().unwrap_or(self.now + BLOCK);
            self.tell(Event::Tick);
        }
    }
}
