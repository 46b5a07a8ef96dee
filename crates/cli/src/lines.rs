//! `println!` and its like for a program whose reader may go away: `tilth job ls | head -1`, a terminal that
//! is closed while a job runs. Those of the standard library panic then; these shadow them in this program.
//!
//! A reader that has gone wants nothing more. Any other failure (a full disk behind `> file`) loses an
//! answer, so it is said once and the program's exit code tells of it.

use std::{
    fmt::Arguments,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use tilth_protocol::Problem;

/// Whether something that was to be on standard output is not there.
static LOST: AtomicBool = AtomicBool::new(false);

macro_rules! print {
    ($($arg:tt)*) => { $crate::lines::out(format_args!($($arg)*)) };
}

macro_rules! println {
    () => { $crate::lines::out(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::lines::out(format_args!("{}\n", format_args!($($arg)*))) };
}

macro_rules! eprint {
    ($($arg:tt)*) => { $crate::lines::err(format_args!($($arg)*)) };
}

macro_rules! eprintln {
    ($($arg:tt)*) => { $crate::lines::err(format_args!("{}\n", format_args!($($arg)*))) };
}

/// Writes to standard output.
pub fn out(text: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let Err(error) = stdout.write_fmt(text).and_then(|()| stdout.flush()) else { return };
    if error.kind() != io::ErrorKind::BrokenPipe && !LOST.swap(true, Ordering::Relaxed) {
        let problem = Problem::new(
            "the answer cannot be written",
            error.to_string(),
            "check where standard output goes; what the command did is done",
        );
        err(format_args!("error: {problem}\n"));
    }
}

/// Writes to standard error. Nobody can be told if that fails.
pub fn err(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Whether an answer, or a part of one, was lost.
pub fn lost() -> bool {
    LOST.load(Ordering::Relaxed)
}
