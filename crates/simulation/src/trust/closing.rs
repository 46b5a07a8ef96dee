//! The end of a world: everybody takes out what is theirs, and the accounts are made up.

use std::collections::BTreeSet;

use alloy_primitives::B256;
use tilth_contracts::{Auditors, Audits, EntryState, JobBook, JobState, Registry, Waiting};
use tilth_protocol::JobId;

use super::{
    cast::{COST, Side},
    client::Client,
    counts::Counts,
    provider::Provider,
    world::{Role, World},
};
use crate::farm::FarmError;

/// Longer than any stake takes to leave.
const LONGER_THAN_THAWING: u64 = 8 * 86_400;

/// What became of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the oracles found wrong.
    pub faults: Vec<String>,
    /// What was counted.
    pub counts: Counts,
    /// What the foes won or lost together, base units.
    pub foes: i128,
    /// The same for honest clients: what they paid, so negative.
    pub clients: i128,
    /// For honest providers.
    pub providers: i128,
    /// For honest auditors.
    pub auditors: i128,
    /// Fees that were earned and that the purse could not pay, base units.
    pub owed: u128,
    /// Changes of the chain's state: transactions that were not refused, and blocks taken back.
    pub moves: u64,
    /// Covers every transaction with what became of it.
    pub trace: B256,
}

impl World {
    /// Runs it to its end.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn finish(mut self) -> Result<Outcome, FarmError> {
        self.run()?;
        let trace = self.trace();
        self.check_jobs()?;
        self.check_lines()?;
        self.oracle.check_disputes();
        self.oracle.check_keeps(&mut self.scene)?;
        self.oracle.check_cuts();
        self.take_out()?;
        self.oracle.check_money(&mut self.scene)?;
        self.oracle.counts.by_machine =
            self.providers.iter().map(Provider::handed_in_by_machine).sum();
        for [died, since] in self.providers.iter().map(Provider::restarts) {
            self.oracle.counts.restarts[0] += died;
            self.oracle.counts.restarts[1] += since;
        }
        self.oracle.counts.acknowledged[1] =
            self.clients.iter().map(Client::acknowledged_by_machine).sum();
        let at = *self.scene.farm.addresses();
        let mut outcome = Outcome {
            faults: Vec::new(),
            counts: Counts::default(),
            foes: 0,
            clients: 0,
            providers: 0,
            auditors: 0,
            owed: 0,
            moves: self.scene.version,
            trace,
        };
        let mut known = BTreeSet::new();
        for (who, side, role, executed) in self.people() {
            let of = match (side, role) {
                (Side::Foe, _) => &mut outcome.foes,
                (Side::Honest, Role::Client) => &mut outcome.clients,
                (Side::Honest, Role::Provider) => &mut outcome.providers,
                (Side::Honest, Role::Auditor) => &mut outcome.auditors,
            };
            *of -= signed(u128::from(executed) * COST);
            // Whoever is two things has the money of one account.
            if !known.insert(who) {
                continue;
            }
            *of += signed(self.scene.farm.money(who)?) - signed(self.oracle.funded(&who));
            outcome.owed += self.scene.farm.read(at.audits, &Audits::owedCall { owner: who })?;
            if role == Role::Client {
                self.oracle.counts.compensation += self.oracle.given(&who);
            }
        }
        (outcome.faults, outcome.counts) = (self.oracle.faults, self.oracle.counts);
        Ok(outcome)
    }

    /// Every job is over, every range judged; honest clients' jobs are done.
    fn check_jobs(&mut self) -> Result<(), FarmError> {
        let book = self.scene.farm.addresses().job_book;
        let jobs: Vec<JobId> = self.scene.public.jobs.keys().copied().collect();
        for job in jobs {
            let facts = self.scene.farm.read(book, &JobBook::jobCall { jobId: job.0 })?;
            let over = JobState::try_from(facts.state).is_ok_and(JobState::is_over);
            if !over || facts.outstanding != 0 {
                let text = format!("{job} is not over: {} outstanding", facts.outstanding);
                self.oracle.blame(text);
            }
            let undone = facts.terms.taskCount - facts.settledTasks;
            let is_given_up = self.oracle.bills.is_cancelled(job);
            if undone != 0 && !is_given_up && !self.oracle.allowed().undone {
                self.oracle.blame(format!("{job} ended with {undone} tasks undone"));
            }
        }
        Ok(())
    }

    /// Nobody has a duty or a bond left, or anything else that its stake answers for.
    fn check_lines(&mut self) -> Result<(), FarmError> {
        let at = *self.scene.farm.addresses();
        let jobs = self.scene.public.jobs.iter().filter(|(_, facts)| facts.terms.replicas != 0);
        let jobs: Vec<JobId> = jobs.map(|(job, _)| *job).collect();
        for provider in &self.providers {
            let owner = provider.who;
            let facts = self.scene.farm.read(at.registry, &Registry::providerCall { owner })?;
            if facts.exposure != 0 {
                self.oracle.blame(format!("{owner} still answers for {}", facts.exposure));
            }
            for job in &jobs {
                let call = Waiting::entryCall { jobId: job.0, number: facts.number };
                let entry = self.scene.farm.read(at.waiting, &call)?;
                if entry.busy != 0 || entry.state != u8::from(EntryState::Nobody) {
                    self.oracle.blame(format!("{owner} is still bound in {job}: {entry:?}"));
                }
            }
        }
        Ok(())
    }

    /// Fees and stakes; what is left of a stake can always be taken out.
    fn take_out(&mut self) -> Result<(), FarmError> {
        let at = *self.scene.farm.addresses();
        let farm = &mut self.scene.farm;
        for auditor in &self.auditors {
            let owner = auditor.who;
            if farm.read(at.audits, &Audits::owedCall { owner })? != 0 {
                let call = Audits::collectCall { owner };
                // The purse may be empty.
                farm.transact(
                    owner,
                    at.audits,
                    alloy_sol_types::SolCall::abi_encode(&call).into(),
                    "collect",
                )?;
            }
            let number = farm.read(at.auditors, &Auditors::numberOfCall { owner })?;
            let stake = farm.read(at.auditors, &Auditors::auditorCall { number })?.stake;
            if stake != 0 {
                farm.send(owner, at.auditors, &Auditors::unstakeCall { amount: stake })?;
            }
        }
        for provider in &self.providers {
            let owner = provider.who;
            let facts = farm.read(at.registry, &Registry::providerCall { owner })?;
            let stake = facts.stake;
            // What it still answers for cannot be taken out, and was said to be a fault.
            if stake != 0 && facts.exposure == 0 {
                farm.send(owner, at.registry, &Registry::unstakeCall { amount: stake })?;
            }
        }
        farm.now += LONGER_THAN_THAWING;
        for auditor in &self.auditors {
            let owner = auditor.who;
            let number = farm.read(at.auditors, &Auditors::numberOfCall { owner })?;
            if farm.read(at.auditors, &Auditors::auditorCall { number })?.leaving != 0 {
                farm.send(owner, at.auditors, &Auditors::withdrawStakeCall {})?;
            }
        }
        for provider in &self.providers {
            let owner = provider.who;
            if farm.read(at.registry, &Registry::providerCall { owner })?.unbonding != 0 {
                farm.send(owner, at.registry, &Registry::withdrawStakeCall {})?;
            }
        }
        for who in self.people().iter().map(|person| person.0) {
            let call = tilth_contracts::Ledger::accountCall { owner: who };
            let locked = self.scene.farm.read(at.ledger, &call)?.locked;
            if locked != 0 {
                self.oracle.blame(format!("{who} cannot take out {locked}"));
            }
        }
        Ok(())
    }
}

/// No amount here is near 2^127.
fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}
