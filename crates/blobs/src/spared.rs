//! Which content is everybody's although it was here before the start: files of jobs, noted beside the store.
//!
//! One hash a line, only ever added to while the store is open. A line that a crash has torn names nothing, so what it
//! was to say is forgotten, and content is kept that could be served; never the other way round.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use tilth_protocol::ContentHash;

/// Longest note: half a million files.
const MAX_BYTES: u64 = 32 << 20;

/// The note.
#[derive(Debug)]
pub(crate) struct Note {
    path: PathBuf,
    /// Bytes that it may have, and that are read of it.
    most: u64,
}

impl Note {
    pub(crate) fn of(dir: &Path) -> Self {
        Self { path: dir.join("spared"), most: MAX_BYTES }
    }

    /// What is noted and here. What is not here any more is dropped from the note.
    pub(crate) fn read(&self, here: &HashSet<ContentHash>) -> io::Result<Vec<ContentHash>> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(self.most).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let (mut read, mut noted) = (0_usize, Vec::new());
        for line in lines {
            read = read.saturating_add(1);
            let hash: Option<ContentHash> =
                str::from_utf8(line).ok().and_then(|line| line.parse().ok());
            noted.extend(hash.filter(|hash| here.contains(hash)));
        }
        if noted.len() < read {
            self.replace(&noted)?;
        }
        Ok(noted)
    }

    /// Notes more, each on a line of its own even if the line before is torn. Nothing of it where not all has room
    /// ([`io::ErrorKind::FileTooLarge`]): what is beyond that would not be read.
    pub(crate) fn add(&self, hashes: &[ContentHash]) -> io::Result<()> {
        let mut text: String = hashes.iter().map(|hash| format!("\n{hash}")).collect();
        text.push('\n');
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        let len = file.metadata()?.len().saturating_add(text.len() as u64);
        if len > self.most {
            let why = format!("{} would have more than {} bytes", self.path.display(), self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    fn replace(&self, hashes: &[ContentHash]) -> io::Result<()> {
        let text: String = hashes.iter().map(|hash| format!("{hash}\n")).collect();
        let partial = self.path.with_extension("partial");
        let mut file = File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        // Else the file that is renamed may be empty after a power cut.
        file.sync_all()?;
        fs::rename(partial, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> ContentHash {
        ContentHash([byte; 32])
    }

    #[test]
    fn what_is_noted_stays_noted_while_it_is_here_and_a_torn_line_costs_itself() {
        let dir = tempfile::tempdir().unwrap();
        let note = Note::of(dir.path());
        let here = HashSet::from([hash(1), hash(2), hash(3), hash(4)]);
        assert!(note.read(&here).unwrap().is_empty());
        note.add(&[hash(1), hash(2)]).unwrap();
        // A crash in the middle of the third, and the next life.
        let whole = fs::read_to_string(&note.path).unwrap();
        fs::write(&note.path, format!("{whole}{}", &hash(3).to_string()[..40])).unwrap();
        note.add(&[hash(4)]).unwrap();
        assert_eq!(note.read(&here).unwrap(), [hash(1), hash(2), hash(4)]);
        let fewer = HashSet::from([hash(2), hash(9)]);
        assert_eq!(note.read(&fewer).unwrap(), [hash(2)]);
        assert_eq!(note.read(&here).unwrap(), [hash(2)], "forgotten when it was not here");
        fs::write(&note.path, [0xff, 0xfe, b'\n']).unwrap();
        assert!(note.read(&here).unwrap().is_empty());
    }

    #[test]
    fn a_full_note_says_so_and_has_room_again_when_less_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let line = hash(1).to_string().len() as u64 + 2;
        let note = Note { most: 2 * line, ..Note::of(dir.path()) };
        note.add(&[hash(1)]).unwrap();
        note.add(&[hash(2)]).unwrap();
        let full = note.add(&[hash(3)]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::FileTooLarge, "{full}");
        let here = HashSet::from([hash(1), hash(2), hash(3)]);
        assert_eq!(note.read(&here).unwrap(), [hash(1), hash(2)], "nothing is lost over it");
        assert_eq!(note.read(&HashSet::from([hash(2)])).unwrap(), [hash(2)]);
        note.add(&[hash(3)]).unwrap();
        assert_eq!(note.read(&here).unwrap(), [hash(2), hash(3)]);
    }
}
