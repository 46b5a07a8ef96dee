//! Prints the table of `docs/guide/pricing.md`: a hundred providers bid for 20,000 tasks.
//! `tilth-simulation [SEED]`

use tilth_simulation::{Auction, table};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
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
