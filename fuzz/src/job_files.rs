//! What is fuzzed of the client: job files with their sweeps, folders and jobs after jobs, and schemas of answers. Runs
//! as a test of `tilth-client`, and under libFuzzer with `--features client`.

use std::{fs, path::PathBuf, sync::LazyLock};

use tilth_client::{
    handover,
    infer::schema::compile,
    job_file::{MAX_STAGES, load_bytes},
    task_table::{TaskTable, are_outputs},
};
use tilth_protocol::{
    JobSpec, Status, decode, encode,
    infer::schema::{MAX_SCHEMA_BYTES, Schema},
    spec::MAX_SPEC_BYTES,
};

/// All of them.
#[allow(dead_code, reason = "libFuzzer names each of them")]
pub const TARGETS: &[super::mutate::Target] = &[("job_file", job_file), ("schema", schema)];

/// A folder with what the seeds name.
static FOLDER: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    };
    write("p.wasm", b"\0asm\x01\0\0\0");
    for name in ["a", "in/b.txt", "in/c.txt", "in/.d", "in/e/f"] {
        write(name, name.as_bytes());
    }
    let job = dir.path().join("job.toml");
    (dir, job)
});

/// A schema is refused by its path, or what it becomes is the same wherever it goes.
pub fn schema(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match compile(text) {
        Ok(schema) => {
            let bytes = encode(&schema);
            assert_eq!(decode::<Schema>(&bytes, MAX_SCHEMA_BYTES).as_ref(), Ok(&schema));
            let shown = serde_json::to_string(&schema).expect("it is JSON");
            let read: Schema = serde_json::from_str(&shown).expect("it was shown");
            assert_eq!(read, schema);
        }
        Err(error) => {
            assert!(error.path.starts_with("schema") && !error.why.is_empty(), "{error}");
        }
    }
}

/// A job file is refused with advice, or every job in it can be submitted: specs within their bounds that
/// encode and decode, a name of its own for every output, results that fit into the next job.
pub fn job_file(data: &[u8]) {
    if data.len() > 16 << 10 {
        return;
    }
    let (_, path) = &*FOLDER;
    let loaded = match load_bytes(path, data, &[]) {
        Ok(loaded) => loaded,
        Err(problem) => {
            assert!(!problem.what.is_empty() && !problem.advice.is_empty(), "{problem}");
            return;
        }
    };
    assert!((1..=MAX_STAGES).contains(&loaded.stages.len()), "{}", loaded.stages.len());
    let mut before: Option<&JobSpec> = None;
    for stage in &loaded.stages {
        let spec = &stage.job.spec;
        let bytes = spec.to_bytes();
        assert!(bytes.len() <= MAX_SPEC_BYTES, "{} bytes", bytes.len());
        assert_eq!(JobSpec::from_bytes(&bytes).as_ref(), Ok(spec));
        assert!(stage.job.most_cost(1).is_some());
        let table = TaskTable::of(spec);
        if spec.task_count <= handover::MAX_FILES {
            let names: Vec<_> = (0..spec.task_count).map(|index| table.output(index)).collect();
            assert!(are_outputs(&names, names.len()), "{names:?}");
            let csv = table.csv(spec.task_count, |_| Some(Status::Ok));
            assert!(csv.lines().count() > names.len());
        }
        if let Some(before) = before {
            let handed = handover::names(before).expect("it was checked");
            assert!(spec.inputs.iter().all(|input| !handed.contains(&input.name)));
        }
        before = Some(spec);
    }
}
