//! A small internet on one machine: a street with public addresses, and homes behind routers of their own.
//!
//! ```text
//! street: the hub of a `Space`, where relays and chains are
//!   |- router of home n: number 10+n outside, 192.168.n.1 inside - home n: 192.168.n.2
//!   |  (40+n outside once it has got another address)
//!   '- villa: number 30, no router
//! ```

use std::thread::JoinHandle;

use crate::space::Space;

/// The street's own name as a place.
pub const STREET: &str = "hub";
/// Its address.
pub const STREET_ADDRESS: &str = "10.77.0.1";
/// The villa's number.
const VILLA: u8 = 30;

/// How a router treats what comes out of its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// The same port outside for everything from one port inside, and nothing comes in that was not asked
    /// for: a usual home.
    Cone,
    /// Another port for every destination: no port can be foretold.
    Symmetric,
    /// As usual, and UDP does not get out at all.
    NoUdp,
}

/// The ground; see the head of the file.
pub struct Ground {
    space: Space,
}

impl Ground {
    /// A street, and nobody on it; this thread is there. Where there can be none it is said loudly.
    pub fn new(test: &str) -> Option<Self> {
        match Space::make(&[]) {
            Ok(space) => Some(Self { space }),
            Err(why) => {
                eprintln!("SKIPPED {test}: networks behind routers cannot be made here: {why}");
                None
            }
        }
    }

    /// A home behind a router. `number` is 1 to 9; its name is `home1`.
    pub fn home(&mut self, number: u8, router: Router) {
        let (gate, home) = (gate(number), format!("home{number}"));
        self.space.join(&gate, 10 + number).unwrap();
        self.space.add(&home).unwrap();
        self.space.cable((&gate, "inside"), (&home, "up0")).unwrap();
        self.ip(&gate, &format!("addr add 192.168.{number}.1/24 dev inside"));
        self.settle(number, 2);
        let forward = self.inside(&gate, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"));
        forward.join().unwrap().unwrap();
        let (ports, udp) = match router {
            // Linux keeps the port unless it is taken.
            Router::Cone => ("", ""),
            Router::Symmetric => (" fully-random", ""),
            Router::NoUdp => ("", "meta l4proto udp drop"),
        };
        // What comes to the router itself is dropped, too: if it were answered, the port would be taken when
        // the home's own packet needs it.
        let rules = format!(
            "table ip home {{\n\
             chain out {{\n type nat hook postrouting priority srcnat; policy accept;\n\
             oifname \"wire\" masquerade{ports}\n }}\n\
             chain through {{\n type filter hook forward priority filter; policy accept;\n\
             {udp}\n iifname \"wire\" ct state new drop\n }}\n\
             chain in {{\n type filter hook input priority filter; policy accept;\n\
             iifname \"wire\" ct state new drop\n }}\n}}\n"
        );
        self.space.nft(&gate, &rules).unwrap();
    }

    /// Somebody with a public address and no router; his name is `villa`.
    pub fn villa(&mut self) {
        self.space.join("villa", VILLA).unwrap();
    }

    /// The villa's address.
    pub fn villa_address() -> String {
        Space::address(VILLA)
    }

    /// The address of a home's router as others see it.
    pub fn outside(number: u8) -> String {
        Space::address(10 + number)
    }

    /// A home's provider of access gives it another public address: everything that was open is lost.
    pub fn readdress(&self, number: u8) {
        let gate = gate(number);
        self.ip(&gate, &format!("addr del {}/24 dev wire", Self::outside(number)));
        self.ip(&gate, &format!("addr add {}/24 dev wire", Self::outside_anew(number)));
    }

    /// The address of a home's router after [`Ground::readdress`].
    pub fn outside_anew(number: u8) -> String {
        Space::address(40 + number)
    }

    /// The machine in a home moves to another address of its home's network.
    pub fn move_within(&self, number: u8, from: u8, to: u8) {
        self.ip(&format!("home{number}"), &format!("addr del 192.168.{number}.{from}/24 dev up0"));
        self.settle(number, to);
    }

    /// Runs something on a thread inside a place. Threads that it starts are there, too.
    pub fn inside<T: Send + 'static>(
        &self,
        place: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let entrance = self.space.entrance(place).unwrap();
        std::thread::spawn(move || {
            entrance.enter().unwrap();
            work()
        })
    }

    /// A command that runs a program in a place.
    pub fn command(&self, place: &str, program: &str) -> std::process::Command {
        self.space.command(place, program)
    }

    /// Gives the machine in a home an address and the way out.
    fn settle(&self, number: u8, at: u8) {
        let home = format!("home{number}");
        self.ip(&home, &format!("addr add 192.168.{number}.{at}/24 dev up0"));
        self.ip(&home, &format!("route add default via 192.168.{number}.1"));
    }

    fn ip(&self, place: &str, words: &str) {
        self.space.ip(place, &words.split(' ').collect::<Vec<_>>()).unwrap();
    }
}

fn gate(number: u8) -> String {
    format!("gate{number}")
}
