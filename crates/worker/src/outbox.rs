//! What waits to be written, and the thread that writes it.
//!
//! Results of short tasks travel together: the writer takes whatever has gathered when the pipe is
//! free, after waiting a moment for more. So nothing is held back while a long task runs, and a
//! hundred thousand short ones do not cost a system call each. The box is bounded: who puts something
//! into a full one waits.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tilth_protocol::{
    TaskIndex,
    infer::{Candidate, FromModel},
    worker::{CHUNK_BYTES, FromWorker, MAX_BATCH, TaskDone, write_frame},
};

/// Results that are worth writing at once.
const WORTHWHILE: usize = 256;
/// How long a few results wait for more.
const GATHER: Duration = Duration::from_millis(1);
/// Bytes of outputs, words and embeddings that may wait; a single larger one may, too.
const FULL: usize = 4 << 20;
/// Results that may wait.
const FULL_COUNT: usize = 4 * MAX_BATCH;

/// One thing to write.
enum Item {
    Frame(FromWorker),
    Done(TaskDone),
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Bytes of what in `items` may be long.
    bytes: usize,
    /// A frame that the other side waits for is among `items`.
    urgent: bool,
    /// Nothing more will come.
    closed: bool,
    /// Writing failed; nothing more is written.
    broken: bool,
}

/// The box between the thread that works and the one that writes.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Something was put in, or the box was closed.
    filled: Condvar,
    /// Something was taken out, or writing failed.
    emptied: Condvar,
}

/// Writing failed: the agent is gone.
fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Bytes of what may be long in a frame. All else is short, and bounded by [`FULL_COUNT`].
fn long(frame: &FromWorker) -> usize {
    match frame {
        FromWorker::Log { text, .. } => text.len(),
        FromWorker::Infer(FromModel::Embedding { embedding, .. }) => size_of_val(&embedding[..]),
        FromWorker::Infer(FromModel::Piece { piece, .. }) => {
            let likely = piece.said.iter().flat_map(|said| &said.likely);
            let bytes = likely.flat_map(|(own, others)| others.iter().chain([own]));
            let bytes = bytes.map(|candidate| candidate.bytes.len() + size_of::<Candidate>());
            piece.text.len().saturating_add(bytes.sum())
        }
        _ => 0,
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in that is written at once. Waits while the box is full.
    pub(crate) fn say(&self, frame: FromWorker) -> io::Result<()> {
        let bytes = long(&frame);
        self.put(Item::Frame(frame), bytes)
    }

    /// Puts a guest's words in. Waits while the box is full.
    pub(crate) fn log(&self, index: TaskIndex, text: String) -> io::Result<()> {
        self.say(FromWorker::Log { index, text })
    }

    /// Puts a result in. Waits while the box is full.
    pub(crate) fn done(&self, done: TaskDone) -> io::Result<()> {
        let bytes = done.output.len();
        self.put(Item::Done(done), bytes)
    }

    fn put(&self, item: Item, bytes: usize) -> io::Result<()> {
        let full = |state: &mut State| {
            !state.broken && (state.bytes >= FULL || state.items.len() >= FULL_COUNT)
        };
        let mut state =
            self.emptied.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.broken {
            return Err(broken());
        }
        state.urgent |= matches!(item, Item::Frame(_));
        let before = state.items.len();
        state.items.push_back(item);
        state.bytes = state.bytes.saturating_add(bytes);
        // The writer sleeps without a limit on an empty box only, and otherwise until it is worth it.
        if before == 0 || before + 1 == WORTHWHILE || state.urgent || state.bytes >= CHUNK_BYTES {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Everything was put in.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Takes out all there is, after waiting for it; `None` when the box is closed and empty.
    fn take(&self) -> Option<VecDeque<Item>> {
        let nothing = |state: &mut State| state.items.is_empty() && !state.closed;
        let state =
            self.filled.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner);
        let little = |state: &mut State| {
            state.items.len() < WORTHWHILE
                && state.bytes < CHUNK_BYTES
                && !state.closed
                && !state.urgent
        };
        let mut state = self
            .filled
            .wait_timeout_while(state, GATHER, little)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let items = std::mem::take(&mut state.items);
        (state.bytes, state.urgent) = (0, false);
        drop(state);
        self.emptied.notify_one();
        (!items.is_empty()).then_some(items)
    }

    /// Writes what is put in until the box is closed. After a failure nothing can be put in.
    pub(crate) fn write_to(&self, mut output: impl Write) -> io::Result<()> {
        while let Some(items) = self.take() {
            if let Err(error) = write_items(items, &mut output) {
                self.lock().broken = true;
                self.emptied.notify_one();
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Writes items in their order, results gathered into frames.
fn write_items(items: VecDeque<Item>, output: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut batch = Batch::default();
    for item in items {
        match item {
            Item::Frame(frame) => {
                batch.finish(&mut bytes)?;
                write_frame(&mut bytes, &frame)?;
            }
            Item::Done(done) => batch.add(done, &mut bytes)?,
        }
        if bytes.len() >= CHUNK_BYTES {
            output.write_all(&bytes)?;
            bytes.clear();
        }
    }
    batch.finish(&mut bytes)?;
    output.write_all(&bytes)?;
    output.flush()
}

/// Results that will be one frame.
#[derive(Default)]
struct Batch {
    results: Vec<TaskDone>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, mut done: TaskDone, frames: &mut Vec<u8>) -> io::Result<()> {
        if self.results.len() == MAX_BATCH || self.bytes + done.output.len() > CHUNK_BYTES {
            self.finish(frames)?;
        }
        // Chunks belong to the first result of the next frame.
        let mut rest = std::mem::take(&mut done.output);
        while rest.len() > CHUNK_BYTES {
            let tail = rest.split_off(CHUNK_BYTES);
            write_frame(frames, &FromWorker::Chunk(rest))?;
            rest = tail;
        }
        self.bytes += rest.len();
        done.output = rest;
        self.results.push(done);
        Ok(())
    }

    fn finish(&mut self, frames: &mut Vec<u8>) -> io::Result<()> {
        if self.results.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        write_frame(frames, &FromWorker::Done(std::mem::take(&mut self.results)))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, thread};

    use tilth_protocol::{Status, worker::read_frame};

    use super::*;

    fn done(index: u32, size: usize) -> TaskDone {
        let byte = index.to_le_bytes()[0];
        TaskDone { index, status: Status::Ok, units: 1, output: vec![byte; size] }
    }

    /// Puts results in and reads them from the other end of a pipe.
    fn round_trip(results: &[TaskDone]) -> Vec<TaskDone> {
        let outbox = Outbox::default();
        let (mut reader, writer) = io::pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| outbox.write_to(writer).unwrap());
            scope.spawn(|| {
                for result in results {
                    outbox.done(result.clone()).unwrap();
                }
                outbox.close();
            });
            let (mut found, mut chunks) = (Vec::new(), Vec::new());
            while let Some(frame) = read_frame::<FromWorker>(&mut reader).unwrap() {
                match frame {
                    FromWorker::Chunk(part) => chunks.extend(part),
                    FromWorker::Done(mut batch) => {
                        assert!(!batch.is_empty() && batch.len() <= MAX_BATCH);
                        chunks.append(&mut batch[0].output);
                        batch[0].output = std::mem::take(&mut chunks);
                        found.extend(batch);
                    }
                    other => panic!("{other:?}"),
                }
            }
            found
        })
    }

    #[test]
    fn results_of_all_sizes_come_back_whole_and_in_order() {
        for sizes in [
            vec![0; 10_000],
            vec![1, CHUNK_BYTES, 0, CHUNK_BYTES + 1, 3, 5 * CHUNK_BYTES, 7],
            vec![CHUNK_BYTES / 2 + 1; 9],
            vec![10 * CHUNK_BYTES],
        ] {
            let results: Vec<_> = (0..).zip(&sizes).map(|(n, size)| done(n, *size)).collect();
            assert!(round_trip(&results) == results, "sizes {:?}", &sizes[..sizes.len().min(9)]);
        }
    }

    #[test]
    fn embeddings_fill_the_box_as_results_do() {
        let outbox = Outbox::default();
        let embedding =
            |id| FromWorker::Infer(FromModel::Embedding { id, embedding: vec![1; FULL / 16] });
        // The last one fills the box, so none of these waits.
        (0..4).for_each(|id| outbox.say(embedding(id)).unwrap());
        assert_eq!(outbox.lock().bytes, FULL);
        thread::scope(|scope| {
            let putter = scope.spawn(|| outbox.say(embedding(4)));
            assert_eq!(outbox.take().unwrap().len(), 4);
            assert_eq!(outbox.take().unwrap().len(), 1);
            putter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_full_box_waits_for_the_reader_and_a_closed_pipe_is_an_error() {
        let outbox = Outbox::default();
        let (mut reader, writer) = io::pipe().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| outbox.write_to(writer).expect_err("the reader goes away"));
            let putter = scope.spawn(|| {
                // 100 MB do not fit into the box: this only ends because of the error.
                (0..100).try_for_each(|n| outbox.done(done(n, 1 << 20)))
            });
            let mut some = vec![0; 10_000];
            reader.read_exact(&mut some).unwrap();
            drop(reader);
            let error = putter.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
