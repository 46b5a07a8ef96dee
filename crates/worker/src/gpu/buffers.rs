//! A program's buffers on the device, inputs filled in.

use std::{fs::File, io::Read, path::Path};

use tilth_protocol::{
    GpuProgram, Problem,
    gpu::{BufferRole, GpuBuffer},
};

use super::{
    device::{Device, SET_UP},
    tasks::refused,
};

/// Bytes of an input that are on their way to the device at once: what a worker needs of memory for inputs, whatever
/// their size.
pub(super) const PIECE: usize = 8 << 20;

/// Output buffers with their numbers, in order.
pub(super) fn outputs(program: &GpuProgram) -> impl Iterator<Item = (usize, &GpuBuffer)> {
    let all = program.buffers.iter().enumerate();
    all.filter(|(_, buffer)| matches!(buffer.role, BufferRole::Output { .. }))
}

/// Makes all buffers. `least` are the fewest bytes that each must have.
pub(super) fn make_buffers(
    device: &Device,
    program: &GpuProgram,
    least: &[u64],
    inputs: &Path,
) -> Result<Vec<wgpu::Buffer>, Problem> {
    let mut made = Vec::with_capacity(program.buffers.len());
    for (buffer, least) in program.buffers.iter().zip(least) {
        let (name, bytes) = (&buffer.name, buffer.bytes);
        made.push(match &buffer.role {
            BufferRole::Input { file } => {
                let mut input = Input::open(&inputs.join(file), file, bytes, *least)?;
                let raw = make(device, name, input.padded(), wgpu::BufferUsages::STORAGE)?;
                input.send(device, &raw)?;
                raw
            }
            BufferRole::Scratch => make(device, name, bytes, wgpu::BufferUsages::STORAGE)?,
            BufferRole::Output { .. } => {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
                make(device, name, bytes, usage)?
            }
            BufferRole::Uniform { words } => {
                let words = [0; 4].iter().chain(words).flat_map(|word| word.to_le_bytes());
                let words: Vec<u8> = words.collect();
                let size = words.len() as u64;
                let raw = make(device, name, size, wgpu::BufferUsages::UNIFORM)?;
                device.queue.write_buffer(&raw, 0, &words);
                raw
            }
        });
    }
    device.queue.submit([]);
    Ok(made)
}

fn make(
    device: &Device,
    name: &str,
    size: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer, Problem> {
    let most = device.device.limits();
    let most = most.max_storage_buffer_binding_size.min(most.max_buffer_size);
    if size > most {
        return Err(refused(
            format!("the buffer {name:?} has {size} bytes, the device takes {most}"),
            "use a provider with a larger GPU",
        ));
    }
    Ok(device.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    }))
}

/// An input of the job.
struct Input<'a> {
    name: &'a str,
    file: File,
    size: u64,
}

impl<'a> Input<'a> {
    /// Opens an input; it has at most `most` bytes, and at least `least` when it is filled up to whole words.
    fn open(path: &Path, name: &'a str, most: u64, least: u64) -> Result<Self, Problem> {
        let opened = File::open(path).and_then(|file| {
            let data = file.metadata()?;
            if data.is_file() {
                Ok((file, data.len()))
            } else {
                Err(std::io::Error::other("no file"))
            }
        });
        let (file, size) = opened.map_err(|error| unusable(name, &error.to_string()))?;
        let input = Self { name, file, size };
        if size > most {
            return Err(unusable(name, &format!("{size} bytes, the program takes {most}")));
        }
        if input.padded() < least {
            let detail = format!("{size} bytes, the program reads at least {least}");
            return Err(unusable(name, &detail));
        }
        Ok(input)
    }

    /// Bytes with the zeros that make whole words; a buffer of none does not exist.
    fn padded(&self) -> u64 {
        self.size.next_multiple_of(4).max(4)
    }

    /// Sends the content to its buffer, whose other bytes are zero, and waits until it is there.
    fn send(&mut self, device: &Device, buffer: &wgpu::Buffer) -> Result<(), Problem> {
        let mut at = 0;
        while at < self.size {
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            let mut piece = vec![0; left.min(PIECE)];
            let read = self.file.read_exact(&mut piece);
            read.map_err(|error| unusable(self.name, &error.to_string()))?;
            let size = piece.len() as u64;
            piece.resize(piece.len().next_multiple_of(4), 0);
            device.queue.write_buffer(buffer, at, &piece);
            device.queue.submit([]);
            device.wait("filling an input's buffer", SET_UP)?;
            at += size;
        }
        Ok(())
    }
}

fn unusable(name: &str, detail: &str) -> Problem {
    refused(
        format!("the input {name:?}: {detail}"),
        "give the job an input of this name and of the size that the program declares",
    )
}
