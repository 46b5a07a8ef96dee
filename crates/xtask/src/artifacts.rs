//! `cargo xtask artifacts`: builds the contracts and writes what the Rust crates read of them, so that
//! building tilth needs neither node nor forge.
//!
//! `contracts/artifacts/<Name>.json` holds ABI, init code and runtime code with sorted keys on one line.
//! `contracts/artifacts/B3SUMS` holds the BLAKE3 hash of every source that goes into them, in the format
//! of `b3sum`; a test of `tilth-contracts` compares it with the sources, so that a changed contract
//! with an old artifact does not pass even where there is no node.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::{
    run::{root, run_in, step, target_dir},
    setup::node_packages,
};

/// The contracts whose artifacts are committed: source file below `contracts/src`, contract.
const CONTRACTS: &[(&str, &str)] = &[
    ("WGrain.sol", "WGrain"),
    ("Ledger.sol", "Ledger"),
    ("Registry.sol", "Registry"),
    ("JobBook.sol", "JobBook"),
    ("JobDesk.sol", "JobDesk"),
    ("JobView.sol", "JobView"),
    ("SoloRandomness.sol", "SoloRandomness"),
    ("Auditors.sol", "Auditors"),
    ("Audits.sol", "Audits"),
    ("AuditDesk.sol", "AuditDesk"),
    ("Bench.sol", "Bench"),
    ("Waiting.sol", "Waiting"),
    ("Replicas.sol", "Replicas"),
    ("Holders.sol", "Holders"),
    ("Spots.sol", "Spots"),
    ("Tabs.sol", "Tabs"),
    ("examples/ReduceSum.sol", "ReduceSum"),
];

/// Largest runtime code that Ethereum accepts (EIP-170).
const CODE_LIMIT: usize = 24_576;

/// Files besides the sources that decide about the bytecode.
const SETTINGS: &[&str] = &["foundry.toml", "package-lock.json"];

/// The forge program of the pinned npm package.
///
/// # Errors
/// It is not there: the machine is not one that the package has a program for, or npm did not run.
pub fn forge() -> anyhow::Result<String> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        os => os,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        arch => arch,
    };
    let path =
        root().join(format!("contracts/node_modules/@foundry-rs/forge-{os}-{arch}/bin/forge"));
    ensure!(path.exists(), "{} is missing: run `cargo xtask setup`", path.display());
    Ok(path.to_string_lossy().into_owned())
}

/// Has forge write below the folder of cargo's outputs, by links in `contracts`: where that is kept for another checkout,
/// contracts that stay the same are not compiled again. What another compiler, or other settings, have made lies elsewhere; that
/// of a source forge knows by the source's hash. Until the returned file is dropped no other checkout uses the same place.
pub fn outputs(contracts: &Path) -> anyhow::Result<File> {
    let forge = target_dir().join("forge");
    let mut settings = blake3::Hasher::new();
    for name in SETTINGS.iter().chain(&["bin/solc"]) {
        settings.update(&fs::read(contracts.join(name)).with_context(|| (*name).to_owned())?);
    }
    let kept = forge.join(&settings.finalize().to_hex()[..16]);
    fs::create_dir_all(&kept).with_context(|| kept.display().to_string())?;
    let lock = File::create(kept.join("lock"))?;
    if lock.try_lock().is_err() {
        eprintln!("another checkout compiles contracts into {}: waiting for it", kept.display());
        lock.lock()?;
    }
    for name in ["out", "cache", "out-test", "cache-test"] {
        let (link, place) = (contracts.join(name), kept.join(name));
        fs::create_dir_all(&place)?;
        // A folder of before goes: forge would take the one of the two for what belongs to the other.
        match link.symlink_metadata() {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&link)?,
            Ok(_) => fs::remove_file(&link)?,
            Err(_) => {}
        }
        symlink(&place, &link).with_context(|| link.display().to_string())?;
    }
    Ok(lock)
}

/// Runs `forge test`, in the profile that compiles the tests fast; they deploy the code that ships, which is built first, in the
/// profile of its own, for nothing if it is there. `outputs` is to be held meanwhile.
pub fn tests(contracts: &Path, args: &[&str]) -> anyhow::Result<()> {
    let forge = forge()?;
    run_in(contracts, &forge, &["build", "src"], &[])?;
    run_in(contracts, &forge, &[&["test"][..], args].concat(), &[("FOUNDRY_PROFILE", "test")])
}

/// Builds, then writes the artifacts, or with `check` compares them with the committed ones.
pub fn run(check: bool) -> anyhow::Result<()> {
    step("contracts: artifacts");
    let dir = root().join("contracts");
    node_packages(&dir)?;
    let _outputs = outputs(&dir)?;
    // What is committed is made from nothing; what is only compared may come from what an earlier run has made of the same sources.
    let build: &[&str] = if check { &["build", "src"] } else { &["build", "--force", "src"] };
    run_in(&dir, &forge()?, build, &[])?;
    let artifacts = dir.join("artifacts");
    fs::create_dir_all(&artifacts)?;
    let mut files = BTreeMap::new();
    for (source, name) in CONTRACTS {
        files.insert(format!("{name}.json"), artifact(&dir, source, name)?);
    }
    files.insert("B3SUMS".to_owned(), sums(&dir)?);
    if check { compare(&artifacts, &files) } else { write(&artifacts, &files) }
}

/// The part of forge's output that we keep.
fn artifact(dir: &Path, source: &str, name: &str) -> anyhow::Result<String> {
    let file = Path::new(source).file_name().context("a source file")?;
    let path = dir.join("out").join(file).join(format!("{name}.json"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let full: Value = serde_json::from_str(&text)?;
    let code = |kind: &str| -> anyhow::Result<String> {
        let code = full[kind]["object"].as_str().with_context(|| format!("{name}: {kind}"))?;
        ensure!(!code.contains('_'), "{name} has unlinked libraries");
        Ok(code.to_owned())
    };
    let deployed = code("deployedBytecode")?;
    let size = deployed.len().saturating_sub(2) / 2;
    ensure!(size <= CODE_LIMIT, "{name} has {size} bytes of code, the limit is {CODE_LIMIT}");
    let kept = json!({
        "abi": full["abi"],
        "bytecode": { "object": code("bytecode")? },
        "deployedBytecode": { "object": deployed },
    });
    Ok(format!("{}\n", serde_json::to_string(&sorted(&kept))?))
}

/// The same value with sorted keys at every depth, whichever map serde_json was built with.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, Value> =
                map.iter().map(|(key, value)| (key, sorted(value))).collect();
            ordered.into_iter().map(|(key, value)| (key.clone(), value)).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// One line per source, as `b3sum` prints them, sorted by path.
fn sums(dir: &Path) -> anyhow::Result<String> {
    let mut paths = Vec::new();
    solidity_files(&dir.join("src"), &mut paths)?;
    paths.extend(SETTINGS.iter().map(|name| dir.join(name)));
    paths.sort();
    let mut text = String::new();
    for path in paths {
        let hash = blake3::hash(&fs::read(&path)?).to_hex();
        let name = path.strip_prefix(dir)?.to_string_lossy().replace('\\', "/");
        text.push_str(&format!("{hash}  {name}\n"));
    }
    Ok(text)
}

fn solidity_files(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            solidity_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "sol") {
            found.push(path);
        }
    }
    Ok(())
}

fn write(artifacts: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(artifacts)? {
        let entry = entry?;
        if !files.contains_key(entry.file_name().to_string_lossy().as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    for (name, text) in files {
        let path = artifacts.join(name);
        // An unchanged file keeps its time, so that cargo does not build again.
        if fs::read_to_string(&path).is_ok_and(|found| found == *text) {
            continue;
        }
        fs::write(path, text)?;
        eprintln!("wrote contracts/artifacts/{name}");
    }
    Ok(())
}

fn compare(artifacts: &Path, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let mut different = Vec::new();
    for (name, text) in files {
        if fs::read_to_string(artifacts.join(name)).is_ok_and(|found| found == *text) {
            continue;
        }
        different.push(name.as_str());
    }
    if !different.is_empty() {
        bail!(
            "contracts/artifacts is not what the sources give ({}): run `cargo xtask artifacts`",
            different.join(", ")
        );
    }
    Ok(())
}
