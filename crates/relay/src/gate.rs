//! Who comes in: the rule, and how many at once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use iroh_base::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId};
use tracing::debug;

use crate::{EndpointKey, watch::Watch};

/// Who may use a relay.
#[derive(Debug)]
pub(crate) enum Rule {
    Everyone,
    Listed(HashSet<EndpointKey>),
    Network(Arc<Watch>),
}

/// Why somebody was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All places are taken.
    Full,
    /// The endpoint has too many connections.
    Crowd,
    /// The rule does not admit it.
    Stranger,
    /// The rule cannot be asked: the chain has not been read, or has been away for long.
    Blind,
}

impl Refusal {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Crowd, Self::Stranger, Self::Blind];

    /// One word, for metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Crowd => "crowd",
            Self::Stranger => "stranger",
            Self::Blind => "blind",
        }
    }
}

/// What the one who is refused is told.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "this relay has no place free",
            Self::Crowd => "this endpoint has too many connections here",
            Self::Stranger => "this relay is not for this endpoint",
            Self::Blind => "this relay cannot read its chain and admits nobody new",
        })
    }
}

/// How many may be connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Connections in all.
    pub(crate) connections: u32,
    /// Connections of one endpoint. Several are usual for a moment: one whose network has changed comes
    /// anew before the old connection is known to be dead.
    pub(crate) of_endpoint: u32,
}

/// Those who are connected: endpoints, and how many connections each has.
#[derive(Debug, Default)]
struct Present {
    endpoints: HashMap<EndpointKey, u32>,
    connections: u32,
}

impl Present {
    fn enter(&mut self, endpoint: EndpointKey, places: Places) -> Result<(), Refusal> {
        if self.connections >= places.connections {
            return Err(Refusal::Full);
        }
        let count = self.endpoints.get(&endpoint).copied().unwrap_or(0);
        if count >= places.of_endpoint {
            return Err(Refusal::Crowd);
        }
        self.endpoints.insert(endpoint, count + 1);
        self.connections += 1;
        Ok(())
    }

    fn leave(&mut self, endpoint: &EndpointKey) {
        let Some(count) = self.endpoints.get_mut(endpoint) else { return };
        *count -= 1;
        self.connections -= 1;
        if *count == 0 {
            self.endpoints.remove(endpoint);
        }
    }
}

/// The gate in front of a relay.
#[derive(Debug)]
pub(crate) struct Gate {
    rule: Rule,
    places: Places,
    present: Mutex<Present>,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Gate {
    pub(crate) fn new(rule: Rule, places: Places) -> Self {
        Self { rule, places, present: Mutex::default(), refused: Default::default() }
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> u32 {
        self.lock().connections
    }

    /// Endpoints that are connected.
    pub(crate) fn endpoints(&self) -> usize {
        self.lock().endpoints.len()
    }

    /// How many were refused for a reason.
    pub(crate) fn refused(&self, why: Refusal) -> u64 {
        self.refused[why as usize].load(Ordering::Relaxed)
    }

    /// Those who are connected and should be no longer. None while the rule cannot be asked: who was
    /// admitted by a chain that answered stays.
    pub(crate) fn unwelcome(&self) -> Vec<EndpointKey> {
        let endpoints: Vec<_> = self.lock().endpoints.keys().copied().collect();
        endpoints.into_iter().filter(|key| self.judge(key) == Err(Refusal::Stranger)).collect()
    }

    fn judge(&self, endpoint: &EndpointKey) -> Result<(), Refusal> {
        match &self.rule {
            Rule::Everyone => Ok(()),
            Rule::Listed(list) if list.contains(endpoint) => Ok(()),
            Rule::Listed(_) => Err(Refusal::Stranger),
            Rule::Network(watch) => watch.judge(endpoint),
        }
    }

    fn enter(&self, endpoint: EndpointKey) -> Result<(), Refusal> {
        let entered = self.judge(&endpoint).and_then(|()| self.lock().enter(endpoint, self.places));
        if let Err(why) = entered {
            self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessControl for Gate {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let endpoint = request.endpoint_id();
        match self.enter(*endpoint.as_bytes()) {
            Ok(()) => Access::Allow,
            Err(why) => {
                debug!(%endpoint, %why, "refused a connection");
                Access::Deny { reason: Some(why.to_string()) }
            }
        }
    }

    fn on_disconnect(&self, endpoint: EndpointId, _connection: ConnectionId) {
        self.lock().leave(endpoint.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { connections: 3, of_endpoint: 2 };

    #[test]
    fn places_are_counted_and_given_back() {
        let gate = Gate::new(Rule::Everyone, PLACES);
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        assert_eq!(gate.enter(a), Ok(()));
        assert_eq!(gate.enter(a), Ok(()));
        assert_eq!(gate.enter(a), Err(Refusal::Crowd));
        assert_eq!(gate.enter(b), Ok(()));
        assert_eq!(gate.enter(c), Err(Refusal::Full));
        assert_eq!((gate.connections(), gate.endpoints()), (3, 2));
        gate.lock().leave(&a);
        assert_eq!(gate.enter(c), Ok(()));
        for endpoint in [a, b, c, c] {
            // One more than came is no harm.
            gate.lock().leave(&endpoint);
        }
        assert_eq!((gate.connections(), gate.endpoints()), (0, 0));
        assert_eq!(Refusal::ALL.map(|why| gate.refused(why)), [1, 1, 0, 0]);
    }

    #[test]
    fn who_is_not_listed_stays_outside() {
        let gate = Gate::new(Rule::Listed(HashSet::from([[1; 32]])), PLACES);
        assert_eq!(gate.enter([1; 32]), Ok(()));
        assert_eq!(gate.enter([2; 32]), Err(Refusal::Stranger));
        assert_eq!(gate.refused(Refusal::Stranger), 1);
        assert!(gate.unwelcome().is_empty());
    }
}
