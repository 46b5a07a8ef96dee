//! The signals by which people and supervisors end a process: the first asks, the second insists.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How soon a process is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Finish what is in hand, refuse new work, then end.
    Drain,
    /// End now; what is in hand is recovered at the next start.
    Now,
}

/// Listens for SIGINT and SIGTERM instead of dying of them. Needs a tokio runtime with signals.
///
/// From the call of [`StopSignals::listen`] on, these signals no longer end the process, even after the value is
/// dropped: the owner must act on them.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    seen: bool,
}

impl StopSignals {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            seen: false,
        })
    }

    /// Waits for the next signal: [`Urgency::Drain`] for the first, [`Urgency::Now`] for every later one.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Urgency {
        let got = tokio::select! {
            got = self.interrupt.recv() => got,
            got = self.terminate.recv() => got,
        };
        if got.is_none() {
            // The runtime is going down and no signal can come any more.
            return Urgency::Now;
        }
        if std::mem::replace(&mut self.seen, true) { Urgency::Now } else { Urgency::Drain }
    }

    /// Waits for the signal that says: at once. Cancel-safe.
    pub async fn insisted(&mut self) {
        while self.next().await != Urgency::Now {}
    }
}
