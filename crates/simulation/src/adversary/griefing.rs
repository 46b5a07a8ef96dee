//! A stranger that calls whatever anybody may call, about everything, all the time.

use alloy_primitives::{Address, B256};
use tilth_contracts::{Audits, JobBook, SoloRandomness};
use tilth_protocol::RangeId;

use super::{AUDITORS, PROVIDERS, TASKS};
use crate::{
    random::Random,
    trust::{
        Cast,
        mind::Stranger,
        scene::{Actor, Scene, What},
    },
};

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Griefer;

impl Stranger for Griefer {
    fn act(&mut self, who: Address, scene: &mut Scene) {
        // Alone it has nothing to do.
        if scene.pool.is_empty() {
            return;
        }
        let at = *scene.farm.addresses();
        let ranges: Vec<RangeId> = scene.public.ranges.keys().copied().collect();
        let count = ranges.len() as u64;
        if count == 0 {
            return;
        }
        let chosen = usize::try_from(scene.random.below(count)).unwrap_or(0);
        let RangeId { job, seq } = ranges[chosen];
        let (job_id, by) = (job.0, Actor::Stranger);
        let round = scene.farm.block + scene.random.below(4);
        match scene.random.below(9) {
            0 => {
                let call = Audits::drawCall { jobId: job_id, seq };
                scene.send(by, who, at.audits, &call, What::Other);
            }
            1 => {
                let call = Audits::advanceCall { jobId: job_id, seq };
                scene.send(by, who, at.audits, &call, What::Other);
            }
            2 => {
                let call = SoloRandomness::noteCall { round };
                scene.send(by, who, at.randomness, &call, What::Other);
            }
            3 => {
                let call = JobBook::expireCall { jobId: job_id, seqs: vec![seq] };
                scene.send(by, who, at.job_book, &call, What::Other);
            }
            4 => {
                let call = JobBook::settleCall { jobId: job_id, seqs: vec![seq, seq] };
                scene.send(by, who, at.job_book, &call, What::Other);
            }
            5 => {
                let call = JobBook::finishCall { jobId: job_id };
                scene.send(by, who, at.job_book, &call, What::Other);
            }
            6 => {
                let call = Audits::openCall { jobId: job_id, seq, leaves: vec![], proofs: vec![] };
                scene.send(by, who, at.audits, &call, What::Other);
            }
            7 => {
                let (answer, salt) = (B256::repeat_byte(1), B256::repeat_byte(2));
                let call = Audits::revealCall { jobId: job_id, seq, number: 0, answer, salt };
                scene.send(by, who, at.audits, &call, What::Other);
            }
            _ => {
                let call = Audits::collectCall { owner: at.audits };
                scene.send(by, who, at.audits, &call, What::Other);
            }
        }
    }
}

/// One beside honest people, and in front of them in every block.
pub fn cast(_: &mut Random) -> Cast {
    let mut cast = Cast::honest(TASKS, PROVIDERS, AUDITORS);
    cast.stranger = Some(Box::new(Griefer));
    cast.proposer = Box::new(super::proposing::Backwards);
    cast
}
