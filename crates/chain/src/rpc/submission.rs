//! `eth_sendRawTransaction`: decoded and recovered away from the threads that serve connections.
//!
//! Transactions that follow one another in a batch are prepared together, on several threads, and
//! admitted in their order. Callers take turns ([`Places`](super::places::Places)): whoever sends
//! without end delays itself.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{B256, Bytes, U256};
use tokio::time::{Instant, timeout_at};

use super::{
    Arguments, Rpc,
    dispatch::Dispatcher,
    error::RpcError,
    message::{Kind, Message},
    traced,
};
use crate::{message::Caller, pool::Prepared};

const METHOD: &str = "eth_sendRawTransaction";

/// Wei in a hundredth of a coin.
const HUNDREDTH: u128 = 10_000_000_000_000_000;

/// How many batches may be prepared at the same time: each of them can use all processors.
pub(super) fn batches_max() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether a message asks for a transaction to be sent and waits for the answer.
pub(super) fn is_send(message: &Message<'_>) -> bool {
    message.kind() == Kind::Call && message.method == METHOD
}

impl Dispatcher {
    /// Answers messages that are all [`is_send`], in their order.
    pub(super) async fn submit(
        &self,
        messages: &[Message<'_>],
        caller: Caller,
        deadline: Instant,
    ) -> Vec<Result<String, RpcError>> {
        let (start, span) = (std::time::Instant::now(), traced::span(METHOD));
        let _held = self.rpc.node.meters.under_way(METHOD);
        let params = messages.iter().map(|message| message.params.map(|raw| raw.get().to_owned()));
        let (params, rpc) = (params.collect(), Arc::clone(&self.rpc));
        let here = span.clone();
        let submitted = timeout_at(deadline, async move {
            let place = rpc.submissions.take(caller).await;
            let work = tokio::task::spawn_blocking(move || {
                let _place = place;
                here.in_scope(|| submit(&rpc, params))
            });
            work.await.map_err(|_| RpcError::internal("the request was interrupted"))
        });
        let results = match submitted.await {
            Ok(Ok(results)) => results,
            Ok(Err(error)) => vec![Err(error); messages.len()],
            Err(_) => vec![Err(RpcError::timed_out()); messages.len()],
        };
        let refused = results.iter().filter(|result| result.is_err()).count();
        traced::answered(&span, results.len(), refused, start.elapsed());
        let share = u32::try_from(messages.len()).unwrap_or(u32::MAX).max(1);
        let time = start.elapsed() / share;
        for result in &results {
            self.rpc.node.meters.request(METHOD, result.is_ok(), time);
        }
        results.into_iter().map(|result| result.map(|hash| format!("\"{hash}\""))).collect()
    }
}

fn submit(rpc: &Rpc, params: Vec<Option<String>>) -> Vec<Result<B256, RpcError>> {
    let raw: Vec<Result<Bytes, RpcError>> =
        params.iter().map(|params| Arguments::new(METHOD, params.as_deref())?.take()).collect();
    let readable: Vec<&Bytes> = raw.iter().flatten().collect();
    let mut prepared = rpc.node.prepare_all(&readable).into_iter();
    raw.iter()
        .map(|raw| {
            raw.as_ref().map_err(Clone::clone)?;
            // As many as there are readable ones.
            let next =
                prepared.next().ok_or_else(|| RpcError::internal("a transaction is lost"))?;
            admit(rpc, next?)
        })
        .collect()
}

/// Decodes a transaction and puts it into the pool.
pub(super) fn submit_one(rpc: &Rpc, raw: &[u8]) -> Result<B256, RpcError> {
    admit(rpc, rpc.node.prepare(raw)?)
}

fn admit(rpc: &Rpc, prepared: Prepared) -> Result<B256, RpcError> {
    let transaction = &prepared.transaction;
    check_fee(rpc, transaction.max_fee_per_gas(), transaction.gas_limit())?;
    Ok(rpc.node.admit(prepared)?)
}

/// Refuses a fee that is likely a mistake, in geth's words.
pub(super) fn check_fee(rpc: &Rpc, price: u128, gas: u64) -> Result<(), RpcError> {
    let cap = rpc.node.limits.transaction_fee_max;
    let fee = U256::from(price) * U256::from(gas);
    if cap == 0 || fee <= U256::from(cap) {
        return Ok(());
    }
    Err(RpcError::server(format!(
        "tx fee ({} ether) exceeds the configured cap ({} ether)",
        in_ether(fee),
        in_ether(U256::from(cap))
    )))
}

/// An amount of wei in ether, rounded to two decimals.
fn in_ether(wei: U256) -> String {
    let hundredth = U256::from(HUNDREDTH);
    let (whole, rest) = ((wei + hundredth / U256::from(2)) / hundredth).div_rem(U256::from(100));
    format!("{whole}.{:02}", rest.to::<u8>())
}

#[cfg(test)]
mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Waker},
        time::Duration,
    };

    use alloy::{
        consensus::{SignableTransaction, TxEip1559, TxEnvelope},
        eips::eip2718::Encodable2718,
        primitives::{Address, TxKind},
        signers::{SignerSync, local::PrivateKeySigner},
    };

    use super::*;
    use crate::{
        Clock, Genesis, Limits,
        node::Node,
        rpc::{
            message::{Incoming, parse},
            places::Places,
            table::Table,
        },
        store::{Store, StoreOptions},
    };

    fn dispatcher(rich: Address) -> Dispatcher {
        let genesis = Genesis {
            chain_id: 5,
            timestamp: 1_700_000_000,
            gas_limit: 30_000_000,
            base_fee: 7,
            balances: vec![(rich, U256::from(1_u128 << 100))],
            ..Genesis::default()
        };
        let store = Store::in_memory(&StoreOptions::default()).unwrap();
        let clock = Clock::manual(1_800_000_000);
        let node = Node::open(store, &genesis, Limits::default(), clock, Address::ZERO).unwrap();
        let rpc = Rpc { submissions: Places::brief(2), ..Rpc::new(Arc::new(node)) };
        Dispatcher { rpc: Arc::new(rpc), table: Table::default() }
    }

    /// A request that sends a transaction.
    fn sending(signer: &PrivateKeySigner) -> String {
        let tx = TxEip1559 {
            chain_id: 5,
            gas_limit: 21_000,
            max_fee_per_gas: 1000,
            to: TxKind::Call(Address::repeat_byte(1)),
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        let raw = Bytes::from(TxEnvelope::from(tx.into_signed(signature)).encoded_2718());
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{METHOD}","params":["{raw}"]}}"#)
    }

    fn waits<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn who_sends_without_end_comes_after_who_sends_once() {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).unwrap();
        let dispatcher = dispatcher(signer.address());
        let body = sending(&signer);
        let Incoming::Single(message) = parse(body.as_bytes()) else { panic!("{body}") };
        let message = std::slice::from_ref(&message);
        let (flood, other) = (Caller::new(None, 1), Caller::new(None, 2));
        let deadline = Instant::now() + Duration::from_secs(3_600);
        // While nobody else asks, all places are one caller's.
        let places = &dispatcher.rpc.submissions;
        let (held, free) = (places.take(flood).await, places.take(flood).await);
        let mut early = pin!(dispatcher.submit(message, flood, deadline));
        let mut late = pin!(dispatcher.submit(message, other, deadline));
        assert!(waits(early.as_mut()) && waits(late.as_mut()));
        drop(free);
        // It is the same transaction, and only one place is there: who comes second is told that it is known.
        let (early, late) = tokio::join!(early, late);
        assert!(late[0].is_ok() && early[0].is_err(), "{early:?} {late:?}");
        drop(held);
    }

    #[test]
    fn amounts_are_rounded_to_two_decimals() {
        for (wei, text) in [
            (0_u128, "0.00"),
            (4_999_999_999_999_999, "0.00"),
            (5_000_000_000_000_000, "0.01"),
            (1_000_000_000_000_000_000, "1.00"),
            (2_344_999_999_999_999_999, "2.34"),
            (12_345_678_000_000_000_000_000, "12345.68"),
        ] {
            assert_eq!(in_ether(U256::from(wei)), text);
        }
        // The highest fee a transaction can offer.
        let most = U256::from(u128::MAX) * U256::from(u64::MAX);
        assert_eq!(in_ether(most), "6277101735386680763495507056286727952620.53");
    }
}
