//! `tilth job new`: a job file to begin with, and everything it needs to run at once.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum as _;
use serde_json::json;
use tilth_protocol::Problem;

use crate::{Ended, args::Template, demo, print_json};

/// Name and content of a file.
type Content = (&'static str, &'static [u8]);

const PROGRAM: Content = ("starter.wasm", include_bytes!("../../../guests/prebuilt/starter.wasm"));
const SOURCE: Content = ("starter.rs", include_bytes!("../../../guests/starter/src/lib.rs"));

const MAP: &[Content] = &[("job.toml", include_bytes!("template/map.toml")), PROGRAM, SOURCE];
const SWEEP: &[Content] = &[("job.toml", include_bytes!("template/sweep.toml")), PROGRAM, SOURCE];
const MAP_REDUCE: &[Content] =
    &[("job.toml", include_bytes!("template/map-reduce.toml")), PROGRAM, SOURCE];
const FOLDER: &[Content] = &[
    ("job.toml", include_bytes!("template/folder.toml")),
    PROGRAM,
    SOURCE,
    ("texts/one.txt", b"One task per file.\n"),
    ("texts/three.txt", b"Three lines\nare counted\nhere.\n"),
    ("texts/two.txt", b"The order of tasks is\nthe order of names.\n"),
];

/// The files of a template.
fn contents(template: Template) -> Vec<(String, Vec<u8>)> {
    let listed = match template {
        Template::Map => MAP,
        Template::Sweep => SWEEP,
        Template::Folder => FOLDER,
        Template::MapReduce => MAP_REDUCE,
        Template::Render => return render(),
    };
    listed.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

/// The render example with everything in one folder.
fn render() -> Vec<(String, Vec<u8>)> {
    let flat = |(name, bytes): &(&str, &[u8])| {
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        if name == "job.toml" {
            let text = String::from_utf8_lossy(bytes)
                .replace("../../guests/prebuilt/", "")
                .replace("examples/render/job.toml", "job.toml");
            return (name, text.into_bytes());
        }
        (name, bytes.to_vec())
    };
    demo::EXAMPLE.iter().map(flat).collect()
}

/// Writes a template's files; what is there already stays as it is.
pub fn write(template: Template, dir: Option<&Path>, as_json: bool) -> Ended {
    let name = template.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let dir = dir.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let names = unpack(template, &dir)?;
    let job = dir.join("job.toml");
    if as_json {
        print_json(&json!({ "job-file": job, "dir": dir, "files": names }))?;
    } else {
        println!("{} is written; try it here with: tilth try {0}", job.display());
        println!("and on a network (tilth up) with: tilth run {}", job.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a template's files into a folder; their names.
///
/// # Errors
/// One of them is there already, or cannot be written.
pub fn unpack(template: Template, dir: &Path) -> Result<Vec<String>, Problem> {
    let files = contents(template);
    // Looked at first, so that nothing is half written beside what somebody has there.
    if let Some(taken) = files.iter().map(|(name, _)| dir.join(name)).find(|path| path.exists()) {
        return Err(failed(&taken, &io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    for (name, bytes) in &files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(dir))
            .and_then(|()| File::create_new(&path))
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

fn failed(path: &Path, error: &io::Error) -> Problem {
    Problem::new(
        "the job file cannot be written",
        format!("{}: {error}", path.display()),
        "name a new folder: tilth job new TEMPLATE DIR",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every template passes the checks of a job file, as it is written.
    #[test]
    fn templates_are_sound_job_files_and_never_overwrite() {
        for template in Template::value_variants() {
            let dir = tempfile::tempdir().unwrap();
            let at = dir.path().join("new");
            write(*template, Some(&at), true).unwrap();
            let loaded = tilth_client::job_file::load_all(&at.join("job.toml"), &[]);
            let loaded = loaded.unwrap_or_else(|problem| panic!("{template:?}: {problem}"));
            assert_eq!(loaded.stages.len(), 1 + usize::from(*template == Template::MapReduce));
            assert!(loaded.notes.is_empty(), "{template:?}");
            fs::write(at.join("job.toml"), "mine").unwrap();
            assert!(write(*template, Some(&at), true).is_err());
            assert_eq!(fs::read(at.join("job.toml")).unwrap(), b"mine");
        }
    }
}
