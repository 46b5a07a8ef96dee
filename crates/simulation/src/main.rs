//! Prints the table of `docs/guide/pricing.md` (a hundred providers bid for 20,000 tasks), or that of
//! `docs/guide/trust.md` (adversaries).
//!
//! `tilth-simulation [SEED]`, or `tilth-simulation trust [--seeds A..B] [--only NAME]`

use tilth_simulation::{Auction, Options, table, trust::Report};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((first, rest)) if first == "trust" => trust(rest),
        first => auction(first.map_or(Ok(1), |(text, _)| text.parse())?),
    }
}

fn trust(words: &[String]) -> Result<(), Failure> {
    let options = Options::read(words)?;
    let report = Report::of(options.seeds, options.only)?;
    print!("{}", report.render());
    for (seed, name, fault) in &report.faults {
        println!("seed {seed}, {name}: {fault}");
    }
    if report.faults.is_empty() { Ok(()) } else { Err("the oracles found faults".into()) }
}

fn auction(seed: u64) -> Result<(), Failure> {
    let auction = Auction { seed, bidders: 100, tasks: 20_000, finish_s: 3_600, slowest: 40 };
    let (best, lines) = table::compare(&auction)?;
    print!("{}", table::render(&auction, best.as_ref(), &lines));
    let gas = lines.iter().find(|line| line.rule == "clock").map(|line| line.outcome);
    if let Some(clock) = gas {
        let ranges = clock.ranges.max(1);
        println!("\n{ranges} ranges on the clock, {} gas each", clock.gas / u64::from(ranges));
    }
    Ok(())
}
