//! Whether something happened as often as it should, in integers.

use tilth_verification::{
    arithmetic::ONE,
    holding::{FIRST_HOLDERS, HOLDERS, SPOTTERS, is_majority},
};

/// How unlikely a count must be to be an error: e^-14 on each side, once in 600,000 counts.
const EXPONENT: u128 = 14;

/// Events of known chances, and how many of them came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many there were.
    pub trials: u64,
    /// How many came.
    pub came: u64,
    /// Sum of their chances, billionths.
    pub expected: u128,
    /// Sum of chance x (1 - chance), billionths.
    pub variance: u128,
}

impl Sample {
    /// An event of a chance in billionths.
    pub fn add(&mut self, chance: u32, came: bool) {
        let (one, chance) = (u128::from(ONE.0), u128::from(chance.min(ONE.0)));
        self.trials += 1;
        self.came += u64::from(came);
        self.expected += chance;
        self.variance += chance * (one - chance) / one;
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        self.came += other.came;
        self.expected += other.expected;
        self.variance += other.variance;
    }

    /// Whether as many came as should, within Bernstein's bound: a sum of independent events is off by `t`
    /// with a chance of at most `exp(-t^2 / 2 (variance + t / 3))` on each side, however few they are.
    pub fn is_plausible(&self) -> bool {
        let one = u128::from(ONE.0);
        let off = (u128::from(self.came) * one).abs_diff(self.expected);
        if self.variance == 0 {
            return off == 0;
        }
        off * off <= 2 * EXPONENT * one * (self.variance + off / 3)
    }

    /// Whether no more came than should, within the same bound.
    pub fn is_at_most(&self) -> bool {
        u128::from(self.came) * u128::from(ONE.0) <= self.expected || self.is_plausible()
    }

    /// The chance on average, in tenths of a percent.
    pub fn expected_permille(&self) -> u128 {
        let trials = u128::from(self.trials.max(1));
        self.expected * 1_000 / u128::from(ONE.0) / trials
    }

    /// How often it came, in tenths of a percent.
    pub fn came_permille(&self) -> u64 {
        self.came * 1_000 / self.trials.max(1)
    }
}

/// The chance that one audit draws a wrong leaf, billionths: four leaves by position, four by units.
///
/// `wrong` of `leaves` are wrong and claim `wrong_units` of `units`.
pub fn detection(wrong: u64, leaves: u64, wrong_units: u64, units: u64) -> u32 {
    let one = u128::from(ONE.0);
    let right = |wrong: u64, all: u64| {
        let all = u128::from(all.max(1));
        one * all.saturating_sub(wrong.into()) / all
    };
    let by_units = if units == 0 { right(wrong, leaves) } else { right(wrong_units, units) };
    let mut miss = one;
    for factor in [right(wrong, leaves), by_units] {
        for _ in 0..4 {
            miss = miss * factor / one;
        }
    }
    u32::try_from(one - miss).unwrap_or(ONE.0)
}

/// The chance that enough of an ask's draws sign, billionths, if each does with this chance, billionths: four of the first
/// seven, or else eight of all fifteen.
pub fn held(signs: u32) -> u32 {
    let one = u128::from(ONE.0);
    let signs = u128::from(signs.min(ONE.0));
    let (first, later) = (votes(FIRST_HOLDERS, signs), votes(HOLDERS - FIRST_HOLDERS, signs));
    let mut chance = 0_u128;
    for (at_once, part) in first.iter().enumerate() {
        if is_majority(at_once, FIRST_HOLDERS) {
            chance += part;
            continue;
        }
        let enough = later.iter().enumerate();
        let enough = enough.filter(|(more, _)| is_majority(at_once + more, HOLDERS));
        chance += part * enough.map(|(_, part)| part).sum::<u128>() / one;
    }
    u32::try_from(chance.min(one)).unwrap_or(ONE.0)
}

/// The chance that one is seen to serve, billionths, if each of those who look says so with the chance `yes`, says
/// the opposite with the chance `no`, and does not come otherwise: by most of those who came, if they are a majority
/// of all.
pub fn seen_chance(yes: u32, no: u32) -> u32 {
    let one = u128::from(ONE.0);
    let yes = u128::from(yes.min(ONE.0));
    let no = u128::from(no).min(one - yes);
    let away = one - yes - no;
    // By how many have said the one and the other so far.
    let mut parts = [[0_u128; SPOTTERS + 1]; SPOTTERS + 1];
    parts[0][0] = one;
    for _ in 0..SPOTTERS {
        let mut next = [[0_u128; SPOTTERS + 1]; SPOTTERS + 1];
        for (saw, row) in parts.iter().enumerate() {
            let some = row.iter().enumerate().filter(|(_, part)| **part != 0);
            for (missed, part) in some {
                next[saw][missed] += part * away / one;
                next[saw + 1][missed] += part * yes / one;
                next[saw][missed + 1] += part * no / one;
            }
        }
        parts = next;
    }
    let mut chance = 0_u128;
    for (saw, row) in parts.iter().enumerate() {
        for (missed, part) in row.iter().enumerate() {
            let came = saw + missed;
            if is_majority(came, SPOTTERS) && is_majority(saw, came) {
                chance += part;
            }
        }
    }
    u32::try_from(chance.min(one)).unwrap_or(ONE.0)
}

/// The chances of 0, 1, ... votes in so many draws, billionths.
fn votes(draws: usize, chance: u128) -> Vec<u128> {
    let one = u128::from(ONE.0);
    let mut parts = vec![one];
    for _ in 0..draws {
        let mut next = vec![0_u128; parts.len() + 1];
        for (votes, part) in parts.iter().enumerate() {
            next[votes] += part * (one - chance) / one;
            next[votes + 1] += part * chance / one;
        }
        parts = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_the_reference() {
        // docs/reference/trust.md, "What one audit finds".
        assert_eq!(detection(1, 100, 1, 100) / 1_000_000, 77);
        assert_eq!(detection(10, 100, 10, 100) / 1_000_000, 569);
        assert_eq!(detection(33, 100, 33, 100) / 1_000_000, 959);
        assert_eq!(detection(3, 3, 7, 7), ONE.0);
        assert_eq!(detection(0, 3, 0, 7), 0);
    }

    #[test]
    fn asks_are_held_as_often_as_the_decision_says() {
        // docs/decisions/0018, "A kept range", of two asks: a fifth of the stake lies, a third does, 80 % and 70 % are up.
        let lost = |signs: u32| {
            let fails = u128::from(ONE.0 - held(signs));
            fails * fails / u128::from(ONE.0)
        };
        assert_eq!(lost(200_000_000) / 10_000_000, 93);
        assert_eq!(lost(333_333_333) / 10_000_000, 63);
        assert!(lost(800_000_000) < 10_000 && lost(700_000_000) < 1_100_000);
        assert_eq!((held(0), held(ONE.0)), (0, ONE.0));
    }

    #[test]
    fn holders_are_seen_by_most_of_those_who_look() {
        assert_eq!(
            (seen_chance(ONE.0, 0), seen_chance(0, ONE.0), seen_chance(0, 0)),
            (ONE.0, 0, 0)
        );
        // Half of the stake each: as likely as not.
        assert!(seen_chance(500_000_000, 500_000_000).abs_diff(500_000_000) < 1_000);
        // A third of the stake says otherwise: four of seven of two thirds, 0.827 by the binomial (1,808 of 2,187).
        let (lies, honest) = (333_333_333, 666_666_667);
        assert!(seen_chance(honest, lies).abs_diff(826_703_246) < 1_000);
        assert!(seen_chance(lies, honest).abs_diff(173_296_754) < 1_000);
        // Where a third does not come, whoever comes says the same.
        assert!(seen_chance(honest, 0).abs_diff(826_703_246) < 1_000);
    }

    #[test]
    fn a_count_far_off_is_not_plausible() {
        let sample = |came: u64| {
            let mut sample = Sample::default();
            (0..1_000).for_each(|n| sample.add(500_000_000, n < came));
            sample
        };
        assert!(sample(500).is_plausible() && sample(560).is_plausible());
        assert!(!sample(595).is_plausible() && !sample(405).is_plausible());
        assert!(sample(405).is_at_most() && !sample(595).is_at_most());
        let mut sure = Sample::default();
        (0..3).for_each(|_| sure.add(ONE.0, false));
        assert!(!sure.is_plausible());
        assert_eq!((sample(500).expected_permille(), sample(250).came_permille()), (500, 250));
    }
}
