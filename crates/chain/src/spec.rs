//! The rules of a chain: which fork is in force in which block, and the parameters that come with it.

use alloy_consensus::Header;
use alloy_eips::{eip1559::BaseFeeParams, eip6110, eip7594, eip7840};
use alloy_primitives::{Address, U256};
use revm::primitives::hardfork::SpecId;
use serde::{Deserialize, Serialize};

pub use alloy_eips::eip7840::BlobParams;

/// Base fee of the first London block, in wei per gas.
pub const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// Number of forks that only change the blob parameters (EIP-7892).
pub const BLOB_FORKS: usize = 5;

/// Blobs per block that a schedule may allow: far above any that makes sense, low enough that no
/// product of it overflows.
const BLOBS_MAX: u64 = 1 << 16;

/// What is fixed for the whole life of a chain, but for forks that still lie ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainSpec {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// When which rules come into force.
    pub forks: Forks,
}

/// The schedule of forks: up to the merge by block number, from Shanghai on by timestamp (seconds).
/// `None` is never.
///
/// Stored as JSON beside a chain: a fork that is not in it is one that program did not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default = "Forks::none", deny_unknown_fields)]
pub struct Forks {
    /// Homestead.
    pub homestead: Option<u64>,
    /// The DAO fork's block.
    pub dao: Option<u64>,
    /// Whether the DAO fork moves the balances, or is opposed.
    pub dao_support: bool,
    /// Tangerine Whistle.
    pub tangerine: Option<u64>,
    /// EIP-155: replay protection.
    pub eip155: Option<u64>,
    /// Spurious Dragon but for EIP-155.
    pub spurious_dragon: Option<u64>,
    /// Byzantium.
    pub byzantium: Option<u64>,
    /// Constantinople.
    pub constantinople: Option<u64>,
    /// Petersburg: Constantinople without EIP-1283.
    pub petersburg: Option<u64>,
    /// Istanbul.
    pub istanbul: Option<u64>,
    /// Muir Glacier: the difficulty bomb is delayed.
    pub muir_glacier: Option<u64>,
    /// Berlin.
    pub berlin: Option<u64>,
    /// London.
    pub london: Option<u64>,
    /// Arrow Glacier: the difficulty bomb is delayed.
    pub arrow_glacier: Option<u64>,
    /// Gray Glacier: the difficulty bomb is delayed.
    pub gray_glacier: Option<u64>,
    /// A block from which on the chain certainly is proof of stake.
    pub merge_netsplit: Option<u64>,
    /// Total difficulty that ends proof of work; zero is proof of stake from the first block on.
    pub terminal_total_difficulty: Option<U256>,
    /// Shanghai.
    pub shanghai: Option<u64>,
    /// Cancun.
    pub cancun: Option<u64>,
    /// Prague.
    pub prague: Option<u64>,
    /// Osaka.
    pub osaka: Option<u64>,
    /// Forks that change only the blob parameters: BPO1 and so on.
    pub blob_forks: [Option<u64>; BLOB_FORKS],
    /// Blob counts and price from Cancun, Prague, Osaka and the blob forks on.
    pub blobs: BlobSchedule,
    /// Whose logs are deposits (EIP-6110).
    pub deposit_contract: Address,
    /// Whether a block must be later than its parent. Blocks of a solo chain may share a second.
    pub later_than_parent: bool,
}

/// Blob parameters by the fork that brings them; `None` keeps those of the fork before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobSchedule {
    /// From Cancun on.
    pub cancun: Option<BlobCounts>,
    /// From Prague on.
    pub prague: Option<BlobCounts>,
    /// From Osaka on.
    pub osaka: Option<BlobCounts>,
    /// From the forks of only blob parameters on.
    pub forks: [Option<BlobCounts>; BLOB_FORKS],
}

/// What a fork says about blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobCounts {
    /// Blobs per block at which the price stays.
    pub target: u64,
    /// Blobs a block may carry.
    pub max: u64,
    /// How slowly the price moves.
    pub update_fraction: u64,
}

impl BlobCounts {
    /// EIP-4844's.
    pub const CANCUN: Self = Self { target: 3, max: 6, update_fraction: 3_338_477 };
    /// EIP-7691's.
    pub const PRAGUE: Self = Self { target: 6, max: 9, update_fraction: 5_007_716 };
}

impl Forks {
    /// Every rule this program knows, from the first block on, as proof of stake; blocks may share
    /// a second with their parent.
    pub fn all() -> Self {
        let now = Some(0);
        Self {
            homestead: now,
            tangerine: now,
            eip155: now,
            spurious_dragon: now,
            byzantium: now,
            constantinople: now,
            petersburg: now,
            istanbul: now,
            berlin: now,
            london: now,
            terminal_total_difficulty: Some(U256::ZERO),
            shanghai: now,
            cancun: now,
            prague: now,
            osaka: now,
            blobs: BlobSchedule {
                cancun: Some(BlobCounts::CANCUN),
                prague: Some(BlobCounts::PRAGUE),
                osaka: Some(BlobCounts::PRAGUE),
                ..BlobSchedule::default()
            },
            later_than_parent: false,
            ..Self::none()
        }
    }

    /// Frontier for ever.
    pub fn none() -> Self {
        Self {
            homestead: None,
            dao: None,
            dao_support: false,
            tangerine: None,
            eip155: None,
            spurious_dragon: None,
            byzantium: None,
            constantinople: None,
            petersburg: None,
            istanbul: None,
            muir_glacier: None,
            berlin: None,
            london: None,
            arrow_glacier: None,
            gray_glacier: None,
            merge_netsplit: None,
            terminal_total_difficulty: None,
            shanghai: None,
            cancun: None,
            prague: None,
            osaka: None,
            blob_forks: [None; BLOB_FORKS],
            blobs: BlobSchedule::default(),
            deposit_contract: eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
            later_than_parent: true,
        }
    }

    /// The forks by block number in their order, with geth's names; the flag says that later forks
    /// may come without it.
    fn by_number(&self) -> [(&'static str, Option<u64>, bool); 15] {
        [
            ("homesteadBlock", self.homestead, false),
            ("daoForkBlock", self.dao, true),
            ("eip150Block", self.tangerine, false),
            ("eip155Block", self.eip155, false),
            ("eip158Block", self.spurious_dragon, false),
            ("byzantiumBlock", self.byzantium, false),
            ("constantinopleBlock", self.constantinople, false),
            ("petersburgBlock", self.petersburg, false),
            ("istanbulBlock", self.istanbul, false),
            ("muirGlacierBlock", self.muir_glacier, true),
            ("berlinBlock", self.berlin, false),
            ("londonBlock", self.london, false),
            ("arrowGlacierBlock", self.arrow_glacier, true),
            ("grayGlacierBlock", self.gray_glacier, true),
            ("mergeNetsplitBlock", self.merge_netsplit, true),
        ]
    }

    /// The blocks at which forks come, in no order that means anything, repeated where two forks
    /// share one.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        self.by_number().into_iter().filter_map(|(_, number, _)| number)
    }

    /// The forks by timestamp in their order, likewise.
    fn by_time(&self) -> [(&'static str, Option<u64>, bool); 9] {
        let [bpo1, bpo2, bpo3, bpo4, bpo5] = self.blob_forks;
        [
            ("shanghaiTime", self.shanghai, false),
            ("cancunTime", self.cancun, true),
            ("pragueTime", self.prague, true),
            ("osakaTime", self.osaka, true),
            ("bpo1Time", bpo1, true),
            ("bpo2Time", bpo2, true),
            ("bpo3Time", bpo3, true),
            ("bpo4Time", bpo4, true),
            ("bpo5Time", bpo5, true),
        ]
    }
}

/// Why a schedule of forks makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A fork without the one before it.
    #[error("unsupported fork ordering: {missing} is not set, but {present} is")]
    Missing {
        /// The fork that is needed.
        missing: &'static str,
        /// The fork that needs it.
        present: &'static str,
    },
    /// A fork before the one before it.
    #[error("unsupported fork ordering: {first} is set to {first_at}, but {second} to {second_at}")]
    Order {
        /// The earlier fork.
        first: &'static str,
        /// When it comes.
        first_at: u64,
        /// The later fork.
        second: &'static str,
        /// When it comes.
        second_at: u64,
    },
    /// No blob parameters for a fork with blobs, or impossible ones.
    #[error("the blob schedule of {0} is missing or not possible")]
    Blobs(&'static str),
    /// A fork that a stored chain has already gone through was moved.
    #[error(
        "{fork} was {} and is {} now, but the chain is past it",
        in_words(*.stored),
        in_words(*.wanted)
    )]
    Moved {
        /// The fork.
        fork: &'static str,
        /// When it came.
        stored: Option<u64>,
        /// When it should have come.
        wanted: Option<u64>,
    },
    /// Something other than a fork's time changed.
    #[error("{0} is not what the chain was made with")]
    Changed(&'static str),
}

fn in_words(at: Option<u64>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

impl Forks {
    /// Whether the forks come in their order and blob parameters are there for all that need them.
    ///
    /// # Errors
    /// Names the first fork that is out of place.
    pub fn check(&self) -> Result<(), ScheduleError> {
        check_order(&self.by_number())?;
        check_order(&self.by_time())?;
        if let (Some(_), None) = (self.shanghai, self.london) {
            return Err(ScheduleError::Missing { missing: "londonBlock", present: "shanghaiTime" });
        }
        let [bpo1, bpo2, bpo3, bpo4, bpo5] = self.blob_forks;
        let [blob1, blob2, blob3, blob4, blob5] = self.blobs.forks;
        for (name, time, counts) in [
            ("cancun", self.cancun, self.blobs.cancun),
            ("prague", self.prague, self.blobs.prague),
            // Osaka has none of its own: it keeps Prague's if they are not given.
            ("osaka", self.osaka, self.blobs.osaka.or(self.blobs.prague)),
            ("bpo1", bpo1, blob1),
            ("bpo2", bpo2, blob2),
            ("bpo3", bpo3, blob3),
            ("bpo4", bpo4, blob4),
            ("bpo5", bpo5, blob5),
        ] {
            let sound = counts.is_some_and(|blobs| {
                blobs.update_fraction > 0
                    && (1..=BLOBS_MAX).contains(&blobs.max)
                    && (1..=blobs.max).contains(&blobs.target)
            });
            if time.is_some() && !sound {
                return Err(ScheduleError::Blobs(name));
            }
        }
        Ok(())
    }

    /// Whether a chain that was made by `self` and stands at `head` can go on by `wanted`.
    /// `difficulty` is that of all blocks before the head; it counts if the terminal total changes.
    ///
    /// # Errors
    /// Names what differs and is in force already.
    pub fn check_change(
        &self,
        wanted: &Self,
        head: &Header,
        difficulty: U256,
    ) -> Result<(), ScheduleError> {
        let by_number = self.by_number().into_iter().zip(wanted.by_number());
        let by_time = self.by_time().into_iter().zip(wanted.by_time());
        let with_head = |head: u64| move |pair| (pair, head);
        let pairs =
            by_number.map(with_head(head.number)).chain(by_time.map(with_head(head.timestamp)));
        for (((fork, stored, _), (_, wanted, _)), at) in pairs {
            let passed = |fork: Option<u64>| fork.is_some_and(|fork| fork <= at);
            if stored != wanted && (passed(stored) || passed(wanted)) {
                return Err(ScheduleError::Moved { fork, stored, wanted });
            }
        }
        // Where proof of work ends may change as long as it has not ended. geth lets it change later,
        // too, and then no longer takes its own blocks from the file of another node.
        let is_merged = head.number > 0 && head.difficulty.is_zero();
        for (what, is_used, same) in [
            (
                "daoForkSupport",
                reached(self.dao, head.number),
                self.dao_support == wanted.dao_support,
            ),
            (
                "terminalTotalDifficulty",
                // A block of proof of work may stand where the total before it lies below the terminal.
                is_merged
                    || head.number > 0
                        && wanted.terminal_total_difficulty.is_some_and(|end| end <= difficulty),
                self.terminal_total_difficulty == wanted.terminal_total_difficulty,
            ),
            (
                "depositContractAddress",
                reached(self.prague, head.timestamp),
                self.deposit_contract == wanted.deposit_contract,
            ),
            ("the rule on timestamps", true, self.later_than_parent == wanted.later_than_parent),
        ] {
            if is_used && !same {
                return Err(ScheduleError::Changed(what));
            }
        }
        // What every block up to the head was made by, not only the last one.
        let times = self.by_time().into_iter().filter_map(|(_, time, _)| time);
        let passed = times.filter(|time| *time < head.timestamp).chain([head.timestamp]);
        for time in passed {
            if self.blobs_at(time) != wanted.blobs_at(time) {
                return Err(ScheduleError::Changed("blobSchedule"));
            }
        }
        Ok(())
    }

    fn blobs_at(&self, timestamp: u64) -> Option<BlobCounts> {
        let reached = |fork: Option<u64>| fork.is_some_and(|fork| fork <= timestamp);
        let later = self.blob_forks.iter().zip(&self.blobs.forks).rev();
        later
            .filter(|(fork, _)| reached(**fork))
            .find_map(|(_, counts)| *counts)
            .or_else(|| self.blobs.osaka.filter(|_| reached(self.osaka)))
            .or_else(|| self.blobs.prague.filter(|_| reached(self.prague)))
            .or_else(|| self.blobs.cancun.filter(|_| reached(self.cancun)))
    }
}

fn check_order(forks: &[(&'static str, Option<u64>, bool)]) -> Result<(), ScheduleError> {
    let mut last: Option<(&'static str, Option<u64>)> = None;
    for (name, at, optional) in forks {
        if let (Some((first, first_at)), Some(second_at)) = (last, *at) {
            match first_at {
                None => return Err(ScheduleError::Missing { missing: first, present: name }),
                Some(first_at) if first_at > second_at => {
                    return Err(ScheduleError::Order { first, first_at, second: name, second_at });
                }
                Some(_) => {}
            }
        }
        if at.is_some() || !optional {
            last = Some((name, *at));
        }
    }
    Ok(())
}

fn reached(fork: Option<u64>, now: u64) -> bool {
    fork.is_some_and(|fork| fork <= now)
}

impl ChainSpec {
    /// The rules in force in the block of this number and timestamp, as far as the schedule alone
    /// can tell whether it is proof of stake; [`Self::fork_of`] sees it in the header.
    pub fn fork(&self, number: u64, timestamp: u64) -> SpecId {
        self.fork_at(number, timestamp, self.is_merged(number, timestamp))
    }

    /// The rules a finished block was made by.
    pub fn fork_of(&self, header: &Header) -> SpecId {
        self.fork_at(header.number, header.timestamp, header.difficulty.is_zero())
    }

    /// The rules in a block that is or is not proof of stake.
    pub fn fork_at(&self, number: u64, timestamp: u64, merged: bool) -> SpecId {
        let forks = &self.forks;
        if merged && reached(forks.london, number) {
            return match timestamp {
                t if reached(forks.osaka, t) => SpecId::OSAKA,
                t if reached(forks.prague, t) => SpecId::PRAGUE,
                t if reached(forks.cancun, t) => SpecId::CANCUN,
                t if reached(forks.shanghai, t) => SpecId::SHANGHAI,
                _ => SpecId::MERGE,
            };
        }
        match number {
            n if reached(forks.london, n) => SpecId::LONDON,
            n if reached(forks.berlin, n) => SpecId::BERLIN,
            n if reached(forks.istanbul, n) => SpecId::ISTANBUL,
            // Constantinople without Petersburg differs in one instruction (EIP-1283), which the
            // environment brings.
            n if reached(forks.constantinople, n) || reached(forks.petersburg, n) => {
                SpecId::PETERSBURG
            }
            n if reached(forks.byzantium, n) => SpecId::BYZANTIUM,
            n if reached(forks.spurious_dragon, n) => SpecId::SPURIOUS_DRAGON,
            n if reached(forks.tangerine, n) => SpecId::TANGERINE,
            n if reached(forks.homestead, n) => SpecId::HOMESTEAD,
            _ => SpecId::FRONTIER,
        }
    }

    /// Whether the schedule makes a block proof of stake, whatever came before it.
    pub fn is_merged(&self, number: u64, timestamp: u64) -> bool {
        self.forks.terminal_total_difficulty.is_some_and(|total| total.is_zero())
            || reached(self.forks.merge_netsplit, number)
            || (reached(self.forks.london, number) && reached(self.forks.shanghai, timestamp))
    }

    /// Whether a block lies between Constantinople and Petersburg.
    pub fn is_only_constantinople(&self, number: u64) -> bool {
        reached(self.forks.constantinople, number)
            && !reached(self.forks.petersburg, number)
            && !reached(self.forks.istanbul, number)
    }

    /// Whether transactions of a block may be protected against replay (EIP-155).
    pub fn has_replay_protection(&self, number: u64) -> bool {
        reached(self.forks.eip155, number)
    }

    /// Whether blocks of this number have a base fee.
    pub fn has_base_fee(&self, number: u64) -> bool {
        reached(self.forks.london, number)
    }

    /// EIP-1559 parameters.
    pub fn base_fee_params(&self) -> BaseFeeParams {
        BaseFeeParams::ethereum()
    }

    /// Base fee of the child of `parent`, in wei per gas; zero before London.
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        if !self.has_base_fee(parent.number.saturating_add(1)) {
            return 0;
        }
        parent.next_block_base_fee(self.base_fee_params()).unwrap_or(INITIAL_BASE_FEE)
    }

    /// Blob parameters of a block of this timestamp; `None` before Cancun.
    pub fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        let counts = self.forks.blobs_at(timestamp)?;
        let is_osaka = reached(self.forks.osaka, timestamp);
        Some(BlobParams {
            target_blob_count: counts.target,
            max_blob_count: counts.max,
            update_fraction: counts.update_fraction.into(),
            min_blob_fee: 1,
            max_blobs_per_tx: if is_osaka { eip7594::MAX_BLOBS_PER_TX_FUSAKA } else { counts.max },
            blob_base_cost: if is_osaka { eip7840::BLOB_BASE_COST } else { 0 },
        })
    }

    /// Excess blob gas of the child of `parent` at `timestamp`; `None` before Cancun.
    pub fn next_excess_blob_gas(&self, parent: &Header, timestamp: u64) -> Option<u64> {
        let params = self.blob_params(timestamp)?;
        let excess = parent.excess_blob_gas.unwrap_or_default();
        let used = parent.blob_gas_used.unwrap_or_default();
        // A sum that does not fit comes only from a genesis that is absurd.
        let sum = excess.checked_add(used).unwrap_or(u64::MAX / 2);
        if sum < params.target_blob_gas_per_block() {
            return Some(0);
        }
        let base_fee = parent.base_fee_per_gas.unwrap_or_default();
        Some(params.next_block_excess_blob_gas_osaka(sum - used.min(sum), used, base_fee))
    }

    /// Price of blob gas in a finished block, in wei; `None` before Cancun.
    pub fn blob_fee_of(&self, header: &Header) -> Option<u128> {
        Some(self.blob_params(header.timestamp)?.calc_blob_fee(header.excess_blob_gas?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_proof_of_work_moves_until_it_is_reached() {
        let forks = |total: u64| Forks {
            dao: Some(7),
            terminal_total_difficulty: Some(U256::from(total)),
            ..Forks::none()
        };
        let head = |number, difficulty: u64| Header {
            number,
            difficulty: U256::from(difficulty),
            ..Header::default()
        };
        let stored = forks(9);
        let moved =
            |wanted: Forks, head: Header| stored.check_change(&wanted, &head, U256::from(4));
        let changed = |what| Err(ScheduleError::Changed(what));
        assert_eq!(moved(forks(10), head(5, 1)), Ok(()));
        assert_eq!(moved(forks(10), head(0, 0)), Ok(()));
        assert_eq!(moved(forks(10), head(5, 0)), changed("terminalTotalDifficulty"));
        assert_eq!(moved(forks(9), head(5, 0)), Ok(()));
        // Lower, too, but not below what the blocks before the head have.
        assert_eq!(moved(forks(5), head(5, 1)), Ok(()));
        assert_eq!(moved(forks(4), head(5, 1)), changed("terminalTotalDifficulty"));
        let endless = Forks { terminal_total_difficulty: None, ..forks(9) };
        assert_eq!(moved(endless.clone(), head(5, 1)), Ok(()));
        let ends = |total| endless.check_change(&forks(total), &head(5, 1), U256::from(4));
        assert_eq!(ends(5), Ok(()));
        assert_eq!(ends(4), changed("terminalTotalDifficulty"));
        // Whose side the chain takes at the DAO's block may change before that.
        let other = Forks { dao_support: !stored.dao_support, ..forks(9) };
        assert_eq!(moved(other.clone(), head(6, 1)), Ok(()));
        assert_eq!(moved(other, head(7, 1)), changed("daoForkSupport"));
        // Deposits are looked for from Prague on.
        let other = Forks { deposit_contract: alloy_primitives::Address::ZERO, ..forks(9) };
        assert_eq!(moved(other, head(7, 1)), Ok(()));
    }
}
