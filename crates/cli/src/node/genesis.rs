//! The genesis a node starts from.

use std::{fs::File, io::Read as _, path::Path};

use alloy::primitives::{Address, U256, address};
use tilth_chain::Genesis;
use tilth_protocol::Problem;

/// Largest genesis file, in bytes: a state of a few hundred thousand accounts.
const GENESIS_BYTES_MAX: u64 = 256 << 20;

/// Chain id of the built-in development chain, as of `geth --dev`.
const DEVELOPMENT_CHAIN: u64 = 1337;

/// Start of the development chain, seconds since 1970.
const DEVELOPMENT_START: u64 = 1_700_000_000;

/// The accounts of the mnemonic "test test test test test test test test test test test junk", which
/// every development tool knows.
const DEVELOPMENT_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8F"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Reads a genesis in geth's format, or makes the one for development.
///
/// # Errors
/// The file cannot be read or is not a genesis.
pub fn load(path: Option<&Path>) -> Result<Genesis, Problem> {
    let Some(path) = path else { return Ok(development()) };
    let unreadable = |error: std::io::Error| {
        Problem::new(
            "the genesis file cannot be read",
            format!("{}: {error}", path.display()),
            "check the path given as `genesis`; it is relative to the folder in which the command runs",
        )
    };
    let mut bytes = Vec::new();
    // The kind is asked before opening: opening a FIFO would wait for a writer for ever.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    file.take(GENESIS_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > GENESIS_BYTES_MAX {
        return Err(unreadable(std::io::Error::other(format!(
            "it has more than {GENESIS_BYTES_MAX} bytes"
        ))));
    }
    Genesis::from_json(&bytes).map_err(|error| {
        Problem::new(
            "the genesis is not valid",
            format!("{}: {}", path.display(), with_causes(&error)),
            "correct the file; its format is the one `geth init` reads",
        )
    })
}

/// Whether the accounts of a configuration's genesis have publicly known keys.
pub fn is_for_development(path: Option<&Path>) -> bool {
    path.is_none()
}

fn development() -> Genesis {
    let coins = U256::from(10_000) * U256::from(10).pow(U256::from(18));
    Genesis {
        chain_id: DEVELOPMENT_CHAIN,
        timestamp: DEVELOPMENT_START,
        gas_limit: 60_000_000,
        base_fee: 1_000_000_000,
        balances: DEVELOPMENT_ACCOUNTS.map(|account| (account, coins)).to_vec(),
        ..Genesis::default()
    }
}

/// An error with its causes in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_genesis_is_what_it_always_was() {
        let genesis = development();
        let block = genesis.execute().unwrap().block;
        assert_eq!(block.header.hash(), development().execute().unwrap().block.header.hash());
        assert_eq!(genesis.balances.len(), 10);
    }
}
