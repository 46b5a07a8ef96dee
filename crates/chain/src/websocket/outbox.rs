//! What waits to be sent to one WebSocket peer: bounded, filled from anywhere, never waited for.
//!
//! Answers are bounded by the requests a connection may have under way. Notifications nobody asks
//! for one by one; a peer that does not read them is cut off once too many bytes wait, so it can
//! hold up neither the node nor other peers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::body::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::frame;

/// Close codes of RFC 6455.
pub(crate) mod code {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL: u16 = 1002;
    pub const POLICY: u16 = 1008;
    pub const TOO_LARGE: u16 = 1009;
    pub const INTERNAL: u16 = 1011;
}

/// Counted for every notification on top of its bytes.
const FRAME_COST: usize = 128;

/// Frames behind which a ping is no longer answered.
const PONGS_BEHIND_MAX: usize = 256;

/// Something to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// An answer, and the request's place, which is free when it is sent.
    Answer {
        body: Vec<u8>,
        _place: OwnedSemaphorePermit,
    },
    /// A subscription's news. Subscribers share the result's bytes.
    Notification {
        start: Arc<str>,
        result: Bytes,
        end: &'static str,
    },
    Ping,
    Pong(Vec<u8>),
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
    /// Signalled when a notification was taken out.
    read: Notify,
    /// Whose turn it is among those that wait for the reader.
    turn: tokio::sync::Mutex<()>,
    bytes_max: usize,
    /// What stands after the result of every notification.
    end: &'static str,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Outgoing>,
    /// Of the notifications in `frames`.
    bytes: usize,
    /// Set once; nothing is taken any more.
    closing: Option<(u16, &'static str)>,
}

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Outgoing),
    /// Everything is written; flush.
    Idle,
    Close(u16, &'static str),
}

impl Outbox {
    /// `end` stands after the result of every notification.
    pub(crate) fn new(bytes_max: usize, end: &'static str) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Notify::new(),
            read: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            bytes_max,
            end,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something other than a notification into the queue.
    pub(crate) fn push(&self, frame: Outgoing) {
        let mut queue = self.locked();
        // A peer that pings without reading gets no more than this many answers.
        let is_surplus =
            matches!(frame, Outgoing::Pong(_)) && queue.frames.len() >= PONGS_BEHIND_MAX;
        if queue.closing.is_none() && !is_surplus {
            queue.frames.push_back(frame);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Puts a subscription's news into the queue, or ends the connection if too much waits already.
    pub(crate) fn notify(&self, start: &Arc<str>, results: impl IntoIterator<Item = Bytes>) {
        let mut queue = self.locked();
        for result in results {
            if queue.closing.is_some() {
                return;
            }
            queue.bytes += FRAME_COST + start.len() + result.len();
            let (start, end) = (Arc::clone(start), self.end);
            queue.frames.push_back(Outgoing::Notification { start, result, end });
            if queue.bytes > self.bytes_max {
                queue.frames.clear();
                queue.closing = Some((
                    code::POLICY,
                    "subscriber too slow: unread notifications exceed the limit",
                ));
            }
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Waits until at most half of the bytes that may wait are waiting. Nobody else is through here as
    /// long as the turn is held, which is to end when the news that waited are in the queue.
    pub(crate) async fn wait_for_reader(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        loop {
            // First, so that what is read from now on is not missed.
            let read = self.read.notified();
            let has_room = {
                let queue = self.locked();
                queue.closing.is_some() || queue.bytes <= self.bytes_max / 2
            };
            if has_room {
                return turn;
            }
            read.await;
        }
    }

    /// Ends the connection because the node cannot keep its word.
    pub(crate) fn fail(&self, reason: &'static str) {
        self.close(code::INTERNAL, reason);
    }

    /// Ends the connection after what waits has been sent. The first reason counts.
    pub(crate) fn close(&self, code: u16, reason: &'static str) {
        self.locked().closing.get_or_insert((code, reason));
        self.changed.notify_one();
    }

    #[cfg(test)]
    fn is_closing(&self) -> bool {
        self.locked().closing.is_some()
    }

    /// The next step. Only [`Step::Idle`] may have to be followed by [`Outbox::changed`].
    pub(crate) fn step(&self) -> Step {
        let mut queue = self.locked();
        match (queue.frames.pop_front(), queue.closing) {
            (Some(frame), _) => {
                if let Outgoing::Notification { start, result, .. } = &frame {
                    queue.bytes -= FRAME_COST + start.len() + result.len();
                    self.read.notify_waiters();
                }
                Step::Send(frame)
            }
            (None, Some((code, reason))) => Step::Close(code, reason),
            (None, None) => Step::Idle,
        }
    }

    /// Waits until something may have come in since the last step.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Outgoing {
    /// The frame's bytes: what to write first, and shared bytes to write after it, and the end.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> (Option<&[u8]>, &'static str) {
        match self {
            Self::Answer { body, .. } => {
                frame::text_head(body.len(), out);
                (Some(body), "")
            }
            Self::Notification { start, result, end } => {
                let length = start.len() + result.len() + end.len();
                frame::text_head(length, out);
                out.extend_from_slice(start.as_bytes());
                (Some(result), end)
            }
            Self::Ping => {
                frame::ping(out);
                (None, "")
            }
            Self::Pong(payload) => {
                frame::pong(payload, out);
                (None, "")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_are_bounded_and_the_reason_is_told() {
        let outbox = Outbox::new(1000, "}}");
        let start: Arc<str> = "start".into();
        let result = Bytes::from_static(b"result");
        for _ in 0..1000 {
            outbox.notify(&start, [result.clone()]);
            assert!(matches!(outbox.step(), Step::Send(Outgoing::Notification { .. })));
        }
        assert!(matches!(outbox.step(), Step::Idle));
        outbox.notify(&start, vec![result; 8]);
        assert!(outbox.is_closing());
        let Step::Close(code, reason) = outbox.step() else { panic!("nothing is sent any more") };
        assert_eq!(code, code::POLICY);
        assert!(reason.starts_with("subscriber too slow"));
        outbox.close(code::NORMAL, "");
        assert!(matches!(outbox.step(), Step::Close(code::POLICY, _)));
    }

    #[tokio::test]
    async fn some_news_wait_until_others_are_read() {
        let outbox = Arc::new(Outbox::new(1000, "}}"));
        let start: Arc<str> = "start".into();
        let result = Bytes::from_static(b"result");
        let teller = tokio::spawn({
            let (outbox, start, result) = (Arc::clone(&outbox), start.clone(), result.clone());
            async move {
                for _ in 0..1000 {
                    let _turn = outbox.wait_for_reader().await;
                    outbox.notify(&start, [result.clone()]);
                }
            }
        });
        let mut told = 0;
        while told < 1000 {
            match outbox.step() {
                Step::Send(_) => told += 1,
                Step::Idle => outbox.changed().await,
                Step::Close(..) => panic!("closed after {told}"),
            }
        }
        teller.await.unwrap();
        assert!(matches!(outbox.step(), Step::Idle));
    }

    #[test]
    fn what_waits_is_sent_before_the_end() {
        let outbox = Outbox::new(1000, "}}");
        outbox.push(Outgoing::Ping);
        outbox.close(code::NORMAL, "");
        outbox.push(Outgoing::Ping);
        assert!(matches!(outbox.step(), Step::Send(Outgoing::Ping)));
        assert!(matches!(outbox.step(), Step::Close(code::NORMAL, "")));
    }
}
