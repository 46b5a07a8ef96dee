//! What a job leaves to the job after it.
//!
//! | output of the job | inputs of the next one |
//! |---|---|
//! | files | every output under its own name |
//! | values | `values.csv` |
//! | image | `picture.png` |
//!
//! and always `map.csv`: one row per task with how it ended, what its output is called, its file and its
//! parameters. A task that failed has a row and no output.

use std::collections::{BTreeMap, BTreeSet};

use tilth_blobs::Tag;
use tilth_protocol::{
    ContentRef, Input, InputSource, JobSpec, Leaf, Output, Status, TaskIndex,
    spec::MAX_INLINE_BYTES,
};

use crate::{
    Agreed, JobError, Jobs, job_file::INLINE_INPUT_BYTES, merge::default_name,
    task_table::TaskTable,
};

/// Input with one row per task of the job before.
pub const TABLE: &str = "map.csv";
/// Most outputs that become inputs one by one; there is room for others beside them.
pub const MAX_FILES: u32 = 1_000;

/// Names of the inputs that a job's results become.
///
/// # Errors
/// The results cannot be inputs: why, and what to do.
pub fn names(before: &JobSpec) -> Result<BTreeSet<String>, (String, &'static str)> {
    let mut names: BTreeSet<String> = match before.output {
        Output::Files if before.task_count > MAX_FILES => {
            let detail =
                format!("{} outputs are too many inputs for the job after it", before.task_count);
            return Err((
                detail,
                "use at most 1000 tasks, or `kind = \"values\"`, which is one file",
            ));
        }
        Output::Files => {
            let table = TaskTable::of(before);
            (0..before.task_count).map(|index| table.output(index)).collect()
        }
        Output::Values | Output::Image { .. } => [default_name(before.output).to_owned()].into(),
    };
    if names.insert(TABLE.to_owned()) {
        return Ok(names);
    }
    Err((format!("an output is called {TABLE}"), "give it another name"))
}

/// Puts bytes into a spec as long as there is room, else into the store.
struct Hand<'a> {
    jobs: &'a Jobs,
    tag: &'a Tag,
    inline_left: usize,
}

impl Hand<'_> {
    async fn source(&mut self, bytes: Vec<u8>) -> Result<InputSource, JobError> {
        if bytes.len() as u64 <= INLINE_INPUT_BYTES && bytes.len() <= self.inline_left {
            self.inline_left = self.inline_left.saturating_sub(bytes.len());
            return Ok(InputSource::Inline(bytes));
        }
        Ok(InputSource::Blob(self.jobs.blobs().put(bytes, self.tag).await?))
    }
}

impl Jobs {
    /// A job's results as inputs of the next one, whose own inputs are in `spec`. Blobs stay where they
    /// are; what is new is stored under `tag`.
    pub(crate) async fn hand_over(
        &self,
        before: &Agreed,
        leaves: &BTreeMap<TaskIndex, Leaf>,
        spec: &mut JobSpec,
        tag: &Tag,
    ) -> Result<(), JobError> {
        let inline = spec.inputs.iter().map(|input| match &input.source {
            InputSource::Inline(bytes) => bytes.len(),
            InputSource::Blob(_) => 0,
        });
        let inline_left = MAX_INLINE_BYTES.saturating_sub(inline.sum());
        let mut hand = Hand { jobs: self, tag, inline_left };
        let results = &before.spec;
        let table = TaskTable::of(results);
        let csv = table.csv(results.task_count, |index| leaves.get(&index).map(|leaf| leaf.status));
        let source = hand.source(csv.into_bytes()).await?;
        spec.inputs.push(Input { name: TABLE.to_owned(), source });
        if results.output == Output::Files {
            for (index, leaf) in leaves.iter().filter(|(_, leaf)| leaf.status == Status::Ok) {
                let source = match (leaf.blob(), leaf.inline_output()) {
                    (Some(hash), _) => InputSource::Blob(ContentRef { hash, size: leaf.size }),
                    (None, value) => hand.source(value.unwrap_or_default().to_vec()).await?,
                };
                spec.inputs.push(Input { name: table.output(*index), source });
            }
            return Ok(());
        }
        let name = default_name(results.output);
        let path = self.folder(before.job).join(name);
        self.merge(before, &path).await?;
        let content = self.blobs().put_file(&path, tag).await?;
        let source = if content.size <= INLINE_INPUT_BYTES {
            let bytes = self.blobs().read(content.hash, INLINE_INPUT_BYTES).await?;
            hand.source(bytes.to_vec()).await?
        } else {
            InputSource::Blob(content)
        };
        spec.inputs.push(Input { name: name.to_owned(), source });
        Ok(())
    }
}
