//! The files a guest sees: the job's inputs, flat and read-only under `/in`.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tilth_protocol::{
    Problem,
    spec::{MAX_INPUTS, is_file_name},
};

/// Files one task may have open at once.
pub(crate) const MAX_OPEN: usize = 64;
/// First descriptor after standard input, output, error and the folder.
const FIRST: u32 = 4;

/// The input files of a job, in the order of their names.
#[derive(Debug, Default)]
pub struct Inputs {
    files: Vec<InputFile>,
}

#[derive(Debug)]
pub(crate) struct InputFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    path: PathBuf,
    /// Opened when a guest first reads it and kept open.
    file: OnceLock<File>,
}

/// Why a folder cannot serve as inputs.
#[derive(Debug, thiserror::Error)]
pub enum InputsError {
    /// It could not be read.
    #[error("the folder of inputs cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Something in it is not a plain file, or has a name that inputs cannot have.
    #[error("{0:?} is not an input file")]
    NotAFile(String),
    /// There are too many.
    #[error("more than {MAX_INPUTS} inputs")]
    TooMany,
}

impl InputsError {
    /// For people.
    pub fn problem(&self) -> Problem {
        Problem::new(
            "the inputs cannot be used",
            self.to_string(),
            "an input folder holds plain files only, with names the job's spec allows",
        )
    }
}

impl Inputs {
    /// No inputs.
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of a folder. They must not change while they are in use.
    ///
    /// # Errors
    /// The folder cannot be read, or holds something other than input files.
    pub fn open(folder: &Path) -> Result<Self, InputsError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Follows links: a folder of inputs may be made of links to a store of blobs.
            let metadata = fs::metadata(entry.path())?;
            if !metadata.is_file() || !is_file_name(&name) || entry.file_name() != *name {
                return Err(InputsError::NotAFile(name));
            }
            if files.len() == MAX_INPUTS {
                return Err(InputsError::TooMany);
            }
            let file = OnceLock::new();
            files.push(InputFile { name, size: metadata.len(), path: entry.path(), file });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { files })
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        self.files.binary_search_by(|file| file.name.as_bytes().cmp(name)).ok()
    }

    pub(crate) fn get(&self, number: usize) -> Option<&InputFile> {
        self.files.get(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }
}

impl InputFile {
    /// Fills as much of `buffer` as the file has from `offset` on.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted) else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let file = File::open(&self.path)?;
                self.file.get_or_init(|| file)
            }
        };
        file.read_exact_at(buffer, offset)?;
        Ok(wanted)
    }
}

/// Something a guest has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// An input and the position in it.
    File { number: usize, position: u64 },
    /// The folder of inputs.
    Folder,
}

/// The descriptors of one task from 4 on; 0 to 3 are always there.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    pub(crate) inputs: Arc<Inputs>,
    open: Vec<Option<Open>>,
}

impl OpenFiles {
    pub(crate) fn new(inputs: Arc<Inputs>) -> Self {
        Self { inputs, open: Vec::new() }
    }

    /// Puts something at the lowest free descriptor. `None` if too much is open.
    pub(crate) fn insert(&mut self, what: Open) -> Option<u32> {
        let slot = match self.open.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.open.len() < MAX_OPEN => {
                self.open.push(None);
                self.open.len() - 1
            }
            None => return None,
        };
        *self.open.get_mut(slot)? = Some(what);
        Some(FIRST + u32::try_from(slot).ok()?)
    }

    pub(crate) fn get(&self, descriptor: u32) -> Option<Open> {
        if descriptor == super::FOLDER {
            return Some(Open::Folder);
        }
        *self.open.get(descriptor.checked_sub(FIRST)? as usize)?
    }

    /// Moves the position of a file.
    pub(crate) fn seek(&mut self, descriptor: u32, to: u64) {
        let slot = descriptor.checked_sub(FIRST).and_then(|slot| self.open.get_mut(slot as usize));
        if let Some(Some(Open::File { position, .. })) = slot {
            *position = to;
        }
    }

    /// Whether there was something to close.
    pub(crate) fn close(&mut self, descriptor: u32) -> bool {
        descriptor
            .checked_sub(FIRST)
            .and_then(|slot| self.open.get_mut(slot as usize))
            .is_some_and(|slot| slot.take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_reused_and_bounded() {
        let mut files = OpenFiles::new(Arc::new(Inputs::none()));
        for expected in 0..u32::try_from(MAX_OPEN).unwrap() {
            assert_eq!(files.insert(Open::Folder), Some(FIRST + expected));
        }
        assert_eq!(files.insert(Open::Folder), None);
        assert!(files.close(7));
        assert!(!files.close(7));
        assert_eq!(files.get(7), None);
        assert_eq!(files.insert(Open::Folder), Some(7));
        assert!(!files.close(3), "the folder stays open");
    }

    #[test]
    fn folders_with_anything_but_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), b"bee").unwrap();
        std::fs::write(folder.path().join("a"), b"").unwrap();
        let inputs = Inputs::open(folder.path()).unwrap();
        assert_eq!(inputs.find(b"a"), Some(0));
        assert_eq!(inputs.find(b"b"), Some(1));
        assert_eq!(inputs.find(b"../b"), None);
        let mut buffer = [0; 8];
        assert_eq!(inputs.get(1).unwrap().read(&mut buffer, 1).unwrap(), 2);
        assert_eq!(&buffer[..2], b"ee");
        assert_eq!(inputs.get(1).unwrap().read(&mut buffer, u64::MAX).unwrap(), 0);
        std::fs::create_dir(folder.path().join("c")).unwrap();
        assert!(
            matches!(Inputs::open(folder.path()), Err(InputsError::NotAFile(name)) if name == "c")
        );
    }
}
