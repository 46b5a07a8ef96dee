//! Every fuzz target has seeds, a line in `fuzz/README.md`, and runs in the tests, too: a body that only libFuzzer is
//! given is a body that nobody has compiled.

use std::{fs, io, path::Path};

use anyhow::Context as _;

use crate::run::root;

/// What names targets.
struct Known {
    /// `fuzz/Cargo.toml`.
    manifest: String,
    /// `fuzz/README.md`.
    readme: String,
    /// The sources of the tests that run targets.
    tests: String,
}

impl Known {
    /// Where a target is missing.
    fn misses(&self, target: &str) -> Vec<&'static str> {
        let (path, row) = (format!("fuzz_targets/{target}.rs\""), format!("`{target}`"));
        let quoted = format!("\"{target}\"");
        let is_listed =
            self.readme.lines().any(|line| line.starts_with('|') && line.contains(&row));
        // What stands in a call of that name, whatever is before it.
        let mut calls = self.tests.split("smoke(").skip(1);
        let runs = calls.any(|rest| rest.split(';').next().is_some_and(|it| it.contains(&quoted)));
        let places = [
            ("a [[bin]] in fuzz/Cargo.toml", self.manifest.contains(&path)),
            ("a line in fuzz/README.md", is_listed),
            ("a run in the tests (`smoke`)", runs),
        ];
        places.into_iter().filter(|(_, there)| !there).map(|(place, _)| place).collect()
    }
}

/// Says of each target where it is missing.
pub(super) fn check(wrong: &mut Vec<String>) -> anyhow::Result<()> {
    let fuzz = root().join("fuzz");
    let text = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("{} is missing", path.display()))
    };
    let mut known = Known {
        manifest: text(&fuzz.join("Cargo.toml"))?,
        readme: text(&fuzz.join("README.md"))?,
        tests: String::new(),
    };
    for folder in fs::read_dir(root().join("crates"))? {
        let tests = folder?.path().join("tests");
        for path in [tests.join("fuzz.rs"), tests.join("fuzz/main.rs")] {
            if path.is_file() {
                known.tests.push_str(&text(&path)?);
            }
        }
    }
    let mut targets: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))?
        .map(|entry| -> io::Result<String> {
            let path = entry?.path();
            Ok(path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        })
        .collect::<io::Result<_>>()?;
    targets.sort();
    for target in &targets {
        let seeds = fs::read_dir(fuzz.join("corpus").join(target));
        if !seeds.is_ok_and(|mut seeds| seeds.next().is_some()) {
            wrong.push(format!("the fuzz target {target} has no seeds in fuzz/corpus/{target}"));
        }
        for place in known.misses(target) {
            wrong.push(format!("the fuzz target {target} lacks {place}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_known_everywhere() {
        let mut wrong = Vec::new();
        check(&mut wrong).unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_target_that_is_named_only_otherwise_is_missing() {
        let known = Known {
            manifest: "path = \"fuzz_targets/reply.rs\"\npath = \"fuzz_targets/seldom.rs\"".into(),
            readme: "as `reply` does\n| `seldom` | what is rare |".into(),
            tests: "let all = smoke::seeds(\"reply\");\nsmoke(TARGETS, \"seldom\", 9);".into(),
        };
        assert!(known.misses("seldom").is_empty());
        assert_eq!(known.misses("reply").len(), 2);
        assert_eq!(known.misses("never").len(), 3);
    }
}
