//! Places for requests that may take long, shared among callers as [`Shares`] says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::message::{Caller, Shares};

/// A bounded number of places.
#[derive(Debug)]
pub(super) struct Places(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    shares: Shares<Waiter>,
    next: u64,
}

/// One that waits.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    told: oneshot::Sender<()>,
}

/// A place of a caller; free when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    places: Arc<Places>,
    caller: Caller,
}

/// Waits for a place, and leaves none behind when it does not wait for it any more.
struct Waiting<'a> {
    places: &'a Places,
    caller: Caller,
    ticket: u64,
    has_place: bool,
}

impl Places {
    /// So many, at least one; one caller does not get all of them.
    pub(super) fn new(count: usize) -> Arc<Self> {
        Self::of(Shares::with_room(count))
    }

    /// So many, at least one, for what is over soon: a caller gets all of them while nobody else asks.
    pub(super) fn brief(count: usize) -> Arc<Self> {
        Self::of(Shares::new(count))
    }

    fn of(shares: Shares<Waiter>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue { shares, next: 0 })))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn take(self: &Arc<Self>, caller: Caller) -> Held {
        let (told, hears) = oneshot::channel();
        let mut waiting = self.ask(caller, told);
        // Nobody drops the other end before it was used.
        let _ = hears.await;
        waiting.has_place = true;
        Held { places: Arc::clone(self), caller }
    }

    fn ask(&self, caller: Caller, told: oneshot::Sender<()>) -> Waiting<'_> {
        let mut queue = self.queue();
        let ticket = queue.next;
        queue.next = ticket.wrapping_add(1);
        queue.shares.ask(caller, Waiter { ticket, told });
        queue.serve();
        Waiting { places: self, caller, ticket, has_place: false }
    }

    fn give_back(&self, caller: Caller) {
        let mut queue = self.queue();
        queue.shares.give_back(caller);
        queue.serve();
    }
}

impl Queue {
    fn serve(&mut self) {
        while let Some((_, Waiter { told, .. })) = self.shares.serve() {
            // Whoever no longer listens gives the place back, see `Waiting`.
            let _ = told.send(());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.give_back(self.caller);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.has_place {
            return;
        }
        let is_it = |waiter: &Waiter| waiter.ticket == self.ticket;
        let has_left = self.places.queue().shares.withdraw(self.caller, is_it);
        if !has_left {
            // It was given a place that nobody will use.
            self.places.give_back(self.caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn caller(number: u64) -> Caller {
        Caller::new(None, number)
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn at_once(places: &Arc<Places>, number: u64) -> Option<Held> {
        match poll(pin!(places.take(caller(number)))) {
            Poll::Ready(held) => Some(held),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_no_longer_waited_for_is_left_to_others() {
        let places = Places::new(4);
        let held = [1, 1, 2].map(|number| at_once(&places, number).unwrap());
        // One connection has half, one host three quarters.
        assert!(at_once(&places, 1).is_none());
        assert!(at_once(&places, 3).is_none());
        let [first, second, third] = held;
        {
            let mut given_up = pin!(places.take(caller(1)));
            let mut asked = pin!(places.take(caller(1)));
            assert!(poll(given_up.as_mut()).is_pending());
            assert!(poll(asked.as_mut()).is_pending());
            // It is given to the first, who goes without having looked.
            drop(first);
            assert!(poll(asked.as_mut()).is_pending());
            given_up.set(places.take(caller(1)));
            assert!(poll(asked.as_mut()).is_ready());
        }
        drop((second, third));
        // None is lost: each in its turn has as much as before.
        for _ in 0..3 {
            let held = [1, 1, 2].map(|number| at_once(&places, number).unwrap());
            assert!(at_once(&places, 2).is_none());
            drop(held);
        }
        assert!(!places.queue().shares.anybody_waits());
    }
}
