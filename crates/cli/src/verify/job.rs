//! `tilth verify JOB[:RANGE]`: anybody re-executes what was submitted, and compares.

use std::process::ExitCode;

use serde_json::json;
use tilth_client::Jobs;
use tilth_protocol::{JobId, Problem, RangeId, Units};
use tilth_provider::{ProviderError, Recheck};
use tilth_sandbox::GpuUse;

use crate::{
    Ended,
    args::Common,
    place::Place,
    print_json,
    table::{Align, Table},
    up::own_command,
};

pub(super) async fn verify(common: &Common, what: &str) -> Ended {
    let place = Place::open(common)?;
    let (job, seq) = read(what)?;
    let ranges = match seq {
        Some(seq) => vec![seq],
        None => with_results(&place, job).await?,
    };
    let dir = place.dir.join("verify");
    let worker = own_command("worker")?;
    let (init, gpu) = (own_command("sandbox-init")?, GpuUse::Off);
    let recheck = Recheck::open(&dir, &place.network, worker, init, gpu);
    let done = match recheck.await {
        Ok(recheck) => compare(common, recheck, job, ranges).await,
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

async fn compare(common: &Common, recheck: Recheck, job: JobId, ranges: Vec<u32>) -> Ended {
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
        wrong += usize::from(!done.is_right());
        let verdict = if done.is_right() { "right" } else { "WRONG: another root" };
        table.row([
            seq.to_string(),
            done.leaves.to_string(),
            Units(done.claimed.tally.units).to_gfuel(),
            Units(done.found.tally.units).to_gfuel(),
            done.state.to_string(),
            verdict.to_owned(),
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

/// The job's ranges that have results, rejected ones included.
async fn with_results(place: &Place, job: JobId) -> Result<Vec<u32>, Problem> {
    let chronicle = Jobs::chronicle(&place.link, job, place.network.first_block).await;
    let chronicle = chronicle.map_err(|error| error.problem())?;
    let seqs: Vec<_> =
        chronicle.ranges.values().filter(|r| !r.root.is_zero()).map(|r| r.seq).collect();
    if seqs.is_empty() {
        return Err(Problem::new(
            "there is nothing to verify yet",
            format!("no range of job {job} has results"),
            "wait until a range is submitted",
        ));
    }
    Ok(seqs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_and_ranges_are_named_by_numbers() {
        assert_eq!(read("7").unwrap(), (JobId(7), None));
        assert_eq!(read("7:2").unwrap(), (JobId(7), Some(2)));
        for wrong in ["", "x", "7:", ":2", "7:2:1", "-1", "7:4294967296"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
