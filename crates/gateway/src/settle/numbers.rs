//! Which provider each node works, or worked, for. Asked for once, and looked at again as long as the chain may take
//! the block back that said so: numbers are given in the order of registrations, and another order gives others.

use std::collections::BTreeSet;

use alloy::primitives::Address;
use tilth_client::{ChainError, Link, tabs};
use tracing::{debug, warn};

use crate::tab::{Known, Numbered};

/// Blocks farther than this below the head are not replaced.
const DEEP: u64 = 256;

/// What is new about the numbers of these nodes' providers, as far as the chain says it: until it is away, which is
/// told as well. One that it will not say keeps nobody else from being paid, or from being refused.
pub(super) async fn look(
    link: &Link,
    first_block: u64,
    mut nodes: BTreeSet<Address>,
    known: &Known,
) -> (Vec<Numbered>, Result<(), ChainError>) {
    nodes.retain(|node| !known.numbers.contains_key(node) || known.young.contains_key(node));
    let mut found = Vec::new();
    if nodes.is_empty() {
        return (found, Ok(()));
    }
    // Before the nodes: what is found is there in this block, or in later ones.
    let head = match link.block_number().await {
        Ok(head) => head,
        Err(error) => return (found, Err(error)),
    };
    for node in nodes {
        let before = known.numbers.get(&node).copied();
        match number_of(link, first_block, node, before).await {
            Ok(number) => {
                let since = known.young.get(&node).copied();
                found.extend(news(node, (before, since), number, head));
            }
            Err(error) if error.is_temporary() => return (found, Err(error)),
            Err(error) => warn!(%node, %error, "the chain does not say whose node this is"),
        }
    }
    (found, Ok(()))
}

/// What is to be written down when the chain says this number, if anything is. `before` is what was written down last:
/// the number, and in which block it was seen first.
fn news(
    node: Address,
    before: (Option<u32>, Option<u64>),
    number: Option<u32>,
    head: u64,
) -> Option<Numbered> {
    match before {
        (Some(known), since) if number == Some(known) => {
            let is_deep = since.is_none_or(|since| head.saturating_sub(since) >= DEEP);
            is_deep.then_some(Numbered { node, number, since: None })
        }
        (None, _) if number.is_none() => {
            debug!(%node, "the chain knows no such node, so nobody can be paid");
            None
        }
        (known, _) => {
            if known.is_some() {
                warn!(%node, ?known, ?number, "the chain has taken a provider's number back");
            }
            Some(Numbered { node, number, since: number.map(|_| head) })
        }
    }
}

/// The number of a node's provider. The one that is known stays as long as it is right: a node that works for another
/// owner now has been paid for with the first one's.
async fn number_of(
    link: &Link,
    first_block: u64,
    node: Address,
    before: Option<u32>,
) -> Result<Option<u32>, ChainError> {
    let now = tabs::provider_of(link, first_block, node).await?;
    // Only if they differ all of the chain's events are looked through.
    if let Some(number) = before
        && now != before
        && tabs::had_node(link, first_block, number, node).await?
    {
        return Ok(before);
    }
    Ok(now)
}

#[cfg(test)]
#[path = "numbers_tests.rs"]
mod tests;
