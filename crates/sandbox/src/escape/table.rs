//! Every attempt: one row.

use super::{
    Area::{self, Agent, Files, Kernel, Memory, Network, Output, Processes, Rights, Time},
    bait::Bait,
    greed, kernel, lasting, outward,
    tries::Tries,
    writing,
};
use crate::Protection::{
    self, CallFilter, FileRules, NoNetwork, NoPrivileges, OtherUser, OwnProcesses, PrivateFiles,
    ProcessCount, Quotas,
};

/// One way to try to get out, or to take more than was given.
pub struct Attempt {
    /// Its name, for `--only` and reports.
    pub name: &'static str,
    /// Where it belongs.
    pub area: Area,
    /// What it tries, in words.
    pub goal: &'static str,
    /// The protections of which each stops it by itself. Empty: it must be stopped on every machine.
    pub walls: &'static [Protection],
    /// The ways in which it may be stopped.
    pub(super) stops: &'static [Stop],
    /// What the agent does meanwhile.
    pub(super) agent: Meanwhile,
    pub(super) act: fn(&Bait, &mut Tries),
}

/// How an attempt may be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Every try is refused or bounded; the program comes to its end.
    Refused,
    /// The sandbox ends it for its memory.
    Memory,
    /// The sandbox ends it for its CPU time.
    Time,
    /// The sandbox ends it for what it wrote.
    Disk,
    /// It goes on until the agent kills it.
    Killed,
}

/// What the agent does while a program tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// Reads what it says.
    Reads,
    /// Reads that it is ready and then nothing more.
    Ignores,
    /// Takes a file from the output folder, over and over.
    TakesOutput,
}

type Act = fn(&Bait, &mut Tries);

const fn row(
    area: Area,
    name: &'static str,
    goal: &'static str,
    walls: &'static [Protection],
    act: Act,
) -> Attempt {
    Attempt { name, area, goal, walls, stops: &[Stop::Refused], agent: Meanwhile::Reads, act }
}

impl Attempt {
    const fn ends(self, stops: &'static [Stop]) -> Self {
        Self { stops, ..self }
    }

    const fn agent(self, agent: Meanwhile) -> Self {
        Self { agent, ..self }
    }
}

const FILES: &[Protection] = &[PrivateFiles, FileRules];
const FILTER: &[Protection] = &[CallFilter];
const RIGHTS: &[Protection] = &[CallFilter, NoPrivileges];
const OTHERS: &[Protection] = &[CallFilter, OwnProcesses];
const MUST: &[Protection] = &[];
const HOARD: &[Stop] = &[Stop::Refused, Stop::Memory];
const DISK: &[Stop] = &[Stop::Disk];

/// All attempts, in the order in which they are tried.
pub const ATTEMPTS: &[Attempt] = &[
    row(
        Network,
        "tcp",
        "connect to a server on this machine",
        &[NoNetwork, CallFilter],
        outward::tcp,
    ),
    row(Network, "udp", "send a datagram to this machine", &[NoNetwork, CallFilter], outward::udp),
    row(
        Network,
        "abstract-socket",
        "connect to a socket without a path",
        &[NoNetwork, CallFilter],
        outward::abstract_socket,
    ),
    row(
        Network,
        "path-socket",
        "connect to a socket in the file system",
        &[PrivateFiles, CallFilter],
        outward::path_socket,
    ),
    row(
        Network,
        "raw-socket",
        "make packets by hand",
        &[CallFilter, NoPrivileges],
        outward::raw_sockets,
    ),
    row(Network, "netlink", "talk to the kernel's network code", FILTER, outward::netlink),
    row(Network, "vsock", "talk to the host of a virtual machine", FILTER, outward::vsock),
    row(Network, "odd-sockets", "use rare socket families", FILTER, outward::odd_families),
    row(Files, "host-files", "read files of the machine", FILES, outward::host_files),
    row(
        Files,
        "host-writing",
        "write, make, rename and remove files of the machine",
        FILES,
        outward::host_writing,
    ),
    row(
        Files,
        "own-program",
        "overwrite the program it runs",
        &[PrivateFiles, FileRules, CallFilter],
        outward::own_program,
    ),
    row(Files, "libraries", "plant a library", FILES, outward::loader_and_libraries),
    row(Files, "inputs", "change what was given to read", FILES, outward::inputs),
    row(Files, "input-locks", "lock what others use, too", FILTER, outward::input_locks),
    row(Files, "hard-links", "link foreign files into the output", FILES, outward::hard_links),
    row(Files, "links", "follow links out of the output", FILES, outward::links),
    row(Files, "proc", "look into other processes through /proc", FILES, outward::proc_of_others),
    row(Files, "kernel-files", "use the kernel's own files", FILES, outward::kernel_files),
    row(Files, "cgroup-files", "change its own limits", FILES, outward::cgroup_files),
    row(Files, "devices", "open devices", FILES, outward::devices),
    row(Files, "device-nodes", "make devices", RIGHTS, outward::device_nodes),
    row(
        Files,
        "written-programs",
        "run a program it has written",
        FILES,
        outward::written_programs,
    ),
    row(Files, "host-programs", "run programs of the machine", FILES, outward::host_programs),
    row(Files, "handles", "open files by handle", FILTER, kernel::file_handles),
    row(Rights, "user-ids", "become root", RIGHTS, kernel::user_ids),
    row(Rights, "capabilities", "gain capabilities", RIGHTS, kernel::capabilities),
    row(Rights, "user-namespace", "nest a user namespace", FILTER, kernel::user_namespaces),
    row(Rights, "namespaces", "make or enter other namespaces", RIGHTS, kernel::other_namespaces),
    row(Rights, "mount", "mount, unmount, change the root", RIGHTS, kernel::mounts),
    row(Rights, "new-mount", "mount with the newer calls", RIGHTS, kernel::new_mounts),
    row(Rights, "chroot", "climb out through a second root", RIGHTS, kernel::chroot),
    row(
        Processes,
        "signals",
        "signal the agent and a neighbour",
        &[CallFilter, OwnProcesses, OtherUser],
        kernel::signals,
    ),
    row(Processes, "warden", "signal the sandbox's own process", MUST, kernel::warden_signals),
    row(Processes, "ptrace", "trace a neighbour", OTHERS, kernel::ptrace),
    row(
        Processes,
        "foreign-memory",
        "read and write a neighbour's memory",
        OTHERS,
        kernel::memory_of_others,
    ),
    row(
        Processes,
        "foreign-descriptors",
        "take a neighbour's descriptors",
        OTHERS,
        kernel::descriptors_of_others,
    ),
    row(
        Processes,
        "tampering",
        "change limits and priority of a neighbour",
        FILTER,
        kernel::tampering,
    ),
    row(Processes, "priority", "raise its own priority and limits", RIGHTS, kernel::priority),
    row(Processes, "fork-bomb", "start processes without end", &[ProcessCount], greed::fork_bomb),
    row(Processes, "thread-bomb", "start threads without end", &[ProcessCount], greed::thread_bomb),
    row(Processes, "zombies", "leave zombies without end", &[ProcessCount], lasting::zombies),
    row(Processes, "daemon", "outlive its end", MUST, lasting::daemon),
    row(Processes, "stopped-children", "outlive its end, stopped", MUST, lasting::stopped_children),
    row(
        Processes,
        "core-dump",
        "have a crash handled outside",
        &[Quotas, CallFilter],
        lasting::core_dump,
    ),
    row(Memory, "memory", "take more memory than given", MUST, greed::memory).ends(HOARD),
    row(
        Memory,
        "memory-of-children",
        "take it in several processes",
        MUST,
        greed::memory_of_children,
    )
    .ends(HOARD),
    row(
        Memory,
        "memory-of-orphans",
        "take it in a process that was orphaned",
        MUST,
        greed::memory_of_orphans,
    )
    .ends(HOARD),
    row(
        Memory,
        "hidden-memory",
        "take shared memory that is not resident",
        MUST,
        greed::hidden_memory,
    )
    .ends(HOARD),
    row(Memory, "memory-files", "take it as anonymous files", MUST, greed::memory_files)
        .ends(HOARD),
    row(
        Memory,
        "closed-memory-files",
        "take it as files that nobody has open",
        MUST,
        greed::closed_memory_files,
    )
    .ends(HOARD),
    row(Memory, "page-tables", "take it as page tables", MUST, greed::page_tables).ends(HOARD),
    row(Memory, "pipes", "take it as pipe buffers", FILTER, greed::pipes),
    row(Memory, "locked-memory", "lock pages in memory", &[Quotas], greed::locked_memory),
    row(Memory, "huge-pages", "take the machine's huge pages", FILTER, greed::huge_pages),
    row(Memory, "tmp-bytes", "fill memory through /tmp", FILES, greed::tmp_bytes),
    row(Memory, "tmp-files", "fill memory with empty files", FILES, greed::tmp_files),
    row(Memory, "open-files", "open files without end", &[Quotas], greed::open_files),
    row(Memory, "ipc", "leave shared memory, semaphores, queues behind", FILTER, kernel::ipc),
    row(Time, "time", "use more CPU time, deaf to signals", MUST, greed::time).ends(&[Stop::Time]),
    row(Time, "time-of-children", "use it in several processes", MUST, greed::time_of_children)
        .ends(&[Stop::Time]),
    row(Time, "time-of-orphans", "use it in ever new processes", MUST, greed::time_of_orphans)
        .ends(&[Stop::Time]),
    row(Time, "deaf", "wait for ever, deaf to signals", MUST, lasting::deaf).ends(&[Stop::Killed]),
    row(Time, "stops-itself", "stop itself and never go on", MUST, lasting::stops_itself)
        .ends(&[Stop::Killed]),
    row(Output, "output-bytes", "fill the disk", MUST, writing::output_bytes).ends(DISK),
    row(Output, "output-files", "use up the inodes", MUST, writing::output_files).ends(DISK),
    row(Output, "output-depth", "nest folders without end", MUST, writing::output_depth).ends(DISK),
    row(
        Output,
        "output-barred",
        "fill a folder that nobody can list",
        MUST,
        writing::output_barred,
    )
    .ends(DISK),
    row(Output, "output-sparse", "leave files with huge holes", &[Quotas], writing::output_sparse),
    row(
        Output,
        "output-reserved",
        "reserve disk space past all limits",
        FILTER,
        writing::output_reserved,
    ),
    row(
        Output,
        "output-removed",
        "use disk space under no name",
        &[FileRules],
        writing::output_removed,
    ),
    row(Output, "output-names", "leave names that break listings", MUST, writing::output_names),
    row(Output, "output-rights", "leave a set-user-id program", FILTER, writing::output_rights),
    row(
        Output,
        "output-pipes",
        "leave named pipes and sockets",
        &[CallFilter, FileRules],
        outward::pipes_and_sockets,
    ),
    row(
        Output,
        "output-attributes",
        "leave attributes that give rights",
        FILTER,
        kernel::attributes,
    ),
    row(
        Output,
        "output-swap",
        "swap a file for a link while it is taken",
        MUST,
        writing::output_swap,
    )
    .ends(&[Stop::Killed])
    .agent(Meanwhile::TakesOutput),
    row(Agent, "flood", "say more than the agent can take", MUST, lasting::flood)
        .ends(&[Stop::Killed])
        .agent(Meanwhile::Ignores),
    row(Agent, "complaints", "flood the log with terminal codes", MUST, lasting::complaints)
        .ends(&[Stop::Killed]),
    row(Agent, "hangs-up", "close its pipes and go on", MUST, lasting::hangs_up)
        .ends(&[Stop::Killed]),
    row(Agent, "descriptors", "find open files of the agent", MUST, lasting::descriptors),
    row(
        Agent,
        "own-pipes",
        "open the agent's ends of its pipes",
        &[PrivateFiles],
        lasting::own_pipes,
    ),
    row(Agent, "environment", "find the agent's environment", MUST, lasting::environment),
    row(Kernel, "io-uring", "make calls past the filter", FILTER, kernel::io_uring),
    row(Kernel, "bpf", "load code into the kernel", RIGHTS, kernel::bpf),
    row(Kernel, "keyring", "use the agent's keys", FILTER, kernel::keyrings),
    row(Kernel, "page-faults", "stop the kernel in mid-copy", FILTER, kernel::page_faults),
    row(Kernel, "performance-counters", "measure others", FILTER, kernel::counters),
    row(Kernel, "kernel-code", "load modules and other kernels", RIGHTS, kernel::kernel_code),
    row(Kernel, "machine", "restart, swap, rename the machine", RIGHTS, kernel::machine),
    row(Kernel, "clocks", "set clocks, wake the machine", RIGHTS, kernel::clocks),
    row(
        Kernel,
        "other-doors",
        "make calls as a 32-bit or x32 program",
        FILTER,
        kernel::other_doors,
    ),
    row(Kernel, "terminal", "type into the agent's terminal", FILTER, kernel::terminals),
    row(Kernel, "processor", "use ports, segments, personalities", FILTER, kernel::processor),
    row(Kernel, "watchers", "watch files, signals and calls", FILTER, kernel::watchers),
    row(Kernel, "page-moves", "move pages of files into pipes", FILTER, kernel::page_moves),
];
