//! The native program: the runs of a table on this machine, and the evaluation of runs from wherever they come.
//!
//! ```text
//! lennard-jones run TASKS.csv FOLDER              one file per row, as the farm writes them
//! lennard-jones evaluate FOLDER REFERENCE.csv     four parts into FOLDER.evaluated
//! ```

use std::{fs, path::Path, process::ExitCode};

use door::rows::Rows;
use lennard_jones::{reduce, run};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done =
        match words.as_slice() {
            ["run", tasks, folder] => run_all(Path::new(tasks), Path::new(folder)),
            ["evaluate", folder, reference] => evaluate(Path::new(folder), Path::new(reference)),
            _ => Err("usage: lennard-jones run TASKS.csv FOLDER, or evaluate FOLDER REFERENCE.csv"
                .into()),
        };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("lennard-jones: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn named<T>(path: &Path, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}

fn run_all(tasks: &Path, folder: &Path) -> Result<(), String> {
    let table = named(tasks, fs::read_to_string(tasks))?;
    named(folder, fs::create_dir_all(folder))?;
    let count = Rows::read(&table)?.len();
    let digits = count.saturating_sub(1).to_string().len();
    for index in 0..count {
        let path = folder.join(format!("{index:0digits$}"));
        named(&path, fs::write(&path, run::row(&table, index)?))?;
    }
    Ok(())
}

fn evaluate(folder: &Path, reference: &Path) -> Result<(), String> {
    let mut paths = Vec::new();
    for entry in named(folder, fs::read_dir(folder))? {
        paths.push(named(folder, entry)?.path());
    }
    paths.sort();
    let mut runs = Vec::new();
    for path in &paths {
        runs.push(Rows::read(&named(path, fs::read_to_string(path))?)?);
    }
    let reference = Rows::read(&named(reference, fs::read_to_string(reference))?)?;
    let out = folder.with_extension("evaluated");
    named(&out, fs::create_dir_all(&out))?;
    for (index, name) in reduce::PARTS.iter().enumerate() {
        let path = out.join(name);
        named(&path, fs::write(&path, reduce::evaluate(&runs, &reference, index)?))?;
        println!("{}", path.display());
    }
    Ok(())
}
