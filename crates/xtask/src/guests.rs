//! `cargo xtask guests`: builds the guest programs to WebAssembly, so that nobody else needs to.
//!
//! There is one recipe, with Debian's `rustc-web`, its standard library built from source, and `wasm-ld`: the same
//! packages give the same bytes. A toolchain of rustup would give other bytes, so it is not used.
//! `guests/prebuilt/B3SUMS` holds the BLAKE3 hash of every source and of the programs, in the format of `b3sum`, and
//! `guests/prebuilt/TOOLCHAIN` the compiler. A check compares the hashes always; where the toolchain is installed it
//! also builds again and compares the bytes. It ends with the proof that matters: native renderer, WebAssembly program
//! and the committed golden picture agree in every byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    run::{root, run as command, run_in, step, target_dir},
    setup::install,
    test::WORKSPACE,
};

/// Debian packages of the recipe.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-19"];
/// What they bring, to see whether they are there.
const NEEDED: &[&str] = &["/usr/bin/rustc", "/usr/bin/cargo", "/usr/bin/wasm-ld-19", STD_SOURCE];
/// What the recipe's packages would take the place of.
const OWNERS: &[&str] = &["/usr/bin/rustc", "/usr/bin/cargo"];
/// Sources of the standard library.
const STD_SOURCE: &str = "/usr/lib/rustlib/src/rust";
const TARGET: &str = "wasm32-unknown-unknown";
/// Profile of `guests/Cargo.toml` for native programs of which only the bytes they give matter: without the optimization of
/// whole programs, which costs more than all of the tests.
pub const NATIVE: &str = "native";
/// Package, and the name of its module.
const PROGRAMS: &[&str] =
    &["path-tracer", "noop", "starter", "lennard-jones", "language-model", "conformance"];
/// Packages that programs are built from beside their own.
const LIBRARIES: &[&str] = &["door"];
/// Files besides the packages' own that decide about the bytes. The versions of what the crate below needs are in the
/// lock file here.
const SETTINGS: &[&str] = &["Cargo.toml", "Cargo.lock", "rustc.sh", "../crates/tensor/Cargo.toml"];
/// Folders of sources outside: a crate of tilth, and what programs share with its tests.
const OUTSIDE: &[&str] = &["../crates/tensor/src", "../crates/tensor/tests/vectors"];
/// What of them programs are built without: the feature `text`.
const WITHOUT: &[&str] = &["chat", "import", "shelf", "tokenizer"];

/// Builds the programs and writes them, or with `check` compares them with the committed ones.
pub fn run(check: bool) -> anyhow::Result<()> {
    let dir = root().join("guests");
    let prebuilt = dir.join("prebuilt");
    if !check {
        step("guests: programs");
        if !NEEDED.iter().all(|path| Path::new(path).exists()) {
            install(PACKAGES)?;
        }
        fs::create_dir_all(&prebuilt)?;
        build(&dir)?;
        for name in PROGRAMS {
            // Written and not copied: the mode of what cargo builds is another one.
            fs::write(prebuilt.join(format!("{name}.wasm")), fs::read(built(&dir, name))?)?;
        }
        fs::write(prebuilt.join("TOOLCHAIN"), toolchain()?)?;
        fs::write(prebuilt.join("B3SUMS"), sums(&dir)?)?;
        return Ok(());
    }
    step("guests: sources and programs belong together");
    compare_sums(&dir)?;
    rebuild_and_compare(&dir)?;
    step("guests: native tests");
    run_in(&dir, "cargo", &["fmt", "--all", "--check"], &[])?;
    run_in(&dir, "cargo", &["test", "--profile", NATIVE, "--locked"], &[])?;
    scene_is_generated(&dir)?;
    step("guests: WebAssembly gives the native picture");
    same_picture(&dir)
}

/// The recipe.
fn build(dir: &Path) -> anyhow::Result<()> {
    let mut flags = vec![
        "-Ctarget-feature=+simd128".to_owned(),
        "-Clinker=wasm-ld-19".to_owned(),
        // Panic messages name files; where the checkout lies must not matter.
        format!("--remap-path-prefix={}=/tilth", root().display()),
        format!("--remap-path-prefix={}=/guests", dir.display()),
        format!("--remap-path-prefix={STD_SOURCE}=/std"),
    ];
    flags.extend(
        registries()?.iter().map(|path| format!("--remap-path-prefix={}=/crates", path.display())),
    );
    let flags = flags.join("\x1f");
    // Where the checkout lies must not matter for the names of symbols either.
    let wrapper = dir.join("rustc.sh").display().to_string();
    let env = [
        ("RUSTC", "/usr/bin/rustc"),
        ("RUSTC_WRAPPER", wrapper.as_str()),
        // Building the standard library is an unstable feature of cargo.
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_ENCODED_RUSTFLAGS", flags.as_str()),
        ("CARGO_INCREMENTAL", "0"),
    ];
    for name in PROGRAMS {
        let mut args = vec!["rustc", "--release", "--locked", "-Zbuild-std=std,panic_abort"];
        args.extend(["--target", TARGET, "--target-dir", "target-wasm"]);
        args.extend(["--package", name, "--lib", "--crate-type", "cdylib"]);
        run_in(dir, "/usr/bin/cargo", &args, &env)?;
    }
    Ok(())
}

/// Folders that hold unpacked crates; their names depend on the registry's address.
fn registries() -> anyhow::Result<Vec<PathBuf>> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let sources = home.join("registry/src");
    let Ok(entries) = fs::read_dir(&sources) else { return Ok(Vec::new()) };
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    found.sort();
    Ok(found)
}

fn built(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("target-wasm/{TARGET}/release/{}.wasm", name.replace('-', "_")))
}

/// Compiler and linker, as they name themselves.
fn toolchain() -> anyhow::Result<String> {
    let mut text = String::new();
    for program in ["/usr/bin/rustc", "/usr/bin/wasm-ld-19"] {
        let output =
            Command::new(program).arg("--version").output().with_context(|| program.to_owned())?;
        text.push_str(&String::from_utf8(output.stdout)?);
    }
    Ok(text)
}

/// One line per source and program, sorted by path.
fn sums(dir: &Path) -> anyhow::Result<String> {
    let mut paths: Vec<PathBuf> = SETTINGS.iter().map(|name| dir.join(name)).collect();
    for name in PROGRAMS.iter().chain(LIBRARIES) {
        paths.push(dir.join(name).join("Cargo.toml"));
        rust_files(&dir.join(name).join("src"), &mut paths)?;
    }
    for folder in OUTSIDE {
        let (folder, mut found) = (dir.join(folder), Vec::new());
        rust_files(&folder, &mut found)?;
        paths.extend(found.into_iter().filter(|path| !is_without(&folder, path)));
    }
    paths.extend(PROGRAMS.iter().map(|name| dir.join(format!("prebuilt/{name}.wasm"))));
    paths.sort();
    let mut text = String::new();
    for path in paths {
        let content = fs::read(&path).with_context(|| path.display().to_string())?;
        let name = path.strip_prefix(dir)?.to_string_lossy().replace('\\', "/");
        text.push_str(&format!("{}  {name}\n", blake3::hash(&content).to_hex()));
    }
    Ok(text)
}

/// Whether a source belongs to a module that programs are built without.
fn is_without(folder: &Path, path: &Path) -> bool {
    let module = path.strip_prefix(folder).ok().and_then(|path| path.iter().next());
    module.is_some_and(|module| {
        WITHOUT.iter().any(|name| Path::new(module).with_extension("").as_os_str() == *name)
    })
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn compare_sums(dir: &Path) -> anyhow::Result<()> {
    let committed =
        fs::read_to_string(dir.join("prebuilt/B3SUMS")).context("guests/prebuilt/B3SUMS")?;
    let now = sums(dir)?;
    let changed: Vec<&str> = now
        .lines()
        .filter(|line| !committed.lines().any(|old| old == *line))
        .filter_map(|line| line.split_once("  ").map(|(_, name)| name))
        .collect();
    ensure!(
        committed == now,
        "guests/prebuilt does not belong to the sources ({}): run `cargo xtask guests`",
        if changed.is_empty() { "a file is gone".to_owned() } else { changed.join(", ") }
    );
    Ok(())
}

fn rebuild_and_compare(dir: &Path) -> anyhow::Result<()> {
    if !NEEDED.iter().all(|path| Path::new(path).exists()) {
        // Debian's ordinary compiler would have to make room for this one: whose it is decides that.
        if let Some(path) = OWNERS.iter().find(|path| Path::new(path).exists()) {
            eprintln!(
                "SKIPPED: building again, so as not to replace {path} (apt-get install {})",
                PACKAGES.join(" ")
            );
            return Ok(());
        }
        install(PACKAGES)?;
    }
    let (committed, here) = (fs::read_to_string(dir.join("prebuilt/TOOLCHAIN"))?, toolchain()?);
    if committed != here {
        eprintln!(
            "SKIPPED: building again; the toolchain here is another one:\n{here}instead of\n{committed}"
        );
        return Ok(());
    }
    build(dir)?;
    for name in PROGRAMS {
        let committed = fs::read(dir.join(format!("prebuilt/{name}.wasm")))?;
        if fs::read(built(dir, name))? != committed {
            bail!(
                "guests/prebuilt/{name}.wasm is not what the sources give: run `cargo xtask guests`"
            );
        }
    }
    Ok(())
}

/// The scene of the render example is what its generator writes.
fn scene_is_generated(dir: &Path) -> anyhow::Result<()> {
    let out = dir.join("target/scene.glb");
    // Not there yet where cargo builds elsewhere.
    fs::create_dir_all(dir.join("target"))?;
    let args = ["run", "--profile", NATIVE, "--locked", "--bin", "still-life", "--"];
    run_in(dir, "cargo", &[&args[..], &["target/scene.glb"]].concat(), &[])?;
    ensure!(
        fs::read(out)? == fs::read(root().join("examples/render/scene.glb"))?,
        "examples/render/scene.glb is not what guests/still-life writes: run it again"
    );
    Ok(())
}

/// Runs the committed program on the machine and compares its tiles with the golden picture, which the native tests
/// have just been compared with.
fn same_picture(dir: &Path) -> anyhow::Result<()> {
    let inputs = dir.join("target/golden-inputs");
    let tiles = dir.join("target/golden-tiles");
    for folder in [&inputs, &tiles] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    for name in ["scene.glb", "environment.hdr"] {
        fs::copy(root().join("examples/render").join(name), inputs.join(name))?;
    }
    fs::copy(dir.join("path-tracer/tests/render.json"), inputs.join("render.json"))?;
    let (program, inputs, saved) = (
        path_text(&dir.join("prebuilt/path-tracer.wasm"))?,
        path_text(&inputs)?,
        path_text(&tiles)?,
    );
    let range = format!("0..{GOLDEN_TILES}");
    // The same selection as the tests, so that the dependencies are built once.
    let mut build = vec!["build", "--example", "run"];
    build.extend(WORKSPACE);
    command("cargo", &build)?;
    let machine = path_text(&target_dir().join("release/examples/run"))?;
    let mut args = vec![program.as_str(), "--in", &inputs, "--save", &saved];
    args.extend(["--tasks", &range, "--prepare", "1000000", "--quiet"]);
    command(&machine, &args)?;
    let mut picture = Vec::new();
    for index in 0..GOLDEN_TILES {
        picture.extend(fs::read(tiles.join(index.to_string()))?);
    }
    let golden = fs::read(dir.join("path-tracer/tests/golden.rgb"))?;
    ensure!(picture == golden, "the WebAssembly program's picture differs from the golden one");
    Ok(())
}

/// Tiles of `guests/path-tracer/tests/render.json`.
const GOLDEN_TILES: u32 = 8;

fn path_text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without any toolchain: whoever changes a guest must build it again.
    #[test]
    fn committed_programs_belong_to_the_sources() {
        compare_sums(&root().join("guests")).unwrap();
    }

    #[test]
    fn committed_programs_are_modules_of_a_bounded_size() {
        for name in PROGRAMS {
            let bytes = fs::read(root().join(format!("guests/prebuilt/{name}.wasm"))).unwrap();
            assert!(bytes.starts_with(b"\0asm\x01\0\0\0") && bytes.len() < 1 << 20, "{name}");
        }
    }
}
