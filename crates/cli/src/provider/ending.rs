//! How a provider ends: what it runs is delivered, and what is left open is said, with the time to be back.

use std::time::Duration;

use tilth_client::clock;
use tilth_protocol::Problem;
use tilth_provider::Provider;
use tilth_service::StopSignals;
use tokio::{sync::watch, time::timeout};
use tracing::warn;

/// What was handed in a moment ago is heard of a little later: at a node on this machine, and elsewhere.
const HEARSAY: (Duration, Duration) = (Duration::from_millis(600), Duration::from_secs(6));
/// So long open audits are waited for: they take seconds when everybody is up, and a service manager is not patient.
const AUDITS: Duration = Duration::from_secs(20);
/// So long a provider may be away while an audit or a seal is open, in seconds: the contract waits half an hour for its
/// move (`NAME_TIME`, `OPEN_TIME`, `REVEAL_TIME`), of which some minutes may be gone already, and a start takes some.
const AWAY_MOST: u64 = 1_500;

/// What a mate pays that has not committed in time (`MATE_LATE`).
const LATE: &str = "one that is late costs a tenth of its value";

/// What a range costs that nobody could hold: twice its `bill`, and `NOT_HELD`.
pub(super) const UNHELD: &str = "costs twice what was charged for audits and a tenth of its value";

/// How a provider is to end.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether its node is on this machine.
    pub is_local: bool,
    /// Whether it stays until all that it has delivered is paid.
    pub waits_for_pay: bool,
}

/// Has a provider deliver what it runs, and says what is left open. Pay is waited for only if that is wanted: the next
/// start goes on with that. A second signal ends the waiting.
///
/// # Errors
/// The provider has stopped by itself.
pub async fn end(
    provider: &Provider,
    signals: &mut StopSignals,
    manner: Manner,
) -> Result<(), Problem> {
    let hearsay = if manner.is_local { HEARSAY.0 } else { HEARSAY.1 };
    let softly = async {
        let ended = match manner.waits_for_pay {
            true => provider.drain().await,
            false => provider.deliver().await,
        };
        ended.map_err(|error| error.problem())?;
        let unsettled = provider.status().borrow().unsettled;
        let at_stake = *provider.at_stake().borrow();
        if may_be_asked(unsettled, at_stake) {
            audits_over(provider.at_stake(), hearsay, AUDITS).await;
        }
        Ok::<(), Problem>(())
    };
    let ended = tokio::select! {
        ended = softly => ended,
        () = signals.insisted() => Ok(()),
    };
    Left::of(provider).lines().iter().for_each(|line| warn!("{line}"));
    ended
}

/// Whether something may be asked of what was handed in. What an earlier life has committed to as a mate is not among
/// the ranges of this one.
fn may_be_asked(unsettled: usize, at_stake: Option<usize>) -> bool {
    unsettled > 0 || at_stake.is_some_and(|open| open > 0)
}

/// Waits until no audit is open, if one is heard of at all, or nothing is known of any yet.
async fn audits_over(
    mut at_stake: watch::Receiver<Option<usize>>,
    hearsay: Duration,
    patience: Duration,
) {
    let heard = at_stake.wait_for(|open| open.is_none_or(|open| open > 0));
    let heard = timeout(hearsay, heard).await.is_ok_and(|heard| heard.is_ok());
    if heard {
        // What is open nevertheless is said.
        let _ = timeout(patience, at_stake.wait_for(|open| *open == Some(0))).await;
    }
}

/// What a provider leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    held: usize,
    unsettled: usize,
    /// Its ranges whose audits are open; `None`: not known yet.
    audits: Option<usize>,
    /// Replicated ranges that are open, of which it is provider or mate; `None`: not known yet.
    replicas: Option<usize>,
    /// Ranges that auditors are to hold and cannot fetch elsewhere.
    kept: usize,
    /// Ranges of others that it owes as a mate: it has committed to nothing there.
    mates: usize,
    /// Replicated jobs in which it waits to be drawn as one.
    lines: usize,
    /// Those that it has left and can still be drawn in.
    bonds: usize,
    /// Seconds since 1970.
    now: u64,
}

impl Left {
    fn of(provider: &Provider) -> Self {
        let status = provider.status();
        let status = status.borrow();
        Self {
            held: status.held,
            unsettled: status.unsettled,
            audits: status.audits,
            replicas: status.replicas,
            kept: status.kept.unwrap_or(0),
            mates: status.mates,
            lines: status.lines,
            bonds: status.bonds,
            now: clock::now() / 1_000,
        }
    }

    /// Audits and seals that cost the whole stake. What it owes as a mate is among the replicas and costs far less.
    fn dear(&self) -> Option<usize> {
        let sealed = self.replicas?.saturating_sub(self.mates);
        Some(self.audits?.saturating_add(sealed))
    }

    /// For people, the dearest first.
    fn lines(&self) -> Vec<String> {
        let Self { held, unsettled, kept, mates, lines: waits, bonds, now, .. } = *self;
        let before = time(now.saturating_add(AWAY_MOST));
        let mut lines = Vec::new();
        match self.dear() {
            Some(0) => {}
            Some(open) => lines.push(format!(
                "{open} ranges wait for audits, or for their roots to be shown: be back before \
                 {before}, or the whole stake is lost"
            )),
            None => lines.push(format!(
                "it stops before it has seen whether ranges of it are audited or sealed: if so, be \
                 back before {before}, or the whole stake is lost"
            )),
        }
        if mates > 0 {
            lines.push(format!(
                "as mate it owes {mates} ranges of others, each within a quarter of an hour for \
                 every one that it owed when it was drawn, an hour at most: {LATE}"
            ));
        }
        if waits > 0 {
            lines.push(format!(
                "it has not left the lines of {waits} jobs and is drawn as mate there until it is \
                 back: {LATE}"
            ));
        }
        if bonds > 0 {
            lines.push(format!(
                "it can still be drawn as mate in {bonds} jobs that it has left, for an hour at \
                 most: {LATE}"
            ));
        }
        if kept > 0 {
            lines.push(format!(
                "{kept} ranges are to be fetched here by auditors who hold them for their clients: one \
                 that too few of them get in some hours is not paid, and {UNHELD}"
            ));
        }
        if held > 0 {
            lines.push(format!(
                "{held} ranges are claimed and not delivered: the next start goes on with them; \
                 one that is late costs a part of the stake"
            ));
        }
        if unsettled > 0 {
            lines.push(format!(
                "{unsettled} ranges are delivered and not yet paid: the next start goes on with \
                 them; until then their clients cannot fetch them here"
            ));
        }
        lines
    }
}

/// A time of the day from seconds since 1970, UTC, minutes rounded down.
pub(super) fn time(seconds: u64) -> String {
    format!("{:02}:{:02} UTC", seconds / 3_600 % 24, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_said_with_the_time_to_be_back() {
        // 23:40:59 UTC.
        let now = 86_400 * 20_000 + 23 * 3_600 + 40 * 60 + 59;
        let left = Left {
            held: 0,
            unsettled: 0,
            audits: Some(0),
            replicas: Some(0),
            kept: 0,
            mates: 0,
            lines: 0,
            bonds: 0,
            now,
        };
        assert_eq!(left.lines(), Vec::<String>::new());
        let lines = Left { unsettled: 4, audits: Some(3), ..left }.lines();
        assert!(lines[0].starts_with("3 ranges wait for audits"), "{lines:?}");
        assert!(lines[0].contains("before 00:05 UTC"), "{lines:?}");
        assert!(lines.len() == 2 && lines[1].starts_with("4 ranges are delivered"), "{lines:?}");
        let lines = Left { held: 1, audits: None, ..left }.lines();
        assert!(lines[0].contains("before it has seen"), "{lines:?}");
        assert!(lines.len() == 2 && lines[1].starts_with("1 ranges are claimed"), "{lines:?}");
        let lines = Left { kept: 2, ..left }.lines();
        assert!(
            lines.len() == 1 && lines[0].starts_with("2 ranges are to be fetched"),
            "{lines:?}"
        );
        assert!(lines[0].contains("twice what was charged for audits and a tenth"), "{lines:?}");
    }

    #[test]
    fn what_a_mate_owes_is_not_said_to_cost_the_stake() {
        let left = Left {
            held: 0,
            unsettled: 0,
            audits: Some(1),
            replicas: Some(3),
            kept: 0,
            mates: 2,
            lines: 0,
            bonds: 0,
            now: 0,
        };
        let lines = left.lines();
        assert!(lines[0].starts_with("2 ranges wait") && lines[0].contains("stake"), "{lines:?}");
        let owes = lines[1].contains("owes 2 ranges") && lines[1].contains("an hour at most");
        assert!(lines.len() == 2 && owes && lines[1].ends_with(LATE), "{lines:?}");
        // What was drawn is heard of in one place before the other; an audit costs the stake all the same.
        let lines = Left { replicas: Some(0), ..left }.lines();
        assert!(lines[0].starts_with("1 ranges wait for audits"), "{lines:?}");
        let lines = Left { audits: Some(0), replicas: Some(2), ..left }.lines();
        assert!(lines.len() == 1 && lines[0].contains("owes 2 ranges"), "{lines:?}");
        let unknown = Left { replicas: None, mates: 0, lines: 2, bonds: 3, ..left };
        let lines = unknown.lines();
        assert!(lines.len() == 3 && lines[0].contains("before it has seen"), "{lines:?}");
        assert!(
            lines[1].contains("lines of 2 jobs") && lines[2].contains("in 3 jobs"),
            "{lines:?}"
        );
    }

    #[test]
    fn who_is_back_in_time_is_back_before_the_contract_gives_up() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/src/libraries/Parameters.sol");
        let text = std::fs::read_to_string(file).unwrap();
        for name in ["NAME_TIME", "OPEN_TIME", "REVEAL_TIME"] {
            let line = format!("constant {name} = ");
            let (_, rest) = text.split_once(&line).unwrap_or_else(|| panic!("no {line:?}"));
            let minutes =
                rest.split_once(" minutes;").unwrap_or_else(|| panic!("{name}: {rest:.40}"));
            let most = minutes.0.parse::<u64>().unwrap() * 60;
            // A start takes some minutes of it.
            assert!(AWAY_MOST + 300 <= most, "{name} is {most} s");
        }
        for line in [
            "constant MATE_LATE = ONE / 10;",
            "constant ROOT_NOT_SHOWN = ONE;",
            "constant REPLICA_TIME = 15 minutes;",
            "constant DRAW_SPAN = 1 hours;",
        ] {
            assert!(text.contains(line), "what a mate owes is not what is said: no {line:?}");
        }
        let line = "constant NOT_HELD = ONE / 10;";
        assert!(text.contains(line), "an unheld range costs not what is said: no {line:?}");
    }

    #[test]
    fn what_an_earlier_life_has_committed_to_is_waited_for() {
        assert!(may_be_asked(0, Some(1)));
        assert!(may_be_asked(1, Some(0)) && may_be_asked(1, None));
        assert!(!may_be_asked(0, Some(0)) && !may_be_asked(0, None));
    }

    #[tokio::test]
    async fn audits_that_are_open_are_waited_for_and_not_for_ever() {
        const LONG: Duration = Duration::from_secs(3_600);
        const SHORT: Duration = Duration::from_millis(20);
        let (open, seen) = watch::channel(Some(0));
        audits_over(seen.clone(), SHORT, LONG).await;
        open.send_replace(Some(2));
        audits_over(seen.clone(), LONG, SHORT).await;
        let waiting = tokio::spawn(audits_over(seen.clone(), LONG, LONG));
        // However late it begins to look, one comes and goes.
        while !waiting.is_finished() {
            open.send_replace(Some(1));
            tokio::task::yield_now().await;
            open.send_replace(Some(0));
            tokio::task::yield_now().await;
        }
        // Whoever has not read the chain yet does not know of any, which is not to say that there is none.
        open.send_replace(None);
        let waiting = tokio::spawn(audits_over(seen.clone(), LONG, LONG));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        open.send_replace(Some(0));
        waiting.await.unwrap();
        drop(open);
        audits_over(seen, LONG, LONG).await;
    }
}
