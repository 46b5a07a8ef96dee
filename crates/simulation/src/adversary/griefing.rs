//! A stranger that calls whatever anybody may call, about everything, all the time, and what others alone may, with what
//! they could say and with what nobody could.

use alloy_primitives::{Address, B256};
use tilth_contracts::{
    Audits, Holders, JobBook, RangeState, Replicas, SoloRandomness, Spots, Waiting,
    bindings::replicas::MerkleSum::{Leaf, Sibling},
};
use tilth_protocol::RangeId;

use super::{
    AUDITORS, PROVIDERS, TASKS,
    holders::{ENOUGH, away, kept},
    proposing::Backwards,
    replicated,
};
use crate::{
    random::Random,
    trust::{
        Cast, Side,
        mind::Stranger,
        scene::{Actor, Scene, What},
    },
};

/// What it calls about payment and audits before every block.
const CALLS: usize = 4;

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Griefer;

impl Stranger for Griefer {
    fn act(&mut self, who: Address, scene: &mut Scene) {
        // Alone it has nothing to do.
        if scene.pool.is_empty() {
            return;
        }
        for _ in 0..CALLS {
            let Some(id) = choose(scene) else { continue };
            let terms = scene.public.jobs.get(&id.job).map(|job| &job.terms);
            let (is_replicated, is_kept) =
                terms.map_or((false, false), |terms| (terms.replicas != 0, terms.kept));
            let mut play = Play { who, id, scene: &mut *scene };
            play.judge();
            if is_replicated || play.is_one_in(8) {
                play.replicate();
            }
            if is_kept || play.is_one_in(8) {
                play.hold();
            }
        }
    }
}

/// One of all ranges, or half of the time one that is not judged yet; if there is none, a job's inputs.
fn choose(scene: &mut Scene) -> Option<RangeId> {
    let is_open = scene.random.below(2) == 0;
    let ranges = scene.public.ranges.iter();
    let ranges: Vec<RangeId> = ranges
        .filter(|(_, range)| !is_open || range.state == RangeState::Submitted)
        .map(|(id, _)| *id)
        .collect();
    let place = scene.random.below(ranges.len() as u64);
    let chosen = ranges.get(usize::try_from(place).ok()?).copied();
    let inputs = scene.public.jobs.keys().next_back().map(|job| RangeId::inputs(*job));
    chosen.or(inputs)
}

/// What it does about one range now.
struct Play<'a> {
    who: Address,
    id: RangeId,
    scene: &'a mut Scene,
}

impl Play<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.scene.random.below(bound)
    }

    fn is_one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Half of the time a number that somebody could have, else the largest of all.
    fn number(&mut self, bound: u64) -> u32 {
        if self.is_one_in(2) { u32::MAX } else { u32::try_from(self.below(bound)).unwrap_or(0) }
    }

    /// The same of seats and draws.
    fn place(&mut self, bound: u64) -> u8 {
        u8::try_from(self.number(bound)).unwrap_or(u8::MAX)
    }

    fn send<C: alloy_sol_types::SolCall>(&mut self, to: Address, call: &C) {
        self.scene.send(Actor::Stranger, self.who, to, call, What::Other);
    }

    /// About its payment and its audit.
    fn judge(&mut self) {
        let at = *self.scene.farm.addresses();
        let (job, seq) = (self.id.job.0, self.id.seq);
        match self.below(12) {
            0 => self.send(at.audits, &Audits::drawCall { jobId: job, seq }),
            1 => self.send(at.audits, &Audits::advanceCall { jobId: job, seq }),
            2 => {
                let round = self.scene.farm.block + self.below(4);
                self.send(at.randomness, &SoloRandomness::noteCall { round });
            }
            3 => self.send(at.job_book, &JobBook::expireCall { jobId: job, seqs: vec![seq] }),
            4 => self.send(at.job_book, &JobBook::settleCall { jobId: job, seqs: vec![seq, seq] }),
            5 => self.send(at.job_book, &JobBook::acknowledgeCall { jobId: job, seqs: vec![seq] }),
            6 => self.send(at.job_book, &JobBook::finishCall { jobId: job }),
            7 => {
                let (leaves, proofs) = (vec![], vec![]);
                self.send(at.audits, &Audits::openCall { jobId: job, seq, leaves, proofs });
            }
            8 => {
                let positions = vec![self.number(8); if self.is_one_in(2) { 8 } else { 1 }];
                self.send(at.audits, &Audits::nameCall { jobId: job, seq, positions });
            }
            9 => {
                let (number, sealed_) = (self.place(3), self.word());
                self.send(at.audits, &Audits::commitCall { jobId: job, seq, number, sealed_ });
            }
            10 => {
                let (number, answer) = (self.place(3), self.word());
                let salt = B256::repeat_byte(2);
                self.send(at.audits, &Audits::revealCall { jobId: job, seq, number, answer, salt });
            }
            _ => self.send(at.audits, &Audits::collectCall { owner: at.audits }),
        }
    }

    /// What was handed in, or nothing at all, or anything.
    fn word(&mut self) -> B256 {
        match self.below(3) {
            0 => self.scene.public.ranges.get(&self.id).map_or(B256::ZERO, |range| range.root),
            1 => B256::ZERO,
            _ => B256::repeat_byte(1),
        }
    }

    /// About its mate.
    fn replicate(&mut self) {
        let at = *self.scene.farm.addresses();
        let (job, seq) = (self.id.job.0, self.id.seq);
        match self.below(8) {
            0 => self.send(at.replicas, &Replicas::drawCall { jobId: job, seq }),
            1 => self.send(at.replicas, &Replicas::advanceCall { jobId: job, seq }),
            2 => self.send(at.replicas, &Replicas::concludeCall { jobId: job, seq }),
            3 => {
                let sealed_ = self.word();
                self.send(at.replicas, &Replicas::commitCall { jobId: job, seq, sealed_ });
            }
            4 => {
                let (root, salt) = (self.word(), B256::repeat_byte(2));
                let (units, failures) = (u64::from(self.number(100)), 0);
                let call = Replicas::revealCall { jobId: job, seq, root, units, failures, salt };
                self.send(at.replicas, &call);
            }
            5 => {
                let node = Sibling { hash: self.word(), tally: self.number(9).into() };
                let (mine, theirs) = (vec![node; 16], vec![]);
                self.send(at.replicas, &Replicas::walkCall { jobId: job, seq, mine, theirs });
            }
            6 => {
                let (index, output) = (self.number(9), self.word());
                let leaf = Leaf { job, index, status: 0, output, size: 32, units: 50 };
                self.send(at.replicas, &Replicas::showCall { jobId: job, seq, leaf });
            }
            _ => {
                let number = self.number(9);
                self.send(at.waiting, &Waiting::evictCall { jobId: job, number });
            }
        }
    }

    /// About those who hold it, or its job's inputs, and those who look at them.
    fn hold(&mut self) {
        let at = *self.scene.farm.addresses();
        let id = if self.is_one_in(2) { RangeId::inputs(self.id.job) } else { self.id };
        let (job, seq) = (id.job.0, id.seq);
        match self.below(7) {
            0 => {
                let mib = self.number(9);
                self.send(at.holders, &Holders::askCall { jobId: job, seq, mib });
            }
            1 => self.send(at.holders, &Holders::drawCall { jobId: job, seq }),
            2 => {
                let draw_ = self.place(15);
                self.send(at.holders, &Holders::holdCall { jobId: job, seq, draw_ });
            }
            3 => self.send(at.holders, &Holders::failCall { jobId: job, seq }),
            4 => self.send(at.spots, &Spots::checkCall { jobId: job, seq }),
            5 => {
                let (draw, seen) = (self.place(7), if self.is_one_in(2) { u16::MAX } else { 0 });
                self.send(at.spots, &Spots::spotCall { jobId: job, seq, draw, seen });
            }
            _ => self.send(at.spots, &Spots::concludeCall { jobId: job, seq }),
        }
    }
}

/// With one in front of everybody in every block.
fn grieved(mut cast: Cast) -> Cast {
    cast.stranger = Some(Box::new(Griefer));
    cast.proposer = Box::new(Backwards);
    cast
}

/// Beside honest people.
pub fn cast(_: &mut Random) -> Cast {
    grieved(Cast::honest(TASKS, PROVIDERS, AUDITORS))
}

/// Beside such with a replicated job.
pub fn mates(_: &mut Random) -> Cast {
    grieved(replicated(40))
}

/// Beside such with kept jobs, one of whose clients is away.
pub fn holders(_: &mut Random) -> Cast {
    let mut cast = kept(TASKS / 4, PROVIDERS + 1);
    away(&mut cast, Side::Honest, ENOUGH, false);
    grieved(cast)
}
