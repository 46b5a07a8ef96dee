//! What ran, what did not and why, and what went wrong.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Failures that are printed one by one.
const SHOWN: usize = 1000;

/// Cases that are known not to come out as the file says.
pub struct Known {
    /// Beginning of the cases' names: path, test, fork, index.
    pub case: &'static str,
    /// How many differ.
    pub count: u64,
    /// Why they cannot.
    pub reason: &'static str,
}

/// The outcome of one kind of cases.
pub struct Tally {
    kind: &'static str,
    passed: u64,
    not_run: BTreeMap<String, u64>,
    failures: Vec<String>,
    known: &'static [Known],
    /// By beginning of the name.
    differ: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn new(kind: &'static str, known: &'static [Known]) -> Self {
        Self {
            kind,
            passed: 0,
            not_run: BTreeMap::new(),
            failures: Vec::new(),
            known,
            differ: BTreeMap::new(),
        }
    }

    /// Runs one case; its name begins with the file's path.
    pub fn case(&mut self, name: &str, run: impl FnOnce() -> Result<(), String>) {
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        match (self.known.iter().find(|known| name.starts_with(known.case)), outcome) {
            (_, Ok(())) => self.passed += 1,
            (None, Err(reason)) => self.failures.push(format!("{name}: {reason}")),
            (Some(known), Err(_)) => *self.differ.entry(known.case).or_default() += 1,
        }
    }

    /// Counts cases that are not run.
    pub fn leave_out(&mut self, reason: impl Into<String>, cases: usize) {
        *self.not_run.entry(reason.into()).or_default() += cases as u64;
    }

    /// Prints the outcome.
    ///
    /// # Panics
    /// When a case failed, when fewer than `floor` passed, and when other cases differ than are listed.
    pub fn finish(mut self, floor: u64) {
        println!("{}: {} passed", self.kind, self.passed);
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for Known { case, count, reason } in self.known {
            let differ = self.differ.get(case).copied().unwrap_or_default();
            *reasons.entry(reason).or_default() += differ;
            if differ != *count {
                self.failures.push(format!("{case}: {differ} differ, but {count} are listed"));
            }
        }
        for (reason, count) in reasons {
            println!("{}: {count} differ as listed: {reason}", self.kind);
        }
        for (reason, count) in &self.not_run {
            println!("{}: {count} not run: {reason}", self.kind);
        }
        for failure in self.failures.iter().take(SHOWN) {
            println!("FAILED {failure}");
        }
        assert!(self.failures.is_empty(), "{}: {} failed", self.kind, self.failures.len());
        assert!(
            self.passed >= floor,
            "{}: only {} passed, at least {floor} must: files are missing",
            self.kind,
            self.passed
        );
    }
}
