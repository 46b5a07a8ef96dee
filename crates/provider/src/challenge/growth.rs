//! How much a device is asked to fill next, to find out how much it holds. Pure: whoever fills tells how it went.

use std::time::Duration;

use tilth_protocol::challenge::message::MAX_WORK_MS;

/// What is filled first, MiB: enough that starting is not all that is measured, and nothing for a graphics card.
const FIRST_MIB: u32 = 64;
/// By how much more it is each time: starting counts for less and less, so the first times say little.
const FACTOR: u32 = 8;
/// What a fill may take: half of what a provider works for others, who may ask on a slower day.
const LONGEST: Duration = Duration::from_millis(MAX_WORK_MS / 2);
/// Fills that fail until no more are tried: three quarters each time come to a third.
const FAILURES: u32 = 4;

/// The fills of one device.
#[derive(Debug)]
pub(super) struct Growth {
    /// What is filled next, MiB.
    pub(super) next: u32,
    /// The most that was filled, MiB.
    shown: u32,
    most: u32,
    failures: u32,
}

impl Growth {
    /// Towards `most` MiB.
    pub(super) fn to(most: u32) -> Self {
        let most = most.max(1);
        Self { next: FIRST_MIB.min(most), shown: 0, most, failures: 0 }
    }

    /// It was filled, which took so long; whether more is worth trying.
    pub(super) fn filled(&mut self, took: Duration) -> bool {
        self.shown = self.next;
        let in_time = LONGEST.as_nanos() * u128::from(self.shown) / took.as_nanos().max(1);
        let in_time = u32::try_from(in_time).unwrap_or(u32::MAX);
        self.next = self.shown.saturating_mul(FACTOR).min(self.most).min(in_time);
        let much = self.next > self.shown.saturating_add(self.shown / 4);
        much || self.next > self.shown && self.next == self.most
    }

    /// It could not be filled; whether less is worth trying.
    pub(super) fn failed(&mut self) -> bool {
        self.failures += 1;
        self.most = self.next - self.next.div_ceil(4);
        self.next = self.most;
        self.next > self.shown && self.failures < FAILURES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a device that holds `holds` MiB and fills `rate` MiB a second after a start of `start` ms shows of `most`, and
    /// what was tried.
    fn search(most: u32, holds: u32, rate: u32, start: u64) -> (u32, Vec<u32>) {
        let (mut growth, mut tried) = (Growth::to(most), Vec::new());
        loop {
            tried.push(growth.next);
            let more = if growth.next > holds {
                growth.failed()
            } else {
                let micros = u64::from(growth.next) * 1_000_000 / u64::from(rate);
                growth.filled(Duration::from_micros(start * 1_000 + micros))
            };
            if !more {
                return (growth.shown, tried);
            }
        }
    }

    #[test]
    fn a_card_shows_all_of_its_memory_in_few_fills() {
        assert_eq!(search(22_598, 22_598, 20_000, 900), (22_598, vec![64, 512, 4_096, 22_598]));
        assert_eq!(search(14, 14, 5, 500), (14, vec![14]), "a driver in software");
        assert_eq!(search(70, 70, 1_000, 0), (70, vec![64, 70]));
    }

    #[test]
    fn what_others_use_is_not_shown() {
        let (shown, tried) = search(22_598, 13_000, 20_000, 900);
        assert_eq!((shown, &tried[3..]), (12_711, &[22_598, 16_948, 12_711][..]));
        // The smallest that is tried does not fit either.
        assert_eq!(search(22_598, 4_096, 20_000, 900).0, 4_096);
        assert_eq!(search(40, 10, 1_000, 0).0, 0);
    }

    #[test]
    fn a_slow_device_shows_what_it_fills_in_time() {
        let (shown, _) = search(8_000, 8_000, 100, 0);
        assert!((800..=1_000).contains(&shown), "{shown}");
    }

    proptest! {
        #[test]
        fn it_ends_soon_and_never_beyond_what_is_claimed_or_held(
            most in 0..1_000_000_u32, holds in 0..1_000_000_u32, rate in 1..100_000_u32, start in 0..5_000_u64,
        ) {
            let (shown, tried) = search(most, holds, rate, start);
            prop_assert!(tried.len() <= 24, "{tried:?}");
            prop_assert!(shown <= holds.max(1) && tried.iter().all(|mib| *mib <= most.max(1)));
        }
    }
}
