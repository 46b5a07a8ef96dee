//! What an act has tried, and what came of it, as one line each on stdout.

use std::{
    io::{self, Write},
    time::Duration,
};

use rustix::process::{WaitOptions, waitpid};

use crate::sys::{self, Fork};

/// First word of a line about something that was refused or bounded.
pub(super) const REFUSED: &str = "refused";
/// First word of a line about something that worked and must not.
pub(super) const WORKED: &str = "WORKED";
/// First word of a line that says a try could not be made.
pub(super) const SPOILED: &str = "spoiled";
/// The last line of an act that came to its end.
pub(super) const DONE: &str = "done";
/// Printed by acts that go on until they are stopped.
pub(super) const READY: &str = "ready";

/// Exit code of a try that failed without an error number.
const NO_NUMBER: i32 = 254;
/// How long a hoard is held, for whoever adds up to find it.
const HOLD: Duration = Duration::from_millis(500);

/// Makes tries and tells of them.
pub(super) struct Tries {
    /// Whether anything could not be told; then the act is cut short.
    broken: bool,
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { broken: false }
    }

    fn tell(&mut self, word: &str, what: &str, how: &str) {
        let mut out = io::stdout();
        let told = writeln!(out, "{word}\t{what}\t{how}").and_then(|()| out.flush());
        self.broken |= told.is_err();
    }

    /// Tries something in a child, for it may be the end of the process; success is an escape.
    pub(super) fn run<T>(&mut self, what: &str, act: impl FnOnce() -> io::Result<T>) {
        self.run_unless(NO_NUMBER, what, act);
    }

    /// As [`Tries::run`]; an answer with this error number says that it could not be tried here.
    pub(super) fn run_unless<T>(
        &mut self,
        senseless: i32,
        what: &str,
        act: impl FnOnce() -> io::Result<T>,
    ) {
        match sys::fork() {
            Err(error) => self.tell(SPOILED, what, &format!("no child: {error}")),
            Ok(Fork::Child) => {
                let code = match act() {
                    Ok(_) => 0,
                    Err(error) => error.raw_os_error().unwrap_or(NO_NUMBER),
                };
                std::process::exit(code)
            }
            Ok(Fork::Parent(pid)) => {
                let ended = loop {
                    match waitpid(Some(pid), WaitOptions::empty()) {
                        Err(rustix::io::Errno::INTR) => {}
                        other => break other,
                    }
                };
                match ended.ok().flatten().map(|(_, status)| status) {
                    Some(status) => match (status.exit_status(), status.terminating_signal()) {
                        (Some(0), _) => self.tell(WORKED, what, "it worked"),
                        (Some(NO_NUMBER), _) => self.tell(REFUSED, what, "refused"),
                        (Some(code), _) if code == senseless => {
                            let how =
                                format!("there is nothing to try it on: {}", error_name(code));
                            self.tell(SPOILED, what, &how);
                        }
                        (Some(code), _) => self.tell(REFUSED, what, &error_name(code)),
                        (None, Some(libc::SIGSYS)) => self.tell(REFUSED, what, "SIGSYS"),
                        (None, Some(libc::SIGXFSZ)) => self.tell(REFUSED, what, "SIGXFSZ"),
                        (None, signal) => {
                            self.tell(SPOILED, what, &format!("ended by signal {signal:?}"));
                        }
                    },
                    None => self.tell(SPOILED, what, "its child was lost"),
                }
            }
        }
    }

    /// Tells of something tried in this process.
    pub(super) fn here<T>(&mut self, what: &str, result: io::Result<T>) {
        match result {
            Ok(_) => self.tell(WORKED, what, "it worked"),
            Err(error) => {
                let how = error.raw_os_error().map_or_else(|| error.to_string(), error_name);
                self.tell(REFUSED, what, &how);
            }
        }
    }

    /// Tells how far something got that has a bound.
    pub(super) fn count(&mut self, what: &str, reached: u64, bound: u64) {
        let word = if reached > bound { WORKED } else { REFUSED };
        self.tell(word, what, &format!("{reached} of at most {bound}"));
    }

    /// Holds what was hoarded for a while and then says that nobody minded.
    pub(super) fn hold(&mut self, what: &str) {
        std::thread::sleep(HOLD);
        self.tell(WORKED, what, "nobody minded");
    }

    /// Says that the act goes on from here until it is stopped.
    pub(super) fn ready(&mut self) {
        let mut out = io::stdout();
        self.broken |= writeln!(out, "{READY}").and_then(|()| out.flush()).is_err();
    }

    /// Says that the act has come to its end.
    pub(super) fn done(self) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        writeln!(io::stdout(), "{DONE}")
    }
}

/// The usual name of an error number.
fn error_name(code: i32) -> String {
    let name = match code {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EXDEV => "EXDEV",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ENOSYS => "ENOSYS",
        libc::ELOOP => "ELOOP",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::ENOTTY => "ENOTTY",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNREFUSED => "ECONNREFUSED",
        other => return format!("error {other}"),
    };
    name.into()
}
