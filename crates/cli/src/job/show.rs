//! `tilth job show`: a job and its ranges; of a replicated one also what became of its seals, with the events that prove it, of a kept
//! one who holds them.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::{Value, json};
use tilth_client::{
    Chronicle, RangeView, pipeline,
    replicas::{self, Entry, Replica},
};
use tilth_contracts::{JobState, ReplicaState};
use tilth_protocol::{Amount, ContentHash, JobId, Problem, RangeId, Units};

use super::{
    ONLOOKER,
    held::{Held, Kept, kept},
    place_in, print_stages,
};
use crate::{
    Ended,
    availability::{availability, holders},
    place::Place,
    print_json,
    referee::referee,
    run::open_jobs,
    store::Store,
    table::{Align, Table},
};

/// What there is to be shown of a job's ranges.
struct Seen {
    history: Chronicle,
    /// What a thousand units are called.
    unit: String,
    /// What the chain says about its replicas; of a job without them nothing.
    told: Vec<Entry>,
    replicas: BTreeMap<RangeId, Replica>,
    /// Who holds its ranges; of a job that is not kept nothing.
    held: BTreeMap<u32, Held>,
}

pub(super) async fn show(place: &Place, job: JobId, json: bool) -> Ended {
    let store = Store::open(&place.dir, Some(job)).await?;
    let jobs = open_jobs(place, ONLOOKER, &store)?;
    let history = jobs.history(job).await.map_err(|error| error.problem())?;
    let state = jobs.state(job).await.map_err(|error| error.problem())?;
    let totals = history.totals();
    // Without the spec nobody says what is counted.
    let unit = jobs.unit_of(ContentHash(history.terms.specHash.0)).await;
    let unit = unit.unwrap_or_else(|| "1,000 units".to_owned());
    let shown = JobState::try_from(state.state).map_err(|error| {
        Problem::new("the chain's answer is not usable", error.to_string(), "update this program")
    })?;
    let told = replica_entries(place, &history).await?;
    let kept = kept(&place.link, &history).await.map_err(|error| error.problem())?;
    let Kept { ranges: held, inputs, deposit, reserved } = kept;
    let seen = Seen { replicas: replicas::standings(&told), history, unit, told, held };
    let pipelines = pipeline::list(&pipeline::folder(&place.dir));
    let part_of = place_in(&pipelines, job).map(|(shown, _)| shown);
    let (audited, is_kept) = (seen.history.terms.audited, seen.history.terms.kept);
    if json {
        print_json(&json!({
            "pipeline": part_of, "job": job, "client": state.client, "state": shown.to_string(), "dry": state.dry,
            "result-root": state.resultRoot, "totals": totals, "unit": seen.unit,
            "replicas": seen.history.terms.replicas.max(1),
            "audited": audited, "referee": audited.then_some("auditors"), "availability": holders(is_kept),
            "kept": is_kept, "deposit": deposit, "reserved": reserved,
            "inputs": inputs.as_ref().map(|inputs| inputs.state.to_string()),
            "inputs-look": inputs.as_ref().and_then(Held::look_json),
            "ranges": seen.ranges(), "events": seen.events(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("job           {job}, {shown}{}", if state.dry { ", out of money" } else { "" });
    println!("client        {}", state.client);
    println!("referee       {}", referee(audited));
    println!("availability  {}", availability(is_kept));
    println!(
        "tasks         {} of {} settled, {} failed",
        totals.settled, totals.tasks, totals.failures
    );
    println!("cost          {:.9} GRAIN paid, {:.9} GRAIN fee", totals.paid, totals.fees);
    println!("escrow        {:.9} GRAIN not reserved", Amount(state.escrow));
    if let (Some(deposit), Some(reserved)) = (deposit, reserved) {
        println!(
            "deposit       {deposit:.9} GRAIN for those who hold its inputs and its results, {reserved:.9} GRAIN of it reserved"
        );
    }
    if let Some(inputs) = inputs {
        println!("inputs        {inputs}");
    }
    println!();
    if let Some(shown) = part_of {
        print_stages(shown);
    }
    print!("{}", seen.table().render());
    if !seen.told.is_empty() {
        print!("\n{}", events_table(&seen.told).render());
    }
    Ok(ExitCode::SUCCESS)
}

impl Seen {
    fn is_replicated(&self) -> bool {
        self.history.terms.replicas != 0
    }

    fn replica(&self, range: &RangeView) -> Option<&Replica> {
        self.replicas.get(&RangeId { job: self.history.job, seq: range.seq })
    }

    fn ranges(&self) -> Vec<Value> {
        let one = |range: &RangeView| {
            let mate = range.mate.map(
                |mate| json!({ "provider": mate.provider, "paid": mate.paid, "fee": mate.fee }),
            );
            let replica = self.replica(range).map(replica_json);
            json!({
                "seq": range.seq, "provider": range.provider, "from": range.from,
                "count": range.count, "state": range.state.to_string(), "units": range.units,
                "failures": range.failures, "paid": range.paid, "mate": mate, "replica": replica,
                "root": (!range.root.is_zero()).then_some(range.root), "seal": range.seal,
                "held": self.held.get(&range.seq).map(|held| held.state.to_string()),
                "look": self.held.get(&range.seq).and_then(Held::look_json),
            })
        };
        self.history.ranges.values().map(one).collect()
    }

    fn events(&self) -> Vec<Value> {
        let one = |entry: &Entry| {
            json!({
                "seq": entry.range.seq, "what": entry.what.words(),
                "provider": entry.what.provider(), "cut": entry.what.cut(),
                "hash": entry.what.hash(), "block": entry.block, "transaction": entry.transaction,
            })
        };
        self.told.iter().map(one).collect()
    }

    fn table(&self) -> Table {
        let mut columns = vec![
            ("range", Align::Right),
            ("state", Align::Left),
            ("tasks", Align::Right),
            ("from", Align::Right),
            (self.unit.as_str(), Align::Right),
            ("paid GRAIN", Align::Right),
            ("provider", Align::Left),
        ];
        if self.is_replicated() {
            columns.extend([
                ("root", Align::Left),
                ("mate", Align::Right),
                ("paid mate", Align::Right),
            ]);
        }
        if self.history.terms.kept {
            columns.push(("held", Align::Left));
        }
        let mut table = Table::new(&columns);
        for range in self.history.ranges.values() {
            let mut row = vec![
                range.seq.to_string(),
                range.state.to_string(),
                range.count.to_string(),
                range.from.to_string(),
                Units(range.units).to_gfuel(),
                format!("{:.9}", range.paid),
                range.provider.to_string(),
            ];
            if let Some(replica) = self.replica(range) {
                let paid = range.mate.map(|mate| format!("{:.9}", mate.paid));
                row.extend([root(replica), number(replica.mate), paid.unwrap_or_default()]);
            } else if self.is_replicated() && self.history.terms.kept {
                row.extend([String::new(), String::new(), String::new()]);
            }
            if self.history.terms.kept {
                row.push(self.held.get(&range.seq).map_or_else(String::new, ToString::to_string));
            }
            table.row(row);
        }
        table
    }
}

/// What the chain says about the replicas of a job; nothing of a job without them.
pub async fn replica_entries(place: &Place, job: &Chronicle) -> Result<Vec<Entry>, Problem> {
    if job.terms.replicas == 0 {
        return Ok(Vec::new());
    }
    let told = replicas::read(&place.link, place.network.first_block, Some(job.job)).await;
    told.map_err(|error| error.problem())
}

/// A replica for programs; providers are named by their numbers.
pub fn replica_json(replica: &Replica) -> Value {
    json!({
        "state": replica.state.to_string(), "outcome": replica.outcome.to_string(),
        "primary": replica.primary, "mate": replica.mate,
    })
}

/// How the root of a range stands.
fn root(replica: &Replica) -> String {
    match replica.state {
        ReplicaState::Closed => replica.outcome.to_string(),
        open => format!("sealed: {open}"),
    }
}

/// A provider's number as `tilth providers` shows it.
fn number(number: Option<u32>) -> String {
    number.map_or_else(String::new, |number| format!("#{number}"))
}

fn events_table(told: &[Entry]) -> Table {
    let mut table = Table::new(&[
        ("block", Align::Right),
        ("range", Align::Right),
        ("what", Align::Left),
        ("provider", Align::Right),
        ("cut GRAIN", Align::Right),
        ("transaction", Align::Left),
    ]);
    for entry in told {
        table.row([
            entry.block.to_string(),
            entry.range.seq.to_string(),
            entry.what.words(),
            number(entry.what.provider()),
            entry.what.cut().map_or_else(String::new, |cut| format!("{cut:.4}")),
            entry.transaction.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use tilth_client::replicas::What;
    use tilth_contracts::ReplicaOutcome;

    use super::*;

    #[test]
    fn a_seal_is_not_shown_as_a_result() {
        let (primary, mate) = (5, Some(4));
        let working = ReplicaState::Working;
        let open = Replica { primary, mate, state: working, outcome: ReplicaOutcome::Open };
        assert_eq!(root(&open), "sealed: being done by its mate");
        let (state, outcome) = (ReplicaState::Closed, ReplicaOutcome::Matched);
        assert_eq!(root(&Replica { primary, mate, state, outcome }), "matched");
        assert_eq!((number(mate), number(None)), ("#4".to_owned(), String::new()));
    }

    #[test]
    fn a_walk_names_the_task_in_which_two_differ_and_who_was_wrong() {
        let range = RangeId { job: JobId(7), seq: 2 };
        let transaction = B256::repeat_byte(5);
        let leaf = |provider| What::LeafShown { provider, task: 41, output: B256::ZERO };
        let lost = What::MateLost { mate: 4, silent: false, wrong: true, cut: Amount(70) };
        let told =
            [leaf(5), leaf(4), lost].map(|what| Entry { range, what, block: 9, transaction });
        let shown = events_table(&told).render();
        let named = |line: usize, words: &str, who: &str| {
            let line = shown.lines().nth(line).unwrap();
            line.contains(words) && line.contains(who)
        };
        let first = shown.lines().position(|line| line.contains("leaf")).unwrap();
        assert!(named(first, "leaf of task 41 shown", "#5"), "{shown}");
        assert!(named(first + 1, "leaf of task 41 shown", "#4"), "{shown}");
        assert!(named(first + 2, "mate was wrong", "#4"), "{shown}");
    }
}
