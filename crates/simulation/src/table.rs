//! The comparison that `docs/guide/pricing.md` shows.

use crate::{
    auction::{Auction, Outcome, Rule, UNITS_PER_TASK},
    bidders::{Crowd, LEAST_COST, MOST_COST, Policy},
    farm::FarmError,
    optimum::{self, Optimum},
};

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    /// Who bid.
    pub crowd: &'static str,
    /// How the price was found.
    pub rule: &'static str,
    /// What became of it.
    pub outcome: Outcome,
}

/// The crowds that are compared.
pub const CROWDS: [Crowd; 6] = [
    Crowd { name: "all honest", share: 0, policy: Policy::Honest },
    Crowd { name: "half of them wait", share: 50, policy: Policy::Waiting },
    Crowd { name: "all wait", share: 100, policy: Policy::Waiting },
    Crowd { name: "a ring of 30 %", share: 30, policy: Policy::Ring(90) },
    Crowd { name: "a ring of 60 %", share: 60, policy: Policy::Ring(90) },
    Crowd { name: "a ring of all", share: 100, policy: Policy::Ring(90) },
];

/// The whole comparison: the optimum, and every crowd under every rule.
///
/// The client knows only that a unit costs somebody between the floor and the cap. The posted prices
/// are the least that could be enough, known only in hindsight, and a quarter below and above it.
///
/// # Errors
/// Those of [`Auction::hold`].
pub fn compare(auction: &Auction) -> Result<(Option<Optimum>, Vec<Line>), FarmError> {
    let machines = auction.draw(&CROWDS[0]);
    let seconds = u64::from(auction.finish_s);
    let best = optimum::of(&machines, auction.tasks.into(), UNITS_PER_TASK, seconds);
    let hindsight = best.map_or(0, |best| best.price);
    let floor = u128::from(LEAST_COST);
    let rules = [
        ("clock", Rule::Clock { floor, cap: u128::from(MOST_COST) }),
        ("posted, in hindsight", Rule::Posted(hindsight)),
        ("posted, 25 % too low", Rule::Posted(hindsight * 3 / 4)),
        ("posted, 25 % too high", Rule::Posted(hindsight * 5 / 4)),
    ];
    let mut lines = Vec::new();
    for crowd in &CROWDS {
        for (name, rule) in rules {
            let outcome = auction.hold(rule, crowd)?;
            lines.push(Line { crowd: crowd.name, rule: name, outcome });
        }
    }
    Ok((best, lines))
}

/// The comparison as Markdown.
pub fn render(auction: &Auction, best: Option<&Optimum>, lines: &[Line]) -> String {
    let mut text = String::from(
        "| bidders | price | paid, optimum = 100 | per unit, lowest = 100 | range of prices | done in time | ended at |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let least = u128::from(LEAST_COST);
    let percent = |part: u128, whole: u128| (part * 100).checked_div(whole).unwrap_or(0);
    let cost_per_task = best.map_or(1, |best| best.cost / u128::from(auction.tasks.max(1)));
    for line in lines {
        let Outcome { paid, done, in_time, ended_s, lowest, highest, .. } = line.outcome;
        // What was not done was not paid for: the optimum for what was done.
        let optimum = cost_per_task * u128::from(done);
        let (low, high) = (percent(lowest.min(highest), least), percent(highest, least));
        text.push_str(&format!(
            "| {} | {} | {} | {} | {low} to {high} | {} % | {} % |\n",
            line.crowd,
            line.rule,
            percent(paid, optimum),
            percent(line.outcome.price(), least),
            percent(in_time.into(), auction.tasks.into()),
            percent(ended_s.into(), auction.finish_s.into()),
        ));
    }
    text
}
