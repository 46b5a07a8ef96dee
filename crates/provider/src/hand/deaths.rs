//! The agent outlives every death of a worker. The workers here are the fixture's, which die in all ways there are, in
//! the real sandbox; all of them are worked with by this one process, one after the other.

use std::{path::PathBuf, time::Duration};

use tilth_protocol::{ContentHash, ContentRef, JobId, JobSpec, Output, Workload};
use tilth_sandbox::{CommandLine, Confinement};

use super::*;

/// How long a worker may go without a result.
const SILENCE: Duration = Duration::from_millis(400);
const DEADLINE: Duration = Duration::from_secs(60);

/// The program that the tests run as worker and as init; it lies beside the folder of the tests' own programs.
fn fixture() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let path = me.parent().unwrap().with_file_name("provider-fixture");
    assert!(path.exists(), "{}: test the whole package, not its library alone", path.display());
    path
}

fn ready() -> Ready {
    let limits = Limits { unit_cap: 10, prepare_cap: 0, memory_bytes: 1 << 20, output_bytes: 1000 };
    let program = ContentRef { hash: ContentHash([1; 32]), size: 1 };
    let spec = JobSpec {
        name: "bad".into(),
        workload: Workload::Wasm,
        program,
        inputs: Vec::new(),
        task_count: 8,
        limits,
        output: Output::Files,
    };
    Ready::new(JobId(1), spec, 1_000)
}

/// Starts a worker with this fault, has it work, and says what came of it.
async fn work(confinement: &Confinement, fault: &str, silence: Duration) -> HandError {
    let mut program = Program::new(fixture());
    program.args = ["worker", "bad", fault].map(Into::into).into();
    let cage = Cage { memory_bytes: 64 << 20, ..Cage::default() };
    let work = async {
        let mut hand =
            Hand::spawn(confinement.spawn(&program, &cage).await?, Leash::default()).await?;
        // Orders without end: one that dies meanwhile is noticed while the agent writes.
        let orders = if fault == "deaf" { 100_000 } else { 1 };
        for _ in 0..orders {
            hand.order(0, 8).await?;
        }
        hand.results(&ready(), 0, 8, silence).await.map(drop)
    };
    let worked = tokio::time::timeout(DEADLINE, work).await.expect("the agent goes on");
    worked.expect_err(fault)
}

async fn confinement() -> Confinement {
    let init = CommandLine { program: fixture(), args: vec!["sandbox-init".into()] };
    Confinement::probe(init).await.unwrap()
}

/// Waits until this process has no child left, dead or alive.
fn no_children() {
    let began = Instant::now();
    let children = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default())
            .collect::<String>()
    };
    while !children().is_empty() {
        assert!(began.elapsed() < DEADLINE, "left behind: {}", children());
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_outlives_every_signal_and_exit_code() {
    let confinement = confinement().await;
    // The named ones that end a process: not the ones it ignores (13 pipe, 17 child, 18 continue, 23 urgent, 28 window) or that stop it
    // (19 to 22), and not 31, which tells of a forbidden call.
    let deadly = (1..31).filter(|signal| ![13, 17, 18, 19, 20, 21, 22, 23, 28].contains(signal));
    for signal in deadly {
        match work(&confinement, &format!("signal {signal}"), DEADLINE).await {
            HandError::Ended { how, .. } => assert_eq!(how, format!("signal {signal}")),
            other => panic!("signal {signal}: {other}"),
        }
    }
    for code in [0, 1, 77, 125, 255] {
        match work(&confinement, &format!("exit {code}"), DEADLINE).await {
            HandError::Ended { how, .. } => assert_eq!(how, format!("exit code {code}")),
            other => panic!("exit {code}: {other}"),
        }
    }
    no_children();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_outlives_deaths_in_the_middle_of_things() {
    let confinement = confinement().await;
    for (fault, how) in [
        ("memory", "memory limit"),
        ("call", "forbidden system call"),
        ("half", "exit code 3"),
        ("half-length", "exit code 3"),
        ("deaf", "exit code 3"),
        ("zombies", "exit code 3"),
        ("children", "exit code 3"),
        ("failed", "by its own words"),
    ] {
        match work(&confinement, fault, DEADLINE).await {
            HandError::Ended { how: said, .. } => assert_eq!(said, how, "{fault}"),
            other => panic!("{fault}: {other}"),
        }
    }
    no_children();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_waits_for_no_worker_for_ever() {
    let confinement = confinement().await;
    for fault in ["stop", "hang", "half-hang", "chatter", "pieces"] {
        match work(&confinement, fault, SILENCE).await {
            HandError::Silent(patience) => assert_eq!(patience, SILENCE, "{fault}"),
            other => panic!("{fault}: {other}"),
        }
    }
    for fault in ["long", "empty", "garbage", "greeting", "large", "too-many"] {
        let told = work(&confinement, fault, DEADLINE).await;
        assert!(matches!(told, HandError::Nonsense(_)), "{fault}: {told}");
    }
    // It has closed its output and lives on.
    assert!(matches!(work(&confinement, "close", DEADLINE).await, HandError::Ended { .. }));
    no_children();
}
