//! `eth_subscribe`: what new blocks and transactions bring, sent to WebSocket peers.
//!
//! Every subscription knows the next block (or admission to the pool) it has not been told of, from
//! the moment of its request on. One task, the [`Hub`], follows the chain and tells each
//! subscription what is missing, in order; so nothing is lost or doubled, whenever a block comes.
//! What several subscribers get is serialised once and shared. Telling never waits: it fills the
//! connections' bounded [`Outbox`]es, so neither blocks nor other peers depend on a slow reader.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use alloy_primitives::B256;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tilth_service::metrics::Held;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Arguments,
    chain_trace::ChainTrace,
    criteria::Criteria,
    error::RpcError,
    filters::Identifiers,
    message::{METHOD_NAME_MAX, Message, notification_start},
    news,
};
use crate::{
    node::{Head, Node},
    websocket::Outbox,
};

/// Transactions one receipts subscription may name (geth's).
const RECEIPTS_MAX: usize = 200;

/// What a subscription is about.
#[derive(Debug)]
pub(super) enum Subject {
    Heads,
    Logs(Criteria),
    /// Receipts of these transactions; of all if there are none.
    Receipts(HashSet<B256>),
    Pending {
        full: bool,
    },
    Syncing,
    /// Traces of blocks there are.
    Chain(ChainTrace),
}

/// The methods handled here.
pub(super) const METHODS: [&str; 4] =
    ["eth_subscribe", "eth_unsubscribe", "debug_subscribe", "debug_unsubscribe"];

/// What can be subscribed to: the method's namespace, the subject's name, how many arguments a request has at most,
/// the name included, and how those behind it are read.
const SUBJECTS: [(&str, &str, usize, Read); 6] = [
    ("debug", "traceChain", 4, |head, args| ChainTrace::read(head, args).map(Subject::Chain)),
    ("eth", "logs", 2, |_, args| {
        let criteria = Criteria::argument(args, 1)?;
        criteria.check_future()?;
        Ok(Subject::Logs(criteria))
    }),
    ("eth", "newHeads", 1, |_, _| Ok(Subject::Heads)),
    ("eth", "newPendingTransactions", 2, |_, args| {
        Ok(Subject::Pending { full: args.take_optional()?.unwrap_or(false) })
    }),
    ("eth", "syncing", 1, |_, _| Ok(Subject::Syncing)),
    ("eth", "transactionReceipts", 2, |_, args| receipts_of(args).map(Subject::Receipts)),
];

type Read = fn(&Head, &mut Arguments<'_>) -> Result<Subject, RpcError>;

/// What can be subscribed to: namespaces and names.
#[cfg(test)]
pub(super) fn subjects() -> impl Iterator<Item = (&'static str, &'static str)> {
    SUBJECTS.iter().map(|(namespace, name, ..)| (*namespace, *name))
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    _counted: Held,
    id: String,
    pub(super) subject: Subject,
    /// The connection it belongs to.
    connection: u64,
    pub(super) outbox: Arc<Outbox>,
    /// What stands before each result.
    start: Arc<str>,
    /// The first block, or admission, not yet told of. Only the hub moves it.
    pub(super) next: AtomicU64,
    ended: AtomicBool,
}

impl Subscription {
    pub(super) fn tell(&self, results: impl IntoIterator<Item = Bytes>) {
        if !self.ended.load(Ordering::Acquire) {
            self.outbox.notify(&self.start, results);
        }
    }

    /// Waits until the peer has read most of what it was sent before; nobody else of the connection is through here
    /// as long as the turn is held.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.outbox.wait_for_reader().await
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Follows the chain and the pool for all subscriptions.
#[derive(Debug)]
pub(super) struct Hub {
    node: Arc<Node>,
    subscriptions: Mutex<HashMap<String, Arc<Subscription>>>,
    changed: Notify,
    connections: AtomicU64,
    identifiers: Identifiers,
}

/// A connection's part in the hub.
#[derive(Debug)]
pub(super) struct Session {
    hub: Arc<Hub>,
    connection: u64,
    outbox: Arc<Outbox>,
    count: AtomicU32,
}

/// A subscription whose id has not been sent yet.
#[derive(Debug)]
pub(super) struct Pending(Arc<Subscription>);

impl Pending {
    pub(super) fn id(&self) -> &str {
        &self.0.id
    }

    /// The subscription, if it is one that somebody has to work for.
    pub(super) fn traced(&self) -> Option<Arc<Subscription>> {
        matches!(self.0.subject, Subject::Chain(_)).then(|| Arc::clone(&self.0))
    }
}

impl Hub {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            subscriptions: Mutex::default(),
            changed: Notify::new(),
            connections: AtomicU64::new(0),
            identifiers: Identifiers::new(),
        }
    }

    /// A new connection, whose notifications go into `outbox`.
    pub(super) fn session(self: &Arc<Self>, outbox: Arc<Outbox>) -> Session {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        Session { hub: Arc::clone(self), connection, outbox, count: AtomicU32::new(0) }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Arc<Subscription>>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until the node stops.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut heads = self.node.heads();
        let mut admissions = self.node.arrivals.follow();
        loop {
            self.tell_blocks().await;
            let wants_pending = self.tell_pending();
            tokio::select! {
                _ = heads.changed() => {}
                _ = admissions.changed(), if wants_pending => {}
                () = self.changed.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Tells of blocks, one after the other, until nobody lacks one.
    async fn tell_blocks(&self) {
        loop {
            let head = self.node.head();
            let Some((number, readers)) = self.lacking(head.header.number) else { return };
            let node = Arc::clone(&self.node);
            let work = tokio::task::spawn_blocking(move || {
                if let Err(error) = news::tell_block(&node.spec, &head, number, &readers) {
                    tracing::error!(number, ?error, "subscribers cannot be told of a block");
                    readers
                        .iter()
                        .for_each(|reader| reader.outbox.fail("a block could not be read"));
                }
                for reader in &readers {
                    reader.next.store(number + 1, Ordering::Release);
                }
            });
            if work.await.is_err() {
                // Only at shutdown.
                return;
            }
        }
    }

    /// The first block up to `head` that somebody has not been told of, and all whose next it is.
    fn lacking(&self, head: u64) -> Option<(u64, Vec<Arc<Subscription>>)> {
        let subscriptions = self.locked();
        let follows = |subscription: &&Arc<Subscription>| {
            let subject = &subscription.subject;
            !matches!(subject, Subject::Pending { .. } | Subject::Syncing | Subject::Chain(_))
        };
        let next = |subscription: &Arc<Subscription>| subscription.next.load(Ordering::Acquire);
        let followers = || subscriptions.values().filter(follows);
        let number = followers().map(next).min().filter(|number| *number <= head)?;
        Some((number, followers().filter(|follower| next(follower) == number).cloned().collect()))
    }

    /// Tells of transactions; whether somebody wants to hear of them.
    fn tell_pending(&self) -> bool {
        let readers: Vec<_> = {
            let is_pending = |s: &&Arc<Subscription>| matches!(s.subject, Subject::Pending { .. });
            self.locked().values().filter(is_pending).cloned().collect()
        };
        news::tell_pending(&self.node, &readers);
        !readers.is_empty()
    }
}

impl Session {
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn create(&self, subject: Subject) -> Result<Pending, RpcError> {
        let max = self.hub.node.limits.subscriptions_per_connection_max;
        let added = self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < max).then_some(count + 1)
        });
        if added.is_err() {
            return Err(RpcError::limit("too many subscriptions on this connection"));
        }
        let next = match subject {
            Subject::Pending { .. } => self.hub.node.pool().arrivals(),
            Subject::Syncing | Subject::Chain(_) => 0,
            Subject::Heads | Subject::Logs(_) | Subject::Receipts(_) => {
                self.hub.node.head().header.number + 1
            }
        };
        let id = self.hub.identifiers.next();
        let namespace = if matches!(subject, Subject::Chain(_)) { "debug" } else { "eth" };
        Ok(Pending(Arc::new(Subscription {
            _counted: self.hub.node.meters.subscriptions.hold(),
            start: notification_start(namespace, &id).into(),
            id,
            subject,
            connection: self.connection,
            outbox: Arc::clone(&self.outbox),
            next: AtomicU64::new(next),
            ended: AtomicBool::new(false),
        })))
    }

    /// Lets a subscription's news follow its id.
    pub(super) fn begin(&self, Pending(subscription): Pending) {
        if matches!(subscription.subject, Subject::Syncing) {
            // A node that makes its own blocks is never behind.
            subscription.tell([Bytes::from_static(b"false")]);
        }
        self.hub.locked().insert(subscription.id.clone(), subscription);
        self.hub.changed.notify_one();
    }

    fn cancel(&self, id: &str) -> bool {
        let mut subscriptions = self.hub.locked();
        let is_own = subscriptions.get(id).is_some_and(|s| s.connection == self.connection);
        if is_own && let Some(subscription) = subscriptions.remove(id) {
            subscription.ended.store(true, Ordering::Release);
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
        is_own
    }

    /// Forgets all subscriptions of the connection.
    pub(super) fn end(&self) {
        self.hub.locked().retain(|_, subscription| {
            let stays = subscription.connection != self.connection;
            subscription.ended.fetch_or(!stays, Ordering::AcqRel);
            stays
        });
    }
}

/// Arguments of a call as an array of JSON values.
fn arguments(message: &Message<'_>) -> Result<Vec<Value>, RpcError> {
    message
        .params
        .and_then(|params| serde_json::from_str(params.get()).ok())
        .ok_or_else(|| RpcError::invalid("non-array args"))
}

/// `eth_subscribe`.
pub(super) fn subscribe(
    message: &Message<'_>,
    session: Option<&Session>,
) -> Result<Pending, RpcError> {
    let Some(session) = session else { return Err(RpcError::notifications_unsupported()) };
    let method = &*message.method;
    if method.len() > METHOD_NAME_MAX {
        let length = method.len();
        return Err(RpcError::invalid_request(format!(
            "subscription name too long: {length} > {METHOD_NAME_MAX}"
        )));
    }
    let args = arguments(message)?;
    let Some(Value::String(name)) = args.first() else {
        return Err(RpcError::invalid("expected subscription name as first argument"));
    };
    let namespace = method.split('_').next().unwrap_or_default();
    let known = SUBJECTS.iter().find(|known| (known.0, known.1) == (namespace, name));
    let Some((.., most, read)) = known else {
        return Err(RpcError::subscription_unknown(namespace, name));
    };
    let mut args = Arguments::at_most(*most, message.params.map(|params| params.get()))?;
    let _: String = args.take()?;
    session.create(read(&session.hub.node.head(), &mut args)?)
}

/// Which transactions' receipts are asked for.
#[derive(Default, Deserialize)]
struct ReceiptsQuery {
    #[serde(default, rename = "transactionHashes")]
    hashes: Option<Vec<B256>>,
}

fn receipts_of(args: &mut Arguments<'_>) -> Result<HashSet<B256>, RpcError> {
    let query: ReceiptsQuery = args.optional()?.unwrap_or_default();
    let hashes = query.hashes.unwrap_or_default();
    if hashes.len() > RECEIPTS_MAX {
        let message = "exceed max number of transaction hashes allowed per transactionReceipts \
                       subscription";
        return Err(RpcError::server(message));
    }
    Ok(hashes.into_iter().collect())
}

/// `eth_unsubscribe`.
pub(super) fn unsubscribe(
    message: &Message<'_>,
    session: Option<&Session>,
) -> Result<String, RpcError> {
    let args = match message.params {
        None => Vec::new(),
        Some(_) => arguments(message)?,
    };
    let id = match args.as_slice() {
        [] | [Value::Null] => {
            return Err(RpcError::invalid("missing value for required argument 0"));
        }
        [Value::String(id)] => id,
        [_] => {
            let message = "invalid argument 0: json: cannot unmarshal non-string into Go value of \
                           type rpc.ID";
            return Err(RpcError::invalid(message));
        }
        _ => return Err(RpcError::invalid("too many arguments, want at most 1")),
    };
    match session {
        Some(session) if session.cancel(id) => Ok("true".to_owned()),
        _ => Err(RpcError::server("subscription not found")),
    }
}
