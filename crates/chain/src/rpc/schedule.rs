//! The forks by time, as EIP-7910 shows them.

use std::collections::BTreeMap;

use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_primitives::{Address, B256, FixedBytes, U64};
use serde::Serialize;

use super::{Arguments, Rpc, error::RpcError};
use crate::{block::ChainSpec, spec::Forks};

#[derive(Clone, Debug, Serialize)]
pub(super) struct Config {
    current: Option<Fork>,
    next: Option<Fork>,
    last: Option<Fork>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fork {
    activation_time: u64,
    blob_schedule: Option<Blobs>,
    chain_id: U64,
    fork_id: FixedBytes<4>,
    precompiles: BTreeMap<&'static str, Address>,
    system_contracts: BTreeMap<&'static str, Address>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blobs {
    target: u64,
    max: u64,
    base_fee_update_fraction: u64,
}

/// Names and numbers of the precompiles, with how many of them each fork knows.
const PRECOMPILES: [(&str, u64); 18] = [
    ("ECREC", 0x01),
    ("SHA256", 0x02),
    ("RIPEMD160", 0x03),
    ("ID", 0x04),
    ("MODEXP", 0x05),
    ("BN254_ADD", 0x06),
    ("BN254_MUL", 0x07),
    ("BN254_PAIRING", 0x08),
    ("BLAKE2F", 0x09),
    ("KZG_POINT_EVALUATION", 0x0a),
    ("BLS12_G1ADD", 0x0b),
    ("BLS12_G1MSM", 0x0c),
    ("BLS12_G2ADD", 0x0d),
    ("BLS12_G2MSM", 0x0e),
    ("BLS12_PAIRING_CHECK", 0x0f),
    ("BLS12_MAP_FP_TO_G1", 0x10),
    ("BLS12_MAP_FP2_TO_G2", 0x11),
    ("P256VERIFY", 0x100),
];
const UP_TO_SHANGHAI: usize = 9;
const UP_TO_CANCUN: usize = 10;
const UP_TO_PRAGUE: usize = 17;

pub(super) fn config(rpc: &Rpc, _: Arguments<'_>) -> Result<Config, RpcError> {
    let (spec, head) = (&rpc.node.spec, rpc.head());
    let first = head.header_of(0)?.ok_or_else(RpcError::header_not_found)?;
    let fork = |time| fork(spec, first.hash(), first.timestamp, time);
    let times = times(&spec.forks);
    // The forks count in their order, whatever their times: the last one that has come, the one
    // right after it if it has a time, and the last of all.
    let latest = |now: u64| times.iter().rposition(|time| time.is_some_and(|time| time <= now));
    let current = latest(head.header.timestamp);
    let next = times.get(current.map_or(0, |current| current + 1)).copied().flatten();
    let last = latest(u64::MAX).and_then(|last| times[last]);
    Ok(Config {
        current: current.and_then(|current| times[current]).map(fork),
        next: next.map(fork),
        last: next.and(last).map(fork),
    })
}

/// The times of the forks from Shanghai on, in their order.
fn times(forks: &Forks) -> Vec<Option<u64>> {
    let mut times = vec![forks.shanghai, forks.cancun, forks.prague, forks.osaka];
    times.extend(forks.blob_forks);
    times
}

fn fork(spec: &ChainSpec, first: B256, first_time: u64, time: u64) -> Fork {
    let forks = &spec.forks;
    let reached = |fork: Option<u64>| fork.is_some_and(|fork| fork <= time);
    let known = match () {
        () if reached(forks.osaka) => PRECOMPILES.len(),
        () if reached(forks.prague) => UP_TO_PRAGUE,
        () if reached(forks.cancun) => UP_TO_CANCUN,
        () => UP_TO_SHANGHAI,
    };
    let precompile = |(name, number): &(&'static str, u64)| {
        (*name, Address::left_padding_from(&number.to_be_bytes()))
    };
    let mut system_contracts = BTreeMap::new();
    if reached(forks.cancun) {
        system_contracts.insert("BEACON_ROOTS_ADDRESS", BEACON_ROOTS_ADDRESS);
    }
    if reached(forks.prague) {
        system_contracts.extend([
            ("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
            ("DEPOSIT_CONTRACT_ADDRESS", forks.deposit_contract),
            ("HISTORY_STORAGE_ADDRESS", HISTORY_STORAGE_ADDRESS),
            ("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
        ]);
    }
    Fork {
        activation_time: if time <= first_time { 0 } else { time },
        blob_schedule: spec.blob_params(time).map(|params| Blobs {
            target: params.target_blob_count,
            max: params.max_blob_count,
            base_fee_update_fraction: u64::try_from(params.update_fraction).unwrap_or(u64::MAX),
        }),
        chain_id: U64::from(spec.chain_id),
        fork_id: fork_id(forks, first, first_time, time).into(),
        precompiles: PRECOMPILES[..known].iter().map(precompile).collect(),
        system_contracts,
    }
}

/// EIP-2124's checksum over the genesis hash and the forks up to `time`.
fn fork_id(forks: &Forks, first: B256, first_time: u64, time: u64) -> [u8; 4] {
    let mut by_number: Vec<u64> = forks.numbers().filter(|number| *number > 0).collect();
    by_number.sort_unstable();
    by_number.dedup();
    let after_first = |fork: &u64| *fork > first_time && *fork <= time;
    let mut by_time: Vec<u64> = times(forks).into_iter().flatten().filter(after_first).collect();
    by_time.sort_unstable();
    by_time.dedup();
    let mut checksum = crc32(0, first.as_slice());
    for fork in by_number.into_iter().chain(by_time) {
        checksum = crc32(checksum, &fork.to_be_bytes());
    }
    checksum.to_be_bytes()
}

/// CRC-32 (IEEE) of what came before and `bytes`.
fn crc32(before: u32, bytes: &[u8]) -> u32 {
    let mut state = !before;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = state & 1;
            state >>= 1;
            if carry == 1 {
                state ^= 0xedb8_8320;
            }
        }
    }
    !state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_usual_ones() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn fork_ids_are_those_of_eip_2124() {
        let mainnet = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";
        let forks = Forks {
            homestead: Some(1_150_000),
            dao: Some(1_920_000),
            tangerine: Some(2_463_000),
            eip155: Some(2_675_000),
            spurious_dragon: Some(2_675_000),
            byzantium: Some(4_370_000),
            constantinople: Some(7_280_000),
            petersburg: Some(7_280_000),
            istanbul: Some(9_069_000),
            muir_glacier: Some(9_200_000),
            berlin: Some(12_244_000),
            london: Some(12_965_000),
            arrow_glacier: Some(13_773_000),
            gray_glacier: Some(15_050_000),
            shanghai: Some(1_681_338_455),
            cancun: Some(1_710_338_135),
            ..Forks::none()
        };
        let id = |time| fork_id(&forks, mainnet.parse().unwrap(), 0, time);
        assert_eq!(id(0), [0xf0, 0xaf, 0xd0, 0xe3]);
        assert_eq!(id(1_681_338_455), [0xdc, 0xe9, 0x6c, 0x2d]);
        assert_eq!(id(1_710_338_135), [0x9f, 0x3d, 0x22, 0x54]);
    }
}
