//! A world: people, a chain, and time that jumps to the next thing to do.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, keccak256};
use tilth_client::audit::Millis;
use tilth_contracts::Auditors;
use tilth_verification::arithmetic::{ONE, Share};

use super::{
    auditor::Auditor,
    blocks::Made,
    cast::{Cast, Side},
    client::Client,
    mind::{Proposer, Stranger},
    opening,
    oracle::Oracle,
    outage::Outage,
    provider::Provider,
    scene::{Actor, Scene},
};
use crate::{
    farm::{Farm, FarmError},
    random::Random,
};

/// Seconds between two blocks.
pub const BLOCK_S: u64 = 6;
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
    pub(super) proposer: Box<dyn Proposer>,
    stranger: Option<Box<dyn Stranger>>,
    outage: Option<Outage>,
    /// Covers every transaction with what became of it.
    pub(super) trace: B256,
    /// Blocks that may still be taken back, the oldest first.
    pub(super) made: VecDeque<Made>,
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
            let who = plan.account_of.map_or_else(|| address(AUDITOR, n), provider_address);
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
        scene.reach = cast.proposer.reach();
        Ok(Self {
            scene,
            clients,
            providers,
            auditors,
            oracle,
            proposer: cast.proposer,
            stranger: cast.stranger,
            outage: cast.outage.map(Outage::new),
            trace,
            made: VecDeque::new(),
        })
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
    pub(super) fn is_settled(&self) -> bool {
        self.scene.pool.is_empty() && self.made.is_empty()
    }

    fn act(&mut self) -> Result<(), FarmError> {
        let now = self.scene.now;
        if let Some(outage) = self.outage.as_mut().filter(|_| !self.oracle.disputed.is_empty()) {
            outage.begin(now);
        }
        let (scene, outage) = (&mut self.scene, self.outage);
        let is_up = |side: Side| outage.is_none_or(|outage| outage.is_up(side, now));
        for client in self.clients.iter_mut().filter(|one| is_up(one.side)) {
            client.act(scene)?;
        }
        for provider in self.providers.iter_mut().filter(|one| is_up(one.side)) {
            provider.act(scene)?;
        }
        for auditor in self.auditors.iter_mut().filter(|one| is_up(one.side)) {
            auditor.act(scene)?;
        }
        if let Some(stranger) = &mut self.stranger {
            stranger.act(address(STRANGER, 0), scene);
        }
        Ok(())
    }

    /// When somebody acts next, if there is no news.
    pub(super) fn due(&self) -> Option<Millis> {
        let (scene, outage) = (&self.scene, self.outage);
        let up = |side: Side, at: Millis| outage.map_or(at, |outage| outage.delay(side, at));
        let clients = self.clients.iter().map(|one| (one.side, one.due(scene)));
        let providers = self.providers.iter().map(|one| (one.side, one.due(scene)));
        let auditors = self.auditors.iter().map(|one| (one.side, one.due()));
        let all = clients.chain(providers).chain(auditors);
        all.filter_map(|(side, due)| due.map(|at| up(side, at))).min()
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
