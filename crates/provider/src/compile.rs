//! Compiling programs: in a confined child of their own, for a small program can take a compiler a long
//! time and a lot of memory. Done once per program and engine.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use tilth_protocol::{
    ContentHash, Problem,
    worker::{FromWorker, read_frame},
};
use tilth_sandbox::{Bind, How, Limits as Cage, Program, SandboxError, output};
use tokio::{io::AsyncReadExt, time::timeout};
use tracing::{info, warn};

use crate::{folder::publish, hand::describe, shop::Shop};

/// Most bytes of a compiled program.
const MAX_ARTIFACT_BYTES: u64 = 256 << 20;
/// Most bytes of what the compiling child says.
const MAX_SAID_BYTES: u64 = 64 << 10;
/// How long the child's end is waited for after its output has ended.
const END: Duration = Duration::from_secs(10);

/// How many times its CPU time the child may take by the clock on the wall.
const PATIENCE: u32 = 10;

/// Why there is no compiled program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The program is refused, or takes more to compile than it may.
    #[error("the program cannot be compiled: {0}")]
    Program(String),
    /// The compiling child could not be started.
    #[error(transparent)]
    Start(#[from] SandboxError),
    /// The child came to no end, or the system ended it: that can be this machine's trouble, and pass.
    #[error("compiling was interrupted: {0}")]
    Interrupted(String),
    /// Files cannot be read or written.
    #[error("compiling: {0}")]
    File(#[from] io::Error),
}

/// Makes sure that there is a compiled program. `source` is readable by everybody.
pub(crate) async fn compile(
    shop: &Shop,
    source: &Path,
    hash: ContentHash,
) -> Result<(), CompileError> {
    let artifact = shop.folder.artifact(&shop.engine, hash);
    if artifact.exists() {
        return Ok(());
    }
    // Two jobs can have one program, and so one bench; and compilers need memory.
    let _one = shop.compiling.lock().await;
    if artifact.exists() {
        return Ok(());
    }
    let bench = Bench::set_up(shop.folder.work().join(format!("compile-{hash}")))?;
    run_child(shop, source, &bench.0, hash).await?;
    take_artifact(&bench.0, &artifact)?;
    drop(bench);
    info!(program = %hash.short(), "compiled a program");
    Ok(())
}

/// The folder that the child writes to. Cleared away also when the compiling is left off in the middle;
/// what a child that is still dying puts there is cleared at the next start.
struct Bench(PathBuf);

impl Bench {
    fn set_up(path: PathBuf) -> io::Result<Self> {
        output::clear(&path)?;
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = output::clear(&self.0) {
            warn!(path = %self.0.display(), %error, "what a compiler left cannot be removed");
        }
    }
}

async fn run_child(
    shop: &Shop,
    source: &Path,
    bench: &Path,
    hash: ContentHash,
) -> Result<(), CompileError> {
    let input = Bind::new(source, "/program");
    let output = Bind::new(bench, "/out");
    let mut program = Program::new(&shop.worker.program);
    let inside = |bind| shop.confinement.path_inside(bind).to_owned();
    program.args = shop.worker.args.clone();
    program.args.push("compile".into());
    program.args.push(inside(&input).into());
    program.args.push(inside(&output).join("artifact").into());
    program.read_only.push(input);
    program.writable = Some(output);
    let time = shop.limits.compile_time;
    let cage = Cage {
        memory_bytes: shop.limits.compile_memory,
        cpu: Some(time),
        file_bytes: MAX_ARTIFACT_BYTES,
        out_bytes: MAX_ARTIFACT_BYTES + (1 << 20),
        out_files: 4,
        ..Cage::default()
    };
    let mut child = shop.confinement.spawn(&program, &cage).await?;
    drop(child.stdin.take());
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // What bounds a program is CPU time. On a busy machine the clock on the wall says little, and a program must not
        // be given up for ever because of it.
        let patience = time.saturating_mul(PATIENCE);
        let heard = timeout(patience, stdout.take(MAX_SAID_BYTES).read_to_end(&mut said)).await;
        match heard {
            Ok(read) => drop(read?),
            Err(_) => {
                let text = format!("{} takes longer than {} s", hash.short(), patience.as_secs());
                return Err(CompileError::Interrupted(text));
            }
        }
    }
    let Ok(ended) = timeout(END, child.wait()).await else {
        return Err(CompileError::Interrupted("the compiler does not end".into()));
    };
    let ended = ended?;
    if ended.how == How::Exited(0) {
        return Ok(());
    }
    // Not by us: by somebody, or by a system that has no memory left.
    if matches!(ended.how, How::Signalled(9)) {
        return Err(CompileError::Interrupted(describe(ended.how)));
    }
    let words = refusal(&said).map_or_else(
        || format!("{}: {}", describe(ended.how), child.stderr_tail().trim()),
        |problem| problem.to_string(),
    );
    Err(CompileError::Program(words.chars().take(2_000).collect()))
}

/// The child's own reason, if it gave one.
fn refusal(mut said: &[u8]) -> Option<Problem> {
    while let Ok(Some(frame)) = read_frame::<FromWorker>(&mut said) {
        if let FromWorker::Failed(problem) = frame {
            return Some(problem);
        }
    }
    None
}

/// Copies what the child has written to where it is used. The child is not trusted with file kinds,
/// sizes and links; what the machine code does is confined to the same program's worker. Whatever is
/// wrong with it is the program's fault, not a trouble of this machine that might pass.
fn take_artifact(bench: &Path, artifact: &Path) -> Result<(), CompileError> {
    let unusable =
        |why: &str| CompileError::Program(format!("the compiler left no usable artifact: {why}"));
    let file = output::take(bench, "artifact", MAX_ARTIFACT_BYTES).map_err(|error| {
        // Out of descriptors, or a disk that fails: that is not the program's doing.
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::IO | Errno::NOMEM) => error.into(),
            _ => unusable(&error.to_string()),
        }
    })?;
    if file.metadata()?.len() == 0 {
        return Err(unusable("it is empty"));
    }
    let partial = artifact.with_extension("partial");
    let mut copy = File::create(&partial)?;
    io::copy(&mut file.take(MAX_ARTIFACT_BYTES), &mut copy)?;
    copy.sync_all()?;
    publish(&partial)?;
    fs::rename(partial, artifact)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_bounded_size_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let bench = dir.path().join("bench");
        fs::create_dir(&bench).unwrap();
        let (written, artifact) = (bench.join("artifact"), dir.path().join("kept"));
        // Not a passing trouble of the machine: then the same program would be compiled again and again.
        let refused = |what: &str| {
            let taken = take_artifact(&bench, &artifact);
            assert!(matches!(taken, Err(CompileError::Program(_))), "{what}: {taken:?}");
        };
        refused("nothing there");
        std::os::unix::fs::symlink("/etc/passwd", &written).unwrap();
        refused("a link");
        fs::remove_file(&written).unwrap();
        fs::write(&written, []).unwrap();
        refused("empty");
        let huge = File::create(&written).unwrap();
        huge.set_len(MAX_ARTIFACT_BYTES + 1).unwrap();
        refused("huge");
        fs::remove_file(&written).unwrap();
        fs::create_dir(&written).unwrap();
        refused("a folder");
        fs::remove_dir(&written).unwrap();
        assert!(!artifact.exists());
        fs::write(&written, "code").unwrap();
        take_artifact(&bench, &artifact).unwrap();
        assert_eq!(fs::read(&artifact).unwrap(), b"code");
    }
}
