//! A language model in integers: tokens per second of one machine, on one thread and on two.
//!
//! There is no peer in this table yet: llama.cpp must be measured by hand beside it, in the same hour.

use super::{Report, built};
use crate::{models, run::output};

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let folder = models::fetch()?;
    let infer = built("examples/infer");
    let blob = folder.join("smollm2.blob").display().to_string();
    let file = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf").display().to_string();
    output(&infer, &["import", &file, &blob])?;
    for threads in ["1", "2"] {
        for line in output(&infer, &["speed", &blob, threads])?.lines() {
            let Some((what, figures)) = line.split_once(": ") else { continue };
            let (wall, processor) = figures.split_once(", ").unwrap_or((figures, ""));
            report.line(
                &format!("SmolLM2-135M, {what}, threads: {threads}"),
                wall.to_owned(),
                "-".to_owned(),
                processor.to_owned(),
            );
        }
    }
    Ok(())
}
