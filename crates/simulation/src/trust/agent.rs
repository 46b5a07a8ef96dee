//! A provider whose work the real program's machine decides (`tilth_provider::machine`): which jobs it tries and claims
//! from, what it runs, hands in, has paid and gives back, and in which lines it waits. It hears the chain's logs in the
//! words of the real one and is answered in them (`tilth_provider::words`). What it sends is beside this file
//! (`agent_moves`), and so is what it does as a mate (`mate_work`).
//!
//! Its clock is right, whatever the clocks of its other machines say: whoever's is hours off sees jobs as over that are
//! not, works on none, and is told so by the program.

use std::collections::{BTreeMap, BTreeSet};

use tilth_client::{audit::Millis, mates::Part};
use tilth_protocol::{ContentHash, JobId, Leaf, Price, RangeId};
use tilth_provider::machine::{Claim, Commitment, Event, Machine, Pace, Rules, RunTrouble, SlotId};

use super::{
    cast::COST,
    mind::HandIn,
    pairing::{Name, Pairing},
    scene::Scene,
    work::Work,
    workload,
};

/// What a slot does.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// One task of a job, to measure.
    Trial(JobId, u32),
    /// The rest of a range, of which so many tasks were done when it began.
    Range(RangeId, Part, u32),
}

#[derive(Clone, Copy, Debug)]
struct Run {
    task: Task,
    began: Millis,
    ends: Millis,
}

/// What is on disk of a range: of which tasks, and how many of them are done.
#[derive(Clone, Copy, Debug)]
struct Journal {
    part: Part,
    done: u32,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) name: Name,
    /// Most that it waits with in a line, base units.
    pub(super) bond: u128,
    pub(super) machine: Machine,
    /// Counts its lives: nobody waits for the ends of what an earlier one has begun.
    pub(super) life: u32,
    /// Ranges that it has handed in, and those of them that it has in a later life than its first.
    pub(super) submitted: u64,
    pub(super) submitted_later: u64,
    /// Units that it has executed.
    pub(super) executed: u64,
    rules: Rules,
    /// Logs that it has taken in.
    read: usize,
    caught_up: bool,
    /// Replicated ranges that it answers for.
    duties: BTreeSet<RangeId>,
    runs: BTreeMap<SlotId, Run>,
    journals: BTreeMap<RangeId, Journal>,
    /// Tasks that were tried; what they have come to is kept.
    tried: BTreeSet<(JobId, u32)>,
    /// What is ready to be handed in, or to be committed to as a mate.
    stored: BTreeMap<RangeId, Work>,
}

impl Agent {
    /// One that has heard nothing, with so many slots, and so many base units to wait with at most.
    pub(super) fn new(name: Name, slots: u16, bond: u128) -> Self {
        let rules = Rules {
            owner: name.who,
            slots,
            price_floor: Price(COST),
            slot_cost_per_hour: 0,
            class_bits: 0,
            vram_mib: 0,
            retention_ms: 0,
            withdraw_above: None,
        };
        Self {
            name,
            bond,
            machine: Machine::new(rules.clone()),
            life: 0,
            submitted: 0,
            submitted_later: 0,
            executed: 0,
            rules,
            read: 0,
            caught_up: false,
            duties: BTreeSet::new(),
            runs: BTreeMap::new(),
            journals: BTreeMap::new(),
            tried: BTreeSet::new(),
            stored: BTreeMap::new(),
        }
    }

    /// It is killed, and starts again with what is on disk: only the tasks in flight are lost.
    pub(super) fn restart(&mut self, now: Millis) {
        for run in std::mem::take(&mut self.runs).into_values() {
            self.write_down(run, now);
        }
        self.machine = Machine::new(self.rules.clone());
        self.duties.clear();
        (self.read, self.caught_up) = (0, false);
        self.life = self.life.wrapping_add(1);
    }

    /// Whether it would lose something if it did not come back.
    pub(super) fn is_at_stake(&self) -> bool {
        let standing = self.machine.standing();
        standing.held != 0 || standing.mates != 0
    }

    /// When it acts next without news.
    pub(super) fn due(&self) -> Option<Millis> {
        let runs = self.runs.values().map(|run| run.ends);
        runs.chain(self.machine.next_wake()).min()
    }

    /// All that has happened since it was asked last.
    pub(super) fn news(&mut self, pairing: &Pairing, scene: &Scene) -> Vec<Event> {
        let heard = scene.public.works.iter().skip(self.read);
        // Others' places in lines are not told.
        let ours = heard.filter(|(_, number)| number.is_none_or(|of| of == self.name.number));
        let mut events: Vec<Event> = ours.map(|(event, _)| Event::Chain(event.clone())).collect();
        self.read = scene.public.works.len();
        let begins = !std::mem::replace(&mut self.caught_up, true);
        if begins {
            events.push(Event::CaughtUp);
        }
        let duties: BTreeSet<RangeId> = pairing.mates.cases().collect();
        let over = self.duties.difference(&duties).map(|range| Event::DutyOver { range: *range });
        events.extend(over);
        let new = duties.difference(&self.duties).map(|range| Event::Duty { range: *range });
        events.extend(new);
        self.duties = duties;
        if begins {
            events.push(Event::DutiesKnown);
        }
        for (range, drawn) in pairing.drawn.iter().flatten() {
            let Part { from, count } = drawn.part;
            let claim = Claim { range: *range, from, count, at: scene.now };
            events.push(Event::Drawn { claim, due: drawn.due });
        }
        events.extend(self.ended(scene.now));
        if self.machine.next_wake().is_some_and(|wake| wake <= scene.now) {
            events.push(Event::Tick);
        }
        events
    }

    /// What slots have done by now.
    fn ended(&mut self, now: Millis) -> Vec<Event> {
        let over = self.runs.iter().filter(|(_, run)| run.ends <= now);
        let slots: Vec<SlotId> = over.map(|(slot, _)| *slot).collect();
        let mut events = Vec::new();
        for slot in slots {
            let Some(run) = self.runs.remove(&slot) else { continue };
            self.write_down(run, now);
            events.push(match run.task {
                Task::Trial(job, index) => {
                    let pace = self.pace(&workload::leaves(job, index, 1));
                    Event::Calibrated { slot, job, pace }
                }
                Task::Range(range, Part { from, count }, done) => {
                    let (from, count) = (from.saturating_add(done), count.saturating_sub(done));
                    let pace = self.pace(&workload::leaves(range.job, from, count));
                    Event::RangeComplete { slot, range, pace: Some(pace) }
                }
            });
        }
        events
    }

    /// What was measured on these tasks. Nothing takes time to be loaded here.
    fn pace(&self, leaves: &[Leaf]) -> Pace {
        let tasks = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
        let micros = self.name.pace.saturating_mul(1_000).saturating_mul(tasks.into());
        Pace { tasks, units: workload::units(leaves), micros, load_micros: 0 }
    }

    /// What a slot has done up to now is on disk.
    fn write_down(&mut self, run: Run, now: Millis) {
        let tasks = now.min(run.ends).saturating_sub(run.began) / self.name.pace.max(1);
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        match run.task {
            Task::Trial(job, index) => {
                if tasks != 0 && self.tried.insert((job, index)) {
                    self.executed += workload::leaf(job, index).units;
                }
            }
            Task::Range(range, part, before) => {
                let done = before.saturating_add(tasks).min(part.count);
                let (from, to) = (part.from.saturating_add(before), part.from.saturating_add(done));
                for index in (from..to).filter(|index| !self.tried.contains(&(range.job, *index))) {
                    self.executed += workload::leaf(range.job, index).units;
                }
                self.journals.insert(range, Journal { part, done });
            }
        }
    }

    /// Tries one task of a job on a slot.
    pub(super) fn calibrate(&mut self, slot: SlotId, job: JobId, index: u32, now: Millis) {
        let run = Run { task: Task::Trial(job, index), began: now, ends: now + self.name.pace };
        self.runs.insert(slot, run);
    }

    /// Runs what is not done of a range, which is over at once if all is.
    pub(super) fn run(
        &mut self,
        slot: SlotId,
        range: RangeId,
        part: Part,
        now: Millis,
    ) -> Option<Event> {
        let done = self.journals.get(&range).filter(|found| found.part == part);
        let done = done.map_or(0, |found| found.done);
        let left = part.count.saturating_sub(done);
        if left == 0 {
            return Some(Event::RangeComplete { slot, range, pace: None });
        }
        let ends = now + self.name.pace * u64::from(left);
        self.runs.insert(slot, Run { task: Task::Range(range, part, done), began: now, ends });
        None
    }

    /// Stops what a slot runs; one that has ended meanwhile says so itself.
    pub(super) fn abort(&mut self, slot: SlotId, now: Millis) -> Option<Event> {
        let run = self.runs.remove(&slot)?;
        self.write_down(run, now);
        let done = match run.task {
            Task::Trial(..) => 0,
            Task::Range(range, ..) => self.journals.get(&range).map_or(0, |found| found.done),
        };
        Some(Event::RunFailed { slot, done, trouble: RunTrouble::Aborted })
    }

    /// Commits to what was run.
    pub(super) fn store(&mut self, range: RangeId, part: Part) -> Event {
        let journal = self.journals.get(&range);
        let is_complete =
            journal.is_some_and(|found| found.part == part && found.done == part.count);
        let leaves = workload::leaves(range.job, part.from, part.count);
        let work = Work::new(range.job, HandIn::honest(&leaves)).filter(|_| is_complete);
        let Some(work) = work else { return Event::StoreFailed { range, lost: true } };
        let found = work.found();
        self.stored.insert(range, work);
        let content = ContentHash([5; 32]);
        let (root, units, failures) = (found.root, found.units, found.failures);
        Event::Stored { range, commitment: Commitment { root, units, failures, content } }
    }

    /// What was committed to last, if it was not taken before.
    pub(super) fn take_stored(&mut self, range: RangeId) -> Option<Work> {
        self.stored.remove(&range)
    }

    /// Removes what is on disk of ranges.
    pub(super) fn clear(&mut self, is_gone: impl Fn(RangeId) -> bool) {
        self.journals.retain(|range, _| !is_gone(*range));
        self.stored.retain(|range, _| !is_gone(*range));
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
