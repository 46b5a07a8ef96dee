//! Who may execute now: few at a time, the most urgent first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

/// A room with few places and an ordered queue before it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    arrived: u64,
    /// By deadline, then by arrival.
    waiting: BTreeMap<(Instant, u64), oneshot::Sender<Place>>,
}

/// A place in the room. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Place {
    room: Option<Room>,
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        let inner = Inner { free: places, arrived: 0, waiting: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete before anything else can fail.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place until `deadline`; `None`: it has passed.
    pub(super) async fn enter(&self, deadline: Instant) -> Option<Place> {
        let called = {
            let mut inner = self.lock();
            if inner.free > 0 {
                inner.free -= 1;
                return Some(Place { room: Some(self.clone()) });
            }
            let (call, called) = oneshot::channel();
            let arrived = inner.arrived;
            inner.arrived = arrived.wrapping_add(1);
            inner.waiting.insert((deadline, arrived), call);
            called
        };
        // Who has left the queue is passed over when its turn comes.
        tokio::time::timeout_at(deadline.into(), called).await.ok()?.ok()
    }

    /// Gives a place to the first who still waits.
    fn leave(&self) {
        loop {
            let first = {
                let mut inner = self.lock();
                match inner.waiting.pop_first() {
                    Some((_, call)) => call,
                    None => {
                        inner.free = inner.free.saturating_add(1);
                        return;
                    }
                }
            };
            match first.send(Place { room: Some(self.clone()) }) {
                Ok(()) => return,
                // It does not wait any more; its place is ours to give, and dropping it would give it twice.
                Err(mut place) => place.room = None,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            room.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_most_urgent_comes_first_and_who_gave_up_is_passed_over() {
        let room = Room::new(1);
        let soon = Instant::now();
        let first = room.enter(soon).await.unwrap();
        assert!(room.enter(soon).await.is_none(), "its time is over");
        let hour = |hours: u64| soon + Duration::from_secs(3_600 * hours);
        let (late, early) = (room.enter(hour(3)), room.enter(hour(2)));
        let gone = room.enter(hour(1));
        tokio::pin!(late, early);
        {
            tokio::pin!(gone);
            for waits in [futures_poll(late.as_mut()), futures_poll(early.as_mut())] {
                assert!(waits);
            }
            assert!(futures_poll(gone.as_mut()));
        }
        drop(first);
        let second = early.await.unwrap();
        assert!(futures_poll(late.as_mut()), "there is one place");
        drop(second);
        assert!(late.await.is_some());
        assert!(room.enter(soon).await.is_some(), "the place is free again");
    }

    /// Whether a future is still waiting.
    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        let waker = std::task::Waker::noop();
        future.poll(&mut std::task::Context::from_waker(waker)).is_pending()
    }
}
