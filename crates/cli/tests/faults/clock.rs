//! Wrong wall clocks, one process at a time; the machine's own clock is never touched.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The preloaded library; `clock.c` says how it works.
const SOURCE: &str = include_str!("clock.c");

/// The library, built once per round.
pub struct Clocks {
    library: PathBuf,
}

/// The wall clock of one machine of the round.
pub struct Clock {
    file: PathBuf,
}

impl Clocks {
    /// Builds the library with the C compiler that links Rust programs, too; says why it cannot.
    pub fn build(dir: &Path) -> Result<Self, String> {
        let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
        fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| format!("cc cannot be started: {error}"))?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        Ok(Self { library })
    }

    /// Has the processes of a command read this clock.
    pub fn apply(&self, command: &mut Command, clock: &Clock) {
        command.env("LD_PRELOAD", &self.library).env("TILTH_FAULT_CLOCK", &clock.file);
    }
}

impl Clock {
    /// A clock that is right, kept in a file.
    pub fn right(file: PathBuf) -> io::Result<Self> {
        fs::write(&file, 0_i64.to_ne_bytes())?;
        Ok(Self { file })
    }

    /// Sets it so many seconds wrong. One write of eight bytes, so nobody sees half of it.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        fs::File::options().write(true).open(&self.file)?.write_all_at(&seconds.to_ne_bytes(), 0)
    }
}
