//! `tilth quote`: what a job is likely to cost and when it is likely to end, before it is submitted.

use std::process::ExitCode;

use tilth_client::{
    clock, job_file,
    quote::{self, Estimate, Going, Quote},
};
use tilth_protocol::{Amount, Price, Units};

use crate::{
    Ended,
    args::{self, Common},
    place::Place,
    print_json,
    table::{Align, Table},
};

pub async fn quote(common: Common, args: args::Quote) -> Ended {
    let place = Place::open(&common)?;
    let prepared = job_file::load(&args.job)?;
    prepared.offer.check()?;
    let program = prepared.spec.program.hash;
    let going = quote::going(&place.link, place.network.first_block, program).await;
    let going = going.map_err(|error| error.problem())?;
    let quote = Quote::of(&prepared, going);
    if common.json {
        print_json(&quote)?;
    } else {
        print(&quote, &prepared.unit());
        if let replicas @ 2.. = quote.replicas {
            println!("in all these sums every range is paid to {replicas} providers");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `unit` is what a thousand units of this job are called.
fn print(quote: &Quote, unit: &str) {
    let per_unit = format!("GRAIN per {unit}");
    let mut table = Table::new(&[
        ("", Align::Left),
        ("price", Align::Left),
        (per_unit.as_str(), Align::Right),
        ("expected GRAIN", Align::Right),
        ("at most GRAIN", Align::Right),
        ("ends after", Align::Right),
    ]);
    let rules = [
        ("posted", &quote.posted, !quote.asks_for_clock),
        ("clock", &quote.clock, quote.asks_for_clock),
    ];
    for (name, estimate, of_the_file) in rules {
        if let Some(estimate) = estimate {
            let mark = if of_the_file { "job file" } else { "instead" };
            table.row(row(mark, name, estimate));
        }
    }
    print!("{}", table.render());
    if let Some(clock) = quote.clock.as_ref().and_then(|estimate| estimate.clock) {
        println!(
            "\nclock: floor {}, cap {}, finish {}",
            clock.floor.to_grain_per_gfuel(),
            clock.cap.to_grain_per_gfuel(),
            time(u64::from(clock.finish_s)),
        );
    }
    match &quote.going {
        Some(going) => say(going, quote.units, unit),
        None => println!(
            "\nnothing was settled on this network yet: only what the job file says is known"
        ),
    }
}

fn row(mark: &str, name: &str, estimate: &Estimate) -> [String; 6] {
    let unknown = || "?".to_owned();
    let amount = |amount: Option<Amount>| amount.map_or_else(unknown, |a| format!("{a:.9}"));
    [
        mark.to_owned(),
        name.to_owned(),
        estimate.price.map_or_else(unknown, Price::to_grain_per_gfuel),
        amount(estimate.cost),
        amount(estimate.most_cost),
        estimate.finish_s.map_or_else(unknown, time),
    ]
}

/// Where the figures come from.
fn say(going: &Going, units: Units, unit: &str) {
    let whose = if going.same_program { "this program" } else { "other programs" };
    // Those of other workloads are among them, and count other things.
    let paid_for = if going.same_program { unit } else { "1,000 units" };
    let age = clock::wall().as_secs().saturating_sub(going.newest_at);
    println!(
        "\nfrom {} settled ranges of {} jobs of {whose}: {} tasks, {} {paid_for}, the newest {} ago",
        going.ranges,
        going.jobs,
        going.tasks,
        Units(going.units).to_gfuel(),
        time(age),
    );
    println!(
        "paid per {paid_for}: a quarter up to {}, half up to {}, three quarters up to {}",
        going.low.to_grain_per_gfuel(),
        going.median.to_grain_per_gfuel(),
        going.high.to_grain_per_gfuel(),
    );
    if going.same_program {
        println!("this job is expected to need {} {unit}", units.to_gfuel());
    } else {
        println!(
            "units of other programs are a rough guide; every task is reckoned at its cap ({} {unit} in all)",
            units.to_gfuel()
        );
    }
}

/// Seconds for people: the two largest parts.
fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_their_two_largest_parts() {
        let said = [0, 59, 61, 3_600, 90_000].map(time);
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
