//! The committed artifacts belong to the committed sources, checked without node or forge.

use std::{collections::BTreeMap, fs, path::Path};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn contracts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts")
}

fn solidity(dir: &Path, found: &mut Vec<String>) -> Outcome {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            solidity(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "sol") {
            found.push(path.strip_prefix(contracts())?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[test]
fn every_source_is_the_one_the_artifacts_were_built_from() -> Outcome {
    let text = fs::read_to_string(contracts().join("artifacts/B3SUMS"))?;
    let sums: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, name)| (name, hash))
        .collect();
    for (name, hash) in &sums {
        let bytes = fs::read(contracts().join(name))?;
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            *hash,
            "{name} changed since the artifacts were written: run `cargo xtask artifacts`"
        );
    }
    let mut sources = Vec::new();
    solidity(&contracts().join("src"), &mut sources)?;
    assert!(sources.len() > 8, "the sources are where we look");
    for source in sources {
        assert!(sums.contains_key(source.as_str()), "{source} is new: run `cargo xtask artifacts`");
    }
    Ok(())
}

#[test]
fn artifacts_are_compact_and_fit_on_a_chain() -> Outcome {
    for name in [
        "WGrain",
        "Ledger",
        "Registry",
        "JobBook",
        "JobDesk",
        "JobView",
        "SoloRandomness",
        "Auditors",
        "Audits",
        "AuditDesk",
        "Bench",
        "ReduceSum",
    ] {
        let text = fs::read_to_string(contracts().join(format!("artifacts/{name}.json")))?;
        assert_eq!(text.lines().count(), 1, "{name}: one line");
        let artifact: serde_json::Value = serde_json::from_str(&text)?;
        let code = artifact["deployedBytecode"]["object"].as_str().unwrap_or_default();
        assert!(code.len() > 2 && code.len() / 2 <= 24_577, "{name}: {} bytes", code.len() / 2);
    }
    Ok(())
}
