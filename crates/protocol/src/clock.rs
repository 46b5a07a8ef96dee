//! The price of a job on the clock: a reverse Dutch auction that follows the job's own schedule.
//!
//! The client names a floor, a cap and a finish. Until 7/8 of the finish time all tasks are due at an
//! even pace; while the job keeps to that, a unit costs the floor. Every second that the job is behind
//! raises the price, every claim lowers it, and a job that is 1/8 of the finish time behind offers its
//! cap. At the finish even the last task is offered at the cap.
//!
//! ```text
//! slack  = finish / 8                                            seconds, rounded down
//! behind = elapsed x tasks - (finish - slack) x claimed          seconds x tasks; 0 when negative
//! level  = min(65535, behind x 65535 / (slack x tasks))          rounded down
//! price  = floor + (cap - floor) x level^2 / 65535^2             base units per unit, rounded down
//! ```
//!
//! `contracts/src/libraries/Clock.sol` is the same function; both read `vectors/clock.json`. The contract
//! takes `claimed` as it was when the block began, so nothing inside a block moves the price.
//! Everything stays below 2^128: elapsed < 2^40, finish and tasks < 2^32, prices < 2^96.

use serde::{Deserialize, Serialize};

use crate::amount::{MAX_PRICE, Price};

/// The level at which a unit costs the cap.
pub const TOP: u16 = u16::MAX;
/// This part (1/x) of the finish time is kept for work that only the cap brings.
pub const SLACK: u32 = 8;
/// Shortest finish, seconds.
pub const MIN_FINISH_S: u32 = 16;
/// Longest time since opening that is counted, seconds (`uint40`).
const MAX_ELAPSED_S: u64 = (1 << 40) - 1;

/// What a client offers instead of one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// Paid per unit while the job keeps to its schedule; at least one base unit, at most the cap.
    pub floor: Price,
    /// The most that is paid per unit.
    pub cap: Price,
    /// Seconds after opening at which every task is offered at the cap; at least [`MIN_FINISH_S`].
    pub finish_s: u32,
}

impl Clock {
    /// How far a job is behind its schedule, 0 (not at all) to [`TOP`].
    ///
    /// `elapsed_s`: seconds since the job was opened. `claimed`: tasks that somebody holds or has done,
    /// of `tasks` in all. A finish below [`SLACK`] seconds or no tasks, which no contract accepts, count
    /// as [`TOP`].
    pub fn level(&self, elapsed_s: u64, claimed: u32, tasks: u32) -> u16 {
        let slack = u128::from(self.slack_s());
        let (tasks, claimed) = (u128::from(tasks), u128::from(claimed.min(tasks)));
        let passed = u128::from(elapsed_s.min(MAX_ELAPSED_S)) * tasks;
        let due = (u128::from(self.finish_s) - slack) * claimed;
        let behind = passed.saturating_sub(due) * u128::from(TOP);
        let reached = behind.checked_div(slack * tasks).unwrap_or(u128::from(TOP));
        u16::try_from(reached).unwrap_or(TOP)
    }

    /// The price of a unit at a level.
    pub fn price(&self, level: u16) -> Price {
        let (floor, cap) = (self.floor.0.min(MAX_PRICE), self.cap.0.min(MAX_PRICE));
        let square = u128::from(level) * u128::from(level);
        // Below 2^96 x 2^32, and the square of the top is subtracted from 2^32 often enough to fit.
        Price(floor + cap.saturating_sub(floor) * square / SQUARE_OF_TOP)
    }

    /// The lowest level at which a unit costs at least `price`; `None` if it never does.
    pub fn level_for(&self, price: Price) -> Option<u16> {
        if self.price(TOP) < price {
            return None;
        }
        let (mut low, mut high) = (0, TOP);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.price(middle) < price {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low)
    }

    /// The first second after opening at which the level is reached, if nothing more is claimed.
    pub fn second_of(&self, level: u16, claimed: u32, tasks: u32) -> u64 {
        let slack = u128::from(self.slack_s());
        let (tasks, claimed) = (u128::from(tasks), u128::from(claimed.min(tasks)));
        let due = (u128::from(self.finish_s) - slack) * claimed;
        // level x slack x tasks <= behind x TOP, behind = elapsed x tasks - due
        let behind = (u128::from(level) * slack * tasks).div_ceil(u128::from(TOP));
        let needed = if level == 0 { 0 } else { due + behind };
        u64::try_from(needed.div_ceil(tasks.max(1))).unwrap_or(u64::MAX)
    }

    /// The part of the time that is kept for work that only the cap brings, seconds.
    pub fn slack_s(&self) -> u32 {
        self.finish_s / SLACK
    }
}

const SQUARE_OF_TOP: u128 = 65_535 * 65_535;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: Clock = Clock { floor: Price(100), cap: Price(1_000), finish_s: 8_000 };

    #[test]
    fn keeps_to_the_floor_on_schedule_and_reaches_the_cap_behind_it() {
        assert_eq!(CLOCK.price(CLOCK.level(0, 0, 1_000)), Price(100));
        assert_eq!(CLOCK.price(CLOCK.level(500, 0, 1_000)), Price(324));
        assert_eq!(CLOCK.price(CLOCK.level(1_000, 0, 1_000)), Price(1_000));
        assert_eq!(CLOCK.level(700, 100, 1_000), 0, "100 tasks are due after 700 s");
        assert_eq!(CLOCK.level(8_000, 999, 1_000), TOP);
        assert_eq!(CLOCK.level(u64::MAX, u32::MAX, u32::MAX), TOP);
    }

    #[test]
    fn what_no_contract_accepts_harms_nobody() {
        let odd = Clock { floor: Price(u128::MAX), cap: Price(0), finish_s: 0 };
        assert_eq!((odd.level(1, 0, 0), odd.level(0, 5, 5)), (TOP, TOP));
        assert_eq!(odd.price(TOP), Price(MAX_PRICE));
        assert_eq!(odd.second_of(TOP, 1, 0), 0);
    }

    fn clocks() -> impl Strategy<Value = Clock> {
        (0..=MAX_PRICE, 0..=MAX_PRICE, MIN_FINISH_S..=u32::MAX).prop_map(|(a, b, finish_s)| Clock {
            floor: Price(a.min(b)),
            cap: Price(a.max(b)),
            finish_s,
        })
    }

    proptest! {
        #[test]
        fn rises_with_time_falls_with_claims_and_stays_in_bounds(
            clock in clocks(),
            tasks in 1_u32..=1 << 30,
            claims: (u32, u32),
            times in (0_u64..1 << 33, 0_u64..1 << 33),
        ) {
            let claimed = (claims.0 % (tasks + 1)).min(claims.1 % (tasks + 1));
            let more = (claims.0 % (tasks + 1)).max(claims.1 % (tasks + 1));
            let (early, late) = (times.0.min(times.1), times.0.max(times.1));
            let level = clock.level(late, claimed, tasks);
            prop_assert!(clock.level(early, claimed, tasks) <= level);
            prop_assert!(clock.level(late, more, tasks) <= level);
            let price = clock.price(level);
            prop_assert!(clock.floor <= price && price <= clock.cap);
            prop_assert!(clock.price(level / 2) <= price);
        }

        #[test]
        fn levels_and_seconds_are_found_again(
            clock in clocks(),
            tasks in 1_u32..=1 << 30,
            claimed: u32,
            level: u16,
        ) {
            let claimed = claimed % (tasks + 1);
            let second = clock.second_of(level, claimed, tasks);
            prop_assert!(clock.level(second, claimed, tasks) >= level);
            if level > 0 && second > 0 {
                prop_assert!(clock.level(second - 1, claimed, tasks) < level);
            }
            let least = clock.level_for(clock.price(level)).unwrap();
            prop_assert!(least <= level && clock.price(least) == clock.price(level));
            prop_assert!(clock.level_for(Price(clock.cap.0 + 1)).is_none());
        }
    }
}
