//! Which web pages may use the node: checks on the `Origin` and `Host` headers, as geth makes them.
//!
//! Programs outside of browsers send no `Origin`, and a header proves nothing about them. A browser
//! names the page's origin truthfully, and the `Host` it believes to talk to: the first keeps
//! foreign pages out, the second also those that point a name of their own to this address (DNS
//! rebinding).

use crate::config::Access;

/// The `Access` of the configuration, ready for use.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    any_origin: bool,
    origins: Vec<Parts>,
    any_host: bool,
    hosts: Vec<String>,
}

/// Scheme, host and port, as far as they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    scheme: Option<String>,
    host: String,
    port: Option<String>,
}

impl Parts {
    fn parse(origin: &str) -> Self {
        let origin = origin.to_ascii_lowercase();
        let (scheme, rest) = match origin.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_owned()), rest),
            None => (None, origin.as_str()),
        };
        let (host, port) = split_port(rest);
        Self { scheme, host: host.to_owned(), port: port.map(str::to_owned) }
    }

    fn allows(&self, page: &Self) -> bool {
        let same =
            |rule: &Option<String>, of_page: &Option<String>| rule.is_none() || rule == of_page;
        self.host == page.host && same(&self.scheme, &page.scheme) && same(&self.port, &page.port)
    }
}

/// Host and port; an IPv6 address may stand in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        // More than one colon: an address without brackets.
        Some((_, port)) if port.contains(':') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

impl Gate {
    pub(super) fn new(access: &Access) -> Self {
        let is_any = |entry: &String| entry == "*";
        Self {
            any_origin: access.origins.iter().any(is_any),
            origins: access.origins.iter().map(|origin| Parts::parse(origin)).collect(),
            any_host: access.hosts.iter().any(is_any),
            hosts: access.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether a page of this origin may use the node.
    pub(super) fn allows_origin(&self, origin: &str) -> bool {
        let page = Parts::parse(origin);
        self.any_origin || self.origins.iter().any(|rule| rule.allows(&page))
    }

    /// Whether a request may be sent to this host: an address, or one of the configured names.
    pub(super) fn allows_host(&self, host: &str) -> bool {
        let (name, _) = split_port(host);
        let name = name.to_ascii_lowercase();
        name.is_empty()
            || self.any_host
            || name.parse::<std::net::IpAddr>().is_ok()
            || self.hosts.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_as_far_as_the_rule_says() {
        let gate = Gate::new(&Access {
            origins: vec![
                "http://localhost".into(),
                "https://app.example:8443".into(),
                "b.c".into(),
            ],
            hosts: vec!["Node.Example".into()],
        });
        for allowed in
            ["http://localhost", "http://LOCALHOST:3000", "https://app.example:8443", "ftp://b.c:1"]
        {
            assert!(gate.allows_origin(allowed), "{allowed}");
        }
        for refused in [
            "https://localhost",
            "https://app.example",
            "https://app.example:8444",
            "http://localhost.evil.example",
            "null",
            "",
        ] {
            assert!(!gate.allows_origin(refused), "{refused}");
        }
        for allowed in ["", "127.0.0.1:8545", "[::1]:8545", "::1", "node.example:1", "NODE.example"]
        {
            assert!(gate.allows_host(allowed), "{allowed}");
        }
        for refused in ["localhost", "evil.example:8545", "node.example.evil", "1.2.3"] {
            assert!(!gate.allows_host(refused), "{refused}");
        }
        let open = Gate::new(&Access { origins: vec!["*".into()], hosts: vec!["*".into()] });
        assert!(open.allows_origin("null") && open.allows_host("evil.example"));
        let local = Gate::new(&Access::default());
        assert!(local.allows_origin("http://[::1]:5173") && local.allows_host("localhost:8545"));
        assert!(!local.allows_origin("https://evil.example"));
    }
}
