//! An auditor that does not do its work.

use std::time::Duration;

use alloy::{rpc::types::Filter, sol_types::SolEvent};
use alloy_primitives::{B256, U256};
use tilth_client::{Account, money};
use tilth_contracts::{AuditState, Auditors, Audits, SeatState};
use tilth_protocol::{Amount, JobId, RangeId, amount::GRAIN};
use tilth_provider::auditor;
use tilth_verification::audit::seal;

use crate::world::World;

/// Stake of an auditor who is drawn nearly always.
pub const HUGE: u128 = 900 * GRAIN;
/// Stake of one who has few votes: a fourteenth of what seven others have who stake 20 each.
pub const SMALL: u128 = 10 * GRAIN;

/// An auditor who has staked and does not execute anything: what it does is up to the test.
pub struct Idler {
    pub owner: Account,
    number: u32,
}

impl Idler {
    pub async fn join(world: &World, key: u8, stake: u128) -> Self {
        let owner = world.account(key);
        money::deposit(&owner, Amount(stake), true).await.unwrap();
        let to = world.network.contracts.auditors;
        let call = Auditors::joinCall { node: owner.address(), stake };
        owner.execute(to, call).await.unwrap();
        let number = auditor::standing(owner.link(), owner.address()).await.unwrap().number;
        Self { owner, number }
    }

    pub async fn stake(&self) -> u128 {
        auditor::standing(self.owner.link(), self.owner.address()).await.unwrap().stake
    }

    /// Its seats, oldest first.
    pub async fn seats(&self) -> Vec<(RangeId, u8)> {
        let link = self.owner.link();
        let filter = Filter::new()
            .address(link.addresses().audits)
            .event_signature(Audits::SeatGiven::SIGNATURE_HASH)
            .topic3(U256::from(self.number));
        let logs = link.scan(&filter, 0).await.unwrap();
        let seats = logs.iter().map(|log| Audits::SeatGiven::decode_log(&log.inner).unwrap().data);
        seats.map(|e| (RangeId { job: JobId(e.jobId), seq: e.seq }, e.seat)).collect()
    }

    pub async fn state(&self, range: RangeId, number: u8) -> (AuditState, SeatState) {
        let (link, at) = (self.owner.link(), *self.owner.link().addresses());
        let (job, seq) = (range.job.0, range.seq);
        let case = link.read(at.audits, Audits::auditCaseCall { jobId: job, seq }).await.unwrap();
        let seat = Audits::seatCall { jobId: job, seq, number };
        let seat = link.read(at.audits, seat).await.unwrap();
        (case.state.try_into().unwrap(), seat.state.try_into().unwrap())
    }

    /// Commits to a guess wherever it sits in a job, and then tries to show the claimed answer instead.
    pub async fn pretend(&self, job: JobId) {
        let audits = self.owner.link().addresses().audits;
        // No answer is on the chain before all have committed.
        let (guess, salt) = (B256::repeat_byte(1), B256::repeat_byte(7));
        loop {
            for (range, number) in self.seats().await.into_iter().filter(|(r, _)| r.job == job) {
                let (job, seq) = (range.job.0, range.seq);
                match self.state(range, number).await {
                    (AuditState::Committing, SeatState::Drawn) => {
                        let sealed_ = self.seal(range, guess);
                        let call = Audits::commitCall { jobId: job, seq, number, sealed_ };
                        self.owner.execute(audits, call).await.unwrap();
                    }
                    (AuditState::Revealing, SeatState::Committed) => {
                        // Now the answer is there to be copied, and does not fit the seal.
                        let case = Audits::auditCaseCall { jobId: job, seq };
                        let answer = self.owner.link().read(audits, case).await.unwrap().claimed;
                        let copy = Audits::revealCall { jobId: job, seq, number, answer, salt };
                        assert!(self.owner.execute(audits, copy).await.is_err());
                        let call =
                            Audits::revealCall { jobId: job, seq, number, answer: guess, salt };
                        self.owner.execute(audits, call).await.unwrap();
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn seal(&self, range: RangeId, answer: B256) -> B256 {
        let audits = self.owner.link().addresses().audits;
        seal(7357, audits, range, self.owner.address(), answer, B256::repeat_byte(7))
    }
}
