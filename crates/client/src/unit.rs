//! What a thousand units of a job are called, for people: `Gfuel`, or what a GPU program's author has named.

use tilth_protocol::{
    ContentHash, GpuProgram, JobSpec, Workload,
    gpu::{GPU_MAGIC, MAX_GPU_PROGRAM_BYTES},
    spec::MAX_SPEC_BYTES,
};

use crate::{Jobs, job_file::PreparedJob};

/// Most bytes of a packed GPU program: its magic comes on top of what is encoded.
const MAX_PACKED: u64 = (MAX_GPU_PROGRAM_BYTES + GPU_MAGIC.len()) as u64;

/// The name that a program gives, or that of its workload. Of a program that passes its checks it is plain text.
fn named(workload: Workload, program: Option<&[u8]>) -> String {
    let gpu = match workload {
        Workload::Gpu => program.and_then(|bytes| GpuProgram::from_bytes(bytes).ok()),
        Workload::Wasm | Workload::Infer => None,
    };
    gpu.map_or_else(|| workload.unit().to_owned(), |program| program.unit)
}

impl PreparedJob {
    /// What a thousand of its units are called.
    pub fn unit(&self) -> String {
        let read = |path: &std::path::PathBuf| {
            let size = std::fs::metadata(path).ok()?.len();
            (size <= MAX_PACKED).then(|| std::fs::read(path).ok())?
        };
        let program = match self.spec.workload {
            Workload::Gpu => self.files.first().and_then(|(_, path)| read(path)),
            Workload::Wasm | Workload::Infer => None,
        };
        named(self.spec.workload, program.as_deref())
    }
}

impl Jobs {
    /// What a thousand units of a job are called; in general words where its program is not in this store.
    pub async fn unit(&self, spec: &JobSpec) -> String {
        let program = match spec.workload {
            Workload::Gpu => self.blobs().read(spec.program.hash, MAX_PACKED).await.ok(),
            Workload::Wasm | Workload::Infer => None,
        };
        named(spec.workload, program.as_deref())
    }

    /// The same for a spec by its hash; `None` where it is not in this store.
    pub async fn unit_of(&self, spec: ContentHash) -> Option<String> {
        let bytes = self.blobs().read(spec, MAX_SPEC_BYTES as u64).await.ok()?;
        Some(self.unit(&JobSpec::from_bytes(&bytes).ok()?).await)
    }
}

#[cfg(test)]
mod tests {
    use tilth_protocol::gpu::{BufferRole, Dispatch, GpuBuffer, GpuClass, Shader};

    use super::*;

    #[test]
    fn a_gpu_programs_own_word_is_used_where_the_program_can_be_read() {
        let program = GpuProgram {
            class: GpuClass::Plain,
            unit: "megapixel-samples".into(),
            dispatch_seconds: 1,
            shaders: vec![Shader { name: "s".into(), source: "x".into() }],
            buffers: vec![GpuBuffer {
                name: "out".into(),
                bytes: 4,
                role: BufferRole::Output { counted: false },
            }],
            dispatches: vec![Dispatch {
                shader: 0,
                entry: "main".into(),
                bindings: vec![0],
                workgroup: [1; 3],
                workgroups: [1; 3],
                repeat: 1,
                count: 1,
            }],
        };
        let bytes = program.to_bytes();
        assert_eq!(named(Workload::Gpu, Some(&bytes)), "megapixel-samples");
        assert_eq!(named(Workload::Gpu, Some(&bytes[1..])), "million counts");
        assert_eq!(named(Workload::Gpu, None), "million counts");
        assert_eq!(named(Workload::Wasm, Some(&bytes)), "Gfuel");
        // A name that a terminal would obey makes no program.
        let odd = GpuProgram { unit: "\u{1b}[2J".into(), ..program };
        assert_eq!(named(Workload::Gpu, Some(&odd.to_bytes())), "million counts");
    }
}
