//! A language model in integers: tokens per second of one machine, on one thread and on two, beside llama.cpp with
//! the same model in Q8_0.
//!
//! The two take turns within each number of threads. On a shared machine wall times of one run say little; tokens
//! per processor second say more, and the ratio is taken of these.

use anyhow::Context as _;

use super::{Report, built};
use crate::{
    models,
    run::{output, root},
};

/// llama.cpp as a prebuilt wheel, and what rewrites the model's matrices as Q8_0.
pub const PEER: &[&str] = &["xllamacpp==2026.10.11549", "gguf==0.19.0", "numpy==2.4.6"];

/// One line of a measurement: tokens per second of wall time, and per second of processors.
struct Figure {
    what: String,
    wall: f64,
    processor: f64,
}

fn figures(text: &str) -> anyhow::Result<Vec<Figure>> {
    let number = |text: &str| -> anyhow::Result<f64> {
        let word = text.split_whitespace().next().unwrap_or_default();
        word.parse().with_context(|| format!("no number in {text:?}"))
    };
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter_map(|(what, figures)| Some((what, figures.split_once(", ")?)))
        .map(|(what, (wall, processor))| {
            Ok(Figure { what: what.into(), wall: number(wall)?, processor: number(processor)? })
        })
        .collect()
}

/// The model for both, and what runs the peer.
pub struct Prepared {
    /// Ours.
    pub blob: String,
    /// The peer's, every matrix as Q8_0.
    pub eight: String,
    /// Python with the peer.
    pub python: String,
}

/// Fetches and imports what is missing.
pub fn prepare() -> anyhow::Result<Prepared> {
    let folder = models::fetch()?;
    let path = |name: &str| folder.join(name).display().to_string();
    let (file, blob, eight) =
        (path("SmolLM2-135M-Instruct.Q4_1.gguf"), path("smollm2.blob"), path("smollm2.q8.gguf"));
    output(&built("examples/infer"), &["import", &file, &blob])?;
    let python = models::environment(&folder, "llama", PEER)?;
    if !folder.join("smollm2.q8.gguf").exists() {
        let partial = path("smollm2.q8.partial");
        output(&python, &[&script(), "requantise", &file, &partial])?;
        std::fs::rename(&partial, &eight)?;
    }
    Ok(Prepared { blob, eight, python })
}

/// What runs llama.cpp.
pub fn script() -> String {
    root().join("crates/xtask/src/bench/llama.py").display().to_string()
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let Prepared { blob, eight, python } = prepare()?;
    let (infer, script) = (built("examples/infer"), script());
    for threads in ["1", "2"] {
        let ours = figures(&output(&infer, &["speed", &blob, threads])?)?;
        let theirs = figures(&output(&python, &[&script, "speed", &eight, threads])?)?;
        for our in &ours {
            let peer = theirs.iter().find(|their| their.what == our.what);
            let peer = peer.with_context(|| format!("llama.cpp has no figure for {}", our.what))?;
            let shown = |f: &Figure| {
                format!("{:.1} tokens/s wall, {:.1} per CPU second", f.wall, f.processor)
            };
            report.line(
                &format!("SmolLM2-135M, {}, threads: {threads}", our.what),
                shown(our),
                format!("llama.cpp Q8_0: {}", shown(peer)),
                format!("{:.2} per CPU second", our.processor / peer.processor),
            );
        }
    }
    Ok(())
}
