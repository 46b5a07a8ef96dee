//! How blocks are made in a world, taken back, and heard of.

use alloy_primitives::keccak256;
use alloy_sol_types::SolCall;
use tilth_contracts::JobBook;

use super::{
    cast::Side,
    scene::{Actor, Scene, Tx},
    world::{BLOCK_S, World},
};
use crate::farm::{Farm, FarmError, Receipt};

/// Hashes of so many blocks can be asked for.
const HASHES: u64 = 257;

/// A block with transactions, while it may be taken back.
pub(super) struct Made {
    /// The chain in this block, before its transactions.
    before: Farm,
    done: Vec<(Tx, Receipt)>,
}

impl World {
    /// Time passes up to the next block in which there can be something, and it is made.
    pub(super) fn block(&mut self) -> Result<(), FarmError> {
        let step = BLOCK_S * 1_000;
        let idle = self.due().filter(|_| self.is_settled());
        if !self.made.is_empty() {
            let Scene { now, random, .. } = &mut self.scene;
            let blocks = self.proposer.takes_back(*now, random);
            self.take_back(blocks);
        }
        let wait = idle.map_or(0, |due| due.saturating_sub(self.scene.now));
        for left in (0..wait.div_ceil(step).max(1)).rev() {
            self.scene.now += step;
            self.seal(left < HASHES);
        }
        let Scene { pool, now, random, .. } = &mut self.scene;
        let taken = self.proposer.take(pool, *now, random);
        self.oracle.counts.left_waiting += pool.len() as u64;
        if self.scene.reach == 0 {
            for tx in taken {
                let receipt = self.transact(&tx)?;
                self.note(&tx, &receipt, (self.scene.farm.block, self.scene.farm.now))?;
            }
            return Ok(());
        }
        if !taken.is_empty() {
            let (before, mut done) = (self.scene.farm.clone(), Vec::new());
            for tx in taken {
                let receipt = self.transact(&tx)?;
                done.push((tx, receipt));
            }
            self.made.push_back(Made { before, done });
        }
        self.confirm()
    }

    fn transact(&mut self, tx: &Tx) -> Result<Receipt, FarmError> {
        let receipt = self.scene.farm.transact(tx.from, tx.to, tx.data.clone(), tx.call)?;
        if receipt.success {
            self.scene.version += 1;
        }
        Ok(receipt)
    }

    /// What has enough blocks on top is heard of.
    fn confirm(&mut self) -> Result<(), FarmError> {
        let (head, reach) = (self.scene.farm.block, self.scene.reach);
        let old = |made: &Made| made.before.block + reach <= head;
        while self.made.front().is_some_and(old) {
            let Some(made) = self.made.pop_front() else { break };
            let at = (made.before.block, made.before.now);
            for (tx, receipt) in &made.done {
                self.note(tx, receipt, at)?;
            }
            // After all was heard: the chain may have moved on since, so who was refused asks once more.
            self.scene.news += 1;
        }
        Ok(())
    }

    /// So many of the last blocks are made anew, from the first of them on that has transactions: with nothing in them, and
    /// other hashes.
    pub(super) fn take_back(&mut self, blocks: u64) {
        let head = self.scene.farm.block;
        let stays = self.made.iter().take_while(|made| made.before.block + blocks <= head).count();
        let undone = self.made.split_off(stays);
        let Some(first) = undone.front() else { return };
        let before = first.before.clone();
        self.oracle.counts.undone_blocks += undone.len() as u64;
        let waiting = undone.into_iter().flat_map(|made| made.done).map(|(tx, _)| tx);
        self.scene.take_back(before, waiting);
        self.trace = keccak256([self.trace.as_slice(), &head.to_be_bytes(), b"anew"].concat());
        while self.scene.farm.block < head {
            self.seal(true);
        }
    }

    /// The block so far gets its hash, and the next one its number and time.
    pub(super) fn seal(&mut self, wanted: bool) {
        let farm = &mut self.scene.farm;
        if wanted {
            let parts = [self.trace.as_slice(), &farm.block.to_be_bytes(), &farm.now.to_be_bytes()];
            farm.set_hash(farm.block, keccak256(parts.concat()));
        }
        farm.block += 1;
        let stamp = self.proposer.stamp(self.scene.now / 1_000, &mut self.scene.random);
        farm.now = stamp.max(farm.now + 1);
        self.oracle.counts.ahead += farm.now.saturating_sub(self.scene.now / 1_000);
    }

    /// Everybody hears of a transaction that was in the block of this number and time.
    fn note(
        &mut self,
        tx: &Tx,
        receipt: &Receipt,
        (block, time): (u64, u64),
    ) -> Result<(), FarmError> {
        let head = [block, time, u64::from(receipt.success)];
        let mut parts = vec![self.trace.to_vec(), tx.from.to_vec(), tx.to.to_vec()];
        parts.extend(head.map(|number| number.to_be_bytes().to_vec()));
        parts.extend([tx.data.to_vec(), receipt.output.to_vec()]);
        for log in &receipt.logs {
            parts.push(log.data.topics().iter().flat_map(|topic| topic.0).collect());
            parts.push(log.data.data.to_vec());
        }
        self.trace = keccak256(parts.concat());
        self.count(tx, receipt);
        let scene = &mut self.scene;
        let at = *scene.farm.addresses();
        let acknowledged = tx.call == JobBook::acknowledgeCall::SIGNATURE;
        self.oracle.keeps.block = block;
        for log in &receipt.logs {
            scene.public.read(&at, log);
            self.oracle.read(log, scene);
            self.oracle.read_pairs(log, time, scene);
            self.oracle.read_keeps(log, (time, acknowledged), scene);
        }
        match tx.by {
            Actor::Client(n) => self.clients[n].done(tx, receipt, scene),
            Actor::Provider(n) => self.providers[n].done(tx, receipt, scene),
            Actor::Auditor(n) => self.auditors[n].done(tx, receipt, scene),
            Actor::Stranger => Ok(()),
        }
    }

    /// Counts what foes could not have paid, what honest clients acknowledge, and what strangers have changed.
    fn count(&mut self, tx: &Tx, receipt: &Receipt) {
        let at = self.scene.farm.addresses();
        let counts = &mut self.oracle.counts;
        let pays = [JobBook::acknowledgeCall::SIGNATURE, JobBook::settleCall::SIGNATURE];
        let is_refused = pays.contains(&tx.call) && !receipt.success;
        match tx.by {
            Actor::Client(n) if self.clients[n].side == Side::Foe => {
                counts.refused_pay[0] += u64::from(is_refused);
            }
            Actor::Client(n) if self.clients[n].side == Side::Honest => {
                counts.acknowledged[0] += u64::from(tx.call == pays[0]);
            }
            Actor::Provider(n) if self.providers[n].side == Side::Foe => {
                counts.refused_pay[1] += u64::from(is_refused);
            }
            Actor::Stranger if !receipt.logs.is_empty() => {
                // As `CONTRACTS` names them.
                let all = [
                    at.job_book,
                    at.audits,
                    at.randomness,
                    at.replicas,
                    at.waiting,
                    at.holders,
                    at.spots,
                ];
                for (count, contract) in counts.strangers.iter_mut().zip(all) {
                    *count += u64::from(contract == tx.to);
                }
            }
            _ => {}
        }
    }
}
