//! What agent and worker say to each other over the worker's standard input and output.
//!
//! A frame is a little-endian `u32` length and that many bytes of borsh. Both sides bound a frame at
//! [`MAX_FRAME_BYTES`] before reading it; a worker that sends anything else is killed. The worker
//! speaks first ([`FromWorker::Hello`]), the agent then loads a program once and runs task ranges,
//! one at a time and in order. Outputs longer than a frame come in several chunks before their
//! [`FromWorker::Done`].

use std::io::{self, Read, Write};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    challenge::{Commit, Hash, Openings, Secret, Statement},
    encoding::{decode, encode},
    gpu::GpuReport,
    id::TaskIndex,
    infer::{FromModel, ToModel},
    leaf::Status,
    problem::Problem,
    spec::{Limits, Workload},
};

/// Version of these messages; both sides must have the same.
pub const WORKER_PROTOCOL: u32 = 7;
/// Most bytes of a frame.
pub const MAX_FRAME_BYTES: usize = 2 << 20;
/// Bytes of output in one chunk: half a frame, so that a chunk and its header always fit.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Most results in one [`FromWorker::Done`] frame.
pub const MAX_BATCH: usize = 4096;

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ToWorker {
    /// Load the program and its inputs and run the prepare phase if there is one. Once, first.
    Load {
        /// The row in the worker's table.
        workload: Workload,
        /// Path of the compiled program as the worker sees it.
        program: String,
        /// Folder with the input files as the worker sees it.
        inputs: String,
        /// Limits of every task.
        limits: Limits,
    },
    /// Run the tasks `from .. from + count` in order.
    Run {
        /// First task.
        from: TaskIndex,
        /// Number of tasks, at least 1.
        count: u32,
    },
    /// Finish and exit.
    Stop,
    /// To a worker that was started as `prove`: do the work of a challenge. Once, first.
    Prove(Statement),
    /// Walk through the memory that was filled; this is what the walk's key is made of.
    Walk(Hash),
    /// Open the samples that the secret draws.
    Draw(Secret),
    /// To a worker that was started as `infer`.
    Infer(ToModel),
}

/// One task's result.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TaskDone {
    /// Which task.
    pub index: TaskIndex,
    /// How it ended.
    pub status: Status,
    /// Metered units (the full cap unless the status is `Ok`).
    pub units: u64,
    /// The output, or its last part after [`FromWorker::Chunk`] frames.
    pub output: Vec<u8>,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum FromWorker {
    /// First frame after start.
    Hello {
        /// [`WORKER_PROTOCOL`].
        protocol: u32,
        /// Name and version of the engine; artifacts of one engine are not for another.
        engine: String,
    },
    /// The program is ready to run tasks.
    Loaded {
        /// How the prepare phase ended (`Ok` if there is none).
        prepare: Status,
        /// Units it took (0 if there is none).
        prepare_units: u64,
    },
    /// Part of the output of the task whose `Done` comes next.
    Chunk(Vec<u8>),
    /// Results in task order, at most [`MAX_BATCH`].
    Done(Vec<TaskDone>),
    /// What a guest printed to its log, bounded and only for people.
    Log {
        /// Which task, or `PREPARE_INDEX`.
        index: TaskIndex,
        /// UTF-8, lossy.
        text: String,
    },
    /// The answer to being started as `inspect`: what GPU there is, if this worker can use one.
    Gpu(Option<GpuReport>),
    /// The worker cannot go on; it exits after this.
    Failed(Problem),
    /// The answer to [`ToWorker::Prove`].
    Committed(Commit),
    /// The answer to [`ToWorker::Walk`]: the root of the walks' ends.
    Walked(Hash),
    /// The answer to [`ToWorker::Draw`].
    Opened(Openings),
    /// From a worker that was started as `infer`.
    Infer(FromModel),
}

/// Writes one frame. The caller flushes.
///
/// # Errors
/// Those of the writer; a message above [`MAX_FRAME_BYTES`] is `InvalidInput`.
pub fn write_frame<T: BorshSerialize>(writer: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = encode(message);
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame above its limit"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length was just bounded far below 2^32"
    )]
    let length = bytes.len() as u32;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&bytes)
}

/// Reads one frame; `None` at a clean end of the stream.
///
/// # Errors
/// Those of the reader; a length above [`MAX_FRAME_BYTES`] or undecodable bytes are `InvalidData`.
pub fn read_frame<T: BorshDeserialize>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = frame_length(length)?;
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    frame_body(&bytes).map(Some)
}

/// Checks a frame's length prefix (for asynchronous readers).
///
/// # Errors
/// `InvalidData` above [`MAX_FRAME_BYTES`].
pub fn frame_length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes, at most {MAX_FRAME_BYTES} are allowed"),
        ));
    }
    Ok(length)
}

/// Decodes a frame's body (for asynchronous readers).
///
/// # Errors
/// `InvalidData` if the bytes are not one message.
pub fn frame_body<T: BorshDeserialize>(bytes: &[u8]) -> io::Result<T> {
    decode(bytes, MAX_FRAME_BYTES)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_and_bounded() {
        let message = FromWorker::Done(vec![TaskDone {
            index: 7,
            status: Status::Ok,
            units: 3,
            output: vec![1, 2, 3],
        }]);
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &message).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some(message));
        assert_eq!(read_frame::<FromWorker>(&mut reader).unwrap(), None);

        let huge = u32::MAX.to_le_bytes();
        assert!(read_frame::<FromWorker>(&mut huge.as_slice()).is_err());
        let big = FromWorker::Chunk(vec![0; MAX_FRAME_BYTES]);
        assert!(write_frame(&mut Vec::new(), &big).is_err());
        write_frame(&mut Vec::new(), &FromWorker::Chunk(vec![0; CHUNK_BYTES])).unwrap();
    }
}
