//! What can go wrong between us and a chain, and what a person is told about it.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use tilth_protocol::Problem;

/// A failed conversation with the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The text is not an RPC address.
    #[error("{url:?} is not an RPC address: {detail}")]
    BadUrl {
        /// The text.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No answer for as long as we were willing to wait.
    #[error("no answer from {url} for {waited:?} while {action}: {detail}")]
    Unreachable {
        /// The RPC address.
        url: String,
        /// What was asked.
        action: &'static str,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        detail: String,
    },
    /// The node answered with an error.
    #[error("the node refused {action}: {message} (code {code})")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's message.
        message: String,
    },
    /// A contract refused the call.
    #[error("{}: {}", problem.what, problem.detail)]
    Reverted {
        /// What was asked.
        action: &'static str,
        /// What the contract said, for people.
        problem: Box<Problem>,
        /// What the contract said, for programs.
        data: Bytes,
    },
    /// The node answered something that makes no sense.
    #[error("the node's answer to {action} is not usable: {detail}")]
    BadAnswer {
        /// What was asked.
        action: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The tilth contracts are not on this chain.
    #[error("chain {chain_id} at {url} has no contract at {address}")]
    NoContracts {
        /// The RPC address.
        url: String,
        /// The chain's id.
        chain_id: u64,
        /// Where the contract should be.
        address: Address,
    },
    /// The node is on another chain than the network.
    #[error("{url} is chain {found}, the network is on chain {expected}")]
    OtherChain {
        /// The RPC address.
        url: String,
        /// The network's chain.
        expected: u64,
        /// What the node says.
        found: u64,
    },
    /// The account cannot pay for gas and value.
    #[error("account {account} cannot pay for the transaction: {detail}")]
    NoGas {
        /// The sender.
        account: Address,
        /// The node's message.
        detail: String,
    },
    /// The transaction is in no block after all resends.
    #[error("transaction {hash} is in no block after {waited:?}")]
    NotIncluded {
        /// The last transaction sent.
        hash: B256,
        /// How long was waited.
        waited: Duration,
    },
    /// The transaction is in a block, but that could still be taken back.
    #[error(
        "transaction {hash} is in a block, but after {waited:?} there are not {confirmations} blocks on top of it"
    )]
    NotConfirmed {
        /// The last transaction sent.
        hash: B256,
        /// Blocks that it should have on top.
        confirmations: u32,
        /// How long was waited.
        waited: Duration,
    },
    /// The chain is shorter than it was, or another one.
    #[error(
        "the chain ends at block {found}, but block {expected} was read before: it is another chain, or it lost blocks"
    )]
    Rewound {
        /// Highest block seen before.
        expected: u64,
        /// Highest block now.
        found: u64,
    },
    /// What reads the chain for a task has ended, though the chain is the same: a fault of this program.
    #[error("the chain is not read any more")]
    Unread,
    /// The key cannot sign.
    #[error("signing failed: {0}")]
    Signing(String),
}

impl ChainError {
    /// Whether the same can succeed later without anybody changing anything here.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NotIncluded { .. } | Self::NotConfirmed { .. }
        )
    }

    /// What the contract said, if a contract refused.
    pub fn revert_data(&self) -> Option<&Bytes> {
        match self {
            Self::Reverted { data, .. } => Some(data),
            _ => None,
        }
    }

    /// The three-part message for people.
    pub fn problem(&self) -> Problem {
        let (what, advice) = match self {
            Self::Reverted { problem, .. } => return (**problem).clone(),
            Self::BadUrl { .. } => {
                ("the chain's address is not valid", "write it like http://127.0.0.1:8545")
            }
            Self::Unreachable { .. } => (
                "the chain cannot be reached",
                "check that the node is running and that the RPC address is right; nothing is lost, the same command carries on",
            ),
            Self::Refused { .. } => (
                "the chain's node refused a request",
                "the detail is the node's own message; if it asks for less, try again later or use another RPC address",
            ),
            Self::BadAnswer { .. } => (
                "the chain's node gave an answer that is not usable",
                "check that the RPC address belongs to an Ethereum JSON-RPC node",
            ),
            Self::NoContracts { .. } => (
                "tilth is not on this chain",
                "check the RPC address and the contract addresses, or deploy the contracts first (tilth up --rpc URL)",
            ),
            Self::OtherChain { .. } => (
                "the chain's node is on another chain",
                "nothing was signed or sent; check the RPC address of the network file, or try again if others answer there, too",
            ),
            Self::NoGas { .. } => (
                "the account cannot pay for the transaction",
                "send native coin to this account for gas (tilth account send), then try again",
            ),
            Self::NotIncluded { .. } => (
                "a transaction was not included in time",
                "the network may be busy; look again later, the transaction can still be included",
            ),
            Self::NotConfirmed { .. } => (
                "a transaction is not certain yet",
                "the chain makes blocks slowly, or none; look again later, and check `confirmations` in the network file",
            ),
            Self::Rewound { .. } => (
                "this is not the chain it was",
                "the node was started afresh or points to another chain; use a new folder for it, or start the old chain again",
            ),
            Self::Unread => (
                "the chain's events are not read any more",
                "start it again, it goes on where it was; report this with the log if it comes again",
            ),
            Self::Signing(_) => {
                ("the transaction cannot be signed", "check the account's key file")
            }
        };
        Problem::new(what, self.to_string(), advice)
    }
}
