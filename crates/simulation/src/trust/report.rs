//! Many worlds, and the table of who won and who lost.

use std::{collections::BTreeMap, ops::Range};

use super::{Counts, Outcome, World};
use crate::{
    adversary::{ALL, Adversary},
    farm::{Farm, FarmError},
    random::Random,
};

/// What is said of all rows together.
const TOGETHER: &str = "all rows";

/// The place in [`ALL`] of a seed's adversary: they take turns.
fn turn_of(seed: u64) -> usize {
    usize::try_from(seed % ALL.len() as u64).unwrap_or(0)
}

/// Runs the world of a seed on a copy of a farm with nothing but the contracts.
///
/// # Errors
/// The contracts refused what they should not, or cannot be read.
pub fn run_seed(farm: &Farm, seed: u64, adversary: &Adversary) -> Result<Outcome, FarmError> {
    let mut random = Random::new(seed);
    let cast = (adversary.cast)(&mut random);
    World::new(farm, cast, random)?.finish()
}

/// All worlds with one adversary.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// How many.
    pub worlds: u64,
    /// Sums, base units: foes, honest clients, providers, auditors.
    pub won: [i128; 4],
    /// What was counted.
    pub counts: Counts,
    /// Fees left unpaid, base units.
    pub owed: u128,
    /// Transactions.
    pub moves: u64,
}

impl Row {
    /// Whether there were replicated ranges.
    pub(super) fn is_replicated(&self) -> bool {
        self.counts.replicas.iter().any(|closed| *closed != 0)
    }

    /// Whether jobs were cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.counts.cancelled[0] != 0
    }

    /// Whether there were kept jobs.
    pub(super) fn is_kept(&self) -> bool {
        self.counts.holds.iter().chain(&self.counts.inputs).any(|asks| *asks != 0)
    }

    /// Whether holders were looked at.
    pub(super) fn is_looked_at(&self) -> bool {
        self.counts.spots.iter().any(|looks| *looks != 0)
    }

    /// Adds the worlds of another.
    fn merge(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.won.iter_mut().zip(other.won).for_each(|(sum, won)| *sum += won);
        self.counts.merge(&other.counts);
        self.owed += other.owed;
        self.moves += other.moves;
    }
}

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By the adversary's place in [`ALL`].
    pub rows: BTreeMap<usize, Row>,
    /// What oracles found, with the seed.
    pub faults: Vec<(u64, &'static str, String)>,
}

impl Report {
    /// Runs the worlds of all seeds and judges them; with `only`, all with the adversary of this place in [`ALL`].
    ///
    /// # Errors
    /// Those of [`run_seed`]; [`FarmError::NoAdversary`] for a place that [`ALL`] does not have.
    pub fn of(seeds: Range<u64>, only: Option<usize>) -> Result<Self, FarmError> {
        let mut report = Self::played(seeds, only)?;
        report.check();
        Ok(report)
    }

    /// The same, but what can only be said of many worlds is still to be [checked](Self::check).
    ///
    /// # Errors
    /// Those of [`Self::of`].
    pub fn played(seeds: Range<u64>, only: Option<usize>) -> Result<Self, FarmError> {
        let farm = Farm::new()?;
        let mut report = Self::default();
        for seed in seeds {
            let place = only.unwrap_or_else(|| turn_of(seed));
            let adversary = ALL.get(place).ok_or(FarmError::NoAdversary { place })?;
            let outcome = run_seed(&farm, seed, adversary)?;
            report.add(seed, place, outcome);
        }
        Ok(report)
    }

    /// Adds the worlds of another.
    pub fn merge(&mut self, other: Self) {
        for (place, row) in &other.rows {
            self.rows.entry(*place).or_default().merge(row);
        }
        self.faults.extend(other.faults);
    }

    fn add(&mut self, seed: u64, place: usize, outcome: Outcome) {
        let name = ALL[place].name;
        self.faults.extend(outcome.faults.into_iter().map(|fault| (seed, name, fault)));
        self.rows.entry(place).or_default().merge(&Row {
            worlds: 1,
            won: [outcome.foes, outcome.clients, outcome.providers, outcome.auditors],
            counts: outcome.counts,
            owed: outcome.owed,
            moves: outcome.moves,
        });
    }

    /// Judges what can only be said of many worlds: once, when all are there.
    pub fn check(&mut self) {
        for (place, row) in &self.rows {
            let name = ALL[*place].name;
            let Counts { audits, hits, matches, held, served, unserved, .. } = row.counts;
            let Counts { bought, framed, no_lead, .. } = row.counts;
            let samples = [
                ("matches of forged ranges", matches, matches.is_plausible()),
                ("asks that were held", held, held.is_plausible()),
                ("holders that serve and were seen to", served, served.is_plausible()),
                ("holders that do not and were seen to", unserved, unserved.is_plausible()),
                ("audits", audits, audits.is_plausible()),
                ("hits", hits, hits.is_plausible()),
                ("bought verdicts", bought, bought.is_at_most()),
                ("framed providers", framed, framed.is_at_most()),
                ("cases without a lead", no_lead, no_lead.is_at_most()),
            ];
            for (what, sample, _) in samples.into_iter().filter(|(.., plausible)| !plausible) {
                let text = format!("{what} are not as often as they should be: {sample:?}");
                self.faults.push((0, name, text));
            }
        }
        if self.rows.len() > 1 {
            self.check_together();
        }
    }

    /// What each row alone has too few cases of: something that comes half as often as it should is seen in all of them.
    fn check_together(&mut self) {
        let mut all = Counts::default();
        self.rows.values().for_each(|row| all.merge(&row.counts));
        for (what, sample, plausible) in [
            ("audits", all.audits, all.audits.is_plausible()),
            ("hits", all.hits, all.hits.is_plausible()),
            ("framed providers", all.framed, all.framed.is_at_most()),
        ] {
            if !plausible {
                let text = format!("{what} are not as often as they should be: {sample:?}");
                self.faults.push((0, TOGETHER, text));
            }
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
