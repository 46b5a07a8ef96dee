//! A language model inside the deterministic machine: what its tokens cost in fuel, which is the same on every machine
//! and in every run, beside what one update call of the Internet Computer makes of the same model.
//!
//! `guests/language-model` is asked four things; what a token costs is a difference of two of them, so that what a task
//! costs before its first token is a figure of its own. Its answers are compared with the native ones.

use std::fs;

use anyhow::{Context as _, ensure};

use super::{Report, built};
use crate::{
    models,
    run::{output, root},
};

/// Instructions of an update call of the Internet Computer, about which one of fuel is: 40 G.
const CALL: f64 = 40e9;
/// Tokens that llama.cpp makes in one such call of SmolLM2-135M in Q8_0: appendix A of the README of
/// `onicai/llama_cpp_canister`.
const INTERNET_COMPUTER: f64 = 40.0;
/// What we want to make.
const AIM: f64 = 120.0;
/// Tokens of the long prompt, and of an answer behind its first.
const PROMPT: usize = 512;
const ANSWER: usize = 64;
/// Units of the prepare phase: reading 144 MB and keeping them.
const PREPARE: &str = "1000";

/// What the machine said about one task.
struct Run {
    fuel: f64,
    seconds: f64,
}

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let folder = models::fetch()?;
    let work = folder.join("fuel");
    let (inputs, answers) = (work.join("in"), work.join("out"));
    fs::create_dir_all(&inputs)?;
    let path = |place: &std::path::Path| place.display().to_string();
    let (infer, blob) = (built("examples/infer"), path(&inputs.join("model.blob")));
    let file = path(&folder.join("SmolLM2-135M-Instruct.Q4_1.gguf"));
    output(&infer, &["import", &file, &blob])?;
    let text = path(&work.join("text"));
    fs::write(&text, TEXT.repeat(40))?;
    let tokens = output(&infer, &["tokens", &blob, &text, &PROMPT.to_string()])?;
    let prompt = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = prompt.split(' ').next().unwrap_or_default();
    let asked = [(first, 1), (first, 1 + ANSWER), (&prompt, 1), (&prompt, 1 + ANSWER)];
    let rows: String = asked.iter().map(|(prompt, most)| format!("{prompt},{most}\n")).collect();
    fs::write(inputs.join("tasks.csv"), format!("prompt,most\n{rows}"))?;

    let program = path(&root().join("guests/prebuilt/language-model.wasm"));
    let tasks = format!("0..{}", asked.len());
    let mut args = vec![program.as_str(), "--prepare", PREPARE, "--tasks", &tasks];
    let (inputs, saved) = (path(&inputs), path(&answers));
    args.extend(["--in", &inputs, "--save", &saved]);
    let said = output(&built("examples/run"), &args)?;
    let runs = asked.iter().enumerate().map(|(index, _)| figure(&said, index));
    let runs: Vec<Run> = runs.collect::<anyhow::Result<_>>()?;
    for (index, (prompt, most)) in asked.iter().enumerate() {
        let native = output(&infer, &["answer", &blob, prompt, &most.to_string()])?;
        let inside = fs::read_to_string(answers.join(index.to_string()))?;
        ensure!(native.trim() == inside.trim(), "task {index} says {inside}, natively {native}");
    }
    lines(report, &runs);
    Ok(())
}

/// What is written about `task INDEX`, which must have ended well.
fn figure(said: &str, index: usize) -> anyhow::Result<Run> {
    let start = format!("task {index}: Ok, ");
    let line = said.lines().find_map(|line| line.strip_prefix(&start));
    let line = line.with_context(|| format!("task {index} did not end well:\n{said}"))?;
    let fuel = line.split_once('(').and_then(|(_, rest)| rest.split_once(" fuel)"));
    let fuel = fuel.with_context(|| format!("no fuel in {line}"))?.0.parse()?;
    let took = line.rsplit(", ").next().unwrap_or_default();
    let seconds = match (took.strip_suffix("ms"), took.strip_suffix('s')) {
        (Some(text), _) => text.parse::<f64>()? / 1e3,
        (None, Some(text)) => text.parse()?,
        (None, None) => anyhow::bail!("no time in {line}"),
    };
    Ok(Run { fuel, seconds })
}

fn lines(report: &mut Report, runs: &[Run]) {
    let [start, short, prefill, long] = runs else { return };
    for (what, from, to, count) in [
        ("decode, 65 positions", start, short, ANSWER),
        ("decode after 512", prefill, long, ANSWER),
        ("prefill of 512", start, prefill, PROMPT - 1),
    ] {
        let fuel = (to.fuel - from.fuel) / count as f64;
        let tokens = CALL / fuel;
        let rate = count as f64 / (to.seconds - from.seconds);
        report.line(
            &format!("SmolLM2-135M inside the machine, {what}"),
            format!(
                "{tokens:.0} tokens per 40 G fuel ({:.1} M each; {rate:.1}/s wall)",
                fuel / 1e6
            ),
            format!("Internet Computer, llama.cpp Q8_0: {INTERNET_COMPUTER} per 40 G instructions"),
            format!(
                "{:.1} times; aim {AIM}: {}",
                tokens / INTERNET_COMPUTER,
                if tokens >= AIM { "reached" } else { "MISSED" }
            ),
        );
    }
    report.line(
        "a task with one token, all told",
        format!("{:.1} M fuel", start.fuel / 1e6),
        "no peer".into(),
        "answers equal the native ones".into(),
    );
}

const TEXT: &str =
    "The farm grew wheat and barley, and in a good year there was enough for the whole valley. ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_lines_are_read() {
        let said = "prepare: Ok, 3 units, 1.00s\n\
            task 0: Ok, 151 units (150500000 fuel), 5 bytes ab12, 88.20ms\n\
            task 1: Trap, 9 units (8000000 fuel), 0 bytes ab12, 1.20s (unreachable)\n\
            task 2: Ok, 9661 units (9660000000 fuel), 300 bytes ab12, 5.50s\n";
        let first = figure(said, 0).unwrap();
        assert_eq!((first.fuel, first.seconds), (150.5e6, 0.0882));
        assert_eq!(figure(said, 2).unwrap().seconds, 5.5);
        assert!(figure(said, 1).is_err() && figure(said, 3).is_err());
    }
}
