//! A call's positional arguments, and how many each method takes.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::RpcError;
use crate::decode::{self, DecodeError, Parameter, strict};

/// Positional arguments, read one after the other with geth's complaints.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    given: std::vec::IntoIter<&'a RawValue>,
    position: usize,
}

impl<'a> Arguments<'a> {
    /// The arguments of a call of `method`; `params` is JSON.
    pub(super) fn new(method: &str, params: Option<&'a str>) -> Result<Self, RpcError> {
        Self::at_most(arguments_max(method), params)
    }

    /// Of a call that takes at most so many.
    pub(super) fn at_most(most: usize, params: Option<&'a str>) -> Result<Self, RpcError> {
        let given = match params {
            None => Vec::new(),
            Some(text) => decode::arguments(text.trim(), most)
                .map_err(|error| RpcError::invalid(error.to_string()))?,
        };
        Ok(Self { given: given.into_iter(), position: 0 })
    }

    /// The next argument, which must be there.
    pub(super) fn take<T: Parameter>(&mut self) -> Result<T, RpcError> {
        let position = self.position;
        match self.next() {
            Some(raw) => T::decode(raw.get()).map_err(|error| Self::refused(position, &error)),
            None => Err(Self::missing(position)),
        }
    }

    /// The next argument, unless it is absent or null.
    pub(super) fn take_optional<T: Parameter>(&mut self) -> Result<Option<T>, RpcError> {
        let position = self.position;
        match self.next() {
            Some(raw) if raw.get() != "null" => {
                T::decode(raw.get()).map(Some).map_err(|error| Self::refused(position, &error))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// The text of the next argument, which must be there.
    pub(super) fn text(&mut self) -> Result<&'a str, RpcError> {
        let position = self.position;
        match self.next() {
            Some(raw) if raw.get() != "null" => Ok(raw.get()),
            Some(_) | None => Err(Self::missing(position)),
        }
    }

    /// Like [`Self::take`] for types that read themselves.
    pub(super) fn required<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let position = self.position;
        self.optional()?.ok_or_else(|| Self::missing(position))
    }

    /// Like [`Self::take_optional`] for types that read themselves; structures among them from objects alone.
    pub(super) fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        let position = self.position;
        match self.next() {
            Some(raw) if raw.get() != "null" => {
                strict::from_str(raw.get()).map(Some).map_err(|error| {
                    Self::refused(position, &DecodeError::Other(strict::reason(&error)))
                })
            }
            Some(_) | None => Ok(None),
        }
    }

    fn next(&mut self) -> Option<&'a RawValue> {
        self.position += 1;
        self.given.next()
    }

    fn missing(position: usize) -> RpcError {
        RpcError::invalid(format!("missing value for required argument {position}"))
    }

    fn refused(position: usize, error: &DecodeError) -> RpcError {
        RpcError::invalid(format!("invalid argument {position}: {error}"))
    }
}

/// Arguments taken by methods that are not listed.
const ARGUMENTS_MAX: usize = 8;

/// How many arguments the methods take at most.
const TAKEN: &[(usize, &[&str])] = &[
    (
        0,
        &[
            "web3_clientVersion",
            "net_version",
            "net_listening",
            "net_peerCount",
            "eth_chainId",
            "eth_syncing",
            "eth_accounts",
            "eth_blockNumber",
            "eth_gasPrice",
            "eth_maxPriorityFeePerGas",
            "eth_blobBaseFee",
            "eth_baseFee",
            "eth_config",
            "eth_capabilities",
            "eth_newBlockFilter",
            "eth_pendingTransactions",
            "txpool_status",
            "txpool_content",
            "txpool_inspect",
            "rpc_modules",
        ],
    ),
    (
        1,
        &[
            "web3_sha3",
            "eth_getBlockTransactionCountByNumber",
            "eth_getBlockTransactionCountByHash",
            "eth_getUncleCountByBlockNumber",
            "eth_getUncleCountByBlockHash",
            "eth_getHeaderByNumber",
            "eth_getHeaderByHash",
            "eth_getBlockReceipts",
            "eth_getTransactionByHash",
            "eth_getRawTransactionByHash",
            "eth_getTransactionReceipt",
            "eth_sendRawTransaction",
            "eth_sendTransaction",
            "eth_fillTransaction",
            "eth_signTransaction",
            "eth_getLogs",
            "eth_newFilter",
            "eth_newPendingTransactionFilter",
            "eth_uninstallFilter",
            "eth_getFilterChanges",
            "eth_getFilterLogs",
            "txpool_contentFrom",
            "debug_getRawHeader",
            "debug_getRawBlock",
            "debug_getRawReceipts",
            "debug_getRawTransaction",
            "debug_getBadBlocks",
            "debug_dumpBlock",
            "debug_preimage",
            "debug_replayBadBlock",
            "debug_executionWitness",
        ],
    ),
    (
        2,
        &[
            "eth_getBlockByNumber",
            "eth_getBlockByHash",
            "eth_getUncleByBlockNumberAndIndex",
            "eth_getUncleByBlockHashAndIndex",
            "eth_getTransactionByBlockNumberAndIndex",
            "eth_getTransactionByBlockHashAndIndex",
            "eth_getRawTransactionByBlockNumberAndIndex",
            "eth_getRawTransactionByBlockHashAndIndex",
            "eth_getBalance",
            "eth_getTransactionCount",
            "eth_getCode",
            "eth_getStorageValues",
            "eth_sign",
            "eth_sendRawTransactionSync",
            "eth_simulateV1",
            "debug_traceTransaction",
            "debug_traceBlock",
            "debug_traceBlockByNumber",
            "debug_traceBlockByHash",
            "debug_traceBadBlock",
            "debug_intermediateRoots",
            "debug_getAccessibleState",
            "debug_getModifiedAccountsByNumber",
            "debug_getModifiedAccountsByHash",
        ],
    ),
    (
        3,
        &[
            "eth_getStorageAt",
            "eth_getProof",
            "eth_feeHistory",
            "eth_createAccessList",
            "eth_resend",
            "debug_traceCall",
        ],
    ),
    (4, &["eth_call", "eth_estimateGas"]),
    (5, &["debug_storageRangeAt"]),
    (6, &["debug_accountRange"]),
];

/// How many arguments a method takes at most.
fn arguments_max(method: &str) -> usize {
    let listed = TAKEN.iter().find(|(_, names)| names.contains(&method));
    listed.map_or(ARGUMENTS_MAX, |(count, _)| *count)
}
