//! Places for those who come in: so many in all, of which one endpoint does not get every one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::holders::EndpointKey;

/// How many are taken.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by: HashMap<EndpointKey, usize>,
}

/// So many places. An endpoint gets three quarters of them at most, so that whoever comes in greater number leaves some for
/// others; endpoints cost nothing, so it is no protection from somebody who makes many.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    endpoint: EndpointKey,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one: most - most / 4, taken: Mutex::default() })
    }

    /// A place for an endpoint; none if all are taken, or all that it may have.
    pub(crate) fn take(self: &Arc<Self>, endpoint: EndpointKey) -> Option<Place> {
        let mut taken = self.lock();
        let own = taken.by.get(&endpoint).copied().unwrap_or(0);
        if taken.all >= self.most || own >= self.most_of_one {
            return None;
        }
        taken.all += 1;
        taken.by.insert(endpoint, own + 1);
        drop(taken);
        Some(Place { places: Arc::clone(self), endpoint })
    }

    // Every change is complete before anything can fail.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.endpoint) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.endpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_leaves_places_for_others() {
        let places = Places::new(8);
        let mut held: Vec<_> = (0..6).map(|_| places.take([1; 32]).unwrap()).collect();
        assert!(places.take([1; 32]).is_none(), "three quarters are its");
        held.push(places.take([2; 32]).unwrap());
        held.push(places.take([3; 32]).unwrap());
        assert!(places.take([4; 32]).is_none(), "all are taken");
        drop(held.remove(0));
        let again = places.take([1; 32]).unwrap();
        drop((held, again));
        let taken = places.lock();
        assert_eq!((taken.all, taken.by.len()), (0, 0));
    }

    #[test]
    fn few_places_are_for_one_as_well() {
        for most in 1..4 {
            let places = Places::new(most);
            let held: Vec<_> = (0..most).map_while(|_| places.take([1; 32])).collect();
            assert_eq!(held.len(), most);
        }
        assert!(Places::new(0).take([1; 32]).is_none());
    }
}
