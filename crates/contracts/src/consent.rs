//! What a node key signs so that an owner may register it (EIP-712).
//!
//! Made here and not asked of a node: whoever signs what an RPC address hands out signs anything.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolStruct, eip712_domain};

mod message {
    alloy_sol_types::sol! {
        /// A node key agrees to work for an owner.
        struct NodeConsent {
            /// The owner of the provider.
            address owner;
            /// Unix seconds up to which it may be used.
            uint256 deadline;
        }
    }
}

/// The digest that a node key signs to agree to work for `owner` until `deadline` (Unix seconds), in
/// one Registry on one chain; the same as `Registry.consentDigest`.
pub fn consent_digest(chain_id: u64, registry: Address, owner: Address, deadline: u64) -> B256 {
    let domain = eip712_domain! {
        name: "tilth Registry",
        version: "1",
        chain_id: chain_id,
        verifying_contract: registry,
    };
    let deadline = U256::from(deadline);
    message::NodeConsent { owner, deadline }.eip712_signing_hash(&domain)
}
