//! The init process: our own program started anew, which builds the sandbox around itself and runs the program in it.
//!
//! ```text
//! agent ── monitor ── warden ── program
//! ```
//!
//! The *monitor* is the agent's child. It stays outside, watches limits and the agent's socket, and cleans up: when the
//! socket closes, because the agent asked or died in whatever way, everything ends. The *warden* is process 1 of the
//! program's process namespace; when it dies, the kernel kills all others. It waits for the program and tells how it
//! ended. The *program* gives up its rights one by one and executes the untrusted file. All three are single-threaded,
//! so that forking is safe. Only monitor and warden hold the control socket.

pub(crate) mod cage;
mod filter;
mod hoard;
mod privileges;
mod rules;
mod trial;
mod watch;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, BufReader, PipeWriter, Read, Write},
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixStream},
            process::CommandExt,
        },
    },
    process::{Command, ExitCode},
};

use rustix::{
    fs::Mode,
    io::Errno,
    process::{
        DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, geteuid, getpid, getppid, nice,
        pidfd_open, pidfd_send_signal, set_child_subreaper, set_dumpable_behavior,
        set_parent_process_death_signal, setsid, umask, wait, waitpid,
    },
    thread::UnshareFlags,
};

pub(crate) use trial::Sight;

use self::watch::Watch;
use crate::{
    Protection, escape,
    groups::Meters,
    sys::{self, Fork},
    wire::{Exceeded, Fault, MAX_LINE, Order, Plan, Rank, Report, Step},
};

/// First argument of the init when it is to run a program; the socket's name follows.
pub(crate) const CONTROL: &str = "--control";
/// Only argument of the init when it is itself the program of a trial run.
pub(crate) const TRIAL: &str = "--trial";

/// First argument of the init when it is to try to escape; the attempt's name and the bait follow.
pub(crate) const ATTEMPT: &str = "--attempt";
/// Only argument of the init when it is the neighbour that attempts are aimed at.
pub(crate) const VICTIM: &str = "--victim";

/// How much less than the agent's the program's claim to CPU time is.
const NICENESS: i32 = 5;
/// Exit code of the init when it failed.
const FAILED: u8 = 125;

/// Entry of the hidden subcommand by which the agent starts the init: pass on the arguments that follow it.
///
/// Must be called before the process starts threads or opens files: it closes all descriptors but the first three.
#[must_use]
pub fn init_main(args: &[OsString]) -> ExitCode {
    let done = match args {
        [first] if first == TRIAL => trial::look_around(),
        [first, name] if first == CONTROL => monitor(name),
        [first, name, bait] if first == ATTEMPT => escape::act(name, bait),
        [first] if first == VICTIM => escape::be_victim(),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "this command is started by tilth itself",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox init: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn monitor(name: &OsStr) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the init must be called before any thread is started"));
    }
    sys::close_inherited()?;
    let control = connect(name)?;
    let plan = read_plan(&control)?;
    match prepare(&plan, &control) {
        Ok((top, nowhere)) => watch_over(&plan, &control, top, &nowhere),
        Err(fault) => {
            Meters::new(&plan.groups).remove();
            tell(&control, &Report::Failed(fault))
        }
    }
}

/// Connects to the agent, and to nobody else: whoever answers decides what runs here.
fn connect(name: &OsStr) -> io::Result<UnixStream> {
    let control = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
    let (pid, user) = sys::peer_of(&control)?;
    if Some(pid) != getppid().map(|pid| pid.as_raw_nonzero().get()) || user != geteuid().as_raw() {
        return Err(io::Error::other(
            "the control socket is not that of the process that started this one",
        ));
    }
    Ok(control)
}

fn read_plan(control: &UnixStream) -> io::Result<Plan> {
    let mut line = Vec::new();
    BufReader::new(control.take(MAX_LINE)).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

fn tell(mut control: &UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    control.write_all(&line)
}

/// Makes what must be made before the warden is: returns the warden, and a descriptor of `/dev/null`.
fn prepare(plan: &Plan, control: &UnixStream) -> Result<(Pid, File), Fault> {
    let nowhere =
        File::options().read(true).write(true).open("/dev/null").step(None, "open /dev/null")?;
    // When the machine runs out of memory the sandboxed go first. Refused only where it is stricter already.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let mut entries = Vec::new();
    for group in &plan.groups {
        entries.push(
            File::options()
                .write(true)
                .open(group.join("cgroup.procs"))
                .step(None, "open a cgroup")?,
        );
    }
    let user = plan
        .protections
        .contains(&Protection::OtherUser)
        .then(|| privileges::FIRST_USER.saturating_add(std::process::id()));
    if plan.rank == Rank::UserNamespace {
        if let Some(user) = user {
            privileges::become_user(user, &plan.device_groups)?;
        }
        privileges::enter_user_namespace()?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(None, "hide the init's memory")?;
    set_child_subreaper(Some(getpid())).step(None, "adopt orphans")?;
    if plan.protections.contains(&Protection::OwnProcesses) {
        sys::unshare(UnshareFlags::NEWPID)
            .step(Protection::OwnProcesses, "make a process namespace")?;
    }
    let user = user.filter(|_| plan.rank != Rank::UserNamespace);
    match sys::fork().step(Protection::OwnProcesses, "start the warden")? {
        Fork::Parent(top) => Ok((top, nowhere)),
        Fork::Child => {
            let done = warden(plan, control, entries, user, &nowhere);
            let code = match done.or_else(|fault| tell(control, &Report::Failed(fault))) {
                Ok(()) => 0,
                Err(_) => i32::from(FAILED),
            };
            std::process::exit(code)
        }
    }
}

/// The monitor's life: until the warden ends, the agent lets go, or a bound is exceeded.
fn watch_over(plan: &Plan, control: &UnixStream, top: Pid, nowhere: &File) -> io::Result<()> {
    sys::replace_stdin_and_stdout(nowhere.as_fd())?;
    let meters = Meters::new(&plan.groups);
    let mut watch = Watch::new(plan, &meters, top);
    let warden = pidfd_open(top, PidfdFlags::empty())?;
    let exceeded = loop {
        let [agent_speaks, warden_gone] =
            sys::wait_readable([control.as_fd(), warden.as_fd()], watch.tick())?;
        if warden_gone {
            break None;
        }
        if agent_speaks {
            match order(control) {
                Some(Order::StandStill) => watch::stop_descendants(top),
                Some(Order::GoOn) => watch::signal_descendants(top, Signal::CONT),
                None => break None,
            }
        }
        if let Some(exceeded) = watch.look() {
            break Some(exceeded);
        }
    };
    end_all(plan, top, &warden)?;
    let exceeded = exceeded.or_else(|| watch.look_at_output());
    finish(plan, control, &watch, exceeded)
}

/// What the agent wants; `None` when it is gone, which ends everything.
fn order(mut control: &UnixStream) -> Option<Order> {
    let mut byte = [0];
    match control.read(&mut byte) {
        Ok(1) => Order::from_byte(byte[0]),
        _ => None,
    }
}

/// Kills what is left and waits until nothing is.
fn end_all(plan: &Plan, top: Pid, warden: &impl AsFd) -> io::Result<()> {
    let own_namespace = plan.protections.contains(&Protection::OwnProcesses);
    if !own_namespace {
        // Else it would see the program die of our signal and tell that as the program's own end.
        let _ = pidfd_send_signal(warden, Signal::STOP);
        watch::kill_descendants(top);
    }
    let _ = pidfd_send_signal(warden, Signal::KILL);
    waitpid(Some(top), WaitOptions::empty())?;
    // Without a process namespace orphans come to this process; with one the kernel has killed all.
    while !own_namespace && watch::kill_descendants(getpid()) > 0 {
        wait(WaitOptions::empty())?;
    }
    Ok(())
}

fn finish(
    plan: &Plan,
    control: &UnixStream,
    watch: &Watch<'_>,
    exceeded: Option<Exceeded>,
) -> io::Result<()> {
    let (seen, meters) = (watch.seen(), Meters::new(&plan.groups));
    let oom_kills = meters.oom_kills();
    let cpu = seen.cpu.max(sys::usage_of_children().cpu);
    meters.remove();
    let report = Report::Closed { exceeded, cpu, peak_bytes: seen.max_rss_bytes, oom_kills };
    match tell(control, &report) {
        // The agent may be gone; then nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

/// The warden's life: build the cage, start the program, wait for it, tell how it ended.
fn warden(
    plan: &Plan,
    control: &UnixStream,
    groups: Vec<File>,
    user: Option<u32>,
    nowhere: &File,
) -> Result<(), Fault> {
    // Process 1 of a namespace is deaf to signals from inside as long as it has no handlers, and std installs some.
    sys::reset_fault_signals();
    set_parent_process_death_signal(Some(Signal::KILL))
        .step(None, "tie the warden to the monitor")?;
    if !plan.protections.contains(&Protection::OwnProcesses) {
        // As process 1 it would anyway. Whoever is adopted by the monitor is not found by the watch.
        set_child_subreaper(Some(getpid())).step(None, "adopt orphans")?;
    }
    cage::enter(plan, user)?;
    let (mut told, tell_fault) = io::pipe().step(None, "make a pipe")?;
    let program = match sys::fork().step(None, "start the program")? {
        Fork::Child => {
            drop(told);
            let fault = become_program(plan, groups, user);
            report_fault(tell_fault, &fault);
            std::process::exit(i32::from(FAILED))
        }
        Fork::Parent(pid) => pid,
    };
    drop((tell_fault, groups));
    sys::replace_stdin_and_stdout(nowhere.as_fd()).step(None, "let go of the program's pipes")?;
    if plan.protections.contains(&Protection::NoPrivileges) {
        privileges::drop_capabilities()
            .step(Protection::NoPrivileges, "drop the warden's capabilities")?;
    }
    // The pipe closes without a word when the program file has been executed.
    let mut fault = Vec::new();
    told.read_to_end(&mut fault).step(None, "hear of the program")?;
    if !fault.is_empty() {
        let unreadable =
            |error: serde_json::Error| Fault::new(None, "hear of the program", &error.into());
        return Err(serde_json::from_slice(&fault).unwrap_or_else(unreadable));
    }
    tell(control, &Report::Started).step(None, "tell of the program's start")?;
    loop {
        // As process 1 the warden inherits orphans and reaps them here.
        let (pid, status) = match wait(WaitOptions::empty()) {
            Ok(Some(ended)) => ended,
            Ok(None) | Err(Errno::INTR) => continue,
            Err(error) => return Err(error).step(None, "wait for the program"),
        };
        if pid == program {
            let usage = sys::usage_of_children();
            let report = Report::Exited {
                code: status.exit_status(),
                signal: status.terminating_signal(),
                cpu: usage.cpu,
                max_rss_bytes: usage.max_rss_bytes,
            };
            return tell(control, &report).step(None, "tell of the program's end");
        }
    }
}

fn report_fault(mut pipe: PipeWriter, fault: &Fault) {
    if let Ok(text) = serde_json::to_vec(fault) {
        // If even this fails, the exit code still says that the program has not run.
        let _ = pipe.write_all(&text);
    }
}

/// Gives up all rights and executes the program; returns only when something failed.
fn become_program(plan: &Plan, groups: Vec<File>, user: Option<u32>) -> Fault {
    match give_up_rights(plan, groups, user) {
        Err(fault) => fault,
        Ok(()) => {
            let mut command = Command::new(&plan.exec);
            command.args(&plan.args).env_clear().envs(plan.env.iter().cloned());
            Fault::new(None, format!("execute {}", plan.program.display()), &command.exec())
        }
    }
}

fn give_up_rights(plan: &Plan, groups: Vec<File>, user: Option<u32>) -> Result<(), Fault> {
    let has = |protection| plan.protections.contains(&protection);
    for mut group in groups {
        group.write_all(b"0").step(None, "enter a cgroup")?;
    }
    setsid().step(None, "make a session")?;
    umask(Mode::from_raw_mode(0o077));
    // Refused only where it is already lower.
    let _ = nice(NICENESS);
    if has(Protection::Quotas) {
        let processes = plan.own_process_quota.then(|| {
            // In a user namespace monitor and warden have the program's user and are counted too.
            let own = if plan.rank == Rank::UserNamespace { 2 } else { 0 };
            u64::from(plan.limits.processes).saturating_add(own)
        });
        let memory = !has(Protection::MemoryGroup);
        privileges::set_quotas(&plan.limits, memory, processes)
            .step(Protection::Quotas, "set resource limits")?;
    }
    if has(Protection::NoPrivileges) {
        privileges::empty_bounding_set()
            .step(Protection::NoPrivileges, "empty the bounding set")?;
    }
    if let Some(user) = user {
        privileges::become_user(user, &plan.device_groups)?;
    }
    if has(Protection::NoPrivileges) {
        privileges::drop_capabilities().step(Protection::NoPrivileges, "drop capabilities")?;
    }
    // A change of user clears this, so it comes late.
    set_parent_process_death_signal(Some(Signal::KILL))
        .step(None, "tie the program to the warden")?;
    if has(Protection::FileRules) {
        rules::install(plan).step(Protection::FileRules, "set file rules")?;
    }
    if has(Protection::CallFilter) {
        let signals = if has(Protection::OwnProcesses) {
            filter::Signals::Any
        } else {
            filter::Signals::Only(std::process::id())
        };
        filter::install(signals, !plan.devices.is_empty())
            .step(Protection::CallFilter, "install the system call filter")?;
    }
    Ok(())
}
