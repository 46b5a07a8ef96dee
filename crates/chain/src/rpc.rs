//! JSON-RPC over HTTP and WebSocket: the server, and the table of methods.
//!
//! A method is one function in one of the files beside this one, and one line in [`methods`].
//! *Quick* methods read a few records and run where they arrive; *heavy* ones (EVM execution, log
//! queries, whole blocks) run on their own threads, a bounded number at a time, so that no request can keep
//! blocks from being made.

mod access_list;
mod accounts;
mod arguments;
mod blocks;
mod call;
mod capabilities;
mod chain_trace;
mod confirmed;
mod convert;
mod criteria;
mod debug;
mod debug_state;
mod dispatch;
mod error;
mod estimate;
mod fees;
mod fill;
mod filters;
mod http;
mod keys;
#[cfg(test)]
mod listing;
mod logs;
mod message;
mod modified;
mod news;
mod oracle;
mod origin;
mod pending;
mod places;
mod raw;
mod roots;
mod runs;
mod schedule;
mod server;
mod simulate;
mod socket;
mod state;
mod submission;
mod subscriptions;
mod table;
mod tagged;
mod traced;
mod transactions;
mod txpool;
mod witness;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use self::{
    arguments::Arguments,
    dispatch::Dispatcher,
    filters::Filters,
    http::Service,
    oracle::Oracle,
    origin::Gate,
    places::Places,
    subscriptions::Hub,
    table::{Table, executing, heavy, quick, waiting},
};
pub(crate) use self::{error::reason_in_words, server::Server};
use crate::{config::Access, message::Turns, node::Node};

/// What all methods work on.
#[derive(Debug)]
pub(crate) struct Rpc {
    node: Arc<Node>,
    filters: Mutex<Filters>,
    /// For requests that read much.
    permits: Arc<Places>,
    /// For those that execute messages.
    executions: Arc<Places>,
    /// Whose turn it is to execute messages.
    turns: Arc<Turns>,
    oracle: Oracle,
    /// For batches of transactions, each of which is decoded by several threads.
    submissions: Arc<Places>,
}

impl Rpc {
    fn new(node: Arc<Node>) -> Self {
        let limits = &node.limits;
        Self {
            filters: Mutex::new(Filters::new(limits.filters_max, limits.filter_idle_max)),
            permits: Places::new(limits.heavy_requests()),
            executions: Places::new(limits.heavy_requests()),
            turns: Arc::new(Turns::of_this_machine()),
            oracle: Oracle::new(limits.tip_min),
            submissions: Places::brief(submission::batches_max()),
            node,
        }
    }
}

/// For fuzzing, see [`crate::hostile`]: whether a page of this origin, and a request for this host, may use the node.
pub(crate) fn gate(access: &Access, origin: &str, host: &str) -> (bool, bool) {
    let gate = Gate::new(access);
    (gate.allows_origin(origin), gate.allows_host(host))
}

/// For fuzzing: what logs are wanted, as a test, and an address and topics that it names.
pub(crate) fn criteria(query: &serde_json::Value) -> Option<WantedLogs> {
    let criteria = criteria::Criteria::from_json(&query.to_string(), 0).ok()?;
    criteria.check().ok()?;
    let _ = (criteria.check_future(), criteria.conditions(), criteria.covers(7));
    let topics = criteria.topics.iter().map(|any| any.first().copied()).collect();
    let address = criteria.addresses.last().copied();
    Some((Box::new(move |log: &alloy_primitives::Log| criteria.matches(log)), address, topics))
}

/// See [`criteria`].
type WantedLogs = (
    Box<dyn Fn(&alloy_primitives::Log) -> bool>,
    Option<alloy_primitives::Address>,
    Vec<Option<alloy_primitives::B256>>,
);

/// Starts serving `node`.
pub(crate) async fn serve(
    node: Arc<Node>,
    address: SocketAddr,
    access: &Access,
) -> std::io::Result<Server> {
    let rpc = Rpc::new(Arc::clone(&node));
    let gate = Gate::new(access);
    let table = methods();
    node.meters.name_methods(table.names().into_iter().chain(subscriptions::METHODS));
    Server::start(address, |connections, stop| Service {
        dispatcher: Dispatcher { rpc: Arc::new(rpc), table },
        hub: Arc::new(Hub::new(node)),
        gate,
        connections,
        stop,
    })
    .await
}

#[expect(clippy::too_many_lines, reason = "the table of methods")]
fn methods() -> Table {
    let mut table = Table::default();
    let m = &mut table;
    quick(m, "web3_clientVersion", state::client_version);
    quick(m, "web3_sha3", state::sha3);
    quick(m, "net_version", state::net_version);
    quick(m, "net_listening", state::net_listening);
    quick(m, "net_peerCount", state::net_peer_count);
    quick(m, "eth_chainId", state::chain_id);
    quick(m, "eth_syncing", state::syncing);
    quick(m, "eth_config", schedule::config);
    quick(m, "eth_capabilities", capabilities::capabilities);
    quick(m, "eth_accounts", keys::accounts);
    quick(m, "eth_sign", keys::sign);
    quick(m, "eth_sendTransaction", keys::send_transaction);
    quick(m, "eth_signTransaction", keys::sign_transaction);
    heavy(m, "eth_fillTransaction", fill::fill_transaction);
    heavy(m, "eth_resend", fill::resend);
    quick(m, "eth_pendingTransactions", keys::pending_transactions);
    quick(m, "eth_blockNumber", blocks::block_number);
    heavy(m, "eth_getBlockByNumber", tagged::block);
    heavy(m, "eth_getBlockByHash", blocks::by_hash);
    quick(m, "eth_getBlockTransactionCountByNumber", tagged::count);
    quick(m, "eth_getBlockTransactionCountByHash", blocks::count_by_hash);
    quick(m, "eth_getUncleCountByBlockNumber", tagged::uncles);
    quick(m, "eth_getUncleCountByBlockHash", blocks::uncles_by_hash);
    quick(m, "eth_getUncleByBlockNumberAndIndex", tagged::uncle);
    quick(m, "eth_getUncleByBlockHashAndIndex", blocks::uncle_by_hash);
    quick(m, "eth_getHeaderByNumber", tagged::header);
    quick(m, "eth_getHeaderByHash", blocks::header_by_hash);
    heavy(m, "eth_getBlockReceipts", tagged::receipts);
    quick(m, "eth_getTransactionByHash", transactions::by_hash);
    quick(m, "eth_getTransactionByBlockNumberAndIndex", tagged::transaction);
    quick(m, "eth_getTransactionByBlockHashAndIndex", transactions::by_block_hash_and_index);
    quick(m, "eth_getRawTransactionByHash", raw::transaction);
    quick(m, "eth_getRawTransactionByBlockNumberAndIndex", tagged::raw_transaction);
    quick(m, "eth_getRawTransactionByBlockHashAndIndex", raw::transaction_by_hash);
    quick(m, "debug_getRawTransaction", raw::transaction);
    quick(m, "debug_getRawHeader", raw::header);
    heavy(m, "debug_getRawBlock", raw::block);
    heavy(m, "debug_getRawReceipts", raw::receipts);
    quick(m, "eth_getTransactionReceipt", transactions::receipt);
    quick(m, "eth_sendRawTransaction", transactions::send_raw);
    waiting(m, "eth_sendRawTransactionSync", confirmed::send_raw);
    quick(m, "eth_getBalance", state::balance);
    quick(m, "eth_getTransactionCount", state::transaction_count);
    quick(m, "eth_getCode", state::code);
    quick(m, "eth_getStorageAt", state::storage_at);
    heavy(m, "eth_getStorageValues", state::storage_values);
    heavy(m, "eth_getProof", state::proof);
    executing(m, "eth_call", call::call);
    executing(m, "eth_estimateGas", estimate::estimate_gas);
    executing(m, "eth_createAccessList", access_list::create);
    executing(m, "eth_simulateV1", simulate::simulate_v1);
    heavy(m, "eth_gasPrice", fees::gas_price);
    heavy(m, "eth_maxPriorityFeePerGas", fees::max_priority_fee);
    quick(m, "eth_baseFee", fees::base_fee);
    quick(m, "eth_blobBaseFee", fees::blob_base_fee);
    heavy(m, "eth_feeHistory", fees::fee_history);
    heavy(m, "eth_getLogs", logs::get_logs);
    quick(m, "eth_newFilter", filters::new_filter);
    quick(m, "eth_newBlockFilter", filters::new_block_filter);
    quick(m, "eth_newPendingTransactionFilter", filters::new_pending_filter);
    quick(m, "eth_uninstallFilter", filters::uninstall);
    heavy(m, "eth_getFilterChanges", filters::changes);
    heavy(m, "eth_getFilterLogs", filters::all_logs);
    quick(m, "txpool_status", txpool::status);
    heavy(m, "txpool_content", txpool::content);
    heavy(m, "txpool_contentFrom", txpool::content_from);
    heavy(m, "txpool_inspect", txpool::inspect);
    executing(m, "debug_traceTransaction", debug::trace_transaction);
    executing(m, "debug_traceCall", debug::trace_call);
    executing(m, "debug_traceBlock", debug::trace_block);
    executing(m, "debug_traceBlockByNumber", debug::trace_block_by_number);
    executing(m, "debug_traceBlockByHash", debug::trace_block_by_hash);
    quick(m, "debug_traceBadBlock", debug::trace_bad_block);
    quick(m, "debug_replayBadBlock", debug::replay_bad_block);
    quick(m, "debug_getBadBlocks", debug::bad_blocks);
    quick(m, "debug_preimage", debug::preimage);
    executing(m, "debug_intermediateRoots", roots::intermediate);
    executing(m, "debug_executionWitness", witness::execution);
    quick(m, "debug_getAccessibleState", roots::accessible);
    executing(m, "debug_storageRangeAt", debug_state::storage_range_at);
    executing(m, "debug_getModifiedAccountsByNumber", modified::by_number);
    executing(m, "debug_getModifiedAccountsByHash", modified::by_hash);
    heavy(m, "debug_accountRange", accounts::range);
    heavy(m, "debug_dumpBlock", accounts::dump);
    quick(m, "rpc_modules", state::modules);
    table
}
