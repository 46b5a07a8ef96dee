//! What a job's tasks are called and given, when they are more than numbers.
//!
//! The table travels with the job as up to three small inputs, so that programs can read it in any
//! language without a parser, and everybody who attaches to the job finds it again:
//!
//! ```text
//! /in/tasks.files     line i is the name of task i's own file in /in
//! /in/tasks.csv       a header, then one row per task: its parameters; no field needs quoting
//! /in/tasks.outputs   line i is what task i's output is called
//! ```
//!
//! A spec may come from a stranger: what is not sound here is ignored, and tasks are numbers again.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use tilth_protocol::{InputSource, JobSpec, Status, spec::is_file_name};

/// Input with the name of each task's file.
pub const FILES: &str = "tasks.files";
/// Input with each task's parameters.
pub const PARAMETERS: &str = "tasks.csv";
/// Input with the name of each task's output.
pub const OUTPUTS: &str = "tasks.outputs";
/// Columns of the table that are not parameters.
pub const OWN_COLUMNS: [&str; 4] = ["task", "status", "output", "file"];

/// Names and parameters of a job's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskTable {
    /// The file of each task; empty: tasks have no files of their own.
    pub files: Vec<String>,
    /// Names of the parameters.
    pub columns: Vec<String>,
    /// Values of the parameters of each task, in the order of `columns`.
    pub rows: Vec<Vec<String>>,
    /// The name of each task's output; empty: that of its file, or else its number.
    outputs: Vec<String>,
    digits: usize,
}

/// How one task ended, for the table. `None`: nobody knows.
pub type Ending = Option<Status>;

impl TaskTable {
    /// The table of a job. Parts that do not fit the job are left out.
    pub fn of(spec: &JobSpec) -> Self {
        let count = spec.task_count as usize;
        let mut table = Self { digits: digits(spec.task_count), ..Self::default() };
        table.files = lines(spec, FILES)
            .filter(|names| names.len() == count && names.iter().all(|name| is_file_name(name)))
            .unwrap_or_default();
        let named = lines(spec, OUTPUTS).or_else(|| Some(table.files.clone()));
        table.outputs = named.filter(|names| are_outputs(names, count)).unwrap_or_default();
        if let Some(mut rows) = lines(spec, PARAMETERS).filter(|rows| rows.len() == count + 1) {
            let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
            let columns = cells(&rows.remove(0));
            let rows: Vec<_> = rows.iter().map(|row| cells(row)).collect();
            if rows.iter().all(|row| row.len() == columns.len()) {
                (table.columns, table.rows) = (columns, rows);
            }
        }
        table
    }

    /// Whether tasks are only numbers.
    pub fn is_plain(&self) -> bool {
        self.files.is_empty() && self.columns.is_empty() && self.outputs.is_empty()
    }

    /// What the output of a task is called: a plain file name, unique within the job.
    pub fn output(&self, index: u32) -> String {
        let digits = self.digits;
        let named = self.outputs.get(index as usize);
        named.cloned().unwrap_or_else(|| format!("{index:0digits$}"))
    }

    /// The whole table as CSV (RFC 4180): task, status, output, then the file and the parameters.
    /// Tasks that are not `ok` have no output.
    pub fn csv(&self, tasks: u32, ending: impl Fn(u32) -> Ending) -> String {
        let mut text = OWN_COLUMNS[..3].join(",");
        if !self.files.is_empty() {
            text.push_str(",file");
        }
        for column in &self.columns {
            text.push(',');
            text.push_str(&quoted(column));
        }
        text.push('\n');
        for index in 0..tasks {
            let ending = ending(index);
            let output = self.output_if(index, ending);
            // Writing to a string cannot fail.
            let _ = write!(text, "{index},{},{}", word(ending), quoted(&output));
            let own = self.files.get(index as usize).into_iter();
            let parameters = self.rows.get(index as usize).into_iter().flatten();
            for cell in own.chain(parameters) {
                text.push(',');
                text.push_str(&quoted(cell));
            }
            text.push('\n');
        }
        text
    }

    /// The same as JSON, one object per task; parameters that read as numbers are numbers.
    pub fn json(&self, tasks: u32, ending: impl Fn(u32) -> Ending) -> Value {
        let row = |index: u32| {
            let ending = ending(index);
            let mut row = Map::new();
            row.insert("task".into(), json!(index));
            row.insert("status".into(), json!(word(ending)));
            row.insert("output".into(), json!(self.output_if(index, ending)));
            if let Some(file) = self.files.get(index as usize) {
                row.insert("file".into(), json!(file));
            }
            let values = self.rows.get(index as usize).into_iter().flatten();
            let parameters: Map<_, _> = self
                .columns
                .iter()
                .zip(values)
                .map(|(name, value)| (name.clone(), typed(value)))
                .collect();
            if !parameters.is_empty() {
                row.insert("parameters".into(), Value::Object(parameters));
            }
            Value::Object(row)
        };
        Value::Array((0..tasks).map(row).collect())
    }

    fn output_if(&self, index: u32, ending: Ending) -> String {
        if ending == Some(Status::Ok) { self.output(index) } else { String::new() }
    }
}

/// Where the table is written for results in `path`: beside them.
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tasks.{extension}"));
    path.with_file_name(name)
}

/// Digits of the numbers of outputs.
fn digits(tasks: u32) -> usize {
    tasks.saturating_sub(1).to_string().len()
}

/// How a task ended, in the table's words.
pub fn word(ending: Ending) -> &'static str {
    match ending {
        Some(Status::Ok) => "ok",
        Some(Status::Trap) => "trap",
        Some(Status::OutOfFuel) => "out-of-fuel",
        Some(Status::BadOutput) => "bad-output",
        None => "missing",
    }
}

/// Whether these can be the names of the files in one folder.
pub fn are_outputs(names: &[String], count: usize) -> bool {
    let distinct: BTreeSet<_> = names.iter().collect();
    names.len() == count && distinct.len() == count && names.iter().all(|name| is_file_name(name))
}

/// The lines of an input that travels in the spec.
fn lines(spec: &JobSpec, name: &str) -> Option<Vec<String>> {
    let input = spec.inputs.iter().find(|input| input.name == name)?;
    let InputSource::Inline(bytes) = &input.source else { return None };
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

/// A parameter as JSON: the number or the truth that it reads as, else the text.
fn typed(value: &str) -> Value {
    let read = serde_json::from_str::<Value>(value).ok();
    let read = read.filter(|read| matches!(read, Value::Number(_) | Value::Bool(_)));
    read.unwrap_or_else(|| json!(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tilth_protocol::{ContentRef, Input, Limits, Output, Workload};

    use super::*;

    fn spec(tasks: u32, inputs: &[(&str, &str)]) -> JobSpec {
        JobSpec {
            name: "t".into(),
            workload: Workload::Wasm,
            program: ContentRef::of(b"\0asm"),
            inputs: inputs
                .iter()
                .map(|(name, text)| Input {
                    name: (*name).into(),
                    source: InputSource::Inline(text.as_bytes().to_vec()),
                })
                .collect(),
            task_count: tasks,
            limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 65_536, output_bytes: 9 },
            output: Output::Files,
        }
    }

    #[test]
    fn outputs_are_called_as_the_job_says_else_as_files_else_by_number() {
        let plain = TaskTable::of(&spec(12, &[]));
        assert!(plain.is_plain());
        assert_eq!((plain.output(3), plain.output(11)), ("03".into(), "11".into()));
        let files = TaskTable::of(&spec(2, &[(FILES, "a.txt\nb, c.txt\n")]));
        assert_eq!(files.output(1), "b, c.txt");
        let named = TaskTable::of(&spec(2, &[(FILES, "a\nb\n"), (OUTPUTS, "a.png\nb.png\n")]));
        assert_eq!(named.output(0), "a.png");
    }

    #[test]
    fn strangers_cannot_name_outputs_outside_their_folder() {
        for names in ["../x\nb", "a/b\nc", "a\na", "a", "a\nb\nc", "\nb", "..\nb", "a\0\nb"] {
            for input in [FILES, OUTPUTS] {
                let table = TaskTable::of(&spec(2, &[(input, names)]));
                assert_eq!(table.output(0), "0", "{names:?}");
            }
        }
    }

    #[test]
    fn the_table_says_how_tasks_ended_and_what_they_were_given() {
        let table = TaskTable::of(&spec(
            3,
            &[(FILES, "a\nb,\"c\nd\n"), (PARAMETERS, "x,mode\n0.5,fast\n-2,slow\n1e3,true\n")],
        ));
        let ending = |index| [Some(Status::Ok), Some(Status::Trap), None][index as usize];
        let csv = table.csv(3, ending);
        assert_eq!(
            csv,
            "task,status,output,file,x,mode\n0,ok,a,a,0.5,fast\n1,trap,,\"b,\"\"c\",-2,slow\n\
             2,missing,,d,1e3,true\n"
        );
        let json = table.json(3, ending);
        assert_eq!(json[0]["parameters"], json!({"x": 0.5, "mode": "fast"}));
        assert_eq!(json[1]["status"], "trap");
        assert_eq!(json[2]["parameters"]["mode"], true);
    }

    #[test]
    fn tables_stand_beside_the_results() {
        assert_eq!(beside(Path::new("/x/out"), "csv"), Path::new("/x/out.tasks.csv"));
        assert_eq!(beside(Path::new("v.csv"), "json"), Path::new("v.csv.tasks.json"));
    }

    proptest! {
        /// Whatever a stranger's spec holds, names are plain, distinct, and as many as tasks.
        #[test]
        fn names_are_always_plain_and_distinct(
            tasks in 1_u32..20,
            files in "[a-c/.\n,]{0,60}",
            outputs in "[a-c/.\n]{0,60}",
            rows in "[a-c,\n]{0,60}",
        ) {
            let table = TaskTable::of(&spec(
                tasks,
                &[(FILES, &files), (OUTPUTS, &outputs), (PARAMETERS, &rows)],
            ));
            let names: Vec<_> = (0..tasks).map(|index| table.output(index)).collect();
            prop_assert!(are_outputs(&names, tasks as usize));
            let csv = table.csv(tasks, |_| Some(Status::Ok));
            prop_assert!(csv.lines().count() > tasks as usize);
        }
    }
}
