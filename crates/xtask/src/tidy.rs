//! Rules of the house that a machine can check.

mod fuzzing;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::run::{output, root};

/// Most lines of a source file; longer ones are split by idea.
const MAX_LINES: usize = 700;
/// Largest tracked file in bytes (the render example's assets are the largest we mean to have).
const MAX_FILE_BYTES: u64 = 2 << 20;
/// Names that collect whatever has no place.
const BANNED: &[&str] =
    &["core", "common", "shared", "utils", "util", "helpers", "types", "misc", "manager"];

/// Checks everything and reports all that is wrong at once.
pub fn run() -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    arrows(&mut wrong)?;
    let files = output("git", &["ls-files", "-z"])?;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        check_file(Path::new(file), &mut wrong);
    }
    links(&mut wrong)?;
    fuzz_lock(&mut wrong)?;
    fuzzing::check(&mut wrong)?;
    if wrong.is_empty() {
        eprintln!("tidy: nothing wrong");
        return Ok(());
    }
    for line in &wrong {
        eprintln!("tidy: {line}");
    }
    bail!("{} things to tidy", wrong.len())
}

/// The arrow table of the root manifest against what cargo resolves, and each crate's manifest.
fn arrows(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let text = output("cargo", &["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let table: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_value(metadata["metadata"]["arrows"].clone())
            .context("[workspace.metadata.arrows] is missing in Cargo.toml")?;
    let folder = |name: &str| name.strip_prefix("tilth-").map(str::to_owned);
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(crate_name) = folder(name) else {
            wrong.push(format!("package {name}: packages are called tilth-FOLDER"));
            continue;
        };
        let Some(allowed) = table.get(&crate_name) else {
            wrong.push(format!("crate {crate_name} is not in the arrow table"));
            continue;
        };
        if package["description"].is_null() {
            wrong.push(format!("crate {crate_name} has no description"));
        }
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap_or_default())?;
        if !manifest.contains("[lints]\nworkspace = true") {
            wrong.push(format!("crate {crate_name} does not inherit the workspace's lints"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["source"].as_str().is_some_and(|source| source.starts_with("git")) {
                wrong.push(format!("crate {crate_name} depends on a git repository"));
            }
            // Test-only arrows may point anywhere downward or sideways; cargo forbids cycles.
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = dependency["name"].as_str().and_then(folder);
            if let Some(used) = used.filter(|used| !allowed.contains(used)) {
                wrong.push(format!("crate {crate_name} may not use {used}"));
            }
        }
    }
    for name in table.keys().filter(|name| !root().join("crates").join(name).is_dir()) {
        wrong.push(format!("the arrow table names {name}, which does not exist"));
    }
    Ok(())
}

/// Packages of the fuzz crate's lock that the workspace does not have: itself, libFuzzer, and what
/// that brings.
const ONLY_FUZZ: &[&str] = &["tilth-fuzz", "libfuzzer-sys", "jobserver"];

/// The fuzz crate is a workspace of its own, but what it fuzzes is built from the same packages.
fn fuzz_lock(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let (ours, fuzz) =
        (locked(&root().join("Cargo.lock"))?, locked(&root().join("fuzz/Cargo.lock"))?);
    for (name, version) in fuzz.difference(&ours) {
        if !ONLY_FUZZ.contains(&name.as_str()) {
            wrong.push(format!(
                "fuzz/Cargo.lock has {name} {version}, which Cargo.lock does not have: copy that one there and build"
            ));
        }
    }
    Ok(())
}

/// Names and versions in a lock file.
fn locked(path: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} is missing", path.display()))?;
    let value = |line: &str, key: &str| {
        Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    let lines: Vec<&str> = text.lines().collect();
    let found = lines
        .windows(2)
        .filter_map(|pair| Some((value(pair[0], "name")?, value(pair[1], "version")?)));
    Ok(found.collect())
}

fn check_file(path: &Path, wrong: &mut Vec<String>) {
    let shown = path.display();
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.len() > MAX_FILE_BYTES {
        wrong.push(format!("{shown} has {} bytes, at most {MAX_FILE_BYTES}", metadata.len()));
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if extension != "rs" && extension != "sol" {
        return;
    }
    if BANNED.contains(&stem) {
        wrong.push(format!("{shown}: a module needs a name that says what is in it"));
    }
    if stem == "mod" {
        wrong.push(format!("{shown}: use area.rs beside area/"));
    }
    let Ok(text) = fs::read_to_string(path) else { return };
    let lines = text.lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("{shown} has {lines} lines, at most {MAX_LINES}: split it by idea"));
    }
    if extension == "rs" && path.starts_with("crates") && path.components().count() > 5 {
        wrong.push(format!("{shown}: folders end at crates/x/src/area/file.rs"));
    }
}

/// Relative links in Markdown lead somewhere.
fn links(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    for file in output("git", &["ls-files", "-z", "*.md"])?.split('\0').filter(|f| !f.is_empty()) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let base = Path::new(file).parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let external = target.is_empty() || target.contains("://");
            if !external && !base.join(target).exists() {
                wrong.push(format!("{file}: the link to {target} leads nowhere"));
            }
        }
    }
    Ok(())
}
