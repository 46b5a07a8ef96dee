//! The forks by the names that the tests have for them.

use alloy::primitives::U256;
use tilth_chain::{
    ChainSpec, Forks,
    spec::{BlobCounts, BlobSchedule},
};

/// The forks in their order; every one has the rules of those before it.
const ORDER: [&str; 17] = [
    "Frontier",
    "Homestead",
    "EIP150",
    "EIP158",
    "Byzantium",
    "Constantinople",
    "ConstantinopleFix",
    "Istanbul",
    "MuirGlacier",
    "Berlin",
    "London",
    "ArrowGlacier",
    "GrayGlacier",
    "Paris",
    "Shanghai",
    "Cancun",
    "Prague",
];

/// When the later fork of a transition comes: a block, a second, or a difficulty.
enum When {
    Block(u64),
    Second(u64),
    Difficulty(u64),
}

/// The rules of a network: a fork from the first block on, or a transition like
/// `BerlinToLondonAt5`. `None` if there is no such name.
pub fn network(name: &str) -> Option<ChainSpec> {
    let forks = match name.split_once("To") {
        None => forks(name)?,
        Some((first, rest)) => {
            let (second, when) = rest.split_once("At")?;
            transition(first, second, when)?
        }
    };
    forks.check().ok()?;
    Some(ChainSpec { chain_id: 1, forks })
}

fn forks(name: &str) -> Option<Forks> {
    let name = if name == "Merge" { "Paris" } else { name };
    let mut forks = with_blobs();
    if name == "Osaka" {
        forks.osaka = Some(0);
    }
    let last =
        ORDER.iter().position(|fork| *fork == name || (name == "Osaka" && *fork == "Prague"))?;
    for fork in &ORDER[..=last] {
        bring(&mut forks, fork, &When::Block(0))?;
    }
    Some(forks)
}

fn transition(first: &str, second: &str, when: &str) -> Option<Forks> {
    let second = if second == "Merge" { "Paris" } else { second };
    let mut forks = forks(first)?;
    let when = match when.strip_prefix("Time") {
        Some(time) => When::Second(time.strip_suffix('k')?.parse::<u64>().ok()? * 1000),
        None => match when.strip_prefix("Diff") {
            Some(total) => When::Difficulty(u64::from_str_radix(total, 16).ok()?),
            None => When::Block(when.parse().ok()?),
        },
    };
    if second == "ConstantinopleFix" {
        bring(&mut forks, "Constantinople", &when)?;
    }
    bring(&mut forks, second, &when)?;
    Some(forks)
}

/// Brings one fork into force.
fn bring(forks: &mut Forks, fork: &str, when: &When) -> Option<()> {
    let at = match when {
        When::Block(at) | When::Second(at) => Some(*at),
        When::Difficulty(_) => None,
    };
    match fork {
        "Frontier" => {}
        "Homestead" => forks.homestead = at,
        "Dao" => (forks.dao, forks.dao_support) = (at, true),
        "EIP150" => forks.tangerine = at,
        "EIP158" => (forks.eip155, forks.spurious_dragon) = (at, at),
        "Byzantium" => forks.byzantium = at,
        "Constantinople" => forks.constantinople = at,
        "ConstantinopleFix" => forks.petersburg = at,
        "Istanbul" => forks.istanbul = at,
        "MuirGlacier" => forks.muir_glacier = at,
        "Berlin" => forks.berlin = at,
        "London" => forks.london = at,
        "ArrowGlacier" => forks.arrow_glacier = at,
        "GrayGlacier" => forks.gray_glacier = at,
        "Paris" => {
            let total = if let When::Difficulty(total) = when { *total } else { 0 };
            forks.terminal_total_difficulty = Some(U256::from(total));
        }
        "Shanghai" => forks.shanghai = at,
        "Cancun" => forks.cancun = at,
        "Prague" => forks.prague = at,
        "Osaka" => forks.osaka = at,
        _ => return None,
    }
    Some(())
}

fn with_blobs() -> Forks {
    Forks {
        blobs: BlobSchedule {
            cancun: Some(BlobCounts::CANCUN),
            prague: Some(BlobCounts::PRAGUE),
            osaka: Some(BlobCounts::PRAGUE),
            ..BlobSchedule::default()
        },
        ..Forks::none()
    }
}

/// A chain that the difficulty tests are about, or a fork.
pub fn chain(name: &str) -> Option<ChainSpec> {
    let chain_id = 1;
    Some(match name {
        "CustomHomestead" => return network("Homestead"),
        "EIP2384" => return network("MuirGlacier"),
        "MainNetwork" | "CustomMainNetwork" => ChainSpec { chain_id, forks: main_network() },
        "Ropsten" => ChainSpec { chain_id, forks: ropsten() },
        fork => return network(fork),
    })
}

/// The main network as far as the difficulty tests go.
fn main_network() -> Forks {
    Forks {
        homestead: Some(1_150_000),
        dao: Some(1_920_000),
        dao_support: true,
        tangerine: Some(2_463_000),
        eip155: Some(2_675_000),
        spurious_dragon: Some(2_675_000),
        byzantium: Some(4_370_000),
        ..Forks::none()
    }
}

/// The first public test network, likewise.
fn ropsten() -> Forks {
    Forks {
        homestead: Some(0),
        tangerine: Some(0),
        eip155: Some(10),
        spurious_dragon: Some(10),
        byzantium: Some(1_700_000),
        constantinople: Some(4_230_000),
        petersburg: Some(4_939_394),
        ..Forks::none()
    }
}
