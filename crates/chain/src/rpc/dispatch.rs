//! From the bytes of a request to the bytes of its answer, the same over HTTP and WebSocket.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::{
    Rpc,
    error::RpcError,
    message::{Incoming, Kind, METHOD_NAME_MAX, Message, parse, write_answer},
    submission,
    subscriptions::{Pending, Session},
    table::Table,
    traced,
};
use crate::message::Caller;

/// Answers requests.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) rpc: Arc<Rpc>,
    pub(super) table: Table,
}

/// What to send back, and what may begin once it is sent.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// JSON; empty if nothing is to be sent.
    pub(super) body: Vec<u8>,
    /// Subscriptions whose ids are in the body.
    pub(super) subscriptions: Vec<Pending>,
}

/// For whom, where to, and until when messages that came together are answered.
#[derive(Clone, Copy)]
struct Scope<'a> {
    caller: Caller,
    session: Option<&'a Session>,
    deadline: Instant,
}

impl Dispatcher {
    /// Answers what the caller sent in one body or message. `session` is where subscriptions go, if
    /// the transport can carry them.
    pub(super) async fn answer(
        &self,
        body: &[u8],
        caller: Caller,
        session: Option<&Session>,
    ) -> Answer {
        let mut answer = Answer::default();
        match parse(body) {
            Incoming::Nothing => {}
            Incoming::Malformed => {
                write_answer(&mut answer.body, "null", &Err(RpcError::parse_error()));
            }
            Incoming::Single(message) => {
                let scope = Scope { caller, session, deadline: self.deadline() };
                if let Some(result) = self.one(&message, scope, &mut answer.subscriptions).await {
                    write_answer(&mut answer.body, message.id(), &result);
                }
            }
            Incoming::Batch(messages) => {
                let scope = Scope { caller, session, deadline: self.deadline() };
                self.batch(&messages, scope, &mut answer).await;
            }
        }
        answer
    }

    fn deadline(&self) -> Instant {
        // A time limit beyond what the clock can tell is none.
        let now = Instant::now();
        let limit = self.rpc.node.limits.request_time_max;
        now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400))
    }

    async fn batch(&self, messages: &[Message<'_>], scope: Scope<'_>, answer: &mut Answer) {
        let limits = &self.rpc.node.limits;
        if messages.is_empty() {
            let error = Err(RpcError::invalid_request("empty batch"));
            return write_answer(&mut answer.body, "null", &error);
        }
        answer.body.push(b'[');
        if messages.len() > usize::try_from(limits.batch_max).unwrap_or(usize::MAX) {
            let first = messages.iter().find(|message| message.kind() == Kind::Call);
            let error = Err(RpcError::invalid_request("batch too large"));
            write_answer(&mut answer.body, first.map_or("null", |message| message.id()), &error);
            answer.body.push(b']');
            return;
        }
        let Scope { caller, deadline, .. } = scope;
        let mut written = 0;
        let mut rest = messages;
        while let Some(message) = rest.first() {
            let sends = rest.iter().take_while(|message| submission::is_send(message)).count();
            let left_bytes = limits.batch_response_bytes_max.saturating_sub(written);
            let results = if written > limits.batch_response_bytes_max {
                let wanted = matches!(message.kind(), Kind::Call | Kind::Invalid);
                vec![wanted.then(|| Err(RpcError::response_too_large()))]
            } else if sends > 1 {
                let sent = self.submit(&rest[..sends], caller, deadline).await;
                sent.into_iter().map(Some).collect()
            } else if message.kind() == Kind::Call && self.may_take_long(message) {
                let made = self.run(rest, caller, deadline, left_bytes).await;
                made.into_iter().map(Some).collect()
            } else {
                vec![self.one(message, scope, &mut answer.subscriptions).await]
            };
            let (done, left) = rest.split_at(results.len());
            rest = left;
            for (message, result) in done.iter().zip(results) {
                let Some(result) = result else { continue };
                if answer.body.len() > 1 {
                    answer.body.push(b',');
                }
                let before = answer.body.len();
                write_answer(&mut answer.body, message.id(), &result);
                written += answer.body.len() - before;
            }
        }
        if answer.body.len() == 1 {
            // Nothing in it was to be answered.
            answer.body.clear();
        } else {
            answer.body.push(b']');
        }
    }

    /// Handles one message; `None` if it is not to be answered.
    async fn one(
        &self,
        message: &Message<'_>,
        scope: Scope<'_>,
        subscriptions: &mut Vec<Pending>,
    ) -> Option<Result<String, RpcError>> {
        let Scope { caller, session, deadline } = scope;
        if submission::is_send(message) {
            return self.submit(std::slice::from_ref(message), caller, deadline).await.pop();
        }
        if self.may_take_long(message) {
            let alone = std::slice::from_ref(message);
            let answer = self.run(alone, caller, deadline, usize::MAX).await.pop();
            // Nobody is told how a notification went.
            return answer.filter(|_| message.kind() == Kind::Call);
        }
        let (start, meters) = (std::time::Instant::now(), &self.rpc.node.meters);
        let (span, _held) = (traced::span(&message.method), meters.under_way(&message.method));
        let answering = self.unmeasured(message, session, deadline, subscriptions);
        let result = answering.instrument(span.clone()).await;
        if let Some(result) = &result {
            meters.request(&message.method, result.is_ok(), start.elapsed());
            traced::answered(&span, 1, usize::from(result.is_err()), start.elapsed());
        }
        result
    }

    async fn unmeasured(
        &self,
        message: &Message<'_>,
        session: Option<&Session>,
        deadline: Instant,
        subscriptions: &mut Vec<Pending>,
    ) -> Option<Result<String, RpcError>> {
        match message.kind() {
            Kind::Response => None,
            Kind::Invalid => Some(Err(RpcError::invalid_request("invalid request"))),
            Kind::Notification => {
                // Nobody is told how it went; a subscription nobody knows the id of is none.
                let call = self.call(message, None);
                let _ = timeout_at(deadline, call).await;
                None
            }
            Kind::Call if message.method.ends_with("_subscribe") => {
                Some(super::subscriptions::subscribe(message, session).map(|pending| {
                    let id = format!("\"{}\"", pending.id());
                    subscriptions.push(pending);
                    id
                }))
            }
            Kind::Call => {
                let call = self.call(message, session);
                let done = timeout_at(deadline, call).await;
                Some(done.unwrap_or_else(|_| Err(RpcError::timed_out())))
            }
        }
    }

    async fn call(
        &self,
        message: &Message<'_>,
        session: Option<&Session>,
    ) -> Result<String, RpcError> {
        let method = &*message.method;
        if method.len() > METHOD_NAME_MAX {
            let length = method.len();
            return Err(RpcError::invalid_request(format!(
                "method name too long: {length} > {METHOD_NAME_MAX}"
            )));
        }
        if method.ends_with("_unsubscribe") {
            return super::subscriptions::unsubscribe(message, session);
        }
        let params = message.params.map(|params| params.get());
        self.table.call(&self.rpc, method, params).await
    }
}
