//! An untrusted program tries to get out, or to take more than it was given. Everything is tried twice: with an agent
//! that runs as the tests do and, when that is root, with one that runs as an ordinary user.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

#[path = "../fixture/agent.rs"]
#[allow(dead_code, reason = "the tests use the fixture's words, not its agent")]
mod agent;
#[path = "sandbox/escape.rs"]
mod escape;
#[path = "sandbox/machine.rs"]
mod machine;
#[path = "sandbox/outside.rs"]
mod outside;
#[path = "../fixture/suite.rs"]
#[allow(dead_code, reason = "the tests use the fixture's words, not its agent")]
mod suite;
#[path = "sandbox/way.rs"]
mod way;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use agent::{Outcome, Request, WhenReady};
use outside::{children_of, groups_named, kill, monitors_of, processes_of};
use tilth_sandbox::{Bind, Limits, Protection};
use way::Way;

const DEADLINE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

fn request(words: &[&str]) -> Request {
    Request { act: words.iter().map(ToString::to_string).collect(), ..Request::default() }
}

/// The `name: outcome` lines of an act that must have come to its end.
fn lines(outcome: &Outcome) -> BTreeMap<&str, &str> {
    assert_eq!(
        (outcome.how.as_str(), outcome.code),
        ("exited", 0),
        "{}{}",
        outcome.stdout,
        outcome.stderr
    );
    outcome.stdout.lines().map(|line| line.split_once(": ").unwrap_or((line, ""))).collect()
}

fn number(outcome: &Outcome, name: &str) -> u64 {
    let text = lines(outcome)[name];
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Asserts that nothing an act tried has worked, and that it tried `count` things.
fn nothing_worked(outcome: &Outcome, count: usize) {
    let lines = lines(outcome);
    assert_eq!(lines.len(), count, "{lines:?}");
    for (name, result) in lines {
        assert!(result.starts_with("error"), "{name}: {result}");
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn is_enforced(outcome: &Outcome, protection: Protection) -> bool {
    outcome.report.iter().any(|measure| measure.protection == protection && measure.is_enforced())
}

#[test]
fn a_program_is_given_what_it_needs_and_nothing_else() {
    for way in Way::all() {
        let mut request = request(&["surroundings"]);
        request.env = vec![("GIVEN".into(), "yes".into())];
        let outcome = way.run(&request);
        let lines = lines(&outcome);
        assert_eq!(
            (lines["argv0"], lines["cwd"], lines["env GIVEN"]),
            ("/bin/fixture", "/", "yes")
        );
        assert_eq!((lines["pid"], lines["host"]), ("2", "sandbox"));
        assert!(lines["uid"] != "0" && lines["uid"] != "65534");
        let names: Vec<_> = lines.keys().filter(|name| name.starts_with("env ")).collect();
        assert_eq!(names, [&"env GIVEN", &"env LD_LIBRARY_PATH"]);
        for unwanted in ["etc", "proc", "sys", "root", "home", "usr", "var", "old"] {
            assert!(!lines["root"].contains(unwanted), "{}", lines["root"]);
        }
    }
}

#[test]
fn input_output_exit_codes_and_signals_come_through() {
    for way in Way::all() {
        let mut echo = request(&["echo"]);
        echo.stdin = "through the pipes\n".into();
        let outcome = way.run(&echo);
        assert_eq!(
            (outcome.stdout.as_str(), outcome.how.as_str()),
            ("through the pipes\n", "exited")
        );
        for (words, how, code) in [
            (&["exit", "0"][..], "exited", 0),
            (&["exit", "77"], "exited", 77),
            (&["abort"], "signalled", 6),
            (&["crash"], "signalled", 10),
        ] {
            let outcome = way.act(words);
            assert_eq!(
                (outcome.how.as_str(), outcome.code),
                (how, code),
                "{words:?} {}",
                way.name()
            );
        }
    }
}

#[test]
fn the_machine_s_files_cannot_be_read() {
    for way in Way::all() {
        let home = std::env::var("HOME").unwrap_or("/root".into());
        let own = way.folder.path().to_str().unwrap().to_owned();
        let paths = [
            "/etc/passwd",
            "/etc",
            "/proc",
            "/proc/self/environ",
            "/sys",
            "/root",
            "/home",
            &home,
            "/.old",
            "/old",
            "/dev/kmsg",
            "/dev/mem",
            "/dev/vda",
            "/dev/shm",
            "/dev/pts",
            "/dev/random",
            "/var/run",
            "/run",
            &own,
        ];
        let words: Vec<_> = std::iter::once("files").chain(paths).collect();
        let outcome = way.act(&words);
        for (name, result) in lines(&outcome) {
            assert!(result.starts_with("error"), "{name}: {result} {}", way.name());
        }
    }
}

#[test]
fn what_is_read_only_cannot_be_written() {
    for way in Way::all() {
        let given = way.folder("given");
        fs::write(given.join("file"), "data").unwrap();
        let mut read = request(&["files", "/in/file"]);
        read.read_only = vec![Bind::new(&given, "/in")];
        assert_eq!(lines(&way.run(&read))["read /in/file"], "worked");
        let mut write =
            request(&["write", "/", "/bin", "/lib", "/dev", "/in", "/in/file", "/bin/fixture"]);
        write.read_only = vec![Bind::new(&given, "/in")];
        nothing_worked(&way.run(&write), 28);
        assert_eq!(fs::read_to_string(given.join("file")).unwrap(), "data");
    }
}

#[test]
fn the_writable_folder_can_be_written_and_links_in_it_lead_nowhere() {
    for way in Way::all() {
        let out = way.folder("out");
        let mut request = request(&["write", "/out"]);
        request.writable = Some(Bind::new(&out, "/out"));
        let outcome = way.run(&request);
        assert_eq!(
            (lines(&outcome)["create in /out"], lines(&outcome)["link in /out"]),
            ("worked", "worked")
        );
        assert_eq!(fs::read_to_string(out.join("new")).unwrap(), "x");
        let mut follow = self::request(&["files", "/out/link"]);
        follow.read_only = vec![Bind::new(&out, "/out")];
        if way.is_root() {
            fs::set_permissions(&out, fs::Permissions::from_mode(0o755)).unwrap();
        }
        nothing_worked(&way.run(&follow), 2);
    }
}

#[test]
fn there_is_no_network() {
    for way in Way::all() {
        nothing_worked(&way.act(&["network"]), 8);
    }
}

#[test]
fn other_processes_cannot_be_seen_signalled_or_slowed() {
    for way in Way::all() {
        let me = std::process::id().to_string();
        let outcome = way.act(&["processes", &me, "1"]);
        let lines = lines(&outcome);
        assert_eq!(lines["own"], "2");
        assert!(lines.contains_key("survived"));
        for name in ["signal", "limit", "priority"] {
            assert!(
                lines[format!("{name} {me}").as_str()].starts_with("error"),
                "{name} {lines:?}"
            );
        }
        assert!(
            lines["limit 1"].starts_with("error") && lines["session"].starts_with("error"),
            "{lines:?}"
        );
    }
}

#[test]
fn there_are_no_privileges_to_be_had() {
    for way in Way::all() {
        let outcome = way.act(&["privileges"]);
        let lines = lines(&outcome);
        assert_eq!((lines["no_new_privs"], lines["bounding"]), ("1", "0"));
        let tries = [
            "setuid",
            "setgid",
            "setresuid",
            "run from tmp",
            "new user namespace",
            "clone3",
            "io_uring",
        ];
        for name in tries {
            assert!(lines[name].starts_with("error"), "{name}: {}", lines[name]);
        }
    }
}

#[test]
fn hostile_system_calls_end_the_program_and_are_reported() {
    let calls = [
        libc::SYS_ptrace,
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_process_vm_readv,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_open_by_handle_at,
    ];
    for way in Way::all() {
        for call in calls {
            let outcome = way.act(&["call", &call.to_string()]);
            assert_eq!(outcome.how, "ForbiddenCall", "{call}: {}", outcome.stdout);
        }
    }
}

#[test]
fn system_calls_of_another_instruction_set_are_refused() {
    // The x32 form of getpid: the same instruction, another table.
    let outcome = Way::new(None).act(&["call", &(0x4000_0000 + libc::SYS_getpid).to_string()]);
    assert_ne!(lines(&outcome)["call"], "worked");
}

#[test]
fn no_descriptor_of_the_agent_leaks() {
    for way in Way::all() {
        let mut request = request(&["descriptors"]);
        request.limits.open_files = 20;
        // A leak from the agent's own parent, as careless shells have it.
        let mut command = way.agent(&request);
        let leak = fs::File::open("/dev/null").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let output = command.output().unwrap();
        let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(lines(&outcome)["open"], "[0, 1, 2]");
        assert_eq!(number(&outcome, "more"), 17);
    }
}

#[test]
fn fork_and_thread_bombs_are_bounded() {
    for way in Way::all() {
        let mut request = request(&["fork-bomb"]);
        request.limits.processes = 20;
        let children = number(&way.run(&request), "children");
        assert!((10..20).contains(&children), "{children} {}", way.name());
        request.act = vec!["thread-bomb".into()];
        let threads = number(&way.run(&request), "threads");
        assert!((10..20).contains(&threads), "{threads} {}", way.name());
    }
}

#[test]
fn a_memory_hog_is_ended_and_named() {
    for way in Way::all() {
        let mut request = request(&["memory", &(4096 * MIB).to_string()]);
        request.limits.memory_bytes = 128 * MIB;
        let outcome = way.run(&request);
        assert_eq!(outcome.how, "MemoryLimit", "{} {}", way.name(), outcome.stdout);
        assert!(outcome.max_rss < 1024 * MIB, "{}", outcome.max_rss);
        // A modest one is left alone.
        request.act = vec!["memory".into(), (64 * MIB).to_string()];
        let outcome = way.run(&request);
        assert_eq!(number(&outcome, "held"), 64);
        assert!(outcome.max_rss > 64 * MIB);
    }
}

#[test]
fn memory_of_all_processes_counts_together() {
    for way in Way::all() {
        let mut request = request(&["memory-of-children", "4", &(4096 * MIB).to_string()]);
        request.limits.memory_bytes = 256 * MIB;
        let outcome = way.run(&request);
        let killed_by_watch = outcome.how == "MemoryLimit";
        // With a cgroup the kernel may have ended the children only, which is as good.
        assert!(
            killed_by_watch || is_enforced(&outcome, Protection::MemoryGroup),
            "{}",
            outcome.how
        );
        assert!(outcome.max_rss < 1024 * MIB, "{}", outcome.max_rss);
    }
}

#[test]
fn anonymous_files_are_bounded() {
    for way in Way::all() {
        let mut request = request(&["anonymous-file"]);
        request.limits =
            Limits { memory_bytes: 128 * MIB, file_bytes: 256 * MIB, ..Limits::default() };
        let outcome = way.run(&request);
        if is_enforced(&outcome, Protection::MemoryGroup) {
            assert_eq!(outcome.how, "MemoryLimit");
        } else {
            // By whoever is first: the watch that adds it up, or the size of a file.
            let (how, code) = (outcome.how.as_str(), outcome.code);
            assert!(how == "MemoryLimit" || (how, code) == ("signalled", libc::SIGXFSZ), "{how}");
        }
    }
}

#[test]
fn reserved_address_space_is_free() {
    for way in Way::all() {
        let mut request = request(&["reserve", &(64 * 1024 * MIB).to_string()]);
        request.limits.memory_bytes = 64 * MIB;
        assert_eq!(lines(&way.run(&request))["reserve"], "worked", "{}", way.name());
    }
}

#[test]
fn a_cpu_hog_is_ended_at_its_limit_and_named() {
    for way in Way::all() {
        for words in [&["spin"][..], &["spin-in-children", "3"]] {
            let mut request = request(words);
            request.limits.cpu = Some(Duration::from_millis(600));
            let outcome = way.run(&request);
            assert_eq!(outcome.how, "CpuLimit", "{words:?} {}", way.name());
            assert!((550..3000).contains(&outcome.cpu_ms), "{} ms", outcome.cpu_ms);
        }
    }
}

#[test]
fn filling_tmp_is_bounded_in_bytes_and_files() {
    for way in Way::all() {
        let mut request = request(&["fill", "/tmp"]);
        request.limits.tmp_bytes = 8 * MIB;
        let filled = number(&way.run(&request), "filled");
        assert!((7 * MIB..=8 * MIB).contains(&filled), "{filled}");
        request.act = vec!["inodes".into(), "/tmp".into()];
        let inodes = number(&way.run(&request), "inodes");
        assert!((1000..3000).contains(&inodes), "{inodes}");
    }
}

#[test]
fn a_flood_of_output_neither_blocks_nor_bloats_the_agent() {
    for way in Way::all() {
        let mut request = request(&["flood"]);
        request.when_ready = WhenReady::Ignore;
        let outcome = way.run(&request);
        assert_eq!((outcome.stdout.as_str(), outcome.how.as_str()), ("still running", "Killed"));
        assert!(outcome.stderr.chars().count() <= 16 << 10);
        assert!(outcome.grown < 16 * MIB, "{}", outcome.grown);
    }
}

#[test]
fn the_end_of_what_a_program_complains_is_kept() {
    let outcome = Way::new(None).act(&["complain", "100000"]);
    assert!(
        outcome.stderr.ends_with("\u{fffd}[2Jcomplaint 99999\n")
            && outcome.stderr.chars().count() <= 16 << 10
    );
}

#[test]
fn killing_and_dropping_end_everything() {
    for way in Way::all() {
        let mut request = request(&["ready"]);
        request.when_ready = WhenReady::Kill;
        assert_eq!(way.run(&request).how, "Killed");
        request.when_ready = WhenReady::Drop;
        assert_eq!(way.run(&request).stdout, "ready\ngone");
        until("nothing is left", || processes_of(way.folder.path()).is_empty());
    }
}

/// Without a process namespace the warden outlives the program for a moment, and must not tell of its death as one of its
/// own. Whether it gets a turn in that moment is the scheduler's choice, so this is asked often.
#[test]
fn a_kill_is_told_as_a_kill() {
    let way = Way::bare();
    let mut request = request(&["ready"]);
    request.when_ready = WhenReady::Kill;
    for _ in 0..40 {
        assert_eq!(way.run(&request).how, "Killed");
    }
}

#[test]
fn the_death_of_any_part_ends_everything() {
    for way in Way::all() {
        for victim in ["agent", "--control", "monitor's child"] {
            let mut agent = lingering(&way);
            until("all five processes run", || processes_of(way.folder.path()).len() >= 5);
            let pid = match victim {
                "agent" => agent.id(),
                "--control" => monitors_of(way.folder.path())[0],
                _ => children_of(monitors_of(way.folder.path())[0])[0],
            };
            kill(pid);
            if victim != "agent" {
                // The agent itself is to live on, and to be told.
                drop(agent.stdin.take());
                let mut said = String::new();
                agent.stdout.take().unwrap().read_to_string(&mut said).unwrap();
                assert!(said.contains("Killed"), "{victim}: {said}");
            }
            agent.wait().unwrap();
            until("nothing is left", || processes_of(way.folder.path()).is_empty());
        }
    }
}

#[test]
fn cgroups_are_removed_at_the_end() {
    let way = Way::new(None);
    let outcome = way.act(&["exit", "0"]);
    if !is_enforced(&outcome, Protection::MemoryGroup) {
        assert!(!way.is_root(), "root can make cgroups on the machines these tests are for");
        return;
    }
    let mut agent = lingering(&way);
    let name = format!("tilth-{}-", agent.id());
    assert!(!groups_named(&name).is_empty());
    kill(agent.id());
    agent.wait().unwrap();
    until("the cgroups are gone", || groups_named(&name).is_empty());
}

#[test]
fn what_cannot_be_enforced_is_said() {
    for way in Way::all() {
        let outcome = way.act(&["exit", "0"]);
        assert_eq!(outcome.report.len(), Protection::ALL.len());
        let missing: Vec<_> = outcome
            .report
            .iter()
            .filter(|measure| !measure.is_enforced())
            .map(|measure| measure.protection)
            .collect();
        if way.is_root() {
            assert_eq!(missing, []);
        } else {
            assert!(missing.contains(&Protection::OtherUser));
            assert!(
                !missing.contains(&Protection::PrivateFiles)
                    && !missing.contains(&Protection::ProcessCount)
            );
        }
    }
}

#[test]
fn a_machine_without_namespaces_still_holds_what_it_can() {
    let way = Way::bare();
    let out = way.folder("out");
    let file = out.join("file");
    fs::write(&file, "data").unwrap();
    let bound = |mut request: Request| {
        request.read_only = vec![Bind::new(&file, "/in/file")];
        way.run(&request)
    };
    let outcome = bound(request(&[
        "files",
        "/etc/passwd",
        "/etc",
        "/home",
        "/proc/self/environ",
        "/tmp",
        "/",
    ]));
    let missing = |protection| !is_enforced(&outcome, protection);
    for protection in [Protection::PrivateFiles, Protection::OwnProcesses, Protection::NoNetwork] {
        assert!(missing(protection), "{protection}");
    }
    assert!(!missing(Protection::CallFilter) && !missing(Protection::NoPrivileges));
    if missing(Protection::FileRules) {
        eprintln!("this kernel has no Landlock; files are not tried");
    } else {
        nothing_worked(&outcome, 12);
        let path = file.to_str().unwrap();
        assert_eq!(
            lines(&bound(request(&["files", path])))[format!("read {path}").as_str()],
            "worked"
        );
        nothing_worked(&bound(request(&["write", path, "/tmp"])), 8);
    }
    nothing_worked(&way.act(&["network"]), 8);
    let me = std::process::id().to_string();
    for (name, result) in lines(&way.act(&["processes", &me])) {
        assert!(
            result.starts_with("error") || ["own", "survived"].contains(&name),
            "{name}: {result}"
        );
    }
    assert_eq!(way.act(&["call", &libc::SYS_ptrace.to_string()]).how, "ForbiddenCall");
    assert_eq!((way.act(&["abort"]).how.as_str(), way.act(&["exit", "7"]).code), ("signalled", 7));
}

#[test]
fn a_machine_without_namespaces_still_bounds_memory_and_time() {
    let way = Way::bare();
    let mut hog = request(&["memory", &(4096 * MIB).to_string()]);
    hog.limits.memory_bytes = 128 * MIB;
    let outcome = way.run(&hog);
    assert_eq!(outcome.how, "MemoryLimit");
    assert!(outcome.max_rss < 1024 * MIB, "{}", outcome.max_rss);
    let mut spin = request(&["spin-in-children", "3"]);
    spin.limits.cpu = Some(Duration::from_millis(600));
    assert_eq!(way.run(&spin).how, "CpuLimit");
}

#[test]
fn a_machine_without_namespaces_still_ends_everything() {
    let way = Way::bare();
    let mut request = request(&["ready"]);
    for when_ready in [WhenReady::Kill, WhenReady::Drop] {
        request.when_ready = when_ready;
        way.run(&request);
        until("nothing is left", || processes_of(way.folder.path()).is_empty());
    }
    let mut agent = lingering(&way);
    kill(agent.id());
    agent.wait().unwrap();
    until("nothing is left", || processes_of(way.folder.path()).is_empty());
}

#[test]
fn senseless_requests_are_refused_before_anything_starts() {
    let way = Way::new(None);
    let refused = |request: &Request| {
        let output = way.agent(request).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let mut tiny = request(&["exit", "0"]);
    tiny.limits.memory_bytes = 1000;
    assert!(refused(&tiny).contains("Request"));
    for inside in ["relative", "/", "/up/../etc", "/bin/x", "/lib", "/tmp/x"] {
        let mut odd = request(&["exit", "0"]);
        odd.read_only = vec![Bind::new("/etc", inside)];
        assert!(refused(&odd).contains("Request"), "{inside}");
    }
    let mut absent = request(&["exit", "0"]);
    absent.read_only = vec![Bind::new("/does/not/exist", "/in")];
    assert!(refused(&absent).contains("Bind"));
}

#[test]
fn starting_is_quick() {
    for way in Way::all() {
        let mut request = request(&["exit", "0"]);
        request.times = 30;
        let mut spawn_us = way.run(&request).spawn_us;
        spawn_us.sort_unstable();
        let median = spawn_us[spawn_us.len() / 2];
        eprintln!("start to running {}: median {median} us, best {} us", way.name(), spawn_us[0]);
        // An order of magnitude above what it takes on a slow machine: this is here to catch blunders.
        assert!(median < 500_000, "{median} us");
    }
}

fn lingering(way: &Way) -> Child {
    let mut request = request(&["ready"]);
    request.when_ready = WhenReady::Linger;
    let mut agent =
        way.agent(&request).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(agent.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "lingering\n");
    agent.stdout = Some(stdout.into_inner());
    agent
}
