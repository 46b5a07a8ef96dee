//! Files of a job: read, hashed, bounded.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use tilth_protocol::{
    ContentHash, ContentRef, Input, InputSource, Problem,
    spec::{MAX_INLINE_BYTES, MAX_INPUT_BYTES},
};

/// Inputs up to this size travel inside the spec as long as there is room.
pub(crate) const INLINE_INPUT_BYTES: u64 = 16 << 10;

/// A job's inputs while they are put together.
#[derive(Debug)]
pub(super) struct Inputs {
    inline_left: u64,
    pub(super) inputs: Vec<Input>,
    /// Files behind the spec's blobs.
    pub(super) files: Vec<(ContentRef, PathBuf)>,
}

impl Inputs {
    pub(super) fn new(program: (ContentRef, PathBuf)) -> Self {
        let inline_left = MAX_INLINE_BYTES as u64;
        Self { inline_left, inputs: Vec::new(), files: vec![program] }
    }

    /// Something that was written for the job and travels in its spec, whatever its size.
    pub(super) fn text(&mut self, name: &str, text: String) {
        self.inline_left = self.inline_left.saturating_sub(text.len() as u64);
        let source = InputSource::Inline(text.into_bytes());
        self.inputs.push(Input { name: name.to_owned(), source });
    }

    /// The files of `[inputs]`.
    pub(super) fn named(
        &mut self,
        folder: &Path,
        named: &BTreeMap<String, PathBuf>,
    ) -> Result<(), Problem> {
        named.iter().try_for_each(|(name, relative)| self.file(name, folder.join(relative)))
    }

    /// A file.
    pub(super) fn file(&mut self, name: &str, path: PathBuf) -> Result<(), Problem> {
        let what = format!("the input {name:?}");
        let size = fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        let source = if size <= INLINE_INPUT_BYTES.min(self.inline_left) {
            let bytes = read_bounded(&path, INLINE_INPUT_BYTES, &what)?;
            self.inline_left = self.inline_left.saturating_sub(bytes.len() as u64);
            InputSource::Inline(bytes)
        } else {
            let content = hash_file(&path, &what)?;
            self.files.push((content, path));
            InputSource::Blob(content)
        };
        self.inputs.push(Input { name: name.to_owned(), source });
        Ok(())
    }
}

pub(super) fn read_bounded(path: &Path, max: u64, what: &str) -> Result<Vec<u8>, Problem> {
    let file = open_file(path).map_err(|error| unreadable(path, what, &error))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, what, &error))?;
    if bytes.len() as u64 > max {
        return Err(Problem::new(
            format!("{what} is too large"),
            format!("{} has more than {max} bytes", path.display()),
            "make it smaller, or move data into inputs",
        ));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, what: &str, error: &std::io::Error) -> Problem {
    Problem::new(
        format!("{what} cannot be read"),
        format!("{}: {error}", path.display()),
        "check the path; paths in a job file are relative to the job file",
    )
}

/// Opens a file of a job. Opening a pipe can wait for ever, and a device has no end.
fn open_file(path: &Path) -> std::io::Result<fs::File> {
    if fs::metadata(path)?.is_file() {
        return fs::File::open(path);
    }
    Err(std::io::Error::other("it is not a regular file"))
}

/// Hashes a file without holding it in memory.
fn hash_file(path: &Path, what: &str) -> Result<ContentRef, Problem> {
    let mut hasher = blake3::Hasher::new();
    let file = open_file(path).map_err(|error| unreadable(path, what, &error))?;
    let size = std::io::copy(&mut file.take(MAX_INPUT_BYTES + 1), &mut hasher)
        .map_err(|error| unreadable(path, what, &error))?;
    if size > MAX_INPUT_BYTES {
        return Err(Problem::new(
            format!("{what} is too large"),
            format!("{} has more than {MAX_INPUT_BYTES} bytes", path.display()),
            "split the job, or the input",
        ));
    }
    Ok(ContentRef { hash: ContentHash(*hasher.finalize().as_bytes()), size })
}
