//! Whether a node can do its work.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use tilth_service::Readiness;

use crate::{config::Production, node::Node};

/// Name of the file that is written to see whether files can be written.
const PROBE: &str = "ready.probe";

/// How long the answer about the disk is good for.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Makes the question whether `node` is ready: blocks can be written, the folder takes files, and the
/// head moves within `stall` while there is something to put into a block (or an interval says so).
///
/// The head is watched from question to question, so a node that stands still is found out by the
/// first question at least `stall` after another one. With [`Production::Manual`] nobody here knows when a
/// block is due, so standing still is no reason: whoever makes or agrees on the blocks has to say so.
pub(crate) fn readiness(
    node: &Arc<Node>,
    production: Production,
    dir: Option<PathBuf>,
    stall: Duration,
) -> Readiness {
    let watch = Watch {
        node: Arc::downgrade(node),
        production,
        dir,
        stall,
        standing: Mutex::new(None),
        probed: Mutex::new(None),
    };
    Arc::new(move || watch.reasons())
}

struct Watch {
    node: Weak<Node>,
    production: Production,
    dir: Option<PathBuf>,
    stall: Duration,
    /// Since when the head of this number should have had a successor.
    standing: Mutex<Option<(u64, Instant)>>,
    /// When the disk was last asked, and what was wrong.
    probed: Mutex<Option<(Instant, Option<String>)>>,
}

impl Watch {
    fn reasons(&self) -> Vec<String> {
        let Some(node) = self.node.upgrade() else {
            return vec!["the node has stopped".to_owned()];
        };
        let halted = node.fault().map(|fault| format!("blocks cannot be made: {fault}"));
        [halted, self.stalled(&node), self.disk()].into_iter().flatten().collect()
    }

    fn stalled(&self, node: &Node) -> Option<String> {
        let number = node.head().header.number;
        let (due, patience) = match self.production {
            Production::Manual => (false, self.stall),
            Production::Instant => (node.has_work(), self.stall),
            Production::Interval(every) => (true, self.stall.max(every.saturating_mul(3))),
        };
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if !due {
            *standing = None;
            return None;
        }
        let known = standing.filter(|(seen, _)| *seen == number);
        let (_, since) = *standing.insert(known.unwrap_or((number, Instant::now())));
        let stands = since.elapsed();
        (stands > patience)
            .then(|| format!("block {number} has had no successor for {} s", stands.as_secs()))
    }

    fn disk(&self) -> Option<String> {
        let dir = self.dir.as_deref()?;
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, answer)) = &*probed
            && when.elapsed() < PROBE_EVERY
        {
            return answer.clone();
        }
        let failed = probe(dir).err();
        let answer = failed.map(|error| format!("{} takes no files: {error}", dir.display()));
        *probed = Some((Instant::now(), answer.clone()));
        answer
    }
}

fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(PROBE);
    let mut file = File::create(&path)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    drop(file);
    std::fs::remove_file(path)
}
