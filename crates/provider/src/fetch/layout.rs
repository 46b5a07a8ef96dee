//! A job's files where its worker reads them. A guest can list its inputs, so what lies among them must be what the
//! spec names and nothing else: it would be another result, and in audited jobs another vote.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tilth_protocol::{ContentRef, Input, InputSource, JobId, JobSpec};
use tracing::warn;

use super::FetchError;
use crate::{
    folder::{publish, remove},
    shop::Shop,
};

/// Writes program and inputs where the worker reads them, and removes what does not belong there.
pub(super) async fn lay_out(shop: &Shop, job: JobId, spec: &JobSpec) -> Result<(), FetchError> {
    let inputs = shop.folder.inputs(job);
    fs::create_dir_all(&inputs)?;
    publish(&inputs)?;
    export(shop, &spec.program, &shop.folder.program(job)).await?;
    for Input { name, source } in &spec.inputs {
        let path = inputs.join(name);
        match source {
            InputSource::Inline(bytes) => write_inline(bytes, &shop.folder.passing(), &path)?,
            InputSource::Blob(blob) => export(shop, blob, &path).await?,
        }
    }
    for path in strangers(&inputs, spec)? {
        warn!(%job, path = %path.display(), "removing what is not among the job's inputs");
        remove(&path)?;
    }
    Ok(check_inputs(&inputs, spec)?)
}

/// Whether a folder holds a job's inputs, each with its size, and nothing else.
///
/// # Errors
/// What is wrong, as an [`io::ErrorKind::InvalidData`]; those of the file system.
pub(crate) fn check_inputs(inputs: &Path, spec: &JobSpec) -> io::Result<()> {
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    for Input { name, source } in &spec.inputs {
        if !has_size(&inputs.join(name), size(source)) {
            return wrong(format!("its input {name:?} is not laid out as the spec has it"));
        }
    }
    match strangers(inputs, spec)?.first() {
        Some(path) => wrong(format!("{} lies among its inputs", path.display())),
        None => Ok(()),
    }
}

/// What lies in the folder and is none of the inputs, or is one with another size.
fn strangers(inputs: &Path, spec: &JobSpec) -> io::Result<Vec<PathBuf>> {
    let named = |input: &Input| (OsString::from(&input.name), size(&input.source));
    let known: BTreeMap<_, _> = spec.inputs.iter().map(named).collect();
    let mut strangers = Vec::new();
    for entry in fs::read_dir(inputs)? {
        let entry = entry?;
        let size = known.get(&entry.file_name());
        if size.is_none_or(|size| !has_size(&entry.path(), *size)) {
            strangers.push(entry.path());
        }
    }
    Ok(strangers)
}

fn size(source: &InputSource) -> u64 {
    match source {
        InputSource::Inline(bytes) => bytes.len() as u64,
        InputSource::Blob(blob) => blob.size,
    }
}

fn write_inline(bytes: &[u8], passing: &Path, path: &Path) -> io::Result<()> {
    if has_size(path, bytes.len() as u64) {
        return Ok(());
    }
    let mut file = File::create(passing)?;
    file.write_all(bytes)?;
    // Renaming may reach the disk before the bytes do, and later only the size is looked at.
    file.sync_all()?;
    publish(passing)?;
    fs::rename(passing, path)
}

async fn export(shop: &Shop, blob: &ContentRef, path: &Path) -> Result<(), FetchError> {
    // Files are written whole or not at all and only we write there, so the size tells enough.
    if !has_size(path, blob.size) {
        shop.blobs.export_through(blob.hash, shop.folder.passing(), path).await?;
    }
    publish(path)?;
    Ok(())
}

fn has_size(path: &Path, size: u64) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_file() && data.len() == size)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{Limits, Output, Workload};

    use super::*;

    fn spec(inputs: &[(&str, &[u8])]) -> JobSpec {
        let input = |(name, bytes): &(&str, &[u8])| Input {
            name: (*name).to_owned(),
            source: InputSource::Inline(bytes.to_vec()),
        };
        JobSpec {
            name: "n".into(),
            workload: Workload::Wasm,
            program: ContentRef::of(b"program"),
            inputs: inputs.iter().map(input).collect(),
            task_count: 5,
            limits: Limits { unit_cap: 7, prepare_cap: 8, memory_bytes: 1 << 20, output_bytes: 64 },
            output: Output::Values,
        }
    }

    /// As [`lay_out`] does it, with inline inputs only.
    fn lay(inputs: &Path, work: &Path, spec: &JobSpec) {
        for (number, input) in spec.inputs.iter().enumerate() {
            let InputSource::Inline(bytes) = &input.source else { panic!() };
            let passing = work.join(number.to_string());
            write_inline(bytes, &passing, &inputs.join(&input.name)).unwrap();
        }
    }

    #[test]
    fn inputs_whose_names_look_like_half_written_ones_stay_however_often_they_are_laid_out() {
        let dir = tempfile::tempdir().unwrap();
        let (inputs, work) = (dir.path().join("inputs"), dir.path().join("work"));
        fs::create_dir(&inputs).unwrap();
        fs::create_dir(&work).unwrap();
        let spec =
            spec(&[("a.partial", b"first"), ("a.txt", b"second"), ("a.txt.partial", b"third one")]);
        for _ in 0..3 {
            lay(&inputs, &work, &spec);
            check_inputs(&inputs, &spec).unwrap();
            assert_eq!(fs::read(inputs.join("a.partial")).unwrap(), b"first");
            assert_eq!(fs::read(inputs.join("a.txt")).unwrap(), b"second");
        }
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    }

    #[test]
    fn what_the_spec_does_not_name_is_found_and_so_is_what_is_missing_or_has_another_size() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(&[("a", b"1"), ("b", b"22")]);
        lay(dir.path(), dir.path(), &spec);
        check_inputs(dir.path(), &spec).unwrap();
        fs::write(dir.path().join("c"), "x").unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        assert_eq!(strangers(dir.path(), &spec).unwrap().len(), 2);
        assert!(check_inputs(dir.path(), &spec).is_err());
        fs::remove_file(dir.path().join("c")).unwrap();
        fs::remove_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("b"), "1").unwrap();
        assert!(check_inputs(dir.path(), &spec).is_err());
        fs::remove_file(dir.path().join("b")).unwrap();
        assert!(check_inputs(dir.path(), &spec).is_err());
    }
}
