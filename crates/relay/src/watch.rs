//! The chain behind the rule "providers of a network and their clients": followed in the background, so
//! that nobody who knocks makes the relay ask anything.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tilth_client::{ChainError, Follow, Link, Network, News, Scope};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    EndpointKey,
    gate::Refusal,
    roll::{EVENTS, Roll},
};

/// Pause before a chain that turned out to be another one is read from its beginning.
const ANEW: Duration = Duration::from_secs(2);
/// How often those who are connected are looked over although the chain says nothing new.
const LOOK_OVER: Duration = Duration::from_secs(60);

/// Whose providers and clients may use a relay.
#[derive(Clone, Debug)]
pub struct NetworkRule {
    /// The network, with the address of its chain.
    pub network: Network,
    /// Stake that a provider must have, in the token's smallest unit.
    pub least_stake: u128,
    /// How long clients stay after their last job is over.
    pub keep_clients: Duration,
    /// How long the chain may be away before nobody new is admitted.
    pub outage: Duration,
}

/// How well the chain is seen.
#[derive(Clone, Copy, Debug)]
enum Sight {
    /// It is being read for the first time.
    Reading,
    /// All of it has been read.
    Clear,
    /// It has been away since then.
    Away(Instant),
}

#[derive(Debug)]
struct Seen {
    roll: Roll,
    sight: Sight,
}

/// What is known of the chain. Cheap to ask.
#[derive(Debug)]
pub(crate) struct Watch {
    rule: NetworkRule,
    seen: Mutex<Seen>,
}

impl Watch {
    pub(crate) fn new(rule: NetworkRule) -> Self {
        let seen = Mutex::new(Seen { roll: fresh(&rule), sight: Sight::Reading });
        Self { rule, seen }
    }

    pub(crate) fn judge(&self, endpoint: &EndpointKey) -> Result<(), Refusal> {
        let seen = self.lock();
        if !is_clear(seen.sight, self.rule.outage, Instant::now()) {
            return Err(Refusal::Blind);
        }
        if seen.roll.admits(endpoint, unix()) { Ok(()) } else { Err(Refusal::Stranger) }
    }

    /// Why the rule cannot be asked now, if it cannot.
    pub(crate) fn blindness(&self) -> Option<String> {
        let sight = self.lock().sight;
        if is_clear(sight, self.rule.outage, Instant::now()) {
            return None;
        }
        Some(match sight {
            Sight::Away(since) => format!("the chain has been away for {:?}", since.elapsed()),
            _ => "the chain has not been read yet".to_owned(),
        })
    }

    /// Endpoints of bonded providers, and of clients.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let seen = self.lock();
        (seen.roll.bonded(), seen.roll.clients())
    }

    /// Reads the chain for ever, and calls `look_over` whenever the answer for those who are connected may
    /// have become another one.
    ///
    /// # Errors
    /// The address of the chain is none.
    pub(crate) fn begin(
        self: &Arc<Self>,
        look_over: impl Fn() + Send + Sync + 'static,
    ) -> Result<JoinHandle<()>, ChainError> {
        let link = Link::to(&self.rule.network)?;
        let watch = Arc::clone(self);
        Ok(tokio::spawn(async move {
            loop {
                watch.read(&link, &look_over).await;
                tokio::time::sleep(ANEW).await;
            }
        }))
    }

    /// Reads the chain from its beginning until it turns out to be another one.
    async fn read(&self, link: &Link, look_over: &impl Fn()) {
        let addresses = link.addresses();
        let from = self.rule.network.first_block;
        let scope = Scope::contracts([addresses.registry, addresses.job_book], from).events(EVENTS);
        let mut following = Follow::new(link, scope).spawn();
        let mut tick = tokio::time::interval(LOOK_OVER);
        loop {
            let news = tokio::select! {
                news = following.next() => news,
                _ = tick.tick() => {
                    self.lock().roll.forget(unix());
                    look_over();
                    continue;
                }
            };
            match news {
                Some(News::Logs { logs, at_head, .. }) => {
                    let is_news = self.take_in(&logs, at_head);
                    if is_news {
                        look_over();
                    }
                }
                Some(News::Away { detail }) => {
                    warn!(detail, "the chain is away; what was read of it is used for a while");
                    let mut seen = self.lock();
                    if matches!(seen.sight, Sight::Clear) {
                        seen.sight = Sight::Away(Instant::now());
                    }
                }
                Some(News::Back { after }) => {
                    info!(?after, "the chain is back");
                    let mut seen = self.lock();
                    if matches!(seen.sight, Sight::Away(_)) {
                        seen.sight = Sight::Clear;
                    }
                }
                Some(News::Rewound { expected, found }) => {
                    warn!(expected, found, "the chain is another one; it is read anew");
                    *self.lock() = Seen { roll: fresh(&self.rule), sight: Sight::Reading };
                }
                None => return,
            }
        }
    }

    /// Takes events in; says whether there is anything new for those who are connected.
    fn take_in(&self, logs: &[alloy::rpc::types::Log], at_head: bool) -> bool {
        let now = unix();
        let mut seen = self.lock();
        logs.iter().for_each(|log| seen.roll.note(log, now));
        if at_head && matches!(seen.sight, Sight::Reading) {
            seen.sight = Sight::Clear;
            let (providers, clients) = (seen.roll.bonded(), seen.roll.clients());
            info!(providers, clients, "the chain has been read; endpoints that may come in");
        }
        !logs.is_empty() && matches!(seen.sight, Sight::Clear)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh(rule: &NetworkRule) -> Roll {
    Roll::new(rule.least_stake, rule.keep_clients.as_secs())
}

fn is_clear(sight: Sight, outage: Duration, now: Instant) -> bool {
    match sight {
        Sight::Reading => false,
        Sight::Clear => true,
        Sight::Away(since) => now.saturating_duration_since(since) < outage,
    }
}

/// Seconds since 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_was_not_read_or_is_away_for_long_admits_nobody() {
        let (began, outage) = (Instant::now(), Duration::from_secs(10));
        let later = |seconds| began + Duration::from_secs(seconds);
        assert!(!is_clear(Sight::Reading, outage, began));
        assert!(is_clear(Sight::Clear, outage, began));
        assert!(is_clear(Sight::Away(began), outage, later(9)));
        assert!(!is_clear(Sight::Away(began), outage, later(10)));
    }
}
