//! Connections to others, one per endpoint, reused until idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iroh::{Endpoint, EndpointAddr, EndpointId, TransportAddr, endpoint::Connection};
use tilth_protocol::Contact;

use crate::{
    holders::EndpointKey,
    relay::{Relays, Route},
};

/// How long one dial may take. Loopback and LAN answer in milliseconds, other continents well below
/// a second; a silent address costs all of it.
pub(crate) const DIAL: Duration = Duration::from_secs(4);
/// An unused connection is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// Most connections kept.
const MAX_KEPT: usize = 256;

/// What became of dialling an endpoint.
#[derive(Debug, Default)]
struct Dialled {
    connection: Option<Connection>,
    failed: Option<Failed>,
}

/// A dial that nobody answered.
#[derive(Debug)]
struct Failed {
    ended: Instant,
    contact: Contact,
    why: String,
}

impl Failed {
    /// The answer for somebody who has waited for a dial since `asked`: who wanted the same is not dialled for again, or
    /// many who wait for one that is gone would wait for each other.
    fn answer(&self, asked: Instant, contact: &Contact) -> Option<String> {
        (self.ended >= asked && self.contact == *contact).then(|| self.why.clone())
    }
}

/// One endpoint's place: the lock is held while dialling, so that many fetches at once dial once.
type Place = Arc<tokio::sync::Mutex<Dialled>>;

#[derive(Debug)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    relays: Relays,
    places: Mutex<HashMap<EndpointKey, (Place, Instant)>>,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, relays: Relays) -> Self {
        Self { endpoint, relays, places: Mutex::default() }
    }

    /// How a kept connection runs now.
    pub(crate) fn route(&self, endpoint: &EndpointKey) -> Option<Route> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Arc::clone(&places.get(endpoint)?.0);
        drop(places);
        let kept = place.try_lock().ok()?;
        let connection = kept.connection.as_ref().filter(|kept| kept.close_reason().is_none())?;
        let paths = connection.paths();
        let path = paths.iter().find(|path| path.is_selected())?;
        match path.remote_addr() {
            TransportAddr::Ip(socket) => Some(Route::Direct(*socket)),
            TransportAddr::Relay(url) => Some(Route::Relayed(url.to_string())),
            _ => None,
        }
    }

    /// A live connection to a contact, or why there is none.
    pub(crate) async fn connect(&self, contact: &Contact) -> Result<Connection, String> {
        let (asked, place) = (Instant::now(), self.place(contact.endpoint));
        let mut kept = place.lock().await;
        if let Some(connection) = kept.connection.as_ref()
            && connection.close_reason().is_none()
        {
            return Ok(connection.clone());
        }
        if let Some(why) = kept.failed.as_ref().and_then(|failed| failed.answer(asked, contact)) {
            return Err(why);
        }
        match self.dial(contact, iroh_blobs::ALPN).await {
            Ok(connection) => {
                *kept = Dialled { connection: Some(connection.clone()), failed: None };
                Ok(connection)
            }
            Err(why) => {
                let (ended, contact) = (Instant::now(), contact.clone());
                let failed = Some(Failed { ended, contact, why: why.clone() });
                *kept = Dialled { connection: None, failed };
                Err(why)
            }
        }
    }

    /// A new connection to a contact, or why there is none.
    pub(crate) async fn dial(&self, contact: &Contact, alpn: &[u8]) -> Result<Connection, String> {
        let id = EndpointId::from_bytes(&contact.endpoint).map_err(|error| error.to_string())?;
        if contact.addresses.is_empty() && self.relays.is_empty() {
            return Err("the contact has no address, and no relay is configured".to_owned());
        }
        let address = contact
            .addresses
            .iter()
            .fold(EndpointAddr::new(id), |address, socket| address.with_ip_addr(*socket));
        let relays = self.relays.urls().iter().cloned();
        let address = relays.fold(address, EndpointAddr::with_relay_url);
        let dial = self.endpoint.connect(address, alpn);
        tokio::time::timeout(DIAL, dial)
            .await
            .map_err(|_| format!("no answer within {} s", DIAL.as_secs()))?
            .map_err(|error| format!("{error:#}"))
    }

    /// Keeps a connection no longer than those have it who use it now.
    pub(crate) fn leave(&self, endpoint: &EndpointKey) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has it besides this map waits for a connection.
        if places.get(endpoint).is_some_and(|(place, _)| Arc::strong_count(place) == 1) {
            places.remove(endpoint);
        }
    }

    /// Drops connections nobody used for a while.
    pub(crate) fn close_idle(&self, now: Instant) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, (place, used)| {
            Arc::strong_count(place) > 1 || now.saturating_duration_since(*used) < IDLE
        });
    }

    fn place(&self, endpoint: EndpointKey) -> Place {
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_KEPT && !places.contains_key(&endpoint) {
            let oldest = places.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                places.remove(&oldest);
            }
        }
        let (place, used) = places.entry(endpoint).or_insert_with(|| (Place::default(), now));
        *used = now;
        Arc::clone(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_for_a_dial_that_failed_is_not_dialled_for_again() {
        let second = Duration::from_secs(1);
        let before = Instant::now();
        let ended = before + second;
        let contact = Contact { endpoint: [1; 32], addresses: Vec::new() };
        let failed = Failed { ended, contact: contact.clone(), why: "no answer".to_owned() };
        let elsewhere = Contact { addresses: vec![([127, 0, 0, 1], 9).into()], ..contact.clone() };
        assert_eq!(failed.answer(before, &contact).as_deref(), Some("no answer"));
        assert_eq!(failed.answer(ended, &contact).as_deref(), Some("no answer"));
        assert_eq!(failed.answer(ended + second, &contact), None, "who asks later has it tried");
        assert_eq!(failed.answer(before, &elsewhere), None, "it may be found there");
    }
}
