//! `cargo xtask reference`: pages of `docs/reference` that the program itself knows best.

use std::fs;

use anyhow::bail;

use crate::{
    run::{output, root, run, step, target_dir},
    test::WORKSPACE,
};

/// Pages, and the command that prints each.
const PAGES: &[(&str, &[&str])] = &[
    ("docs/reference/node-config.md", &["node", "config", "--reference"]),
    ("docs/reference/provider-config.md", &["provider", "config", "--reference"]),
    ("docs/reference/relay-config.md", &["relay", "config", "--reference"]),
    ("docs/reference/auditor-config.md", &["auditor", "config", "--reference"]),
];

/// Writes the pages, or with `check` compares them with the committed ones.
pub fn run_reference(check: bool) -> anyhow::Result<()> {
    step("reference pages");
    // The whole workspace, so that features are those of every other build.
    let mut build = vec!["build", "--bin", "tilth"];
    build.extend(WORKSPACE);
    run("cargo", &build)?;
    let program = target_dir().join("release/tilth");
    for (page, args) in PAGES {
        let text = output(&program.to_string_lossy(), args)?;
        let path = root().join(page);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            bail!("{page} is not what the program says: run `cargo xtask reference`");
        }
        fs::write(path, text)?;
        eprintln!("wrote {page}");
    }
    Ok(())
}
