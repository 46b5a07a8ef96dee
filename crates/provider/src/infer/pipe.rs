//! The two pipes of a serving worker, each in a task of its own: neither side ever waits for the other, so they
//! cannot wait for each other.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tilth_protocol::{
    infer::ToModel,
    worker::{FromWorker, ToWorker, write_frame},
};
use tokio::{io::AsyncWriteExt as _, sync::mpsc, task::JoinHandle};

use crate::hand::{Hand, HandError, Keep, read_frame};

/// Frames that were heard and not looked at yet.
const HEARD: usize = 64;
/// Bytes of frames on their way that are no prompts.
const PLAIN: usize = 64;

/// A worker's pipes. Dropping it ends the worker.
pub(super) struct Pipes {
    /// Keeps the worker alive, and knows why it died.
    keep: Keep,
    said: mpsc::UnboundedSender<Vec<u8>>,
    unsent: Arc<AtomicUsize>,
    heard: mpsc::Receiver<io::Result<FromWorker>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Pipes {
    pub(super) fn new(hand: Hand, unsent: Arc<AtomicUsize>) -> Self {
        let (said, mut unsaid) = mpsc::unbounded_channel::<Vec<u8>>();
        let (tell, heard) = mpsc::channel(HEARD);
        let (keep, (mut stdin, mut stdout)) = hand.part();
        let count = Arc::clone(&unsent);
        let writer = tokio::spawn(async move {
            while let Some(frame) = unsaid.recv().await {
                if stdin.write_all(&frame).await.is_err() {
                    // The worker is gone; the reader finds out, too.
                    return;
                }
                // After a worker's death the count begins anew, perhaps just now.
                let less = |unsent: usize| Some(unsent.saturating_sub(frame.len()));
                let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
        });
        let reader = tokio::spawn(async move {
            loop {
                let frame = read_frame(&mut stdout).await;
                let over = frame.is_err();
                if tell.send(frame).await.is_err() || over {
                    return;
                }
            }
        });
        Self { keep, said, unsent, heard, tasks: [writer, reader] }
    }

    /// Says something, in its turn.
    pub(super) fn say(&self, order: &ToModel) {
        let mut frame = Vec::with_capacity(PLAIN);
        // Prompts are bounded far below a frame; one that were not would be dropped here, and its caller told
        // when it gives up.
        if write_frame(&mut frame, &ToWorker::Infer(order.clone())).is_ok() {
            self.unsent.fetch_add(frame.len(), Ordering::Relaxed);
            // If nobody writes any more, the reader says why.
            let _ = self.said.send(frame);
        }
    }

    /// The next thing the worker says, or why it says nothing any more. A worker without questions may be
    /// silent as long as it likes.
    pub(super) async fn hear(&mut self) -> Result<FromWorker, HandError> {
        match self.heard.recv().await {
            Some(Ok(FromWorker::Failed(problem))) => {
                Err(HandError::Ended { how: "by its own words".into(), said: problem.to_string() })
            }
            Some(Ok(frame)) => Ok(frame),
            Some(Err(error)) => Err(self.keep.ended(&error).await),
            None => Err(HandError::Silent(Duration::ZERO)),
        }
    }
}
