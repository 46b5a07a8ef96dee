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
//!                          # or { schema = "answer.json" }: a JSON schema in a file beside this one
//! ```

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tilth_protocol::{
    Problem,
    infer::{Form, Parameters, program::InferProgram},
};

use crate::infer::schema::{MAX_WRITTEN_BYTES, compile};

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
    form: Written,
}

/// What answers are held to, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Written {
    #[default]
    Text,
    JsonObject,
    /// A JSON schema in this file, beside the manifest.
    Schema(PathBuf),
}

impl Written {
    fn form(self, folder: &Path) -> Result<Form, String> {
        let file = match self {
            Self::Text => return Ok(Form::Text),
            Self::JsonObject => return Ok(Form::JsonObject),
            Self::Schema(file) => folder.join(file),
        };
        let wrong = |error: String| format!("form: {}: {error}", file.display());
        let mut text = String::new();
        // One byte more than there may be, so that it is seen when there are more.
        fs::File::open(&file)
            .and_then(|file| file.take(MAX_WRITTEN_BYTES as u64 + 1).read_to_string(&mut text))
            .map_err(|error| wrong(error.to_string()))?;
        let schema = compile(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Form::Schema(Box::new(schema)))
    }
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

/// Reads a manifest that lies in this folder.
///
/// # Errors
/// It is not TOML, or something in it is not possible, or the schema that it names cannot be read.
pub fn parse(text: &str, folder: &Path) -> Result<InferProgram, String> {
    let text: Text = toml::from_str(text).map_err(|error| error.to_string())?;
    let parameters = Parameters {
        most: text.max_tokens,
        temperature: fixed("temperature", text.temperature, 2.0)?,
        top_k: text.top_k,
        top_p: fixed("top-p", text.top_p, 1.0)?,
        seed: text.seed,
        stops: text.stop,
        form: text.form.form(folder)?,
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
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let program = parse(&text, folder).map_err(|detail| problem(manifest, detail))?;
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

    const TEXT: &str =
        "model = \"m\"\nprompts = \"p\"\nmax-tokens = 8\ntemperature = 0.5\nstop = [\"x\"]";

    #[test]
    fn manifests_are_packed_and_nonsense_is_refused() {
        let here = Path::new("");
        let program = parse(TEXT, here).unwrap();
        assert_eq!((program.parameters.most, program.parameters.temperature), (8, 32_768));
        assert_eq!((program.parameters.top_p, program.parameters.stops.len()), (65_536, 1));
        let held = parse(&format!("{TEXT}\nform = \"json-object\""), here).unwrap();
        let forms = (&program.parameters.form, &held.parameters.form);
        assert_eq!(forms, (&Form::Text, &Form::JsonObject));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ask.toml");
        fs::write(&path, TEXT).unwrap();
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
            assert!(TEXT.contains(from));
            assert!(parse(&TEXT.replace(from, to), here).is_err(), "{to}");
        }
    }

    #[test]
    fn a_schema_beside_the_manifest_is_packed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, schema) = (folder.path().join("ask.toml"), folder.path().join("answer.json"));
        fs::write(&path, format!("{TEXT}\nform = {{ schema = \"answer.json\" }}")).unwrap();
        let missing = pack(&path).unwrap_err();
        assert!(missing.detail.contains("answer.json"), "{missing:?}");
        let written = r#"{"type":"object","properties":{"ok":{"type":"boolean"}}}"#;
        fs::write(&schema, written).unwrap();
        let packed = fs::read(pack(&path).unwrap()).unwrap();
        let form = InferProgram::from_bytes(&packed).unwrap().parameters.form;
        assert_eq!(form, Form::Schema(Box::new(compile(written).unwrap())));
        for (odd, names) in [
            (written.replace("boolean", "bool"), "schema.properties.ok.type"),
            (" ".repeat(MAX_WRITTEN_BYTES + 1), "bytes"),
        ] {
            fs::write(&schema, odd).unwrap();
            let error = pack(&path).unwrap_err();
            assert!(error.detail.contains(names), "{error:?}");
        }
    }
}
