//! Who comes next when several callers want more places than there are.
//!
//! A place that is free goes to the host that holds the fewest, then to that of its connections that holds
//! the fewest, and among equals to the one that was served longest ago: whoever asks without end delays
//! itself, and others by what it has begun. Pure: nothing here waits or reads a clock.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};

/// Who asks: a host, and which connection of all. By default the node itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    host: Option<IpAddr>,
    connection: u64,
}

impl Caller {
    /// The node itself.
    pub(crate) const NODE: Self = Self { host: None, connection: 0 };

    /// The connection of this number from an address. Of IPv6 a whole network of 64 bits is one host: so much
    /// everybody has.
    pub(crate) fn new(address: Option<IpAddr>, connection: u64) -> Self {
        let host = address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address @ IpAddr::V4(_) => address,
        });
        Self { host, connection }
    }
}

/// Places, and those that wait for them. Holds no more than what holds a place or waits.
#[derive(Debug)]
pub(crate) struct Shares<T> {
    free: usize,
    /// Places that one host, and one connection, may hold.
    host_max: usize,
    connection_max: usize,
    waiting: usize,
    /// Those that hold a place or wait for one; who was served last stands last.
    hosts: VecDeque<Host<T>>,
}

#[derive(Debug)]
struct Host<T> {
    address: Option<IpAddr>,
    held: usize,
    /// As the hosts.
    connections: VecDeque<Connection<T>>,
}

#[derive(Debug)]
struct Connection<T> {
    number: u64,
    held: usize,
    /// In the order in which they came.
    waiting: VecDeque<T>,
}

impl<T> Host<T> {
    /// Where the connection stands that comes next, if one may.
    fn next(&self, connection_max: usize) -> Option<usize> {
        let connections = self.connections.iter().enumerate();
        let able = connections.filter(|(_, connection)| {
            !connection.waiting.is_empty() && connection.held < connection_max
        });
        // Of equals the first.
        able.min_by_key(|(_, connection)| connection.held).map(|(position, _)| position)
    }
}

impl<T> Shares<T> {
    /// So many places, at least one.
    pub(crate) fn new(count: usize) -> Self {
        let free = count.max(1);
        Self { free, host_max: free, connection_max: free, waiting: 0, hosts: VecDeque::new() }
    }

    /// So many places, at least one, of which one host holds at most three quarters and one connection half,
    /// so that the next one that asks need not wait for theirs.
    pub(crate) fn with_room(count: usize) -> Self {
        let count = count.max(1);
        let host_max = count.saturating_sub(count.div_ceil(4)).max(1);
        Self { host_max, connection_max: count.div_ceil(2), ..Self::new(count) }
    }

    /// Lets somebody wait for a place.
    pub(crate) fn ask(&mut self, caller: Caller, item: T) {
        let host = match self.hosts.iter().position(|host| host.address == caller.host) {
            Some(position) => self.hosts.get_mut(position),
            None => {
                let connections = VecDeque::new();
                self.hosts.push_back(Host { address: caller.host, held: 0, connections });
                self.hosts.back_mut()
            }
        };
        let Some(host) = host else { return };
        let mut connections = host.connections.iter_mut();
        match connections.find(|connection| connection.number == caller.connection) {
            Some(connection) => connection.waiting.push_back(item),
            None => {
                let (number, waiting) = (caller.connection, VecDeque::from([item]));
                host.connections.push_back(Connection { number, held: 0, waiting });
            }
        }
        self.waiting += 1;
    }

    /// Gives a free place to whoever comes next, if anybody may have one.
    pub(crate) fn serve(&mut self) -> Option<(Caller, T)> {
        if self.free == 0 {
            return None;
        }
        let (host_max, connection_max) = (self.host_max, self.connection_max);
        let hosts = self.hosts.iter().enumerate();
        let able = hosts.filter_map(|(position, host)| {
            let connection = host.next(connection_max)?;
            (host.held < host_max).then_some((position, connection, host.held))
        });
        let (position, place, _) = able.min_by_key(|(_, _, held)| *held)?;
        let mut host = self.hosts.remove(position)?;
        let mut connection = host.connections.remove(place)?;
        let caller = Caller { host: host.address, connection: connection.number };
        let item = connection.waiting.pop_front();
        if item.is_some() {
            (connection.held, host.held) = (connection.held + 1, host.held + 1);
            (self.free, self.waiting) = (self.free - 1, self.waiting - 1);
        }
        host.connections.push_back(connection);
        self.hosts.push_back(host);
        Some((caller, item?))
    }

    /// Takes back a place that the caller was given.
    pub(crate) fn give_back(&mut self, caller: Caller) {
        let host = self.hosts.iter_mut().find(|host| host.address == caller.host);
        if let Some(host) = host
            && let Some(connection) =
                host.connections.iter_mut().find(|one| one.number == caller.connection)
            && connection.held > 0
        {
            (connection.held, host.held) = (connection.held - 1, host.held - 1);
            self.free += 1;
        }
        self.tidy();
    }

    /// Lets the caller no longer wait with that which `is_it`; whether it was there.
    pub(crate) fn withdraw(&mut self, caller: Caller, is_it: impl Fn(&T) -> bool) -> bool {
        let host = self.hosts.iter_mut().find(|host| host.address == caller.host);
        let connections = host.map(|host| host.connections.iter_mut());
        let connection =
            connections.and_then(|mut all| all.find(|one| one.number == caller.connection));
        let found = connection.and_then(|connection| {
            let position = connection.waiting.iter().position(is_it)?;
            connection.waiting.remove(position)
        });
        self.waiting -= usize::from(found.is_some());
        self.tidy();
        found.is_some()
    }

    /// Whether anybody waits for a place.
    pub(crate) fn anybody_waits(&self) -> bool {
        self.waiting > 0
    }

    /// Forgets those that neither hold nor want anything.
    fn tidy(&mut self) {
        self.hosts.retain_mut(|host| {
            host.connections.retain(|one| one.held > 0 || !one.waiting.is_empty());
            !host.connections.is_empty()
        });
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
