//! Meeting others who cannot be dialled: relays of one's own choice, and how a connection runs.
//!
//! An endpoint with relays keeps a connection to one of them. Others reach it through that relay, and
//! both sides then try to reach each other directly (hole punching); when that works the relay is left
//! out. What goes through a relay is encrypted between the two ends; the relay sees only who talks to
//! whom, when and how much.
//!
//! Only relays that were configured are ever contacted. A contact names none, so nobody can make this
//! machine connect to a server of his choice: two peers meet if they have a relay in common.

use std::net::SocketAddr;

use iroh::{
    NetReportConfig, RelayConfig, RelayMap, RelayMode, RelayUrl, dns::DnsResolver,
    endpoint::Builder, tls::CaTlsConfig,
};
use iroh_relay::RelayQuicConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::BlobsError;

/// Most relays of one endpoint.
pub const MAX_RELAYS: usize = 8;
/// Longest address of a relay, in bytes.
const MAX_URL: usize = 256;
/// Most certificates that are trusted besides the public ones.
const MAX_ROOTS: usize = 64;

/// Relays to use, checked. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Relays {
    urls: Vec<RelayUrl>,
    roots: Vec<CertificateDer<'static>>,
}

/// How a connection runs at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// From socket to socket.
    Direct(SocketAddr),
    /// Through the relay at this address.
    Relayed(String),
}

impl Relays {
    /// Reads addresses of relays, such as `https://relay.example.org`, and certificates (PEM) that are
    /// trusted for them besides those of public authorities.
    ///
    /// # Errors
    /// [`BlobsError::Relay`]: not such an address, too many, or not a certificate.
    pub fn new<S: AsRef<str>>(urls: &[S], certificates: Option<&[u8]>) -> Result<Self, BlobsError> {
        let wrong = |detail: String| BlobsError::Relay { detail };
        if urls.len() > MAX_RELAYS {
            return Err(wrong(format!("{} relays, at most {MAX_RELAYS} are used", urls.len())));
        }
        let urls = urls.iter().map(|text| relay_url(text.as_ref())).collect::<Result<_, _>>()?;
        let mut roots = Vec::new();
        for root in certificates.map(CertificateDer::pem_slice_iter).into_iter().flatten() {
            roots.push(root.map_err(|error| wrong(format!("certificate: {error}")))?);
        }
        if certificates.is_some() && (roots.is_empty() || roots.len() > MAX_ROOTS) {
            let count = roots.len();
            return Err(wrong(format!(
                "{count} certificates in the file, 1 to {MAX_ROOTS} can be"
            )));
        }
        Ok(Self { urls, roots })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    pub(crate) fn urls(&self) -> &[RelayUrl] {
        &self.urls
    }

    /// Sets an endpoint up for these relays and no others.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        if self.is_empty() {
            return builder.relay_mode(RelayMode::Disabled);
        }
        let map: RelayMap = self.urls.iter().map(relay).collect();
        // Names are asked of this system's name servers alone, never of public ones in their place.
        let names = DnsResolver::builder().with_system_defaults().disable_fallback().build();
        let mut report = NetReportConfig::default();
        report.captive_portal_check = false;
        builder
            .relay_mode(RelayMode::Custom(map))
            .ca_tls_config(CaTlsConfig::embedded().with_extra_roots(self.roots.clone()))
            .net_report_config(report)
            .dns_resolver(names)
    }
}

/// A relay, which is taken to tell an endpoint its public address over QUIC at the port that serves HTTPS. One without TLS has no QUIC; peers then meet, but only those with public addresses
/// come to talk directly.
fn relay(url: &RelayUrl) -> RelayConfig {
    let secure = url.scheme() == "https";
    let port = url.port_or_known_default().filter(|_| secure);
    RelayConfig::new(url.clone(), port.map(RelayQuicConfig::new))
}

fn relay_url(text: &str) -> Result<RelayUrl, BlobsError> {
    let wrong = |why: &str| BlobsError::Relay { detail: format!("{text:.80?}: {why}") };
    if text.len() > MAX_URL {
        return Err(wrong("it is too long"));
    }
    let url: RelayUrl = text.parse().map_err(|_| wrong("it is not an address"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" | "http" if url.has_host() && bare && anonymous => Ok(url),
        _ => Err(wrong("it must be like https://relay.example.org or http://192.0.2.7:3340")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_relays() {
        for good in
            ["https://relay.example.org", "http://192.0.2.7:3340", "https://[2001:db8::1]:8443/"]
        {
            assert!(!Relays::new(&[good], None).unwrap().is_empty(), "{good}");
        }
        let long = format!("https://{}.org", "x".repeat(300));
        for wrong in [
            "",
            "relay",
            "ftp://a",
            "https://a/b",
            "https://a/?b",
            "https://u:p@a",
            "file:///x",
            &long,
        ] {
            let error = Relays::new(&[wrong], None).unwrap_err();
            assert!(error.problem().detail.len() < 400, "{wrong}");
        }
        assert!(Relays::new(&["https://a"; 9], None).is_err());
        assert!(Relays::new(&["https://a"], Some(b"nothing")).is_err());
        assert!(Relays::new::<&str>(&[], None).unwrap().is_empty());
    }

    #[test]
    fn a_relay_without_tls_is_not_asked_over_quic() {
        let port = |text: &str| relay(&text.parse().unwrap()).quic.map(|quic| quic.port);
        assert_eq!(port("https://relay.example.org"), Some(443));
        assert_eq!(port("https://relay.example.org:8443"), Some(8443));
        assert_eq!(port("http://relay.example.org:3340"), None);
    }
}
