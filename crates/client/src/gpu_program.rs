//! GPU programs as people write them: a manifest in TOML with WGSL files beside it, packed into the one blob
//! that workers read.
//!
//! ```toml
//! class = "exact"
//! unit = "megapixel-samples"
//!
//! [shaders]
//! tracer = "tracer.wgsl"             # relative to the manifest
//!
//! [[buffer]]
//! name = "frame"
//! role = "uniform"
//! words = [960, 540, 0.5]            # behind the task's four words
//!
//! [[dispatch]]
//! shader = "tracer"
//! entry = "trace"
//! bind = ["frame", "scene", "out"]   # bindings 0, 1, 2 of group 0
//! workgroup = [8, 8, 1]
//! workgroups = [10, 10, 1]
//! ```
//!
//! docs/reference/gpu.md describes every field.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tilth_protocol::{
    GpuProgram, Problem,
    gpu::{
        BufferRole, Dispatch, GpuBuffer, GpuClass, MAX_GPU_PROGRAM_BYTES, MAX_SHADERS, Shader,
        TASK_WORDS,
    },
};
use tilth_service::ByteSize;

/// Ending of a packed program, which is written beside its manifest.
pub const PACKED: &str = "gpu";

/// A manifest as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Text {
    class: GpuClass,
    unit: String,
    #[serde(default = "half_a_minute")]
    dispatch_seconds: u32,
    shaders: BTreeMap<String, PathBuf>,
    buffer: Vec<BufferText>,
    dispatch: Vec<DispatchText>,
}

fn half_a_minute() -> u32 {
    30
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct BufferText {
    name: String,
    role: RoleText,
    size: Option<ByteSize>,
    /// Of an input: the job's input, if it is called otherwise.
    file: Option<String>,
    /// Of an output.
    #[serde(default)]
    counted: bool,
    /// Of a uniform buffer.
    #[serde(default)]
    words: Vec<Word>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RoleText {
    Input,
    Scratch,
    Output,
    Uniform,
}

/// A constant: a whole number is a `u32` (or an `i32` if it is negative), any other an `f32`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Word {
    Whole(i64),
    Float(f64),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct DispatchText {
    shader: String,
    entry: String,
    bind: Vec<String>,
    workgroup: [u32; 3],
    workgroups: [u32; 3],
    #[serde(default = "once")]
    repeat: u32,
    #[serde(default = "once")]
    count: u32,
}

fn once() -> u32 {
    1
}

fn mistake(path: &Path, detail: impl std::fmt::Display) -> Problem {
    Problem::new(
        "the GPU program is not valid",
        format!("{}: {detail}", path.display()),
        "correct the place named; docs/reference/gpu.md describes every field",
    )
}

fn read(path: &Path) -> Result<String, Problem> {
    let opened = std::fs::metadata(path).and_then(|data| {
        // Opening a pipe can wait for ever, and a device has no end.
        if data.is_file() { File::open(path) } else { Err(io::Error::other("no regular file")) }
    });
    let mut text = String::new();
    let most = MAX_GPU_PROGRAM_BYTES as u64;
    opened
        .and_then(|file| file.take(most + 1).read_to_string(&mut text))
        .map_err(|error| mistake(path, error))?;
    if text.len() as u64 > most {
        return Err(mistake(path, format!("it has more than {most} bytes")));
    }
    Ok(text)
}

/// Reads a manifest and the shaders that it names.
///
/// # Errors
/// The first mistake found, as a three-part message.
pub fn load(path: &Path) -> Result<GpuProgram, Problem> {
    let text: Text = toml::from_str(&read(path)?)
        .map_err(|error| mistake(path, error.to_string().trim_end()))?;
    if text.shaders.len() > MAX_SHADERS {
        return Err(mistake(path, format!("more than {MAX_SHADERS} shaders")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shaders = Vec::with_capacity(text.shaders.len());
    for (name, file) in &text.shaders {
        shaders.push(Shader { name: name.clone(), source: read(&folder.join(file))? });
    }
    let buffers: Vec<_> =
        text.buffer.iter().map(|buffer| buffer_of(path, buffer)).collect::<Result<_, _>>()?;
    let mut dispatches = Vec::with_capacity(text.dispatch.len());
    for step in text.dispatch {
        let place = |what: &str, name: &str, found: Option<usize>| {
            let number = found.and_then(|number| u16::try_from(number).ok());
            number.ok_or_else(|| mistake(path, format!("there is no {what} {name:?}")))
        };
        let shader = shaders.iter().position(|shader| shader.name == step.shader);
        let mut bindings = Vec::with_capacity(step.bind.len());
        for name in &step.bind {
            let found = buffers.iter().position(|buffer: &GpuBuffer| buffer.name == *name);
            bindings.push(place("buffer", name, found)?);
        }
        dispatches.push(Dispatch {
            shader: place("shader", &step.shader, shader)?,
            entry: step.entry,
            bindings,
            workgroup: step.workgroup,
            workgroups: step.workgroups,
            repeat: step.repeat,
            count: step.count,
        });
    }
    let program = GpuProgram {
        class: text.class,
        unit: text.unit,
        dispatch_seconds: text.dispatch_seconds,
        shaders,
        buffers,
        dispatches,
    };
    program.check().map_err(|error| mistake(path, error))?;
    let packed = program.to_bytes().len();
    if packed > MAX_GPU_PROGRAM_BYTES {
        return Err(mistake(path, format!("packed it has {packed} bytes, too many")));
    }
    Ok(program)
}

fn buffer_of(path: &Path, text: &BufferText) -> Result<GpuBuffer, Problem> {
    let name = &text.name;
    let wrong = |what: &str| Err(mistake(path, format!("the buffer {name:?}: {what}")));
    if text.file.is_some() && text.role != RoleText::Input {
        return wrong("only an input has a `file`");
    }
    if text.counted && text.role != RoleText::Output {
        return wrong("only an output is `counted`");
    }
    if !text.words.is_empty() && text.role != RoleText::Uniform {
        return wrong("only a uniform buffer has `words`");
    }
    let size = match (text.role, text.size) {
        (RoleText::Uniform, None) => None,
        (RoleText::Uniform, Some(_)) => return wrong("its size follows from its words"),
        (_, Some(size)) => Some(size.bytes()),
        (_, None) => return wrong("`size` is missing"),
    };
    let role = match text.role {
        RoleText::Input => {
            BufferRole::Input { file: text.file.clone().unwrap_or_else(|| name.clone()) }
        }
        RoleText::Scratch => BufferRole::Scratch,
        RoleText::Output => BufferRole::Output { counted: text.counted },
        RoleText::Uniform => BufferRole::Uniform { words: words_of(path, name, &text.words)? },
    };
    let bytes = match &role {
        BufferRole::Uniform { words } => (TASK_WORDS.saturating_add(words.len()) as u64) * 4,
        _ => size.unwrap_or_default(),
    };
    Ok(GpuBuffer { name: name.clone(), bytes, role })
}

/// Constants, filled up with zeros to whole rows of four.
fn words_of(path: &Path, name: &str, text: &[Word]) -> Result<Vec<u32>, Problem> {
    let mut words = Vec::with_capacity(text.len().next_multiple_of(4));
    for word in text {
        let bits = match *word {
            Word::Whole(value) => u32::try_from(value)
                .ok()
                .or_else(|| i32::try_from(value).ok().map(i32::cast_unsigned)),
            #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is what is meant")]
            Word::Float(value) => Some((value as f32).to_bits()),
        };
        let outside = || mistake(path, format!("the buffer {name:?}: {word:?} is not of 32 bits"));
        words.push(bits.ok_or_else(outside)?);
    }
    words.resize(words.len().next_multiple_of(4), 0);
    Ok(words)
}

/// Packs a manifest and writes the program beside it; where it lies.
///
/// # Errors
/// As [`load`], and when the file cannot be written.
pub fn pack(manifest: &Path) -> Result<PathBuf, Problem> {
    let bytes = load(manifest)?.to_bytes();
    let packed = manifest.with_extension(PACKED);
    // Another process may read it right now, so what is the same is left alone, and what is not is replaced whole.
    if std::fs::read(&packed).is_ok_and(|old| old == bytes) {
        return Ok(packed);
    }
    let draft = manifest.with_extension(format!("{PACKED}.{}", std::process::id()));
    let written = std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, &packed));
    match written {
        Ok(()) => Ok(packed),
        Err(error) => Err(Problem::new(
            "the packed GPU program cannot be written",
            format!("{}: {error}", packed.display()),
            "packed programs lie beside their manifests: make that folder writable",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        class = "plain"
        unit = "million numbers"
        [shaders]
        s = "s.wgsl"
        [[buffer]]
        name = "frame"
        role = "uniform"
        words = [7, -1, 0.5]
        [[buffer]]
        name = "data"
        role = "input"
        size = "64KiB"
        [[buffer]]
        name = "out"
        role = "output"
        size = "256B"
        [[dispatch]]
        shader = "s"
        entry = "main"
        bind = ["frame", "data", "out"]
        workgroup = [64, 1, 1]
        workgroups = [1, 1, 1]
    "#;

    fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.wgsl"), "// WGSL").unwrap();
        let path = dir.path().join("program.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_manifest_is_packed_beside_itself() {
        let (_dir, path) = folder(GOOD);
        let packed = pack(&path).unwrap();
        assert_eq!(packed, path.with_extension("gpu"));
        let program = GpuProgram::from_bytes(&std::fs::read(&packed).unwrap()).unwrap();
        assert_eq!(program, load(&path).unwrap());
        let words = vec![7, u32::MAX, 0.5_f32.to_bits(), 0];
        assert_eq!(program.buffers[0].role, BufferRole::Uniform { words });
        assert_eq!(program.buffers[0].bytes, 32);
        assert_eq!(program.buffers[1].role, BufferRole::Input { file: "data".into() });
        assert_eq!((program.dispatches[0].repeat, program.units()), (1, 1));
        let before = std::fs::metadata(&packed).unwrap().modified().unwrap();
        pack(&path).unwrap();
        assert_eq!(std::fs::metadata(&packed).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn every_mistake_is_named() {
        let refused = |from: &str, to: &str, names: &str| {
            assert!(GOOD.contains(from));
            let (_dir, path) = folder(&GOOD.replacen(from, to, 1));
            let problem = load(&path).expect_err(names).to_string();
            assert!(problem.contains(names), "{names}: {problem}");
        };
        refused("\"plain\"", "\"fast\"", "fast");
        refused("s.wgsl", "missing.wgsl", "missing.wgsl");
        refused("\"data\", \"out\"", "\"dato\", \"out\"", "dato");
        refused("shader = \"s\"", "shader = \"t\"", "no shader");
        refused("[7, -1", "[5000000000, -1", "32 bits");
        refused("size = \"64KiB\"", "", "`size` is missing");
        refused("size = \"64KiB\"", "size = \"64KiB\"\ncounted = true", "counted");
        refused("size = \"256B\"", "size = \"256B\"\nfile = \"x\"", "file");
        refused("words =", "size = \"32B\"\nwords =", "follows from its words");
        refused("size = \"256B\"", "size = \"255B\"", "multiple of 4");
        refused("[64, 1, 1]", "[1024, 1, 1]", "workgroup");
        refused("unit =", "units =", "units");
    }
}
