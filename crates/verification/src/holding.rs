//! A kept job: who may sign that it holds what a range has made, or the job's inputs, how many are enough, and what that
//! earns.
//!
//! A range that its client does not acknowledge is paid when a majority of drawn auditors have signed that they have
//! fetched its content and keep it. Draws are votes ([`crate::draw::Seed::votes`] with [`Purpose::Holder`], from draw 0 on,
//! without the provider's owner and the client), on the line of the second before the range's submission. In the first
//! [`HOLD_TIME_S`] the first [`FIRST_HOLDERS`] of them may sign, in the second all [`HOLDERS`].
//!
//! ```text
//! fee  = (least fee + mib x per_mib + mib x per_mib_day x keep_seconds / 86400) / 2, each division rounded down
//! cost = 15 x fee: a first ask that fails has at most 7 votes, a second one needs at most 8
//!      + 8 x fee: the second halves of those votes, for whoever is seen to serve in the end
//!      + 7 x least fee: for those who look
//! ```
//!
//! When the time is over for which they keep it, [`SPOTTERS`] draws ([`Purpose::Spot`], on the line of the second before they
//! are called for) fetch a piece from every holder each, and say who serves ([`served`]).
//!
//! The inputs of a job are held in the same way, as of the second before they are asked for and without its client:
//! before that nobody works on it. They are kept until [`INPUTS_AFTER_S`] after its deadline.
//!
//! `contracts/src/libraries/HoldRules.sol` holds the same rules; both read `vectors/trust.json`.

use alloy_primitives::U256;
use tilth_protocol::{JobSpec, Leaf, Limits, RangeId, RangeManifest, leaf::MAX_RANGE_TASKS};

use crate::{
    arithmetic::{ONE, Share},
    draw::{Panel, Person, Purpose, Seed},
};

/// For the first holders to fetch and to sign, and as long again for all, seconds.
pub const HOLD_TIME_S: u64 = 3_600;
/// Draws that are asked first.
pub const FIRST_HOLDERS: usize = 7;
/// Draws that are asked when the first do not do.
pub const HOLDERS: usize = 15;
/// Asks for one range.
pub const ASKS: u8 = 2;
/// Most votes of an ask that is held: a majority of all.
pub const MOST_HELD: usize = HOLDERS / 2 + 1;
/// Draws of auditors that look whether holders serve.
pub const SPOTTERS: usize = FIRST_HOLDERS;
/// For them to fetch a piece from every holder and to say what they have seen, seconds.
pub const SPOT_TIME_S: u64 = 7_200;
/// For anybody to call for them when the time of holders is over, seconds.
pub const SPOT_DUE_S: u64 = 86_400;
/// Size of the piece that they fetch, bytes: content is cut into pieces blob by blob, in the order in which its blobs
/// are named, and the last piece of a blob is shorter.
pub const PIECE_BYTES: u64 = 16 << 10;
/// So long after it could ask for holders of its range a provider alone does, the first time and the second one, seconds:
/// only it knows the size, and its client would state the largest one.
pub const ASK_FIRST_S: u64 = 3_600;
/// What a provider loses whose range nobody could hold, of the range's value, besides what its audit costs; at least
/// [`INPUTS_LOST`] least fees.
pub const NOT_HELD: Share = Share(ONE.0 / 10);
/// What a client loses whose inputs nobody could hold, and the least that a provider does whose range nobody could, least
/// fees of an audit: what those who came for it would have earned.
pub const INPUTS_LOST: u128 = MOST_HELD as u128;
/// Longest time for which a range is kept, seconds.
pub const MAX_KEEP_S: u32 = 366 * 86_400;
/// What stands for a job's inputs where a range is named otherwise.
pub const INPUTS: u32 = RangeId::INPUTS;
/// So long after a job's deadline its inputs are kept, seconds: until the longest case about a range that was claimed then
/// is over.
pub const INPUTS_AFTER_S: u32 = 7 * 86_400;

/// Shortest time for which anybody has a range kept, seconds: shorter than that nobody could look at it.
pub const MIN_KEEP_S: u32 = 3_600;

/// Most that anybody has a range's holders hold, MiB: a part of the disk that they set aside in most places. An ask may be for
/// as much as the job says, whatever the range has made, and who has no room for that does not sign.
pub const MOST_MIB: u32 = 4 << 10;

/// Of a fee one of so many parts is paid when it is signed for, the other one when it is seen to be served.
const PARTS: u8 = 2;
/// What a MiB must pay at least, as a part (1/x) of the least fee of an audit: to fetch it, and to keep it for a day. The
/// contract asks for none of this. Who holds and who provides does: the one is not paid for its line and its disk
/// otherwise, and the other is paid only if the first one holds what it has made.
const LEAST_MIB_PART: u128 = 1_000;
const LEAST_MIB_DAY_PART: u128 = 100_000;
/// No range of a job has more of its tasks than this part (1/x) of what each expected slot would have
/// (`Sizing.SHARE_OF_REST`).
const SHARE_OF_REST: u32 = 2;
const DAY_S: u32 = 86_400;
/// The words of [`Purpose::Spot`] from here on say which piece, those before it who looks.
const PIECE_WORDS: u32 = 1 << 16;

/// What a client offers to holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prices {
    /// Largest content of a range, MiB; at least 1.
    pub max_mib: u32,
    /// For fetching a MiB, base units; below 2^96.
    pub per_mib: u128,
    /// For keeping a MiB for a day, base units; below 2^96.
    pub per_mib_day: u128,
    /// How long a range is kept once it is held, seconds: 1 to [`MAX_KEEP_S`].
    pub keep_seconds: u32,
}

impl Prices {
    /// The least that holders and providers take.
    ///
    /// `least`: least fee of an audit, base units.
    pub fn usual(least: u128, max_mib: u32, keep_seconds: u32) -> Self {
        let [per_mib, per_mib_day] =
            [LEAST_MIB_PART, LEAST_MIB_DAY_PART].map(|part| least.div_ceil(part));
        Self { max_mib, per_mib, per_mib_day, keep_seconds }
    }

    /// Whether holders and providers take them.
    ///
    /// `least`: least fee of an audit, base units.
    pub fn are_fair(&self, least: u128) -> bool {
        let usual = Self::usual(least, self.max_mib, self.keep_seconds);
        self.per_mib >= usual.per_mib
            && self.per_mib_day >= usual.per_mib_day
            && (MIN_KEEP_S..=MAX_KEEP_S).contains(&self.keep_seconds)
    }

    /// What a vote earns when it is signed for so much content, and once more when it is seen to serve, base units; what fits no 128 bits counts as the most that does.
    ///
    /// `least`: least fee of an audit, base units.
    pub fn fee(&self, least: u128, mib: u32) -> u128 {
        let mib = U256::from(mib);
        // 32 + 96 + 32 bits at most.
        let keeping = mib * U256::from(self.per_mib_day) * U256::from(self.keep_seconds);
        let whole =
            U256::from(least) + mib * U256::from(self.per_mib) + keeping / U256::from(DAY_S);
        u128::try_from(whole / U256::from(PARTS)).unwrap_or(u128::MAX)
    }

    /// The most that inputs cost, base units.
    ///
    /// `least`: least fee of an audit, base units; `mib`: their size; `left`: seconds up to the job's deadline, at most
    /// [`MAX_KEEP_S`].
    pub fn inputs_cost(&self, least: u128, mib: u32, left: u32) -> u128 {
        Self { keep_seconds: left.saturating_add(INPUTS_AFTER_S), ..*self }.cost(least, mib)
    }

    /// The most that so much content costs, base units: both asks, the second halves, and who looks.
    pub fn cost(&self, least: u128, mib: u32) -> u128 {
        let fees = self.fee(least, mib).saturating_mul((HOLDERS + MOST_HELD) as u128);
        fees.saturating_add(least.saturating_mul(SPOTTERS as u128))
    }
}

/// How many draws may sign so many seconds after the first may; 0: none any more.
pub const fn open_draws(elapsed: u64) -> usize {
    if elapsed <= HOLD_TIME_S {
        FIRST_HOLDERS
    } else if elapsed <= 2 * HOLD_TIME_S {
        HOLDERS
    } else {
        0
    }
}

/// Whether so many votes of so many are enough: 4 of 7, 8 of 15.
pub const fn is_majority(votes: usize, open: usize) -> bool {
    open != 0 && votes > open / 2
}

/// What a provider loses for a range that nobody could hold in two asks, base units: a part of the range's value
/// ([`NOT_HELD`]), and at least what those who came for it would have earned. Before that it loses twice what the
/// range's audit would have had of it, half of which goes to the purse. Both only up to its stake, and each rounded up
/// to a billionth of that.
///
/// `value`: the range's, base units; `least`: least fee of an audit, base units.
pub fn lost(value: u128, least: u128) -> u128 {
    let part = U256::from(value) * U256::from(NOT_HELD.0) / U256::from(ONE.0);
    // A part of 128 bits.
    let part = u128::try_from(part).unwrap_or(u128::MAX);
    part.max(least.saturating_mul(INPUTS_LOST))
}

/// Which draws of holders have been seen to serve, draw 0 lowest: by most of those who looked, if a majority of all did.
///
/// `seen`: by how many each was seen, 4 bits a draw, draw 0 lowest; `votes`: how many looked.
pub fn served(seen: u64, votes: usize) -> u16 {
    if !is_majority(votes, SPOTTERS) {
        return 0;
    }
    let by = |draw: u32| usize::try_from(seen >> (4 * draw) & 15).unwrap_or(0);
    (0..15).filter(|draw| is_majority(by(*draw), votes)).fold(0, |bits, draw| bits | 1 << draw)
}

/// Which piece of the content one who looks asks a holder for, both by their draws: any of them with the same chance,
/// another one for every pair, and known to nobody before the beacon is.
///
/// `seed`: that of the beacon's value of the look, stage 0; `pieces`: of [`PIECE_BYTES`] in all blobs of the content,
/// at least 1.
pub fn piece(seed: Seed, spotter: u8, holder: u8, pieces: u64) -> u64 {
    let pair = PIECE_WORDS | u32::from(spotter) << 8 | u32::from(holder);
    // Smaller than `pieces`, so the lowest limb is all of it.
    (seed.word(Purpose::Spot, pair) % U256::from(pieces.max(1))).as_limbs()[0]
}

/// Whom the draws of an ask name, as places in `line`; the same one may be named again. Empty when nobody is left.
///
/// `excluded`: the provider's owner and the client.
pub fn named<Owner>(
    seed: Seed,
    line: &[Person<Owner>],
    excluded: impl Fn(&Owner) -> bool,
) -> Vec<usize> {
    let Panel { members, next: _ } = seed.votes(Purpose::Holder, 0, HOLDERS, line, excluded);
    members
}

/// Size of content of so many bytes as it is asked for, MiB rounded up, at least 1; `None`: larger than any ask.
pub fn mib_of(bytes: u64) -> Option<u32> {
    u32::try_from(bytes.div_ceil(1 << 20).max(1)).ok()
}

/// Bytes of what a range with these leaves has made: its manifest and its outputs, those that are alike counted each, as
/// they are fetched.
pub fn bytes_of(leaves: &[Leaf]) -> u64 {
    let manifest = RangeManifest::max_bytes(u32::try_from(leaves.len()).unwrap_or(u32::MAX));
    let outputs = leaves.iter().filter(|leaf| leaf.blob().is_some()).map(|leaf| leaf.size);
    outputs.fold(manifest as u64, u64::saturating_add)
}

/// Size of a job's inputs as they are asked for, MiB: its spec, its program and its files, those that are alike counted each;
/// `None`: larger than any ask.
pub fn inputs_mib(spec: &JobSpec) -> Option<u32> {
    mib_of(spec.blob_bytes().saturating_add(spec.to_bytes().len() as u64))
}

/// Size of the largest content that a range of a job can have, MiB; `None`: larger than any ask. A deposit that names less
/// pays for no range of which all outputs are as large as they may be, so no provider takes its job.
///
/// `tasks`: those of the job; `parallelism`: the slots it expects.
pub fn largest_mib(limits: &Limits, tasks: u32, parallelism: u16) -> Option<u32> {
    let share = tasks / u32::from(parallelism.max(1)).saturating_mul(SHARE_OF_REST);
    let count = share.clamp(1, MAX_RANGE_TASKS);
    let manifest = RangeManifest::max_bytes(count.saturating_add(1)) as u64;
    mib_of(u64::from(count).saturating_mul(limits.output_bytes).saturating_add(manifest))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use proptest::prelude::*;
    use tilth_protocol::{ContentHash, ContentRef, Input, InputSource, JobId, Output, Workload};

    use super::*;

    const PRICES: Prices =
        Prices { max_mib: 100, per_mib: 20, per_mib_day: 10, keep_seconds: 7 * DAY_S };

    fn seed(n: u32) -> Seed {
        Seed::new(B256::repeat_byte(7), RangeId { job: JobId(3), seq: n }, 0)
    }

    /// The chance of exactly so many of so many, each with this chance.
    fn exactly(k: u32, all: u32, chance: f64) -> f64 {
        let ways = (0..k).fold(1.0, |c, i| c * f64::from(all - i) / f64::from(i + 1));
        ways * chance.powf(f64::from(k)) * (1.0 - chance).powf(f64::from(all - k))
    }

    /// The chance that an ask is held where each draw signs with this chance.
    fn held(signs: f64) -> f64 {
        let later = |first: u32| (8 - first..=8).map(|more| exactly(more, 8, signs)).sum::<f64>();
        (0..=7)
            .map(|first| exactly(first, 7, signs) * if first >= 4 { 1.0 } else { later(first) })
            .sum()
    }

    #[test]
    fn a_vote_earns_half_of_its_fee_when_it_is_signed() {
        // 10 + 30 x 20 + 30 x 10 x 7 = 2,710.
        assert_eq!(PRICES.fee(10, 30), 1_355);
        assert_eq!(PRICES.cost(10, 30), 23 * 1_355 + 7 * 10);
        assert_eq!(Prices { keep_seconds: 1, ..PRICES }.fee(0, 1), 10, "a second is worth nothing");
        let dear = Prices { per_mib: u128::MAX, ..PRICES };
        assert_eq!(dear.cost(0, u32::MAX), u128::MAX, "more than anybody has");
    }

    #[test]
    fn the_votes_of_two_asks_are_never_more_than_all_draws() {
        let worst = (0..=HOLDERS).rfind(|votes| !is_majority(*votes, HOLDERS)).unwrap();
        assert_eq!(worst + (worst + 1), HOLDERS);
        assert!(is_majority(worst + 1, HOLDERS));
    }

    #[test]
    fn four_of_seven_or_eight_of_fifteen_are_enough() {
        for (elapsed, open) in
            [(0, 7), (3_600, 7), (3_601, 15), (7_200, 15), (7_201, 0), (u64::MAX, 0)]
        {
            assert_eq!(open_draws(elapsed), open, "{elapsed}");
        }
        assert!(!is_majority(3, 7) && is_majority(4, 7));
        assert!(!is_majority(7, 15) && is_majority(8, 15));
        assert!(!is_majority(0, 0) && !is_majority(9, 0), "nobody can sign any more");
    }

    #[test]
    fn a_range_of_dust_costs_what_its_holders_would_have_earned() {
        let least = 10_u128.pow(16);
        assert_eq!(lost(0, least), 8 * least);
        assert_eq!(lost(80 * least + 9, least), 8 * least, "a tenth of it, rounded down");
        assert_eq!(lost(80 * least + 10, least), 8 * least + 1);
        assert_eq!(lost(u128::MAX, 0), u128::MAX / 10);
        assert_eq!(lost(0, u128::MAX), u128::MAX, "more than anybody has");
    }

    #[test]
    fn who_is_seen_by_most_of_enough_serves() {
        assert_eq!((MOST_HELD, SPOTTERS), (8, 7));
        assert_eq!(served(0x7307, 7), 0b1001, "7 and 7 of 7, not 3");
        assert_eq!(served(0x4, 7), 1);
        assert_eq!(served(0x2_0000, 4), 0, "two of four");
        assert_eq!(served(0x3_0000, 4), 1 << 4);
        assert_eq!(served(u64::MAX, 3), 0, "too few have looked");
        assert_eq!(served(0, 7), 0);
    }

    #[test]
    fn every_piece_is_asked_for_as_often_as_another() {
        let mut hits = [0_u32; 5];
        for n in 0..100 {
            for (spotter, holder) in (0..7).flat_map(|spotter| (0..15).map(move |h| (spotter, h))) {
                hits[usize::try_from(piece(seed(n), spotter, holder, 5)).unwrap()] += 1;
            }
        }
        // Five standard deviations of 2,100 of 10,500.
        assert!(hits.iter().all(|hits| hits.abs_diff(2_100) < 205), "{hits:?}");
    }

    #[test]
    fn every_pair_has_a_piece_of_its_own() {
        let pairs = (0..7).flat_map(|spotter| (0..15).map(move |holder| (spotter, holder)));
        let pieces: Vec<_> = pairs.map(|(s, h)| piece(seed(1), s, h, u64::MAX)).collect();
        let word = |draw: u32| seed(1).word(Purpose::Spot, draw) % U256::from(u64::MAX);
        let who = (0..7).map(|draw| word(draw).as_limbs()[0]);
        let all: std::collections::BTreeSet<u64> = pieces.iter().copied().chain(who).collect();
        assert_eq!(all.len(), 7 * 15 + 7, "nor is it drawn by what says who looks");
        assert_ne!(piece(seed(2), 0, 0, u64::MAX), pieces[0], "nor of another content");
    }

    /// The figures of decision 0018.
    #[test]
    fn what_is_withheld_passes_as_seldom_as_was_said() {
        let in_two = |signs: f64| 1.0 - (1.0 - held(signs)).powi(2);
        for (signs, passes) in [(0.2, 0.07), (1.0 / 3.0, 0.36)] {
            assert!((in_two(signs) - passes).abs() < 0.005, "{signs}: {}", in_two(signs));
        }
        for (up, fails) in [(0.8, 0.000_01), (0.7, 0.001_1)] {
            assert!(1.0 - in_two(up) < fails, "{up}: {}", in_two(up));
        }
    }

    #[test]
    fn sizes_are_rounded_up() {
        let mib = 1 << 20;
        for (bytes, size) in [(0, 1), (1, 1), (mib, 1), (mib + 1, 2), (30 * mib, 30)] {
            assert_eq!(mib_of(bytes), Some(size), "{bytes}");
        }
        assert_eq!(mib_of(u64::MAX), None);
    }

    #[test]
    fn nobody_holds_for_less_than_the_usual_prices() {
        let least = 10_000_000;
        let usual = Prices::usual(least, 30, 7 * DAY_S);
        assert_eq!((usual.per_mib, usual.per_mib_day), (10_000, 100));
        assert!(usual.are_fair(least) && !usual.are_fair(least + 1));
        for worse in [
            Prices { per_mib: 9_999, ..usual },
            Prices { per_mib_day: 99, ..usual },
            Prices { keep_seconds: MIN_KEEP_S - 1, ..usual },
            Prices { keep_seconds: MAX_KEEP_S + 1, ..usual },
        ] {
            assert!(!worse.are_fair(least), "{worse:?}");
        }
    }

    #[test]
    fn no_range_is_larger_than_its_job_allows() {
        let mib = 1 << 20;
        let limits =
            Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: mib };
        // A hundredth of the job and its manifest.
        assert_eq!(largest_mib(&limits, 1_000, 50), Some(11));
        assert_eq!(largest_mib(&limits, 1, 50), Some(2), "a task is given out whole");
        assert_eq!(largest_mib(&limits, 1, 0), Some(2));
        let huge = Limits { output_bytes: u64::MAX, ..limits };
        assert_eq!(largest_mib(&huge, 1, 1), None);

        let leaves: Vec<_> = (0..10).map(|index| Leaf::finished(index, &[7; 90], 1)).collect();
        let inline = [Leaf::finished(10, &[1; 32], 1)];
        assert_eq!(bytes_of(&leaves), RangeManifest::max_bytes(10) as u64 + 900);
        assert_eq!(bytes_of(&inline), RangeManifest::max_bytes(1) as u64, "it is in its leaf");
    }

    #[test]
    fn inputs_are_all_that_a_task_needs_and_are_kept_until_no_case_can_need_them() {
        let file = |byte, size| ContentRef { hash: ContentHash([byte; 32]), size };
        let input = |name: &str, source| Input { name: name.into(), source };
        let mut spec = JobSpec {
            name: "sums".into(),
            workload: Workload::Wasm,
            program: file(1, 1 << 20),
            inputs: vec![input("large", InputSource::Blob(file(2, 30 << 20)))],
            task_count: 1,
            limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        };
        assert_eq!(inputs_mib(&spec), Some(32), "31 and the spec");
        spec.inputs[0].source = InputSource::Blob(file(2, u64::MAX));
        assert_eq!(inputs_mib(&spec), None);
        // 10 + 30 x 20 + 30 x 10 x (3 + 7) = 3,610.
        assert_eq!(PRICES.inputs_cost(10, 30, 3 * DAY_S), 23 * 1_805 + 7 * 10);
        assert_eq!(INPUTS_AFTER_S, 7 * DAY_S);
    }

    #[test]
    fn holders_are_not_whom_an_audit_draws() {
        let line: Vec<_> = (0..40_u32).map(|owner| Person { owner, stake: 10 }).collect();
        let holders = named(seed(1), &line, |_| false);
        assert_eq!(holders.len(), HOLDERS);
        let auditors = seed(1).votes(Purpose::Auditor, 0, HOLDERS, &line, |_| false);
        assert_ne!(holders, auditors.members);
        assert!(named(seed(1), &line, |_| true).is_empty());
    }

    proptest! {
        #[test]
        fn a_piece_is_one_of_the_content(n: u32, spotter: u8, holder: u8, pieces: u64) {
            let drawn = piece(seed(n), spotter, holder, pieces);
            prop_assert!(drawn < pieces.max(1));
            prop_assert_eq!(drawn, piece(seed(n), spotter, holder, pieces));
        }

        #[test]
        fn who_is_excluded_holds_nothing(
            n: u32,
            stakes in prop::collection::vec(0_u128..90, 1..20),
            out in 0_usize..20,
        ) {
            let person = |(owner, stake): (usize, &u128)| Person { owner, stake: *stake };
            let line: Vec<_> = stakes.iter().enumerate().map(person).collect();
            let holders = named(seed(n), &line, |owner| *owner == out);
            prop_assert!(holders.iter().all(|place| *place != out && stakes[*place] > 0));
            let anybody = stakes.iter().enumerate().any(|(owner, stake)| owner != out && *stake > 0);
            prop_assert_eq!(holders.len(), if anybody { HOLDERS } else { 0 });
        }

        #[test]
        fn a_larger_size_never_earns_less(mib in 1_u32..1_000_000, least in 0_u128..1 << 80) {
            prop_assert!(PRICES.fee(least, mib) <= PRICES.fee(least, mib + 1));
            prop_assert!(PRICES.fee(least, mib) <= PRICES.fee(least + 1, mib));
        }
    }
}
