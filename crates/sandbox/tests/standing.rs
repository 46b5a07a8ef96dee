//! A program that is told to stand still uses no time until it is told to go on, and dies all the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use tilth_sandbox::{CommandLine, Confined, Confinement, How, Limits, Program};

const DEADLINE: Duration = Duration::from_secs(60);

/// State and CPU ticks of the processes that run `spin` below this one.
fn spinners() -> BTreeMap<u32, (char, u64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ours = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        let [_, act, spin, ..] = words[..] else { continue };
        if act == b"act" && spin == b"spin" && is_below_us(pid) {
            let fields =
                ours.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default().to_owned();
            let fields: Vec<_> = fields.split(' ').collect();
            if let [state, ..] = fields[..] {
                let ticks = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
                found.insert(pid, (state.chars().next().unwrap(), ticks));
            }
        }
    }
    found
}

fn is_below_us(mut pid: u32) -> bool {
    while pid > 1 {
        if pid == std::process::id() {
            return true;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        pid = parent.unwrap_or(0);
    }
    false
}

async fn until(what: &str, holds: impl Fn(&BTreeMap<u32, (char, u64)>) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds(&spinners()) {
        assert!(Instant::now() < deadline, "waited too long until {what}: {:?}", spinners());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn spinning() -> Confined {
    let init = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-fixture"));
    let init = CommandLine { program: init.clone(), args: vec!["init".into()] };
    let confinement = Confinement::probe(init.clone()).await.unwrap();
    let mut program = Program::new(&init.program);
    // The program and two children of it.
    program.args = ["act", "spin-in-children", "2"].map(Into::into).to_vec();
    let limits = Limits { processes: 8, ..Limits::default() };
    confinement.spawn(&program, &limits).await.unwrap()
}

#[tokio::test]
async fn a_program_stands_still_goes_on_and_can_be_killed_while_it_stands() {
    let mut program = spinning().await;
    until("both spin", |all| all.len() == 2 && all.values().all(|(_, ticks)| *ticks > 0)).await;
    program.stand_still().unwrap();
    until("both stand still", |all| all.values().all(|(state, _)| *state == 'T')).await;
    let stood = spinners();
    // Somebody else's work, so that time passes which they could have used.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        std::hint::black_box(0);
    }
    assert_eq!(spinners(), stood, "no tick is used while standing");
    program.go_on().unwrap();
    until("both go on", |all| {
        all.len() == 2 && all.iter().all(|(pid, (_, ticks))| *ticks > stood[pid].1)
    })
    .await;
    program.stand_still().unwrap();
    until("both stand again", |all| all.values().all(|(state, _)| *state == 'T')).await;
    program.kill();
    let ended = tokio::time::timeout(DEADLINE, program.wait()).await.unwrap().unwrap();
    assert_eq!(ended.how, How::Killed);
    assert_eq!(spinners().len(), 0);
    assert!(program.stand_still().is_err(), "nobody is there to stand still");
}
