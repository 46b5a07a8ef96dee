//! The bounds of a GPU program.

use super::*;

fn bound(
    ok: bool,
    what: impl Into<String>,
    value: impl ToString,
    allowed: impl ToString,
) -> Result<(), GpuProgramError> {
    if ok {
        return Ok(());
    }
    Err(GpuProgramError::Bound {
        what: what.into(),
        value: value.to_string(),
        bound: allowed.to_string(),
    })
}

fn number(what: &str, value: usize, most: usize) -> Result<(), GpuProgramError> {
    bound((1..=most).contains(&value), what, value, format!("1 to {most}"))
}

/// Names are shown on terminals, which obey control characters.
fn name(what: &str, text: &str) -> Result<(), GpuProgramError> {
    let fits =
        !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control);
    bound(fits, what, format!("{text:?}"), format!("1 to {MAX_NAME_BYTES} bytes of plain text"))
}

impl GpuProgram {
    /// Checks everything against its bounds, apart from what is inside the shaders.
    ///
    /// # Errors
    /// Names the first thing that is outside.
    pub fn check(&self) -> Result<(), GpuProgramError> {
        name("the unit's name", &self.unit)?;
        bound(
            (1..=MAX_DISPATCH_SECONDS).contains(&self.dispatch_seconds),
            "the time of a dispatch",
            self.dispatch_seconds,
            format!("1 to {MAX_DISPATCH_SECONDS} seconds"),
        )?;
        number("the number of shaders", self.shaders.len(), MAX_SHADERS)?;
        for shader in &self.shaders {
            name("a shader's name", &shader.name)?;
            number("the size of a shader", shader.source.len(), MAX_GPU_PROGRAM_BYTES)?;
        }
        number("the number of buffers", self.buffers.len(), MAX_BUFFERS)?;
        for buffer in &self.buffers {
            buffer.check()?;
        }
        let (memory, output) = (self.memory_bytes(), self.output_bytes());
        let most = MAX_MEMORY_BYTES;
        bound(memory <= most, "the size of all buffers", memory, format!("at most {most} bytes"))?;
        let most = MAX_OUTPUT_BYTES;
        bound(
            (1..=most).contains(&output),
            "the size of all output buffers",
            output,
            format!("1 to {most} bytes"),
        )?;
        number("the number of dispatches", self.dispatches.len(), MAX_DISPATCHES)?;
        for (position, dispatch) in self.dispatches.iter().enumerate() {
            self.check_dispatch(position, dispatch)?;
        }
        let units = self.units();
        bound(units <= MAX_UNIT_CAP, "a task's units", units, format!("at most {MAX_UNIT_CAP}"))
    }

    fn check_dispatch(&self, position: usize, step: &Dispatch) -> Result<(), GpuProgramError> {
        let what = |part: &str| format!("{part} of dispatch {position}");
        let shaders = self.shaders.len();
        bound(
            usize::from(step.shader) < shaders,
            what("the shader"),
            step.shader,
            format!("below {shaders}, the number of shaders"),
        )?;
        name("an entry point's name", &step.entry)?;
        number(&what("the number of bindings"), step.bindings.len(), MAX_BINDINGS)?;
        for (place, binding) in step.bindings.iter().enumerate() {
            let unique = !step.bindings[..place].contains(binding);
            bound(
                usize::from(*binding) < self.buffers.len() && unique,
                what("a binding"),
                binding,
                format!("one of {} buffers, each once", self.buffers.len()),
            )?;
        }
        // What anybody may send: three sides do not fit into 64 bits.
        let sides = step.workgroup.iter();
        let size = sides.fold(1_u64, |size, side| size.saturating_mul(u64::from(*side)));
        // Along z devices promise no more than 64.
        let sides = step.workgroup.iter().all(|side| *side <= MAX_WORKGROUP_SIZE)
            && step.workgroup[2] <= 64;
        bound(
            sides && (1..=u64::from(MAX_WORKGROUP_SIZE)).contains(&size),
            what("the workgroup"),
            format!("{:?}", step.workgroup),
            format!("1 to {MAX_WORKGROUP_SIZE} invocations, at most 64 along z"),
        )?;
        bound(
            step.workgroups.iter().all(|count| (1..=MAX_WORKGROUPS).contains(count)),
            what("the number of workgroups"),
            format!("{:?}", step.workgroups),
            format!("1 to {MAX_WORKGROUPS} along each axis"),
        )?;
        bound(
            (1..=MAX_REPEAT).contains(&step.repeat),
            what("the repetitions"),
            step.repeat,
            format!("1 to {MAX_REPEAT}"),
        )
    }
}

impl GpuBuffer {
    fn check(&self) -> Result<(), GpuProgramError> {
        name("a buffer's name", &self.name)?;
        let what = |part: &str| format!("{part} of the buffer {:?}", self.name);
        let fits = (4..=MAX_BUFFER_BYTES).contains(&self.bytes) && self.bytes.is_multiple_of(4);
        let allowed = format!("4 to {MAX_BUFFER_BYTES} bytes, a multiple of 4");
        bound(fits, what("the size"), self.bytes, allowed)?;
        match &self.role {
            BufferRole::Input { file } => bound(
                is_file_name(file),
                what("the file"),
                format!("{file:?}"),
                "the name of an input of the job",
            ),
            BufferRole::Uniform { words } => {
                let due = (TASK_WORDS.saturating_add(words.len()) as u64).saturating_mul(4);
                bound(
                    self.bytes == due && due <= MAX_UNIFORM_BYTES && due.is_multiple_of(16),
                    what("the size"),
                    self.bytes,
                    format!(
                        "{due}, {TASK_WORDS} words and the constants, a multiple of 16 up to \
                         {MAX_UNIFORM_BYTES}"
                    ),
                )
            }
            BufferRole::Output { counted } => bound(
                !counted || self.bytes > 4,
                what("the size"),
                self.bytes,
                "more than the four bytes of its count",
            ),
            BufferRole::Scratch => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn program() -> GpuProgram {
        let buffer = |name: &str, bytes, role| GpuBuffer { name: name.into(), bytes, role };
        GpuProgram {
            class: GpuClass::Exact,
            unit: "megapixel-samples".into(),
            dispatch_seconds: 10,
            shaders: vec![Shader { name: "s".into(), source: "// WGSL".into() }],
            buffers: vec![
                buffer("task", 32, BufferRole::Uniform { words: vec![1, 2, 3, 4] }),
                buffer("scene", 1 << 20, BufferRole::Input { file: "scene.bin".into() }),
                buffer("sums", 4096, BufferRole::Scratch),
                buffer("out", 260, BufferRole::Output { counted: true }),
            ],
            dispatches: vec![Dispatch {
                shader: 0,
                entry: "main".into(),
                bindings: vec![0, 1, 3],
                workgroup: [8, 8, 1],
                workgroups: [10, 10, 1],
                repeat: 32,
                count: 3,
            }],
        }
    }

    #[test]
    fn a_program_survives_its_encoding_and_is_counted() {
        let program = program();
        assert_eq!(GpuProgram::from_bytes(&program.to_bytes()), Ok(program.clone()));
        // 64 invocations, 100 workgroups, 32 times, 3 counts each.
        assert_eq!(program.units(), (64_u64 * 100 * 32 * 3).div_ceil(1000));
        assert_eq!((program.memory_bytes(), program.output_bytes()), ((1 << 20) + 4388, 256));
        assert_eq!(program.class.required_class(), 3);
        let mut small = program.clone();
        (small.dispatches[0].workgroups, small.dispatches[0].count) = ([1, 1, 1], 0);
        assert_eq!(small.units(), 1, "nothing is free");
        let other = GpuProgram::from_bytes(b"\0asm\x01\0\0\0");
        assert_eq!(other, Err(GpuProgramError::Magic));
    }

    #[test]
    fn whatever_is_outside_its_bounds_is_named() {
        let refused = |change: &dyn Fn(&mut GpuProgram), names: &str| {
            let mut program = program();
            change(&mut program);
            let error = program.check().expect_err(names).to_string();
            assert!(error.contains(names), "{names}: {error}");
            assert!(GpuProgram::from_bytes(&program.to_bytes()).is_err(), "{names}");
        };
        refused(&|p| p.unit.clear(), "unit's name");
        refused(&|p| p.unit = "red \u{1b}[31m".into(), "unit's name");
        refused(&|p| p.dispatch_seconds = 601, "time of a dispatch");
        refused(&|p| p.shaders.clear(), "number of shaders");
        refused(&|p| p.shaders[0].source.clear(), "size of a shader");
        refused(&|p| p.buffers.clear(), "number of buffers");
        refused(&|p| p.buffers[2].bytes = 6, "multiple of 4");
        refused(&|p| p.buffers[2].bytes = MAX_BUFFER_BYTES + 4, "\"sums\"");
        refused(&|p| p.buffers[0].bytes = 48, "4 words and the constants");
        refused(&|p| p.buffers[1].role = BufferRole::Input { file: "../x".into() }, "input");
        refused(&|p| p.buffers[3].bytes = 4, "count");
        refused(&|p| p.buffers[3].role = BufferRole::Scratch, "all output buffers");
        let big = |p: &mut GpuProgram| {
            let more = GpuBuffer { bytes: MAX_BUFFER_BYTES, ..p.buffers[2].clone() };
            p.buffers.extend(vec![more; 4]);
        };
        refused(&big, "all buffers");
        refused(&|p| p.dispatches.clear(), "number of dispatches");
        refused(&|p| p.dispatches[0].shader = 1, "shader of dispatch 0");
        refused(&|p| p.dispatches[0].bindings = vec![0, 4], "binding");
        refused(&|p| p.dispatches[0].bindings = vec![0, 0], "each once");
        refused(&|p| p.dispatches[0].workgroup = [16, 32, 1], "workgroup");
        refused(&|p| p.dispatches[0].workgroup = [1, 0, 1], "workgroup");
        refused(&|p| p.dispatches[0].workgroup = [1, 1, 128], "along z");
        refused(&|p| p.dispatches[0].workgroup = [u32::MAX; 3], "workgroup");
        refused(&|p| p.dispatches[0].workgroups = [1, 1, 65_536], "number of workgroups");
        refused(&|p| p.dispatches[0].repeat = 0, "repetitions");
        let endless = |p: &mut GpuProgram| {
            (p.dispatches[0].workgroups, p.dispatches[0].count) = ([65_535; 3], u32::MAX);
        };
        refused(&endless, "task's units");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            let _ = GpuProgram::from_bytes(&bytes);
            bytes.splice(0..0, GPU_MAGIC.iter().copied());
            let _ = GpuProgram::from_bytes(&bytes);
        }

        #[test]
        fn a_changed_byte_never_gives_the_same_program(position in 8_usize..400, flip in 1_u8..) {
            let bytes = program().to_bytes();
            let mut changed = bytes.clone();
            let position = position % (bytes.len() - 8) + 8;
            changed[position] ^= flip;
            if let Ok(other) = GpuProgram::from_bytes(&changed) {
                prop_assert_ne!(&other, &program());
                prop_assert_eq!(other.to_bytes(), changed);
            }
        }
    }
}
