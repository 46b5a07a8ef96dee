//! Progress of the tools on standard error: drawn on a terminal, else a line now and then.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// How often progress is written where it cannot be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What is done, in stages that are counted.
pub struct Shown {
    stage: Option<Stage>,
    quiet: bool,
    start: Instant,
    last: Instant,
}

struct Stage {
    what: &'static str,
    /// `None` where nothing can be drawn.
    bar: Option<ProgressBar>,
}

impl Shown {
    /// Shows nothing yet, and never anything if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Self { stage: None, quiet, start: now, last: now }
    }

    /// `done` of `total` in a stage called `what`; the first call with another name begins another.
    pub fn at(&mut self, what: &'static str, done: u64, total: Option<u64>) {
        if self.quiet {
            return;
        }
        if self.stage.as_ref().is_none_or(|stage| stage.what != what) {
            self.clear();
            let bar = io::stderr().is_terminal().then(|| draw(what, total));
            self.stage = Some(Stage { what, bar });
        }
        match self.stage.as_ref().and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.set_position(done),
            None if self.last.elapsed() >= LINE_EVERY => {
                self.last = Instant::now();
                let of = total.map_or_else(String::new, |total| format!(" of {total}"));
                eprintln!("{what}: {done}{of}, {} s", self.start.elapsed().as_secs());
            }
            None => {}
        }
    }

    /// Clears what was drawn and says how long everything took.
    pub fn end(mut self) -> Duration {
        self.clear();
        self.start.elapsed()
    }

    fn clear(&mut self) {
        if let Some(Stage { bar: Some(bar), .. }) = self.stage.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.clear();
    }
}

fn draw(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, style) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{msg} {pos} of {len}  {wide_bar}  {per_sec}  {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {pos}  {per_sec}"),
    };
    // A style that does not parse is left out; these are constants.
    ProgressStyle::with_template(style)
        .map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
        .with_message(what)
}
