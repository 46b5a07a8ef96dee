//! Whose turn it is to be fetched from: several at a time, but one of each source, so that one that is slow, or says that
//! it has much, takes the time of nobody but itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::Address;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many turns at a time.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// One turn for each source of which something is fetched, or waits for that.
    by_source: Mutex<HashMap<Address, Arc<Semaphore>>>,
}

/// A turn. Dropping it lets the next one go on.
#[derive(Debug)]
pub(super) struct Turn {
    // In this order: when the next one of the same source comes, there is a place for it.
    _place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Turns {
    /// `most`: turns at a time, at least 1.
    pub(super) fn new(most: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), by_source: Mutex::default() }
    }

    /// Waits for a turn to fetch from a source: first for what else is fetched from there, and only then for one of the
    /// places, so that nobody keeps one while it waits. `None` never: nobody closes the doors.
    pub(super) async fn take(&self, source: Address) -> Option<Turn> {
        let own = self.of(source).acquire_owned().await.ok()?;
        let place = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _place: place, _own: own })
    }

    /// The turn of a source.
    fn of(&self, source: Address) -> Arc<Semaphore> {
        // Every change is complete before anything can fail.
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waits for one or has it keeps it here.
        by_source.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(by_source.entry(source).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, poll_fn},
        pin::Pin,
        task::Poll,
    };

    use super::*;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

    fn source(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    fn takes(turns: &Turns, number: u8) -> Waiting<'_> {
        Box::pin(turns.take(source(number)))
    }

    /// The turn, if it is there without waiting.
    async fn now(waiting: &mut Waiting<'_>) -> Option<Turn> {
        let polled = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn who_is_slow_keeps_one_turn_and_others_go_on() {
        let turns = Turns::new(3);
        let slow = now(&mut takes(&turns, 1)).await.unwrap();
        let mut waiting: Vec<_> = (0..20).map(|_| takes(&turns, 1)).collect();
        for more in &mut waiting {
            assert!(now(more).await.is_none(), "one at a time of each");
        }
        // However many of its wait, they keep no place.
        let second = now(&mut takes(&turns, 2)).await.unwrap();
        let third = now(&mut takes(&turns, 3)).await.unwrap();
        let mut fourth = takes(&turns, 4);
        assert!(now(&mut fourth).await.is_none(), "all places are taken");
        drop(second);
        let fourth = now(&mut fourth).await.unwrap();
        // The next of the slow one's, first come first served.
        drop(slow);
        assert!(now(&mut waiting[1]).await.is_none());
        let next = now(&mut waiting[0]).await.unwrap();
        drop((next, third, fourth));
        drop(waiting);
    }

    #[tokio::test]
    async fn who_has_gone_leaves_nothing_behind() {
        let turns = Turns::new(2);
        for number in 0..20 {
            drop(now(&mut takes(&turns, number)).await.unwrap());
        }
        let held = now(&mut takes(&turns, 60)).await.unwrap();
        // Given up before its turn came.
        let mut given_up = takes(&turns, 60);
        assert!(now(&mut given_up).await.is_none());
        drop(given_up);
        let last = now(&mut takes(&turns, 61)).await.unwrap();
        assert_eq!(turns.by_source.lock().unwrap().len(), 2);
        drop((held, last));
        now(&mut takes(&turns, 60)).await.unwrap();
    }
}
