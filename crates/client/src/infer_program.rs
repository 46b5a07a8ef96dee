//! Programs of `infer` jobs as people write them: a manifest in TOML, packed into the one blob that workers read.
//!
//! ```toml
//! model = "model"          # the job's input with the model blob
//! prompts = "prompts"      # the job's input with one JSON value per line: a text, or {"messages": [...]}
//! max-tokens = 64
//! temperature = 0.7        # 0, the default, chooses the most likely token
//! top-p = 0.95
//! top-k = 0
//! seed = 1
//! stop = ["\n\n"]
//! form = "json-object"     # "text", the default: whatever the model says
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tilth_protocol::{
    Problem,
    infer::{Form, Parameters, program::InferProgram},
};

/// Ending of a packed program, which is written beside its manifest.
pub const PACKED: &str = "infer";
/// Largest manifest.
const MAX_MANIFEST: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Text {
    model: String,
    prompts: String,
    max_tokens: u32,
    #[serde(default)]
    temperature: f64,
    #[serde(default = "all")]
    top_p: f64,
    #[serde(default)]
    top_k: u32,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    stop: Vec<String>,
    #[serde(default)]
    form: Form,
}

fn all() -> f64 {
    1.0
}

fn problem(path: &Path, detail: impl std::fmt::Display) -> Problem {
    Problem::new(
        "the program's manifest is not valid",
        format!("{}: {detail}", path.display()),
        "see docs/guide/inference.md for what it holds",
    )
}

fn fixed(name: &str, value: f64, highest: f64) -> Result<u32, String> {
    crate::infer::fixed(value, highest)
        .ok_or_else(|| format!("{name} is {value}, it must be 0 to {highest}"))
}

/// Reads a manifest.
///
/// # Errors
/// It is not TOML, or something in it is not possible.
pub fn parse(text: &str) -> Result<InferProgram, String> {
    let text: Text = toml::from_str(text).map_err(|error| error.to_string())?;
    let parameters = Parameters {
        most: text.max_tokens,
        temperature: fixed("temperature", text.temperature, 2.0)?,
        top_k: text.top_k,
        top_p: fixed("top-p", text.top_p, 1.0)?,
        seed: text.seed,
        stops: text.stop,
        form: text.form,
        ..Parameters::default()
    };
    let program = InferProgram { model: text.model, prompts: text.prompts, parameters };
    program.check().map_err(|error| error.to_string())?;
    Ok(program)
}

/// Packs a manifest and says where the program is.
///
/// # Errors
/// The manifest cannot be read or is not valid, or the program cannot be written.
pub fn pack(manifest: &Path) -> Result<PathBuf, Problem> {
    let size = fs::metadata(manifest).map_err(|error| problem(manifest, error))?.len();
    if size > MAX_MANIFEST {
        return Err(problem(manifest, format!("it has {size} bytes")));
    }
    let text = fs::read_to_string(manifest).map_err(|error| problem(manifest, error))?;
    let program = parse(&text).map_err(|detail| problem(manifest, detail))?;
    let path = manifest.with_extension(PACKED);
    let bytes = program.to_bytes();
    // What is there already stays as it is, so that nothing that looks at times takes it for new.
    if fs::read(&path).is_ok_and(|known| known == bytes) {
        return Ok(path);
    }
    fs::write(&path, bytes).map_err(|error: io::Error| problem(&path, error))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_packed_and_nonsense_is_refused() {
        let text =
            "model = \"m\"\nprompts = \"p\"\nmax-tokens = 8\ntemperature = 0.5\nstop = [\"x\"]";
        let program = parse(text).unwrap();
        assert_eq!((program.parameters.most, program.parameters.temperature), (8, 32_768));
        assert_eq!((program.parameters.top_p, program.parameters.stops.len()), (65_536, 1));
        let held = parse(&format!("{text}\nform = \"json-object\"")).unwrap();
        let forms = (&program.parameters.form, &held.parameters.form);
        assert_eq!(forms, (&Form::Text, &Form::JsonObject));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ask.toml");
        fs::write(&path, text).unwrap();
        let packed = fs::read(pack(&path).unwrap()).unwrap();
        assert_eq!(InferProgram::from_bytes(&packed), Ok(program));
        for (from, to) in [
            ("temperature = 0.5", "temperature = 3"),
            ("max-tokens = 8", "max-tokens = 8\nform = \"xml\""),
            ("max-tokens = 8", "max-tokens = 0"),
            ("stop =", "world ="),
            ("\"m\"", "\"/m\""),
            ("[\"x\"]", "[\"\"]"),
        ] {
            assert!(text.contains(from));
            assert!(parse(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
