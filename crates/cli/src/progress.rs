//! Live progress of a job: bars on a terminal, a line now and then elsewhere.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use alloy::primitives::Address;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tilth_client::{AuditTotals, KeptTotals, Progress, ReplicaTotals, Share};
use tilth_contracts::HoldState;
use tilth_protocol::Harmless;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Where progress goes.
pub struct Display {
    /// Which of several jobs this is, for people; empty if it is the only one.
    prefix: String,
    names: BTreeMap<Address, String>,
    began: Instant,
    mode: Mode,
}

enum Mode {
    Bars(Box<Bars>),
    Lines { last: Option<Instant>, shown: String },
    Silent,
}

struct Bars {
    all: MultiProgress,
    job: ProgressBar,
    providers: BTreeMap<Address, ProgressBar>,
    note: ProgressBar,
}

impl Display {
    /// A display; `names` are what accounts are called here, `prefix` says which of several jobs it is.
    pub fn new(names: Vec<(String, Address)>, silent: bool, prefix: String) -> Self {
        let names = names.into_iter().map(|(name, address)| (address, name)).collect();
        let mode = if silent {
            Mode::Silent
        } else if std::io::stderr().is_terminal() {
            Mode::Bars(Box::new(Bars::new()))
        } else {
            Mode::Lines { last: None, shown: String::new() }
        };
        Self { prefix, names, began: Instant::now(), mode }
    }

    /// Shows the present state.
    pub fn update(&mut self, progress: &Progress) {
        let note = note(progress);
        match &mut self.mode {
            Mode::Silent => {}
            Mode::Bars(bars) => bars.update(progress, &self.prefix, &note, &self.names),
            Mode::Lines { last, shown } => {
                let (prefix, job, state) = (&self.prefix, progress.job, &progress.state);
                let line = format!("{prefix}job {job} {state}: {}{note}", summary(progress));
                let due = last.is_none_or(|last| last.elapsed() >= LINE_EVERY) || progress.over;
                if due && line != *shown {
                    eprintln!("[{:5.1} s] {line}", self.began.elapsed().as_secs_f64());
                    *last = Some(Instant::now());
                    *shown = line;
                }
            }
        }
    }

    /// Removes the bars, so that what is printed next stands alone.
    pub fn finish(self) {
        if let Mode::Bars(bars) = self.mode {
            let _ = bars.all.clear();
        }
    }
}

/// What a provider is called: its account's name here, else the first digits of its address.
pub fn name(names: &BTreeMap<Address, String>, address: Address) -> String {
    names.get(&address).cloned().unwrap_or_else(|| format!("{address:.10}"))
}

fn summary(progress: &Progress) -> String {
    let totals = &progress.totals;
    let cost = totals.paid.0.saturating_add(totals.fees.0).saturating_add(totals.pending.0);
    let audits = progress.audits.map_or_else(String::new, |audits| {
        let AuditTotals { open, not_audited, upheld, overturned, undecided } = audits;
        let rejected = overturned.saturating_add(undecided);
        format!(
            ", audits: {open} open, {upheld} upheld, {not_audited} not drawn, {rejected} rejected"
        )
    });
    let replicas = progress.replicas.map_or_else(String::new, roots);
    let inputs = progress.inputs.map_or_else(String::new, inputs);
    let kept = progress.kept.map_or_else(String::new, held);
    format!(
        "{}/{} tasks, {} working, {} checked, {:.6} GRAIN{inputs}{replicas}{audits}{kept}",
        totals.submitted.saturating_add(totals.settled),
        totals.tasks,
        totals.claimed,
        progress.checked,
        tilth_protocol::Amount(cost),
    )
}

/// How many roots are known, and of how many providers. What seldom happens is said only if it has.
fn roots(totals: ReplicaTotals) -> String {
    let ReplicaTotals { sealed, matched, alone, unequal, silent } = totals;
    let usual = format!(", roots: {sealed} sealed, {matched} matched, {alone} without a mate");
    [(unequal, "unequal"), (silent, "never shown")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .fold(usual, |text, (count, what)| format!("{text}, {count} {what}"))
}

/// Whether others hold the inputs: before that nobody works. Then it is no news any more.
fn inputs(state: HoldState) -> String {
    match state {
        HoldState::Held => String::new(),
        state => format!(", inputs: {state}"),
    }
}

/// How many ranges others hold for us. What was acknowledged first needs nobody.
fn held(totals: KeptTotals) -> String {
    let KeptTotals { open, held, unneeded: _, waived, lost } = totals;
    [(open, "not held yet"), (held, "held"), (waived, "paid without holders"), (lost, "lost")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .fold(String::new(), |text, (count, what)| format!("{text}, {count} {what}"))
}

/// What keeps the job from going on, if anything does.
fn note(progress: &Progress) -> String {
    let waiting = progress
        .waiting
        .as_ref()
        .map(|problem| format!("{} ({}); {}", problem.what, problem.detail, problem.advice));
    let dry = progress
        .dry
        .then(|| format!("the escrow is used up; `tilth job top-up {} AMOUNT`", progress.job));
    let away = progress.away.as_ref().map(|detail| format!("the chain does not answer: {detail}"));
    let missing = progress.missing.as_ref().map(|text| format!("waiting for results of {text}"));
    let refused = progress.refused.first().map(|range| {
        format!("range {} was refused ({}); see the job's evidence folder", range.seq, range.reason)
    });
    [away, dry, waiting, missing, refused]
        .into_iter()
        .flatten()
        .fold(String::new(), |text, note| format!("{text}\n  ! {}", Harmless(&note)))
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        // Templates are constants; a mistake in one shows in every run of a test.
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━╌")
        };
        let job = all
            .add(ProgressBar::new(1).with_style(style("{elapsed:>5} {bar:28.green} {wide_msg}")));
        let note = all.add(ProgressBar::new(1).with_style(style("{msg:.yellow}")));
        job.enable_steady_tick(Duration::from_millis(250));
        Self { all, job, providers: BTreeMap::new(), note }
    }

    fn update(
        &mut self,
        progress: &Progress,
        prefix: &str,
        note: &str,
        names: &BTreeMap<Address, String>,
    ) {
        let totals = &progress.totals;
        self.job.set_length(u64::from(totals.tasks));
        self.job.set_position(u64::from(totals.submitted.saturating_add(totals.settled)));
        self.job.set_message(format!("{prefix}{}", summary(progress)));
        for share in &totals.providers {
            let bar = self.providers.entry(share.provider).or_insert_with(|| {
                let style = ProgressStyle::with_template("      {bar:28.blue} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("━━╌");
                self.all.insert_before(&self.note, ProgressBar::new(1).with_style(style))
            });
            bar.set_length(u64::from(totals.tasks));
            bar.set_position(u64::from(share.tasks));
            bar.set_message(share_line(share, names));
        }
        self.note.set_message(note.trim_start_matches('\n').to_owned());
    }
}

fn share_line(share: &Share, names: &BTreeMap<Address, String>) -> String {
    format!(
        "{}: {} tasks in {} ranges, {} working, earned {:.6} GRAIN",
        name(names, share.provider),
        share.tasks,
        ranges(share),
        share.working,
        share.earned,
    )
}

/// A provider's ranges, and those of others that it was paid for.
pub fn ranges(share: &Share) -> String {
    match share.mated {
        0 => share.ranges.to_string(),
        mated => format!("{} + {mated} as mate", share.ranges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_spoken_of_until_somebody_can_work() {
        assert_eq!(inputs(HoldState::Held), "");
        assert_eq!(inputs(HoldState::Open), ", inputs: being fetched by holders");
        assert_eq!(inputs(HoldState::Lost), ", inputs: not held");
    }

    #[test]
    fn roots_are_counted_and_what_seldom_happens_is_not_said_for_nothing() {
        let usual = ReplicaTotals { sealed: 2, matched: 3, alone: 1, unequal: 0, silent: 0 };
        assert_eq!(roots(usual), ", roots: 2 sealed, 3 matched, 1 without a mate");
        let odd = ReplicaTotals { unequal: 4, silent: 5, ..usual };
        let said = roots(odd);
        assert!(said.ends_with("1 without a mate, 4 unequal, 5 never shown"), "{said}");
    }

    #[test]
    fn who_holds_ranges_is_said_where_somebody_must() {
        assert_eq!(held(KeptTotals { unneeded: 3, ..KeptTotals::default() }), "");
        let some = KeptTotals { open: 1, held: 2, unneeded: 0, waived: 0, lost: 4 };
        assert_eq!(held(some), ", 1 not held yet, 2 held, 4 lost");
    }
}
