//! Many worlds, and the table of who won and who lost.

use std::{collections::BTreeMap, ops::Range};

use super::{Counts, Outcome, World};
use crate::{
    adversary::{ALL, Adversary},
    farm::{Farm, FarmError},
    random::Random,
};

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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::sample::Sample;

    fn report(place: usize, fill: impl Fn(&mut Counts)) -> Report {
        let mut row = Row { worlds: 1, ..Row::default() };
        fill(&mut row.counts);
        Report { rows: BTreeMap::from([(place, row)]), faults: Vec::new() }
    }

    #[test]
    fn a_row_that_no_chance_explains_is_a_fault() {
        let half = 500_000_000;
        let sampled = |pick: fn(&mut Counts) -> &mut Sample, came: bool| {
            let mut report =
                report(2, |counts| (0..200).for_each(|_| pick(counts).add(half, came)));
            report.check();
            report.faults
        };
        for (what, faults) in [
            ("audits", sampled(|counts| &mut counts.audits, false)),
            ("hits", sampled(|counts| &mut counts.hits, true)),
            ("matches", sampled(|counts| &mut counts.matches, true)),
            ("asks", sampled(|counts| &mut counts.held, true)),
            ("holders that serve", sampled(|counts| &mut counts.served, false)),
            ("holders that do not", sampled(|counts| &mut counts.unserved, true)),
            ("bought", sampled(|counts| &mut counts.bought, true)),
            ("framed", sampled(|counts| &mut counts.framed, true)),
            ("cases", sampled(|counts| &mut counts.no_lead, true)),
        ] {
            assert_eq!(faults.len(), 1, "{what}");
            assert!(faults[0].1 == ALL[2].name && faults[0].2.starts_with(what), "{faults:?}");
        }
        // Fewer verdicts bought than could be are no fault.
        assert!(sampled(|counts| &mut counts.bought, false).is_empty());
    }

    #[test]
    fn replicated_ranges_have_a_table_of_their_own() {
        let lines = |report: &Report| report.render().lines().count();
        let mut both = report(0, |counts| counts.audits.add(1, false));
        assert_eq!(lines(&both), 3);
        both.merge(report(27, |counts| {
            counts.replicas = [0, 5, 4, 3, 2];
            (0..10).for_each(|n| counts.matches.add(100_000_000, n == 0));
        }));
        assert_eq!(lines(&both), 8);
        let last = format!("| {} | 1 | 5 | 4 | 3 | 2 | 10.0 % of 10 | 10.0 % |", ALL[27].name);
        assert_eq!(both.render().lines().last(), Some(last.as_str()));
    }

    #[test]
    fn kept_ranges_have_a_table_of_their_own() {
        let mut both = report(0, |counts| counts.audits.add(1, false));
        both.merge(report(41, |counts| {
            (counts.holds, counts.inputs) = ([6, 0, 0, 3, 5, 2, 1], [0, 0, 0, 1, 8, 7, 0]);
            (0..10).for_each(|n| counts.held.add(500_000_000, n < 5));
        }));
        assert_eq!(both.render().lines().count(), 8);
        let of = ALL[41].name;
        let last = format!("| {of} | 1 | 8 | 7 | 5 | 3 | 2 | 1 | 6 | 50.0 % of 10 | 50.0 % |");
        assert_eq!(both.render().lines().last(), Some(last.as_str()));
    }

    #[test]
    fn who_looks_at_holders_has_a_table_of_its_own() {
        let mut both = report(0, |counts| counts.audits.add(1, false));
        both.merge(report(56, |counts| {
            counts.spots = [1, 9];
            (0..10).for_each(|_| counts.served.add(1_000_000_000, true));
            (0..4).for_each(|n| counts.unserved.add(250_000_000, n < 1));
        }));
        assert_eq!(both.render().lines().count(), 8);
        let of = ALL[56].name;
        let last = format!("| {of} | 1 | 9 | 1 | 100.0 % of 10 | 100.0 % | 25.0 % of 4 | 25.0 % |");
        assert_eq!(both.render().lines().last(), Some(last.as_str()));
    }

    #[test]
    fn jobs_that_were_cancelled_have_a_table_of_their_own() {
        let mut both = report(0, |counts| counts.audits.add(1, false));
        both.merge(report(25, |counts| counts.cancelled = [5, 3, 4, 7]));
        assert_eq!(both.render().lines().count(), 8);
        let last = format!("| {} | 1 | 5 | 3 | 4 | 7 |", ALL[25].name);
        assert_eq!(both.render().lines().last(), Some(last.as_str()));
    }

    #[test]
    fn a_place_without_an_adversary_is_nobody_elses() {
        let refused = Report::played(0..1, Some(ALL.len()));
        assert!(
            matches!(refused, Err(FarmError::NoAdversary { place }) if place == ALL.len()),
            "{refused:?}"
        );
    }

    #[test]
    fn quarters_are_judged_together() {
        // Five of thirty where fifteen are due: chance, once; four times in a row it is not.
        let quarter =
            || report(0, |counts| (0..30).for_each(|n| counts.audits.add(500_000_000, n < 5)));
        let mut alone = quarter();
        alone.check();
        assert_eq!(alone.faults, []);
        let mut all = quarter();
        (0..3).for_each(|_| all.merge(quarter()));
        assert_eq!((all.rows[&0].worlds, all.rows[&0].counts.audits.trials), (4, 120));
        all.check();
        assert_eq!(all.faults.len(), 1);
    }
}
