//! `tilth verify JOB[:RANGE]`: anybody re-executes what was submitted, and compares.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use serde_json::{Value, json};
use tilth_client::{
    Chronicle, Jobs,
    replicas::{self, Replica},
};
use tilth_contracts::ReplicaState;
use tilth_protocol::{Harmless, JobId, Problem, RangeId, Units};
use tilth_provider::{ProviderError, Recheck, Rechecked};
use tilth_sandbox::GpuUse;

use crate::{
    Ended,
    args::Common,
    job::{replica_entries, replica_json},
    place::Place,
    print_json,
    table::{Align, Table},
    up::own_command,
};

/// `gpu`: what GPU programs run on.
pub(super) async fn verify(common: &Common, what: &str, gpu: GpuUse) -> Ended {
    let place = Place::open(common)?;
    let (job, seq) = read(what)?;
    let Chosen { ranges, sealed, replicas } = choose(&place, job, seq).await?;
    if sealed > 0 {
        eprintln!("note: {sealed} ranges are left out, whose roots are not shown");
    }
    let dir = place.dir.join("verify");
    let worker = own_command("worker")?;
    let init = own_command("sandbox-init")?;
    let recheck = Recheck::open(&dir, &place.network, worker, init, gpu);
    let done = match recheck.await {
        Ok(recheck) => compare(common, recheck, job, ranges, &replicas).await,
        // Somebody else is at work in there.
        Err(error @ ProviderError::InUse { .. }) => return Err(error.problem()),
        Err(error) => Err(error.problem()),
    };
    // Programs, inputs and compiled code of others; the next time fetches what it needs.
    if let Err(error) = std::fs::remove_dir_all(&dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, dir = %dir.display(), "the folder of the work cannot be removed");
    }
    done
}

async fn compare(
    common: &Common,
    recheck: Recheck,
    job: JobId,
    ranges: Vec<u32>,
    replicas: &BTreeMap<RangeId, Replica>,
) -> Ended {
    let mut all = Vec::with_capacity(ranges.len());
    for seq in ranges {
        // Where one cannot be had the others can all the same.
        let done = recheck.range(RangeId { job, seq }).await;
        all.push((seq, done.map_err(|error| error.problem())));
    }
    recheck.close().await.map_err(|error| error.problem())?;
    let verdict = Verdict::of(job, &all, replicas);
    if common.json {
        print_json(&verdict.json)?;
    } else {
        print!("{}", verdict.table.render());
        for advice in &verdict.advice {
            eprintln!("to do: {}", Harmless(advice));
        }
    }
    Ok(verdict.status())
}

/// What is said of ranges that were executed again, and of those that could not be.
struct Verdict {
    /// For people.
    table: Table,
    /// What people can do about what was not found out, each said once.
    advice: BTreeSet<String>,
    /// For programs.
    json: Value,
    /// Ranges of which something else was found.
    wrong: usize,
    /// Ranges of which nothing was found out.
    failed: usize,
}

impl Verdict {
    fn of(
        job: JobId,
        all: &[(u32, Result<Rechecked, Problem>)],
        replicas: &BTreeMap<RangeId, Replica>,
    ) -> Self {
        let (mut wrong, mut failed) = (0_usize, 0_usize);
        let mut shown = Vec::with_capacity(all.len());
        let mut advice = BTreeSet::new();
        let mut table = Table::new(&[
            ("range", Align::Right),
            ("leaves", Align::Right),
            ("units claimed", Align::Right),
            ("found", Align::Right),
            ("is", Align::Left),
            ("", Align::Left),
        ]);
        for (seq, done) in all {
            let replica = replicas.get(&RangeId { job, seq: *seq });
            match done {
                Ok(done) => {
                    wrong = wrong.saturating_add(usize::from(!done.is_right()));
                    table.row(row(*seq, done, replica));
                    shown.push(range_json(*seq, done, replica));
                }
                Err(problem) => {
                    failed = failed.saturating_add(1);
                    let nothing = String::new;
                    let why = format!("{}: {}", Harmless(&problem.what), Harmless(&problem.detail));
                    table.row([seq.to_string(), nothing(), nothing(), nothing(), nothing(), why]);
                    advice.insert(problem.advice.clone());
                    shown.push(json!({ "seq": seq, "failed": problem.to_string() }));
                }
            }
        }
        let json = json!({ "job": job, "ranges": shown, "wrong": wrong, "failed": failed });
        Self { table, advice, json, wrong, failed }
    }

    /// Success says that everything that was asked about is right.
    fn status(&self) -> ExitCode {
        if self.wrong == 0 && self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn row(seq: u32, done: &Rechecked, replica: Option<&Replica>) -> [String; 6] {
    let verdict = if done.is_right() {
        "right".to_owned()
    } else {
        format!("WRONG: another root of {}", tasks(done.from, done.count))
    };
    [
        seq.to_string(),
        done.leaves.to_string(),
        Units(done.claimed.tally.units).to_gfuel(),
        Units(done.found.tally.units).to_gfuel(),
        done.state.to_string(),
        format!("{verdict}{}", replica.map_or_else(String::new, found_by)),
    ]
}

fn range_json(seq: u32, done: &Rechecked, replica: Option<&Replica>) -> Value {
    json!({
        "seq": seq,
        "from": done.from,
        "count": done.count,
        "leaves": done.leaves,
        "state": done.state.to_string(),
        "right": done.is_right(),
        "claimed-root": done.claimed.hash,
        "found-root": done.found.hash,
        "claimed-units": done.claimed.tally.units,
        "found-units": done.found.tally.units,
        "replica": replica.map(replica_json),
    })
}

/// Which tasks a range has, for people.
fn tasks(from: u32, count: u32) -> String {
    match from.saturating_add(count).saturating_sub(1) {
        last if last <= from => format!("task {from}"),
        last => format!("tasks {from} to {last}"),
    }
}

/// `JOB` or `JOB:RANGE`.
fn read(text: &str) -> Result<(JobId, Option<u32>), Problem> {
    let refused = || {
        let advice =
            "write the job's number, or JOB:RANGE such as 7:2; `tilth job show` lists ranges";
        Problem::new("this names neither a job nor a range", format!("{text:.60?}"), advice)
    };
    let (job, seq) = match text.split_once(':') {
        Some((job, seq)) => (job, Some(seq.parse().map_err(|_| refused())?)),
        None => (text, None),
    };
    Ok((JobId(job.parse().map_err(|_| refused())?), seq))
}

/// Who found the same, or did not, for people; empty as long as that is open.
fn found_by(replica: &Replica) -> String {
    match (replica.state, replica.mate) {
        (ReplicaState::Closed, Some(mate)) => format!(", {} with mate #{mate}", replica.outcome),
        (ReplicaState::Closed, None) => format!(", {}", replica.outcome),
        _ => String::new(),
    }
}

/// What is to be verified.
struct Chosen {
    ranges: Vec<u32>,
    /// How many ranges are left out because there is only a seal of them.
    sealed: usize,
    replicas: BTreeMap<RangeId, Replica>,
}

/// Which ranges there is something to compare with.
async fn choose(place: &Place, job: JobId, seq: Option<u32>) -> Result<Chosen, Problem> {
    let chronicle = Jobs::chronicle(&place.link, job, place.network.first_block).await;
    let chronicle = chronicle.map_err(|error| error.problem())?;
    let (ranges, sealed) = match seq {
        Some(seq) => (vec![is_shown(&chronicle, seq)?], 0),
        None => with_results(&chronicle)?,
    };
    let told = replica_entries(place, &chronicle).await?;
    Ok(Chosen { ranges, sealed, replicas: replicas::standings(&told) })
}

/// A range, unless its root is still sealed, or was never shown: a seal can be compared with nothing.
fn is_shown(chronicle: &Chronicle, seq: u32) -> Result<u32, Problem> {
    let job = chronicle.job;
    match chronicle.ranges.get(&seq).filter(|range| range.seal.is_some()) {
        None => Ok(seq),
        Some(range) => Err(Problem::new(
            "there is nothing to verify yet",
            format!("of range {seq} of job {job}, which is {}, only a seal is known", range.state),
            "wait until its root is shown (see `tilth job show`); of a rejected one it never is",
        )),
    }
}

/// The job's ranges that have results, rejected ones included, and how many there are of which only a seal is known.
fn with_results(chronicle: &Chronicle) -> Result<(Vec<u32>, usize), Problem> {
    let ranges = || chronicle.ranges.values();
    let sealed = ranges().filter(|range| range.seal.is_some()).count();
    let seqs: Vec<_> = ranges().filter(|r| !r.root.is_zero()).map(|r| r.seq).collect();
    if seqs.is_empty() {
        let job = chronicle.job;
        let detail = match sealed {
            0 => format!("no range of job {job} has results"),
            _ => format!("no range of job {job} has shown its root, {sealed} are sealed"),
        };
        let advice =
            "wait until a range is submitted, in a replicated job also until its root is shown";
        return Err(Problem::new("there is nothing to verify yet", detail, advice));
    }
    Ok((seqs, sealed))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use tilth_contracts::{RangeState, ReplicaOutcome};
    use tilth_protocol::Tally;
    use tilth_verification::Root;

    use super::*;

    /// A range of these tasks: what its provider claims, and what is found here.
    fn done((from, count): (u32, u32), claimed: (u8, u64), found: (u8, u64)) -> Rechecked {
        let root = |(byte, units): (u8, u64)| Root {
            hash: B256::repeat_byte(byte),
            tally: Tally { units, failures: 0 },
        };
        let (claimed, found, state) = (root(claimed), root(found), RangeState::Settled);
        Rechecked { claimed, found, leaves: count, from, count, state }
    }

    fn verdict(all: &[(u32, Result<Rechecked, Problem>)]) -> Verdict {
        let closed = ReplicaState::Closed;
        let mate = Some(4);
        let replica = Replica { primary: 5, mate, state: closed, outcome: ReplicaOutcome::Matched };
        Verdict::of(JobId(7), all, &[(RangeId { job: JobId(7), seq: 1 }, replica)].into())
    }

    fn is_success(verdict: &Verdict) -> bool {
        format!("{:?}", verdict.status()) == format!("{:?}", ExitCode::SUCCESS)
    }

    #[test]
    fn one_wrong_range_among_right_ones_is_named_counted_and_fails_the_command() {
        let right = done((1, 4), (5, 30), (5, 30));
        assert!(is_success(&verdict(&[(0, Ok(right)), (1, Ok(right))])));

        let flipped = done((0, 1), (5, 30), (6, 30));
        let told = verdict(&[(0, Ok(flipped)), (1, Ok(right))]);
        assert!(!is_success(&told));
        let shown = told.table.render();
        let lines: Vec<_> = shown.lines().collect();
        let [_, wrong, fine] = &lines[..] else { panic!("{shown}") };
        assert!(wrong.ends_with("WRONG: another root of task 0"), "{shown}");
        assert!(fine.ends_with("right, matched with mate #4"), "{shown}");
        let json = &told.json;
        assert_eq!((&json["wrong"], &json["failed"]), (&1.into(), &0.into()), "{json}");
        let [wrong, fine] = &json["ranges"].as_array().unwrap()[..] else { panic!("{json}") };
        assert_eq!((&wrong["right"], &fine["right"]), (&false.into(), &true.into()), "{json}");
        assert_ne!(wrong["claimed-root"], wrong["found-root"], "{json}");
        assert_eq!((&wrong["from"], &wrong["count"]), (&0.into(), &1.into()), "{json}");

        // Units are in the root, and are paid for.
        let dearer = done((4, 16), (5, 31), (5, 30));
        let told = verdict(&[(2, Ok(dearer))]);
        assert!(!is_success(&told) && told.json["wrong"] == 1);
        let shown = told.table.render();
        assert!(shown.contains("WRONG: another root of tasks 4 to 19"), "{shown}");
    }

    #[test]
    fn what_could_not_be_found_out_is_no_success_and_accuses_nobody() {
        let away = Problem::new("it is away", "nobody answered", "try again");
        let right = done((1, 4), (5, 30), (5, 30));
        let told = verdict(&[(0, Err(away.clone())), (1, Ok(right)), (2, Err(away))]);
        assert!(!is_success(&told));
        let json = &told.json;
        assert_eq!((&json["wrong"], &json["failed"]), (&0.into(), &2.into()), "{json}");
        assert_eq!(told.advice, BTreeSet::from(["try again".to_owned()]), "said once");
        assert!(json["ranges"][0]["failed"].as_str().unwrap().contains("try again"), "{json}");
        let shown = told.table.render();
        assert!(shown.contains("it is away: nobody answered"), "{shown}");
        assert!(!shown.contains("WRONG"), "{shown}");
    }

    #[test]
    fn who_found_the_same_is_said_when_it_is_known() {
        let replica = |state, outcome, mate| Replica { primary: 5, mate, state, outcome };
        let (closed, open) = (ReplicaState::Closed, ReplicaState::Revealing);
        let matched = replica(closed, ReplicaOutcome::Matched, Some(4));
        assert_eq!(found_by(&matched), ", matched with mate #4");
        assert_eq!(found_by(&replica(closed, ReplicaOutcome::Alone, None)), ", without a mate");
        assert_eq!(found_by(&replica(open, ReplicaOutcome::Open, Some(4))), "");
    }

    #[test]
    fn jobs_and_ranges_are_named_by_numbers() {
        assert_eq!(read("7").unwrap(), (JobId(7), None));
        assert_eq!(read("7:2").unwrap(), (JobId(7), Some(2)));
        for wrong in ["", "x", "7:", ":2", "7:2:1", "-1", "7:4294967296"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
