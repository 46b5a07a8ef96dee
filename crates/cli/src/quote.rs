//! `tilth quote`: what a job is likely to cost and when it is likely to end, before it is submitted.

use std::process::ExitCode;

use serde::Serialize;
use tilth_client::{
    Jobs, clock,
    holding::Deposit,
    job_file::{self, Offer},
    quote::{self, Estimate, Going, Quote},
};
use tilth_protocol::{Amount, Price, Problem, Units};

use crate::{
    Ended,
    args::{self, Common},
    availability::{availability, holders},
    place::Place,
    print_json,
    referee::referee,
    run::say_notes,
    table::{Align, Table},
};

/// For programs.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown<'a> {
    #[serde(flatten)]
    quote: &'a Quote,
    audited: bool,
    /// Who decides about its results; of a plain job nobody.
    referee: Option<&'static str>,
    /// Who must have what its client does not acknowledge before it is paid; of a job that is not kept nobody.
    availability: Option<&'static str>,
    /// What `tilth run` locks unless it is told otherwise.
    locked: Option<Amount>,
    /// What it locks besides for auditors who hold the results, in a job that is kept.
    deposit: Option<Amount>,
}

pub async fn quote(common: Common, args: args::Quote) -> Ended {
    let place = Place::open(&common)?;
    let mut loaded = job_file::load_all(&args.job, &args.files)?;
    say_notes(&loaded.notes);
    let [only] = loaded.stages.as_mut_slice() else {
        return Err(Problem::new(
            "one job can be quoted, and not several",
            format!("{} has an [after]", args.job.display()),
            "quote it without; before `tilth run` opens the first one it looks whether the balance \
             covers all of them",
        ));
    };
    let prepared = &mut only.job;
    args.judged.add_to(&mut prepared.offer)?;
    // What `run` would refuse has no price. Who is there to audit may change until then.
    Jobs::check_rules(&place.link, prepared).await.map_err(|error| error.problem())?;
    let program = prepared.spec.program.hash;
    let going = quote::going(&place.link, place.network.first_block, program).await;
    let going = going.map_err(|error| error.problem())?;
    let quote = Quote::of(prepared, going);
    let locked = Jobs::usual_funds(prepared);
    let held = Jobs::usual_deposit(&place.link, prepared).await;
    let held = held.map_err(|error| error.problem())?;
    if common.json {
        let deposit = held.map(|deposit| deposit.amount);
        let audited = prepared.offer.audited;
        let referee = audited.then_some("auditors");
        let availability = holders(prepared.offer.keep_s.is_some());
        print_json(&Shown { quote: &quote, audited, referee, availability, locked, deposit })?;
    } else {
        print(&quote, &prepared.unit());
        println!();
        paid(&prepared.offer, locked, held).iter().for_each(|line| println!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Who decides about a job's results, who must have them, who is paid out of these sums, and what it locks at first.
fn paid(offer: &Offer, locked: Option<Amount>, held: Option<Deposit>) -> Vec<String> {
    let mut lines = vec![
        format!("referee: {}", referee(offer.audited)),
        format!("availability: {}", availability(offer.keep_s.is_some())),
    ];
    if let replicas @ 2.. = offer.replicas {
        lines.push(format!(
            "replicas: every range is paid to {replicas} providers, and the sums are for all of \
             them; where nobody did it a second time that part comes back"
        ));
    }
    if offer.audited {
        lines.push(
            "audits: in the price; they take 2 % of what ranges earn, and of a newcomer's, which \
             are audited more often, up to half"
                .to_owned(),
        );
    }
    if let Some(locked) = locked {
        lines.push(format!(
            "escrow: `tilth run` locks {locked:.9} GRAIN, every task at its cap and a prepare phase \
             for as many ranges as are likely, at the highest price; a claim reserves its range's \
             part, and what is not used comes back; the job costs no more unless it is topped up"
        ));
    }
    if let Some(Deposit { keep_s, max_mib, amount, .. }) = held {
        lines.push(format!(
            "deposit: {amount:.9} GRAIN besides, for auditors who hold the job's inputs, before which nobody \
             works on it, and for {} what is not acknowledged, ranges of up to {max_mib} MiB, and for \
             those who look then whether they serve it; what nobody has earned comes back, the last of \
             it when that time is over",
            time(u64::from(keep_s)),
        ));
    }
    lines
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

    fn offer(audited: bool, replicas: u8) -> Offer {
        Offer {
            price: Price(1),
            clock: None,
            window_s: None,
            range_timeout_s: 60,
            target_s: 10,
            deadline_s: 60,
            parallelism: 1,
            first_range: 1,
            max_failures: 0,
            audited,
            replicas,
            keep_s: None,
            required_class: 0,
            min_vram_mib: 0,
        }
    }

    #[test]
    fn who_is_paid_by_the_sums_is_said() {
        let locked = Some("1.6".parse().unwrap());
        let plain = paid(&offer(false, 1), locked, None);
        assert!(plain.len() == 3 && plain[2].contains("locks 1.6 GRAIN"), "{plain:?}");
        assert!(plain[0].starts_with("referee: none"), "{plain:?}");
        assert!(plain[1].starts_with("availability: none: after the window"), "{plain:?}");
        let audited = paid(&offer(true, 1), locked, None);
        assert!(audited.len() == 4 && audited[2].contains("a newcomer's"), "{audited:?}");
        assert_eq!(audited[0], "referee: auditors, 10 of 15 or a lead of 5");
        assert_eq!(audited[1], plain[1], "an audit asks for no results");
        let both = paid(&offer(true, 2), None, None);
        assert!(both.len() == 4 && both[2].contains("paid to 2 providers"), "{both:?}");
        let (per_mib, per_mib_day, amount) = (Amount(1), Amount(1), "0.5".parse().unwrap());
        let deposit = Deposit { keep_s: 604_800, max_mib: 3, per_mib, per_mib_day, amount };
        let keeping = Offer { keep_s: Some(604_800), ..offer(true, 1) };
        let kept = paid(&keeping, locked, Some(deposit));
        let said = kept.last().unwrap();
        assert!(kept.len() == 5 && said.contains("deposit: 0.5"), "{kept:?}");
        let held =
            "availability: held by 4 of 7 drawn holders within an hour, or 8 of 15 within two";
        assert_eq!((kept[0].as_str(), kept[1].as_str()), (audited[0].as_str(), held));
        assert!(said.contains("for 7 d 0 h") && said.contains("up to 3 MiB"), "{said}");
    }

    #[test]
    fn times_are_said_in_their_two_largest_parts() {
        let said = [0, 59, 61, 3_600, 90_000].map(time);
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
