//! `tilth verify JOB[:RANGE]`: anybody re-executes what was submitted, and compares.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::json;
use tilth_client::{
    Chronicle, Jobs,
    replicas::{self, Replica},
};
use tilth_contracts::ReplicaState;
use tilth_protocol::{JobId, Problem, RangeId, Units};
use tilth_provider::{ProviderError, Recheck};
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

pub(super) async fn verify(common: &Common, what: &str) -> Ended {
    let place = Place::open(common)?;
    let (job, seq) = read(what)?;
    let Chosen { ranges, sealed, replicas } = choose(&place, job, seq).await?;
    if sealed > 0 {
        eprintln!("note: {sealed} ranges are left out, whose roots are not shown");
    }
    let dir = place.dir.join("verify");
    let worker = own_command("worker")?;
    let (init, gpu) = (own_command("sandbox-init")?, GpuUse::Off);
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
    let (mut wrong, mut failed) = (0_usize, 0_usize);
    let mut shown = Vec::new();
    let mut table = Table::new(&[
        ("range", Align::Right),
        ("leaves", Align::Right),
        ("units claimed", Align::Right),
        ("found", Align::Right),
        ("is", Align::Left),
        ("", Align::Left),
    ]);
    for seq in ranges {
        let done = match recheck.range(RangeId { job, seq }).await {
            Ok(done) => done,
            // The others can be had all the same.
            Err(error) => {
                failed += 1;
                let problem = error.problem();
                let nothing = String::new;
                let why = format!("{}: {}", problem.what, problem.detail);
                table.row([seq.to_string(), nothing(), nothing(), nothing(), nothing(), why]);
                shown.push(json!({ "seq": seq, "failed": problem.to_string() }));
                continue;
            }
        };
        let replica = replicas.get(&RangeId { job, seq });
        wrong += usize::from(!done.is_right());
        let verdict = if done.is_right() { "right" } else { "WRONG: another root" };
        table.row([
            seq.to_string(),
            done.leaves.to_string(),
            Units(done.claimed.tally.units).to_gfuel(),
            Units(done.found.tally.units).to_gfuel(),
            done.state.to_string(),
            format!("{verdict}{}", replica.map_or_else(String::new, found_by)),
        ]);
        shown.push(json!({
            "seq": seq,
            "leaves": done.leaves,
            "state": done.state.to_string(),
            "right": done.is_right(),
            "claimed-root": done.claimed.hash,
            "found-root": done.found.hash,
            "claimed-units": done.claimed.tally.units,
            "found-units": done.found.tally.units,
            "replica": replica.map(replica_json),
        }));
    }
    recheck.close().await.map_err(|error| error.problem())?;
    if common.json {
        print_json(&json!({ "job": job, "ranges": shown, "wrong": wrong, "failed": failed }))?;
    } else {
        print!("{}", table.render());
    }
    Ok(if wrong == 0 && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    use tilth_contracts::ReplicaOutcome;

    use super::*;

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
