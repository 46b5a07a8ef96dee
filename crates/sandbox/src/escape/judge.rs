//! From what was seen of an attempt to what it means. Pure.

use std::collections::BTreeMap;

use super::{
    Attempt, Finding, Seen, Verdict,
    table::Stop,
    tries::{DONE, READY, REFUSED, SPOILED, WORKED},
};
use crate::{How, Measure};

/// What an attempt has told.
#[derive(Default)]
struct Told {
    tries: Vec<(String, String)>,
    worked: Vec<String>,
    spoiled: Vec<String>,
    done: bool,
}

pub(super) fn judge(attempt: &Attempt, report: &[Measure], seen: &Seen) -> Finding {
    let told = read(&seen.said);
    let enforced = |wall: &&crate::Protection| {
        report.iter().any(|measure| measure.protection == **wall && measure.is_enforced())
    };
    let walls: Vec<String> =
        attempt.walls.iter().filter(enforced).map(ToString::to_string).collect();
    let stopped = seen.ended.is_some_and(|how| is_stop(attempt, how, &told));
    let mut problems: Vec<String> =
        told.worked.iter().map(|what| format!("{what} worked")).collect();
    problems.extend(seen.harm.iter().cloned());
    if seen.ended.is_none() {
        problems.push("it could not be ended".into());
    }
    let to_be_ended = !attempt.stops.contains(&Stop::Refused);
    let went_on = to_be_ended && matches!(seen.ended, Some(How::Exited(0) | How::Killed));
    let (verdict, how) = if !problems.is_empty() || (went_on && !stopped) {
        if problems.is_empty() {
            problems.push("nothing ended it".into());
        }
        let open = !attempt.walls.is_empty() && walls.is_empty();
        (if open { Verdict::Open } else { Verdict::Escaped }, problems.join("; "))
    } else if !told.spoiled.is_empty() {
        (Verdict::Untested, told.spoiled.join("; "))
    } else if stopped {
        (Verdict::Held, describe(seen.ended, &told))
    } else {
        (Verdict::Untested, format!("it ended unexpectedly: {:?}", seen.ended))
    };
    Finding {
        name: attempt.name.into(),
        area: attempt.area,
        goal: attempt.goal.into(),
        verdict,
        how,
        walls,
        tries: told.tries,
        ended: seen.ended.map_or_else(|| "not".into(), |how| format!("{how:?}")),
    }
}

fn is_stop(attempt: &Attempt, how: How, told: &Told) -> bool {
    attempt.stops.iter().any(|stop| match stop {
        Stop::Refused => how == How::Exited(0) && told.done && !told.tries.is_empty(),
        Stop::Memory => how == How::MemoryLimit,
        Stop::Time => how == How::CpuLimit,
        Stop::Disk => how == How::DiskLimit,
        Stop::Killed => how == How::Killed,
    })
}

fn read(said: &str) -> Told {
    let mut told = Told::default();
    for line in said.lines() {
        let mut parts = line.splitn(3, '\t');
        let (word, what, how) = (parts.next(), parts.next(), parts.next());
        match (word, what, how) {
            (Some(DONE), None, None) => told.done = true,
            (Some(READY), None, None) => {}
            (Some(word @ (REFUSED | WORKED | SPOILED)), Some(what), Some(how)) => {
                told.tries.push((what.into(), how.into()));
                match word {
                    WORKED => told.worked.push(format!("{what} ({how})")),
                    SPOILED => told.spoiled.push(format!("{what}: {how}")),
                    _ => {}
                }
            }
            // Floods say anything; what is not a line of ours is no claim.
            _ => {}
        }
    }
    told
}

/// How it was stopped, in a few words: the ways the tries were answered, or what ended it.
fn describe(ended: Option<How>, told: &Told) -> String {
    match ended {
        Some(How::MemoryLimit) => return "ended: memory limit".into(),
        Some(How::CpuLimit) => return "ended: CPU limit".into(),
        Some(How::DiskLimit) => return "ended: disk limit".into(),
        Some(How::Killed) => return "killed, nothing left".into(),
        _ => {}
    }
    let mut ways: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, how) in &told.tries {
        *ways.entry(how).or_default() += 1;
    }
    let ways: Vec<String> = ways
        .into_iter()
        .map(|(how, count)| if count == 1 { how.to_owned() } else { format!("{how} x{count}") })
        .collect();
    ways.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Protection, State, escape::ATTEMPTS};

    fn attempt(name: &str) -> &'static Attempt {
        ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap()
    }

    fn report(missing: &[Protection]) -> Vec<Measure> {
        let state = |protection: &Protection| {
            if missing.contains(protection) {
                State::Missing { why: String::new() }
            } else {
                State::Enforced
            }
        };
        Protection::ALL
            .iter()
            .map(|protection| Measure { protection: *protection, state: state(protection) })
            .collect()
    }

    fn verdict(name: &str, missing: &[Protection], seen: &Seen) -> Verdict {
        judge(attempt(name), &report(missing), seen).verdict
    }

    fn seen(said: &str, ended: Option<How>) -> Seen {
        Seen { said: said.into(), ended, harm: Vec::new() }
    }

    #[test]
    fn what_works_is_an_escape_unless_every_wall_is_missing() {
        let worked = seen("WORKED\tconnect\tit worked\ndone\n", Some(How::Exited(0)));
        let walls = attempt("tcp").walls;
        assert_eq!(verdict("tcp", &[], &worked), Verdict::Escaped);
        assert_eq!(verdict("tcp", &walls[..1], &worked), Verdict::Escaped);
        assert_eq!(verdict("tcp", walls, &worked), Verdict::Open);
        assert_eq!(verdict("daemon", &Protection::ALL, &worked), Verdict::Escaped);
    }

    #[test]
    fn harm_outside_is_an_escape_whatever_the_program_says() {
        let mut quiet = seen("refused\tconnect\tENOSYS\ndone\n", Some(How::Exited(0)));
        assert_eq!(verdict("tcp", &[], &quiet), Verdict::Held);
        quiet.harm.push("the TCP listener was reached".into());
        assert_eq!(verdict("tcp", &[], &quiet), Verdict::Escaped);
    }

    #[test]
    fn what_says_nothing_is_not_held() {
        for said in
            ["", "done\n", "refused\tx\tEPERM\n", "nonsense", "spoiled\tx\tno child\ndone\n"]
        {
            assert_eq!(
                verdict("tcp", &[], &seen(said, Some(How::Exited(0)))),
                Verdict::Untested,
                "{said}"
            );
        }
        let crashed = seen("refused\tx\tEPERM\n", Some(How::Signalled(11)));
        assert_eq!(verdict("tcp", &[], &crashed), Verdict::Untested);
        assert_eq!(verdict("tcp", &[], &seen("", None)), Verdict::Escaped);
    }

    #[test]
    fn what_is_to_be_ended_must_be_ended_in_its_way() {
        assert_eq!(verdict("time", &[], &seen("", Some(How::CpuLimit))), Verdict::Held);
        assert_eq!(verdict("time", &[], &seen("", Some(How::Killed))), Verdict::Escaped);
        assert_eq!(verdict("time", &[], &seen("done\n", Some(How::Exited(0)))), Verdict::Escaped);
        assert_eq!(verdict("time", &[], &seen("", Some(How::MemoryLimit))), Verdict::Untested);
        assert_eq!(verdict("deaf", &[], &seen("ready\n", Some(How::Killed))), Verdict::Held);
    }

    #[test]
    fn names_are_unique_and_there_are_enough() {
        let mut names: Vec<_> = ATTEMPTS.iter().map(|attempt| attempt.name).collect();
        assert!(names.len() >= 80, "{}", names.len());
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
