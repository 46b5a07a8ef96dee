//! `eth_sendRawTransactionSync` (EIP-7966): send, and wait for the receipt.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Bytes;

use super::{
    Arguments, Rpc,
    error::RpcError,
    submission,
    table::{Answer, to_json},
    transactions,
};

/// How long is waited unless the caller says so (geth's).
const WAIT: Duration = Duration::from_secs(20);
/// How long is waited at most (geth's).
const WAIT_MAX: Duration = Duration::from_secs(60);
/// geth's code for a wait in vain; the transaction's hash is the data.
const TIMED_OUT: i32 = 4;

pub(super) fn send_raw(rpc: &Arc<Rpc>, mut args: Arguments<'_>) -> Result<Answer, RpcError> {
    let raw: Bytes = args.take()?;
    let millis: Option<u64> = args.take_optional()?;
    let wanted = millis.filter(|millis| *millis > 0).map_or(WAIT, Duration::from_millis);
    let limits = &rpc.node.limits;
    // The transport ends every request in its time; the answer must come before.
    let wait = wanted.min(WAIT_MAX).min(limits.request_time_max / 10 * 9);
    let bytes_max = usize::try_from(limits.response_bytes_max).unwrap_or(usize::MAX);
    let rpc = Arc::clone(rpc);
    Ok(Box::pin(async move {
        let mut heads = rpc.node.heads();
        let hash = submission::submit_one(&rpc, &raw)?;
        let receipt = async {
            loop {
                heads.mark_unchanged();
                if let Some(receipt) = transactions::receipt_of(&rpc, &hash)? {
                    return to_json(&receipt, bytes_max);
                }
                if heads.changed().await.is_err() {
                    return Err(RpcError::server("chain subscription closed"));
                }
            }
        };
        tokio::time::timeout(wait, receipt).await.unwrap_or_else(|_| {
            let message = format!(
                "The transaction was added to the transaction pool but wasn't processed in {}",
                in_words(wait)
            );
            Err(RpcError::with_data(TIMED_OUT, message, hash.to_string()))
        })
    }))
}

/// A time as Go writes it.
fn in_words(time: Duration) -> String {
    let (minutes, millis) = (time.as_secs() / 60, time.as_millis() % 60_000);
    let seconds = millis / 1000;
    let fraction = format!("{:03}", millis % 1000);
    let fraction = match fraction.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    };
    match (minutes, seconds) {
        (0, 0) => format!("{millis}ms"),
        (0, _) => format!("{seconds}{fraction}s"),
        _ => format!("{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        for (millis, words) in [
            (1, "1ms"),
            (100, "100ms"),
            (1500, "1.5s"),
            (20_000, "20s"),
            (60_000, "1m0s"),
            (61_050, "1m1.05s"),
        ] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }
}
