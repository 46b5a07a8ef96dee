//! Machines on one network: a namespace for each role, joined by a bridge in a namespace of its own, so
//! that nothing of the real machine's network is touched.
//!
//! The thread that runs a round lives in the bridge's namespace; what it starts is there, too, unless it
//! is told to be on another machine. Links are cut at the bridge, slowed by token buckets, and made
//! lossy by a random filter: three things that every Linux of the last ten years has. (netem would do
//! all of it, but is not part of small kernels.)

use std::{
    fs::File,
    os::fd::AsFd as _,
    process::{Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// First three numbers of the addresses in it.
const NETWORK: &str = "10.77.0";
/// The bridge's own address.
const HUB: u8 = 1;

/// When set, nothing is tried that needs root: a round as an ordinary user sees it.
const AS_USER: &str = "TILTH_FAULT_AS_USER";

/// A network of machines. Dropping it removes everything.
pub struct Space {
    prefix: String,
    machines: Vec<String>,
    lossy: bool,
}

impl Space {
    /// Makes the network and moves this thread into its middle. Says why it cannot.
    pub fn make(machines: &[(&str, u8)]) -> Result<Self, String> {
        as_root()?;
        sweep();
        let prefix = format!("tilth-{}-{:x}", std::process::id(), thread_number());
        let mut space = Self { prefix, machines: Vec::new(), lossy: false };
        space.add("hub")?;
        space.ip("hub", &["link", "add", "bridge", "type", "bridge"])?;
        let address = format!("{NETWORK}.{HUB}/24");
        space.ip("hub", &["addr", "add", &address, "dev", "bridge"])?;
        space.ip("hub", &["link", "set", "bridge", "up"])?;
        for (machine, number) in machines {
            space.join(machine, *number)?;
        }
        space.entrance("hub")?.enter()?;
        space.lossy = match machines.first() {
            Some((machine, _)) => {
                let tried = space.lose(machine, 1).and_then(|()| space.lose(machine, 0));
                tried.inspect_err(|error| eprintln!("no lossy links: {error}")).is_ok()
            }
            None => false,
        };
        Ok(space)
    }

    /// Adds a machine with a link to the bridge and this number as its address.
    pub fn join(&mut self, machine: &str, number: u8) -> Result<(), String> {
        self.add(machine)?;
        self.cable((machine, "wire"), ("hub", &port(machine)))?;
        self.ip("hub", &["link", "set", &port(machine), "master", "bridge"])?;
        self.ip(machine, &["addr", "add", &format!("{NETWORK}.{number}/24"), "dev", "wire"])
    }

    /// Lays a cable between two machines; its ends are up and have these names.
    pub fn cable(
        &self,
        (one, end): (&str, &str),
        (other, far): (&str, &str),
    ) -> Result<(), String> {
        let there = self.name(other);
        let peer = ["peer", "name", far, "netns", &there];
        self.ip(one, &[&["link", "add", end, "type", "veth"][..], &peer].concat())?;
        self.ip(one, &["link", "set", end, "up"])?;
        self.ip(other, &["link", "set", far, "up"])
    }

    /// Runs `ip` on a machine.
    pub fn ip(&self, machine: &str, words: &[&str]) -> Result<(), String> {
        run("ip", &[&["-n", &self.name(machine)], words].concat())
    }

    /// Loads rules of the packet filter on a machine.
    pub fn nft(&self, machine: &str, rules: &str) -> Result<(), String> {
        let netns = format!("--net={}", path(&self.name(machine)));
        feed("nsenter", &[&netns, "--", "nft", "-f", "-"], rules)
    }

    /// The address of a machine.
    pub fn address(number: u8) -> String {
        format!("{NETWORK}.{number}")
    }

    /// Whether links can be made lossy.
    pub fn can_lose(&self) -> bool {
        self.lossy
    }

    /// A command that runs a program on a machine.
    pub fn command(&self, machine: &str, program: &str) -> Command {
        // Not `ip netns exec`: it hides the control groups, which the sandbox needs.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", path(&self.name(machine)))).args(["--", program]);
        command
    }

    /// The way onto a machine, for a thread of this process.
    pub fn entrance(&self, machine: &str) -> Result<Entrance, String> {
        let path = path(&self.name(machine));
        File::open(&path).map(Entrance).map_err(|error| format!("{path}: {error}"))
    }

    /// Takes a machine's link down, or up again.
    pub fn cut(&self, machine: &str, down: bool) -> Result<(), String> {
        let state = if down { "down" } else { "up" };
        self.ip("hub", &["link", "set", &port(machine), state])
    }

    /// Lets a machine's link carry so many kilobits a second each way; `None` as many as it can.
    pub fn slow(&self, machine: &str, kilobits: Option<u32>) -> Result<(), String> {
        let ends = [(self.name("hub"), port(machine)), (self.name(machine), "wire".to_owned())];
        for (space, device) in ends {
            let on = ["-n", &space, "qdisc"];
            let end = ["dev", &device, "root"];
            let Some(kilobits) = kilobits else {
                run("tc", &[&on[..], &["del"], &end].concat())?;
                continue;
            };
            let rate = format!("{kilobits}kbit");
            let bucket = ["tbf", "rate", &rate, "burst", "4kb", "latency", "1s"];
            run("tc", &[&on[..], &["replace"], &end, &bucket].concat())?;
        }
        Ok(())
    }

    /// Loses so many packets in a hundred on a machine's link, each way; 0 none.
    pub fn lose(&self, machine: &str, percent: u8) -> Result<(), String> {
        let mut rules = String::from("table inet faults\ndelete table inet faults\n");
        if percent > 0 {
            rules += "table inet faults {\n";
            for (hook, direction) in [("input", "iifname"), ("output", "oifname")] {
                let rule = format!("{direction} \"wire\" numgen random mod 100 < {percent} drop");
                rules +=
                    &format!("chain of_{hook} {{ type filter hook {hook} priority 0; {rule}; }}\n");
            }
            rules += "}\n";
        }
        self.nft(machine, &rules)
    }

    fn name(&self, machine: &str) -> String {
        format!("{}-{machine}", self.prefix)
    }

    /// Adds a machine without any link.
    pub fn add(&mut self, machine: &str) -> Result<(), String> {
        let name = self.name(machine);
        run("ip", &["netns", "add", &name])?;
        self.machines.push(machine.to_owned());
        run("ip", &["-n", &name, "link", "set", "lo", "up"])
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        for machine in &self.machines {
            if let Err(error) = run("ip", &["netns", "del", &self.name(machine)]) {
                eprintln!("a namespace stays behind: {error}");
            }
        }
    }
}

/// Whether what needs root may be tried.
pub fn as_root() -> Result<(), String> {
    match std::env::var_os(AS_USER) {
        None => Ok(()),
        Some(_) => Err(format!("{AS_USER} is set")),
    }
}

/// The way onto a machine.
pub struct Entrance(File);

impl Entrance {
    /// Moves this thread, and what it will start, onto the machine.
    pub fn enter(&self) -> Result<(), String> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| format!("entering a machine: {error}"))
    }
}

fn path(name: &str) -> String {
    format!("/run/netns/{name}")
}

/// Removes what rounds that were killed have left behind.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("tilth-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = run("ip", &["netns", "del", &name]);
        }
    }
}

/// A machine's place at the bridge. Names of devices have at most 15 letters.
fn port(machine: &str) -> String {
    format!("to-{machine}")
}

/// Tells rounds of one process apart.
fn thread_number() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    feed(program, args, "")
}

/// Runs a program to its end with this input.
fn feed(program: &str, args: &[&str], input: &str) -> Result<(), String> {
    let failed = |detail: String| format!("{program} {}: {detail}", args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
