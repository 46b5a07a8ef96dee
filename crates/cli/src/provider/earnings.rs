//! `tilth provider earnings`: what a provider has earned, from the chain's events.

use std::process::ExitCode;

use serde_json::json;
use tilth_client::earnings::{self, Entry, Row, Source, Sums};
use tilth_protocol::{Amount, Problem};

use crate::{
    Ended,
    args::{By, Common, Earnings},
    place::Place,
    print_json,
    table::{Align, Table},
};

pub async fn earnings(common: Common, args: Earnings) -> Ended {
    let since = args.since.as_deref().map(day).transpose()?.unwrap_or(0);
    let place = Place::open(&common)?;
    let owner = place.address(&args.name)?;
    let read = earnings::of(&place.link, place.network.first_block, owner).await;
    let entries = read.map_err(|error| error.problem())?;
    let entries: Vec<_> = entries.into_iter().filter(|entry| entry.at >= since).collect();
    let grouped = earnings::sums(&entries, |entry| key(args.by, entry)).and_then(|rows| {
        let all = earnings::sums(&entries, |_| String::new())?;
        Some((rows, all.into_iter().next().map(|row| row.sums).unwrap_or_default()))
    });
    let (rows, all) = grouped.ok_or_else(|| {
        Problem::new(
            "the sums are larger than any amount can be",
            format!("events of {owner}"),
            "the node tells something that cannot be; ask another one",
        )
    })?;
    if common.json {
        let shown: Vec<_> = rows.iter().map(|row| shown(&row.key, &row.sums)).collect();
        print_json(&json!({
            "owner": owner, "by": format!("{:?}", args.by).to_lowercase(), "since": args.since,
            "rows": shown, "total": shown_sums(&all),
        }))?;
    } else if args.csv {
        println!("{},ranges,tasks,units,gross,fees,paid,lost,net", name(args.by));
        for row in &rows {
            println!("{},{}", row.key, columns(&row.sums, None).join(","));
        }
    } else if rows.is_empty() {
        println!(
            "nothing was earned and nothing lost{}",
            args.since.map_or(String::new(), |day| format!(" since {day}"))
        );
    } else {
        print!("{}", table(args.by, &rows, &all));
        println!(
            "\nAmounts in GRAIN. paid = gross - fees; net = paid - lost, which was cut from the stake for ranges"
        );
        println!(
            "that were late, returned or overturned. Gas is paid by the hot key and not counted. Days are UTC."
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn name(by: By) -> &'static str {
    match by {
        By::Day => "day",
        By::Job => "job",
        By::Workload => "program",
        By::Range => "range",
    }
}

fn key(by: By, entry: &Entry) -> String {
    match (by, entry.source) {
        (By::Day, _) => date(entry.at),
        (_, Source::Answers) => "answers".to_owned(),
        (_, Source::Unknown) => "unknown".to_owned(),
        (By::Range, Source::Range(range)) => range.to_string(),
        // One account may be a provider's and an auditor's.
        (By::Range, Source::Held(range)) => format!("{range} held"),
        (By::Range, Source::Served(range)) => format!("{range} served"),
        (By::Range, Source::Looked(range)) => format!("{range} looked at"),
        (By::Job, source) => {
            source.range().map_or_else(|| "unknown".to_owned(), |range| range.job.to_string())
        }
        (By::Workload, _) => {
            entry.program.map_or_else(|| "unknown".to_owned(), |hash| hash.to_string())
        }
    }
}

/// Ranges, tasks, units, gross, fees, paid, lost, net. `decimals`: how many of an amount are shown; all
/// of them without.
fn columns(sums: &Sums, decimals: Option<usize>) -> [String; 8] {
    let amount = |amount: Amount| match decimals {
        Some(decimals) => format!("{amount:.decimals$}"),
        None => amount.to_string(),
    };
    let (sign, net) = sums.net();
    [
        sums.ranges.to_string(),
        sums.tasks.to_string(),
        sums.units.to_string(),
        amount(sums.gross),
        amount(sums.fees),
        amount(sums.paid),
        amount(sums.lost),
        format!("{sign}{}", amount(net)),
    ]
}

/// As every answer to a program: amounts are base units.
fn shown_sums(sums: &Sums) -> serde_json::Value {
    let (sign, net) = sums.net();
    json!({
        "ranges": sums.ranges, "tasks": sums.tasks, "units": sums.units,
        "gross": sums.gross, "fees": sums.fees, "paid": sums.paid, "lost": sums.lost,
        "net": format!("{sign}{}", net.0),
    })
}

fn shown(key: &str, sums: &Sums) -> serde_json::Value {
    let mut value = shown_sums(sums);
    value["key"] = key.into();
    value
}

fn table(by: By, rows: &[Row], all: &Sums) -> String {
    let mut table = Table::new(&[
        (name(by), Align::Left),
        ("ranges", Align::Right),
        ("tasks", Align::Right),
        ("units", Align::Right),
        ("gross", Align::Right),
        ("fees", Align::Right),
        ("paid", Align::Right),
        ("lost", Align::Right),
        ("net", Align::Right),
    ]);
    for row in rows {
        let key =
            if by == By::Workload { row.key.chars().take(16).collect() } else { row.key.clone() };
        table.row([key].into_iter().chain(columns(&row.sums, Some(6))));
    }
    if rows.len() > 1 {
        table.row(["all".to_owned()].into_iter().chain(columns(all, Some(6))));
    }
    table.render()
}

/// A day such as 2026-11-28, from seconds since 1970 (UTC).
pub(super) fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar: whole eras of
/// 400 years, counted from a March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Seconds since 1970 at which a day begins.
fn day(text: &str) -> Result<u64, Problem> {
    let problem =
        || Problem::new("this is not a day", format!("{text:.40?}"), "write it like 2026-11-28");
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return Err(problem()) };
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u64>().ok()).flatten().ok_or_else(problem)
    };
    let wanted = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    // Days are few; the calendar is only kept in one direction.
    let first = wanted.0.saturating_sub(1970).saturating_mul(365);
    let found = (first..first.saturating_add(2_500)).find(|days| civil(*days) == wanted);
    found.map(|days| days * 86_400).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, RangeId};

    use super::*;

    #[test]
    fn what_is_held_is_summed_with_its_job_and_is_a_row_of_its_own_by_range() {
        let range = RangeId { job: JobId(7), seq: 3 };
        let sources = [Source::Range, Source::Held, Source::Served, Source::Looked];
        let [made, held, served, looked] = sources.map(|of| of(range)).map(|source| Entry {
            at: 0,
            block: 1,
            source,
            program: None,
            tasks: 0,
            units: 0,
            paid: Amount(1),
            fee: Amount::ZERO,
            lost: Amount::ZERO,
        });
        assert_eq!(key(By::Job, &held), key(By::Job, &made));
        let rows = [&made, &held, &served, &looked].map(|entry| key(By::Range, entry));
        assert_eq!(rows, ["7.3", "7.3 held", "7.3 served", "7.3 looked at"]);
        assert_eq!(key(By::Job, &looked), "7");
        assert_eq!(key(By::Workload, &held), "unknown");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_772_236_800, "2026-02-28"),
            (1_772_323_200, "2026-03-01"),
            (4_107_456_000, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds), text);
            assert_eq!(day(text).unwrap(), seconds / 86_400 * 86_400);
        }
        // Every day follows the one before.
        for days in 0..60_000 {
            assert_eq!(day(&date(days * 86_400)).unwrap(), days * 86_400);
        }
        for wrong in
            ["", "2026-02-30", "26-01-01", "2026-13-01", "2026-1-1", "yesterday", "2026-00-10"]
        {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}
