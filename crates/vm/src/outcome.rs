//! What came out of the prepare phase or a task.

use tilth_protocol::Status;

/// What a program printed for people: not part of any result, bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The first [`Log::MAX_BYTES`] bytes.
    pub bytes: Vec<u8>,
    /// How many more were printed and dropped.
    pub dropped: u64,
}

impl Log {
    /// Bytes that are kept.
    pub const MAX_BYTES: usize = 16 << 10;

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let room = Self::MAX_BYTES.saturating_sub(self.bytes.len()).min(bytes.len());
        let (kept, dropped) = bytes.split_at(room);
        self.bytes.extend_from_slice(kept);
        self.dropped = self.dropped.saturating_add(dropped.len() as u64);
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0
    }

    /// The text, with what is not UTF-8 replaced and a note if something was dropped.
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.dropped > 0 {
            text.push_str(&format!("\n({} more bytes were dropped)", self.dropped));
        }
        text
    }
}

/// How the prepare phase ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareOutcome {
    /// `Ok`, `Trap` or `OutOfFuel`.
    pub status: Status,
    /// Units to charge: what was used, at least 1; the whole prepare cap unless the status is `Ok`. 0 if
    /// the job has no prepare phase.
    pub units: u64,
    /// What the program printed.
    pub log: Log,
    /// Why it failed, for people.
    pub reason: Option<String>,
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOutcome {
    /// How it ended.
    pub status: Status,
    /// Units to charge: at least 1; the whole unit cap unless the status is `Ok`. 0 if the prepare
    /// phase failed, because then the task did not run.
    pub units: u64,
    /// Fuel behind the units; 0 unless the status is `Ok`.
    pub fuel: u64,
    /// The output; empty unless the status is `Ok`.
    pub output: Vec<u8>,
    /// What the program printed for people.
    pub log: Log,
    /// Why it failed, for people.
    pub reason: Option<String>,
}
