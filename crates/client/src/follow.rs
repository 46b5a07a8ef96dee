//! Following the chain: every log once, in order, through outages.
//!
//! A [`Follow`] remembers the next block to read. It asks for the latest block first and then for
//! logs up to it, so a log is never delivered twice and none is skipped, whatever fails in between.
//! While the chain is away it keeps trying and says so.
//!
//! One that reads twice ([`Follow::twice`]) reads what was near the head once more a little later, and
//! what was not there before is delivered then: see `again`.

mod again;

use std::time::{Duration, Instant};

use alloy::{
    primitives::{Address, B256},
    rpc::types::{Filter, Log},
};
use tokio::sync::mpsc;
use tracing::debug;

use self::again::Again;
pub(crate) use self::again::DEEP;
use crate::{ChainError, Link};

/// Blocks asked for at once; halved when the node finds that too much.
const STEP: u64 = 2_000;
/// Pauses between looks, at a node on this machine: just after news, and without news.
const LOCAL: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(250));
/// The same at other nodes, which count every request.
const REMOTE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// Longest pause between attempts while the chain is away.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);
/// Batches of news read ahead of their reader.
const AHEAD: usize = 4;
/// For so long a chain may be shorter than it was, at a node on this machine and elsewhere: behind one
/// address there may be several nodes, of which some are a few blocks late.
const REWIND_PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// For so long a node elsewhere may not have a block that another one behind the same address has.
const LATE_NODE: Duration = Duration::from_secs(30);
/// An attempt may take so long before the chain counts as away.
const PATIENCE: Duration = Duration::from_secs(1);

/// What to follow.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Contracts whose logs are wanted; empty: all.
    pub addresses: Vec<Address>,
    /// Events that are wanted, by the hash of their signature; empty: all.
    pub events: Vec<B256>,
    /// First indexed argument, such as a job id or an owner.
    pub subject: Option<B256>,
    /// First block to read.
    pub from_block: u64,
    /// Blocks a log must have on top before it is delivered, where that is more than [`Link::confirmations`].
    pub confirmations: u64,
}

impl Scope {
    /// Everything the given contracts say from a block on.
    pub fn contracts(addresses: impl IntoIterator<Item = Address>, from_block: u64) -> Self {
        Self { addresses: addresses.into_iter().collect(), from_block, ..Self::default() }
    }

    /// Only these events, by the hash of their signature.
    #[must_use]
    pub fn events(mut self, events: impl IntoIterator<Item = B256>) -> Self {
        self.events = events.into_iter().collect();
        self
    }

    /// Only logs whose first indexed argument is this job.
    #[must_use]
    pub fn job(mut self, job: tilth_protocol::JobId) -> Self {
        self.subject = Some(alloy::primitives::U256::from(job.0).into());
        self
    }
}

/// What happened on the chain, or to it.
#[derive(Clone, Debug)]
pub enum News {
    /// Logs in chain order. All logs up to and including block `to` have been delivered now. To whoever reads twice
    /// those that a node did not have when it was asked come after later ones, with the same `to` as these.
    Logs {
        /// The logs; empty when only the head was reached.
        logs: Vec<Log>,
        /// The last block read.
        to: u64,
        /// No log of a block before this one is still to come: the block after `to`, or to whoever reads twice the first
        /// that is to be read once more.
        certain: u64,
        /// Whether `to` is the latest block that is believed.
        at_head: bool,
    },
    /// The chain does not answer. Said once per outage; following goes on.
    Away {
        /// The failure.
        detail: String,
    },
    /// The chain answers again.
    Back {
        /// How long it was away.
        after: Duration,
    },
    /// The chain is shorter than what was read before: it is another chain, or it lost blocks.
    /// Following cannot go on from here.
    Rewound {
        /// Last block read.
        expected: u64,
        /// Latest block now.
        found: u64,
    },
}

/// An ordered reading of the chain's logs.
#[derive(Debug)]
pub struct Follow {
    link: Link,
    scope: Scope,
    next: u64,
    step: u64,
    pause: Duration,
    /// Whether the reader has been told that it has everything.
    reached_head: bool,
    /// Since when the chain is away, and whether that was said.
    away: Option<Instant>,
    outage_pause: Duration,
    /// Since when the chain is shorter than what was read.
    behind: Option<Instant>,
    /// Whether to pause before the next look.
    rest: bool,
    /// What the look has brought that showed that the chain is back.
    held: Option<News>,
    /// What is read once more, if anything is.
    again: Option<Again>,
}

/// A [`Follow`] that reads in a task of its own. Dropping it stops the task.
#[derive(Debug)]
pub struct Following {
    news: mpsc::Receiver<News>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    /// Waits for news; can be cancelled without loss. `None` after [`News::Rewound`], or if the task has failed
    /// ([`ChainError::Unread`]).
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// One whose task is gone.
    #[cfg(test)]
    pub(crate) fn dead() -> Self {
        Self { news: mpsc::channel(1).1, task: tokio::spawn(async {}) }
    }
}

impl Follow {
    /// Begins to read at `scope.from_block`. What is delivered stays: it has as many blocks on top as the link's
    /// network says, or as the scope does if that is more.
    pub fn new(link: &Link, mut scope: Scope) -> Self {
        let pause = pauses(link).0;
        scope.confirmations = scope.confirmations.max(link.confirmations().into());
        Self {
            link: link.with_patience(PATIENCE),
            next: scope.from_block,
            scope,
            step: STEP,
            pause,
            reached_head: false,
            away: None,
            outage_pause: pause,
            behind: None,
            rest: false,
            held: None,
            again: None,
        }
    }

    /// Reads what is near the head a second time, half a minute later, and delivers what was missed: for whoever loses
    /// money by it and takes logs in any order. Not at a node on this machine, which is one and has what it says.
    #[must_use]
    pub fn twice(mut self) -> Self {
        self.again = (!self.link.is_local()).then(|| Again::new(LATE_NODE));
        self
    }

    /// Reads in a task of its own, a few batches ahead of the reader.
    pub fn spawn(mut self) -> Following {
        let (send, news) = mpsc::channel(AHEAD);
        let task = tokio::spawn(async move {
            loop {
                let news = self.next().await;
                let last = matches!(news, News::Rewound { .. });
                if send.send(news).await.is_err() || last {
                    return;
                }
            }
        });
        Following { news, task }
    }

    /// Waits for news. Dropping the future loses no news, only the look that was under way; next to
    /// other work use [`Follow::spawn`].
    pub async fn next(&mut self) -> News {
        loop {
            if self.rest {
                let pause = if self.away.is_some() { self.outage_pause } else { self.pause };
                tokio::time::sleep(pause).await;
            }
            self.rest = true;
            match self.look().await {
                Ok(Some(news)) => return news,
                Ok(None) => {}
                Err(error) => {
                    if let Some(news) = self.note_failure(&error) {
                        return news;
                    }
                }
            }
        }
    }

    /// One look at the chain. It is back when logs could be read again: a node that says its height and gives none,
    /// or is still behind, is of no use.
    async fn look(&mut self) -> Result<Option<News>, ChainError> {
        if let Some(news) = self.held.take() {
            return Ok(Some(news));
        }
        let news = self.read().await?;
        if self.behind.is_some() {
            return Ok(news);
        }
        let Some(since) = self.away.take() else { return Ok(news) };
        (self.rest, self.held) = (false, news);
        self.outage_pause = pauses(&self.link).0;
        Ok(Some(News::Back { after: since.elapsed() }))
    }

    async fn read(&mut self) -> Result<Option<News>, ChainError> {
        // The head before the logs: what lies as deep below it as it must stays, whatever is taken back in between.
        let latest = self.link.block_number().await?;
        if self.next > 0 && latest < self.next - 1 {
            let (local, remote) = REWIND_PATIENCE;
            let patience = if self.link.is_local() { local } else { remote };
            let since = *self.behind.get_or_insert_with(Instant::now);
            let rewound = News::Rewound { expected: self.next - 1, found: latest };
            return Ok((since.elapsed() >= patience).then_some(rewound));
        }
        self.behind = None;
        let late = self.read_again().await;
        if !late.is_empty() {
            (self.rest, self.pause) = (false, pauses(&self.link).0);
            let (to, certain) = (self.next.saturating_sub(1), self.certain());
            return Ok(Some(News::Logs { logs: late, to, certain, at_head: self.reached_head }));
        }
        let ready = latest.checked_sub(self.scope.confirmations);
        let Some(ready) = ready.filter(|ready| *ready >= self.next) else {
            self.pause = self.pause.saturating_mul(2).min(pauses(&self.link).1);
            // The first look at a chain that has nothing to read yet is the head, too.
            if !self.reached_head {
                self.reached_head = true;
                let to = self.next.saturating_sub(1);
                let certain = self.certain();
                return Ok(Some(News::Logs { logs: Vec::new(), to, certain, at_head: true }));
            }
            return Ok(None);
        };
        let (to, logs) = self.logs(self.next, ready).await?;
        if let Some(again) = &mut self.again {
            again.note((self.next, to, ready), &logs, Instant::now());
        }
        self.next = to.saturating_add(1);
        let at_head = to == ready;
        // Behind the head there is more to read at once; at the head news come in clusters.
        self.rest = at_head;
        if logs.is_empty() && (self.reached_head || !at_head) {
            self.pause = self.pause.saturating_mul(2).min(pauses(&self.link).1);
            return Ok(None);
        }
        self.reached_head |= at_head;
        self.pause = pauses(&self.link).0;
        Ok(Some(News::Logs { logs, to, certain: self.certain(), at_head }))
    }

    /// All logs of blocks before this one have been delivered, whatever node was asked.
    fn certain(&self) -> u64 {
        self.again.as_ref().and_then(Again::first).unwrap_or(self.next)
    }

    /// What of the blocks that are due once more has not been delivered. If they cannot be read they stay due: what comes
    /// after them is not to wait for that.
    async fn read_again(&mut self) -> Vec<Log> {
        let due = self.again.as_ref().and_then(|again| again.due(Instant::now()));
        let Some((from, to)) = due else { return Vec::new() };
        let (to, logs) = match self.logs(from, to).await {
            Ok(read) => read,
            Err(error) => {
                debug!(%error, from, to, "blocks cannot be read a second time now");
                return Vec::new();
            }
        };
        let late = self.again.as_mut().map(|again| again.read(to, logs)).unwrap_or_default();
        if !late.is_empty() {
            debug!(logs = late.len(), from, to, "some were not there when they were asked for");
        }
        late
    }

    /// Logs of blocks from the first on: as many as are asked for at once, up to the last, which is told.
    async fn logs(&mut self, from: u64, last: u64) -> Result<(u64, Vec<Log>), ChainError> {
        let to = last.min(from.saturating_add(self.step - 1));
        match self.link.logs(&self.filter(from, to)).await {
            Ok(logs) => {
                self.step = self.step.saturating_mul(2).min(STEP);
                Ok((to, logs))
            }
            // Nodes say "too much at once" in many ways, also as a rate limit.
            Err(error) if self.step > 1 => {
                debug!(%error, step = self.step, "asking for fewer blocks at once");
                self.step /= 2;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn filter(&self, from: u64, to: u64) -> Filter {
        let mut filter = Filter::new().from_block(from).to_block(to);
        if !self.scope.addresses.is_empty() {
            filter = filter.address(self.scope.addresses.clone());
        }
        if !self.scope.events.is_empty() {
            filter = filter.event_signature(self.scope.events.clone());
        }
        if let Some(subject) = self.scope.subject {
            filter = filter.topic1(subject);
        }
        filter
    }

    fn note_failure(&mut self, error: &ChainError) -> Option<News> {
        if self.away.is_some() {
            self.outage_pause = self.outage_pause.saturating_mul(2).min(LONGEST_OUTAGE_PAUSE);
            return None;
        }
        self.away = Some(Instant::now());
        Some(News::Away { detail: error.to_string() })
    }
}

fn pauses(link: &Link) -> (Duration, Duration) {
    if link.is_local() { LOCAL } else { REMOTE }
}

#[cfg(test)]
mod tests;
