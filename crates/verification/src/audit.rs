//! The rules of an audit: who is audited, by how many, what they commit to, and what their votes say.
//!
//! Auditors are drawn after the submission, re-execute the drawn leaves from their indices alone, and
//! commit to a salted hash of what they found before the provider opens those leaves. One who did not
//! do the work has nothing to commit to. If all agree with the provider, it is upheld. Any dissent draws
//! more votes, in doubling numbers, until one answer is [`LEAD`] votes ahead of every other one, or
//! [`COMMITTEE`] votes were drawn. Votes are drawn by stake with replacement ([`crate::draw::Seed::votes`]): an
//! auditor's answer counts as often as it was drawn, so no crowd of accounts has more votes than its stake.
//!
//! Why a lead and not a majority of each stage: if a share c of the auditors' stake lies, then a lead of n
//! votes for a wrong answer is `((1 - c) / c)^n` times less likely than the same lead for the right one,
//! however many voted. Ten of fifteen, the committee's last word, is a lead of five; five of five is the same
//! evidence for a third of the cost.
//!
//! `contracts/src/libraries/AuditRules.sol` holds the same rules; both read `vectors/trust.json`.

use alloy_primitives::{Address, B256, U256, keccak256};
use tilth_protocol::{JobId, Leaf, RangeId};

use crate::{
    arithmetic::{MAX_AMOUNT, ONE, Share},
    draw::{Purpose, Seed},
};

/// The rate below which no record brings anybody. At this rate a stake carries 1/29 of itself. The client of
/// a job pays for audits at this rate, whoever works for it.
pub const FLOOR_RATE: Share = Share(50_000_000);
/// What of an audit counts when it is reckoned what a stake carries: two thirds. With a quarter of the auditors' stake
/// bought, a forged range of at most the small value is overturned with 67.4 % (it passes at once with 25 %, and stays
/// undecided with 7.6 %), and a larger one with more. So forging does not pay on average while no more than a quarter is.
pub const HONEST_FIRST: Share = Share(666_666_666);
/// The record that halves what a newcomer's rate is above the floor, in small values (the Registry's and
/// JobBook's unit of "small"): ten jobs of the largest small size.
pub const HALF_RECORD_SMALL_VALUES: u32 = 10;
/// Leaves drawn per audit. A provider with a third of its units wrong is missed with a chance of 20 % in one
/// audit (four draws by units), with a third of its leaves wrong, too, with 4 %.
pub const SAMPLES: u32 = 8;
/// Votes by which an answer must lead.
pub const LEAD: u32 = 5;
/// Auditors with stake without which there is no audited work: as many as a lead has votes, and two more for the
/// provider's owner and the client, who may be auditors and are left out. Votes go by stake, so this bounds no crowd; it
/// keeps the machines of one or two people from being all that a young network's verdicts rest on.
pub const MIN_AUDITORS: u32 = LEAD + 2;
/// Most votes of one case: ten of fifteen is a lead of five.
pub const COMMITTEE: u32 = 15;
/// Time of the auditors of a stage to re-execute and commit, seconds.
pub const COMMIT_TIME_S: u32 = 3_600;
/// Time of an auditor for one leaf, in times of a range: it must fetch what the task needs, and its machine may be slower.
pub const SLOWNESS: u32 = 2;
/// Longest range timeout of an audited job, seconds: each of the [`SAMPLES`] leaves may take as long as a range, and
/// [`SLOWNESS`] times as long with its auditor, who has [`COMMIT_TIME_S`] for all of them.
pub const MAX_RANGE_TIMEOUT_S: u32 = COMMIT_TIME_S / SAMPLES / SLOWNESS;

/// How often a provider with this record is audited: `floor + (1 - floor) x half / (half + record)`, rounded
/// up. 1 without a record; towards the floor with it, never there.
///
/// `record`: value of its upheld audits, base units. `half`: see [`HALF_RECORD_SMALL_VALUES`]; 0 counts as 1.
pub fn rate(record: u128, half: u128) -> Share {
    let (record, half) = (record.min(MAX_AMOUNT), half.clamp(1, MAX_AMOUNT));
    let above = (u128::from(FLOOR_RATE.rest().0) * half).div_ceil(half + record);
    Share::new(FLOOR_RATE.0.saturating_add(u32::try_from(above).unwrap_or(ONE.0)))
}

/// Whether a range is audited, and who pays for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is not.
    Unaudited,
    /// It is, at the job's cost: it would have been whoever had done it.
    AtClientsCost,
    /// It is, because the provider's record is short: out of what the range earns.
    AtProvidersCost,
}

/// Draws the decision about a range whose provider is audited at `rate`.
pub fn decide(seed: Seed, rate: Share) -> Decision {
    let drawn = seed.word(Purpose::Decision, 0) % U256::from(ONE.0);
    if drawn < U256::from(FLOOR_RATE.min(rate).0) {
        Decision::AtClientsCost
    } else if drawn < U256::from(rate.0) {
        Decision::AtProvidersCost
    } else {
        Decision::Unaudited
    }
}

/// Votes of the first stage: two, but one for a range worth at most `small`.
pub const fn first_votes(value: u128, small: u128) -> u32 {
    if value <= small { 1 } else { 2 }
}

/// What somebody found in the drawn leaves, in the order of the draws: `keccak256` of the leaves' hashes, which
/// bind job, index, status, output, size and units.
pub fn answer(job: JobId, leaves: &[Leaf]) -> B256 {
    let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.hash(job).0).collect();
    keccak256(hashes)
}

/// Places of the drawn leaves as the contract packs them: [`SAMPLES`] times 32 bits, the first one lowest.
pub fn positions(packed: U256) -> [u32; SAMPLES as usize] {
    let bytes = packed.to_be_bytes::<32>();
    let mut positions = [0; SAMPLES as usize];
    for (position, word) in positions.iter_mut().zip(bytes.rchunks_exact(4)) {
        *position = word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    }
    positions
}

/// What an auditor publishes before the leaves are opened, and a replica before any root is shown:
/// `keccak256(chain u256 | contract 20 | job u64 | seq u32 | who 20 | answer 32 | salt 32)`.
///
/// Nobody can show it again elsewhere or for somebody else, and the salt (from a secure source, fresh each
/// time) keeps anybody from trying outputs.
pub fn seal(
    chain_id: u64,
    contract: Address,
    range: RangeId,
    who: Address,
    answer: B256,
    salt: B256,
) -> B256 {
    let mut packed = [0_u8; 32 + 20 + 8 + 4 + 20 + 32 + 32];
    packed[24..32].copy_from_slice(&chain_id.to_be_bytes());
    packed[32..52].copy_from_slice(contract.as_slice());
    packed[52..60].copy_from_slice(&range.job.0.to_be_bytes());
    packed[60..64].copy_from_slice(&range.seq.to_be_bytes());
    packed[64..84].copy_from_slice(who.as_slice());
    packed[84..116].copy_from_slice(answer.as_slice());
    packed[116..].copy_from_slice(salt.as_slice());
    keccak256(packed)
}

/// How many votes were drawn so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// By the value of the range ([`first_votes`]).
    pub first: u32,
    /// In the last stage.
    pub last: u32,
    /// In all stages, absent people's included; [`COMMITTEE`] also when nobody is left to be drawn.
    pub all: u32,
}

/// What the votes so far mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The provider's answer stands. Every other answer was wrong.
    Upheld,
    /// This answer stands, the provider's was wrong.
    Overturned(B256),
    /// Not enough evidence: so many more votes are drawn.
    More(u32),
    /// Not enough evidence, and no more votes. Nobody is paid for the range, and nobody loses stake.
    Undecided,
    /// Nobody came, and no more votes: nobody could check the range, so nobody is paid for it.
    Unheard,
}

/// Counts the votes: answers of auditors that kept to their commitment, each as often as it was drawn. The provider's own
/// answer is no vote.
pub fn verdict(claimed: B256, votes: &[B256], asked: Asked) -> Verdict {
    let left = COMMITTEE.saturating_sub(asked.all);
    let count = |answer: B256| -> u32 {
        u32::try_from(votes.iter().filter(|vote| **vote == answer).count()).unwrap_or(u32::MAX)
    };
    let voted = u32::try_from(votes.len()).unwrap_or(u32::MAX);
    if count(claimed) == voted {
        let missing = asked.first.saturating_sub(voted).min(left);
        return match (missing, voted) {
            (0, 0) => Verdict::Unheard,
            (0, _) => Verdict::Upheld,
            _ => Verdict::More(missing),
        };
    }
    let ahead = votes.iter().copied().find(|answer| {
        let others = votes.iter().filter(|other| *other != answer);
        let second = others.map(|other| count(*other)).max().unwrap_or(0);
        count(*answer) >= second.saturating_add(LEAD)
    });
    match ahead {
        Some(answer) if answer == claimed => Verdict::Upheld,
        Some(answer) => Verdict::Overturned(answer),
        None if left == 0 => Verdict::Undecided,
        None => Verdict::More(asked.last.max(asked.first).saturating_mul(2).min(left)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: u128 = 1_000;

    fn hash(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    fn seed(n: u32) -> Seed {
        Seed::new(hash(1), RangeId { job: JobId(1), seq: n }, 0)
    }

    fn votes(of_claimed: usize, of_other: usize, of_third: usize) -> Vec<B256> {
        [vec![hash(0); of_claimed], vec![hash(1); of_other], vec![hash(2); of_third]].concat()
    }

    fn asked(first: u32, last: u32, all: u32) -> Asked {
        Asked { first, last, all }
    }

    #[test]
    fn agreement_upholds_at_once_and_absent_people_are_replaced() {
        assert_eq!(verdict(hash(0), &votes(2, 0, 0), asked(2, 2, 2)), Verdict::Upheld);
        assert_eq!(verdict(hash(0), &votes(1, 0, 0), asked(2, 2, 2)), Verdict::More(1));
        assert_eq!(verdict(hash(0), &votes(0, 0, 0), asked(2, 2, 2)), Verdict::More(2));
        assert_eq!(verdict(hash(0), &votes(1, 0, 0), asked(2, 1, COMMITTEE)), Verdict::Upheld);
        assert_eq!(verdict(hash(0), &votes(0, 0, 0), asked(2, 1, COMMITTEE)), Verdict::Unheard);
    }

    #[test]
    fn dissent_doubles_until_an_answer_leads() {
        let stages = [
            (votes(0, 1, 0), asked(1, 1, 1), Verdict::More(2)),
            (votes(0, 3, 0), asked(1, 2, 3), Verdict::More(4)),
            (votes(0, 7, 0), asked(1, 4, 7), Verdict::Overturned(hash(1))),
            (votes(1, 6, 0), asked(1, 4, 7), Verdict::Overturned(hash(1))),
            (votes(6, 1, 0), asked(1, 4, 7), Verdict::Upheld),
            (votes(2, 5, 0), asked(1, 4, 7), Verdict::More(8)),
            (votes(5, 10, 0), asked(1, 8, 15), Verdict::Overturned(hash(1))),
            (votes(6, 9, 0), asked(1, 8, 15), Verdict::Undecided),
            (votes(0, 8, 7), asked(1, 8, 15), Verdict::Undecided),
            (votes(0, 6, 1), asked(1, 8, 15), Verdict::Overturned(hash(1))),
            (votes(1, 1, 0), asked(2, 2, 2), Verdict::More(4)),
            (votes(4, 4, 0), asked(2, 8, 14), Verdict::More(1)),
            // Somebody was absent and one was drawn in its place: doubling goes on from the first stage.
            (votes(1, 1, 0), asked(2, 1, 3), Verdict::More(4)),
        ];
        for (votes, asked, expected) in stages {
            assert_eq!(verdict(hash(0), &votes, asked), expected, "{votes:?} {asked:?}");
        }
    }

    #[test]
    fn newcomers_are_always_audited_and_nobody_never() {
        assert_eq!(rate(0, 10 * SMALL), ONE);
        assert_eq!(rate(10 * SMALL, 10 * SMALL), Share(525_000_000));
        assert!(rate(MAX_AMOUNT, SMALL) > FLOOR_RATE);
        assert_eq!(rate(0, 0), ONE);
        assert!((0..1_000).all(|n| decide(seed(n), ONE) != Decision::Unaudited));
    }

    #[test]
    fn decisions_come_as_often_as_the_rates_say() {
        let rate = Share(300_000_000);
        let drawn: Vec<_> = (0..20_000).map(|n| decide(seed(n), rate)).collect();
        let share = |of: Decision| drawn.iter().filter(|d| **d == of).count();
        // Five standard deviations of 20,000 draws: 155 at 5 %, 310 at 25 %.
        assert!(share(Decision::AtClientsCost).abs_diff(1_000) < 155);
        assert!(share(Decision::AtProvidersCost).abs_diff(5_000) < 310);
        assert_eq!(first_votes(SMALL, SMALL), 1);
        assert_eq!(first_votes(SMALL + 1, SMALL), 2);
    }

    #[test]
    fn positions_are_read_from_the_lowest_bits_up() {
        let packed = U256::from(7) | U256::from(9) << 32 | U256::from(u32::MAX) << 224;
        assert_eq!(positions(packed), [7, 9, 0, 0, 0, 0, 0, u32::MAX]);
    }

    #[test]
    fn answers_and_seals_bind_everything() {
        let leaves = [Leaf::finished(3, &[1], 5), Leaf::finished(9, &[2], 6)];
        let found = answer(JobId(1), &leaves);
        assert_ne!(found, answer(JobId(2), &leaves));
        assert_ne!(found, answer(JobId(1), &[leaves[1], leaves[0]]));
        let range = RangeId { job: JobId(1), seq: 2 };
        let (contract, who) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let all = [
            seal(1, contract, range, who, found, hash(3)),
            seal(2, contract, range, who, found, hash(3)),
            seal(1, who, range, who, found, hash(3)),
            seal(1, contract, RangeId { seq: 3, ..range }, who, found, hash(3)),
            seal(1, contract, RangeId { job: JobId(2), ..range }, who, found, hash(3)),
            seal(1, contract, range, contract, found, hash(3)),
            seal(1, contract, range, who, hash(4), hash(3)),
            seal(1, contract, range, who, found, hash(4)),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    proptest! {
        #[test]
        fn a_longer_record_never_raises_the_rate(record in 0..=MAX_AMOUNT, more in 0..=MAX_AMOUNT,
            half in 0..=MAX_AMOUNT) {
            let short = rate(record, half);
            let long = rate((record + more).min(MAX_AMOUNT), half);
            prop_assert!(long <= short && short <= ONE && long > FLOOR_RATE);
        }

        #[test]
        fn every_case_ends_and_only_a_lead_overturns(answers in prop::collection::vec(0_u8..4, 60), first in 1_u32..3) {
            let mut asked = Asked { first, last: first, all: first };
            let mut voted: Vec<B256> = Vec::new();
            let mut next = answers.iter();
            loop {
                for _ in 0..asked.last {
                    match next.next().unwrap() {
                        3 => {} // absent
                        n => voted.push(hash(*n)),
                    }
                }
                let count = |n: u8| voted.iter().filter(|vote| **vote == hash(n)).count();
                match verdict(hash(0), &voted, asked) {
                    Verdict::More(n) => {
                        prop_assert!(n > 0);
                        asked = Asked { last: n, all: asked.all + n, ..asked };
                        prop_assert!(asked.all <= COMMITTEE);
                    }
                    Verdict::Overturned(answer) => {
                        prop_assert!(answer != hash(0));
                        prop_assert!(voted.iter().filter(|vote| **vote == answer).count() >= count(0) + LEAD as usize);
                        break;
                    }
                    Verdict::Upheld => {
                        let dissent = count(1).max(count(2));
                        prop_assert!(dissent == 0 || count(0) >= dissent + LEAD as usize);
                        break;
                    }
                    Verdict::Undecided | Verdict::Unheard => {
                        prop_assert_eq!(asked.all, COMMITTEE);
                        break;
                    }
                }
            }
        }
    }
}
