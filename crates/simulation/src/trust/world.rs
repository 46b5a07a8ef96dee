//! A world: people, a chain, and time that jumps to the next thing to do.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolCall;
use tilth_client::audit::Millis;
use tilth_contracts::{Auditors, JobBook};
use tilth_verification::arithmetic::{ONE, Share};

use super::{
    auditor::Auditor,
    cast::{Cast, Side},
    client::Client,
    mind::{Proposer, Stranger},
    opening,
    oracle::Oracle,
    provider::Provider,
    scene::{Actor, Scene, Tx},
};
use crate::{
    farm::{Farm, FarmError, Receipt},
    random::Random,
};

/// Seconds between two blocks.
pub const BLOCK_S: u64 = 6;
/// Hashes of so many blocks can be asked for.
const HASHES: u64 = 257;
/// A world that is not idle after so long, seconds, never will be: inputs are kept for a week after a job's deadline
/// at most, and looked at within a day.
const LONGEST: u64 = 11 * 86_400;
/// Nor one with so many blocks in which something waited.
const MOST_TICKS: u64 = 200_000;

/// See the module's head.
pub struct World {
    /// The chain and what is known.
    pub scene: Scene,
    /// Clients.
    pub clients: Vec<Client>,
    /// Providers.
    pub providers: Vec<Provider>,
    /// Auditors.
    pub auditors: Vec<Auditor>,
    /// Who watches over the rules.
    pub oracle: Oracle,
    proposer: Box<dyn Proposer>,
    stranger: Option<Box<dyn Stranger>>,
    /// Covers every transaction with what became of it.
    trace: B256,
    /// Blocks that may still be taken back, the oldest first.
    made: VecDeque<Made>,
}

/// A block with transactions, while it may be taken back.
struct Made {
    /// The chain in this block, before its transactions.
    before: Farm,
    done: Vec<(Tx, Receipt)>,
}

/// Accounts: a letter for the kind, then the number.
pub fn address(kind: u8, number: usize) -> Address {
    let mut bytes = [kind; 20];
    bytes[12..].copy_from_slice(&(number as u64).to_be_bytes());
    Address::from(bytes)
}

/// Account of a client.
pub fn client_address(number: usize) -> Address {
    address(CLIENT, number)
}

/// Account of a provider.
pub fn provider_address(number: usize) -> Address {
    address(PROVIDER, number)
}

const CLIENT: u8 = 0xc0;
const PROVIDER: u8 = 0xb0;
const AUDITOR: u8 = 0xa0;
/// Account of the stranger.
pub const STRANGER: u8 = 0xd0;

impl World {
    /// People with their accounts, stakes and jobs, on a copy of a farm.
    ///
    /// # Errors
    /// The contracts refused what they should not.
    pub fn new(farm: &Farm, cast: Cast, random: Random) -> Result<Self, FarmError> {
        let mut scene = Scene::new(farm.clone(), random);
        let stake = |side: Option<Side>| -> u128 {
            let of = cast.auditors.iter().filter(|plan| side.is_none_or(|side| side == plan.side));
            of.map(|plan| plan.stake).sum()
        };
        let part = stake(Some(Side::Foe)) * u128::from(ONE.0) / stake(None).max(1);
        let bought = Share::new(u32::try_from(part).unwrap_or(ONE.0));
        let mut oracle = Oracle::new(cast.allowed, bought);
        let at = *scene.farm.addresses();
        let mut auditors = Vec::new();
        for (n, plan) in cast.auditors.into_iter().enumerate() {
            let who = address(AUDITOR, n);
            scene.farm.fund(who, plan.stake)?;
            let call = Auditors::joinCall { node: who, stake: plan.stake };
            let number = scene.farm.send(who, at.auditors, &call)?.0;
            oracle.meet(who, plan.side, plan.stake);
            oracle.keeps.meet(who, (plan.mind.holds(), plan.mind.looks()), plan.stake);
            let name = (who, number, plan.side);
            auditors.push(Auditor::new(Actor::Auditor(n), name, plan.skew, plan.mind));
        }
        let mut providers = Vec::new();
        for (n, plan) in cast.providers.into_iter().enumerate() {
            let who = address(PROVIDER, n);
            scene.farm.register(who, plan.slots, plan.stake)?;
            oracle.meet(who, plan.side, plan.stake);
            oracle.pairs.meet(who, plan.side, plan.stake);
            let name = (who, u32::try_from(n + 1).unwrap_or(u32::MAX), plan.side);
            let me = Actor::Provider(n);
            let may = (plan.slots, plan.bond);
            providers.push(Provider::new(me, name, may, plan.skew, plan.mind, &mut scene));
        }
        // The line of auditors is read as of the second before a submission.
        scene.farm.now += BLOCK_S;
        scene.now += BLOCK_S * 1_000;
        // Without it, worlds whose people do nothing by chance would all have the same beacons.
        let trace = keccak256(scene.random.next_u64().to_be_bytes());
        let mut clients = Vec::new();
        for (n, plan) in cast.clients.into_iter().enumerate() {
            clients.push(opening::come(n, plan, &providers, &mut scene, &mut oracle)?);
        }
        let (proposer, stranger, made) = (cast.proposer, cast.stranger, VecDeque::new());
        scene.reach = proposer.reach();
        Ok(Self { scene, clients, providers, auditors, oracle, proposer, stranger, trace, made })
    }

    /// Lets everybody do what they like until nobody wants anything any more.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn run(&mut self) -> Result<(), FarmError> {
        let last = self.scene.now + LONGEST * 1_000;
        for _ in 0..MOST_TICKS {
            self.act()?;
            if self.is_settled() && self.due().is_none() {
                return Ok(());
            }
            if self.scene.now > last {
                break;
            }
            self.block()?;
        }
        let waiting: Vec<_> = self.scene.pool.iter().map(|tx| tx.call).collect();
        self.oracle.blame(format!("not idle in the end; due {:?}, {waiting:?}", self.due()));
        Ok(())
    }

    /// Whether nothing waits for a block, or for blocks on top of its own.
    fn is_settled(&self) -> bool {
        self.scene.pool.is_empty() && self.made.is_empty()
    }

    fn act(&mut self) -> Result<(), FarmError> {
        let scene = &mut self.scene;
        for client in &mut self.clients {
            client.act(scene)?;
        }
        for provider in &mut self.providers {
            provider.act(scene)?;
        }
        for auditor in &mut self.auditors {
            auditor.act(scene)?;
        }
        if let Some(stranger) = &mut self.stranger {
            stranger.act(address(STRANGER, 0), scene);
        }
        Ok(())
    }

    /// When somebody acts next, if there is no news.
    fn due(&self) -> Option<Millis> {
        let scene = &self.scene;
        let clients = self.clients.iter().filter_map(|client| client.due(scene));
        let providers = self.providers.iter().filter_map(|provider| provider.due(scene));
        let auditors = self.auditors.iter().filter_map(Auditor::due);
        clients.chain(providers).chain(auditors).min()
    }

    /// Time passes up to the next block in which there can be something, and it is made.
    fn block(&mut self) -> Result<(), FarmError> {
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
    fn take_back(&mut self, blocks: u64) {
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
    fn seal(&mut self, wanted: bool) {
        let farm = &mut self.scene.farm;
        if wanted {
            let parts = [self.trace.as_slice(), &farm.block.to_be_bytes(), &farm.now.to_be_bytes()];
            farm.set_hash(farm.block, keccak256(parts.concat()));
        }
        farm.block += 1;
        let stamp = self.proposer.stamp(self.scene.now / 1_000, &mut self.scene.random);
        farm.now = stamp.max(farm.now + 1);
    }

    /// Everybody hears of a transaction that was in the block of this number and time.
    fn note(
        &mut self,
        tx: &Tx,
        receipt: &Receipt,
        (block, time): (u64, u64),
    ) -> Result<(), FarmError> {
        let scene = &mut self.scene;
        let head = [block, time, u64::from(receipt.success)];
        let mut parts = vec![self.trace.to_vec(), tx.from.to_vec(), tx.to.to_vec()];
        parts.extend(head.map(|number| number.to_be_bytes().to_vec()));
        parts.extend([tx.data.to_vec(), receipt.output.to_vec()]);
        for log in &receipt.logs {
            parts.push(log.data.topics().iter().flat_map(|topic| topic.0).collect());
            parts.push(log.data.data.to_vec());
        }
        self.trace = keccak256(parts.concat());
        let at = *scene.farm.addresses();
        let acknowledged = tx.call == JobBook::acknowledgeCall::SIGNATURE;
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

    /// The trace so far.
    pub fn trace(&self) -> B256 {
        self.trace
    }

    /// Everybody with a side: the account, and units that it executed.
    pub fn people(&self) -> Vec<(Address, Side, Role, u64)> {
        let clients = self.clients.iter().map(|c| (c.who, c.side, Role::Client, 0));
        let providers = self.providers.iter().map(|p| (p.who, p.side, Role::Provider, p.executed));
        let auditors = self.auditors.iter().map(|a| (a.who, a.side, Role::Auditor, a.executed));
        clients.chain(providers).chain(auditors).collect()
    }
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pays for work.
    Client,
    /// Works.
    Provider,
    /// Re-executes.
    Auditor,
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
