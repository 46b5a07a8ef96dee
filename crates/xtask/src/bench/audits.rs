//! What audits cost per unit of work, by the contracts' own rules and the recorded gas: what is executed again, what that is
//! paid, and who bears it. Exact, and the same on every machine. Then what [`settling`] measures.
//!
//! The rules are read from `Parameters.sol`; the crate `verification` has the same ones, and `vectors/trust.json` holds the
//! two together. Ranges are honest, their leaves alike, and worth more than the least fees.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, ensure};

use super::{Report, gas, settling};
use crate::run::root;

/// The whole: shares and chances are billionths.
const ONE: u64 = 1_000_000_000;
/// First votes of a range above the small value, all there are where all agree; a smaller one has one.
const VOTES: u64 = 2;
/// Leaves of a range: as many as the purse's share is meant for, and as many as the gas is recorded for.
const LEAVES: [u64; 2] = [50, 1_000];

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let path = root().join("contracts/src/libraries/Parameters.sol");
    let rules = Rules::read(&fs::read_to_string(path).context("Parameters.sol is missing")?)?;
    let gas = Gas::read(&gas::recorded()?)?;
    let rates = [("newcomer", ONE), ("floor rate", rules.floor)];
    for leaves in LEAVES {
        for (who, rate) in rates {
            work(report, &format!("{leaves} leaves, {who}"), &rules.cost(leaves, rate));
        }
    }
    for (who, rate) in rates {
        gas_of(report, who, &gas, rate);
    }
    settling::run(report)
}

/// What the contracts fix, billionths but for the number of leaves.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    /// The rate that the client bears.
    floor: u64,
    /// Leaves drawn per audit.
    samples: u64,
    /// Of what every range earns, to the purse.
    share: u64,
    /// An auditor's pay for a unit, of the range's price.
    fee: u64,
    /// The most that audits take of what a range earns.
    most: u64,
}

impl Rules {
    fn read(text: &str) -> anyhow::Result<Self> {
        Ok(Self {
            floor: parameter(text, "FLOOR_RATE")?,
            samples: parameter(text, "SAMPLES")?,
            share: parameter(text, "AUDIT_SHARE")?,
            fee: parameter(text, "FEE_RATE")?,
            most: parameter(text, "MAX_CHARGE")?,
        })
    }

    /// In the mean of many ranges of so many leaves, whose provider is audited at `rate`.
    fn cost(&self, leaves: u64, rate: u64) -> Cost {
        // Two draws of one leaf are one execution, so this is the most.
        let drawn = part(self.samples.min(leaves), ONE, leaves);
        let asked = part(VOTES * drawn, self.fee, ONE);
        let (at_floor, above) = (rate.min(self.floor), rate.saturating_sub(self.floor));
        // What the range is charged beside the share, and the most that the purse gives for it otherwise.
        let charge = (self.share + asked).min(self.most).saturating_sub(self.share);
        let set_aside = part(self.share, ONE, self.floor);
        let (by_purse, by_charge) = (asked.min(set_aside), asked.min(self.share + charge));
        Cost {
            again: part(rate, VOTES * drawn, ONE),
            fees: part(at_floor, by_purse, ONE) + part(above, by_charge, ONE),
            provider: part(above, charge, ONE),
            client: self.share,
        }
    }
}

/// `a` times `b / c`. All are at most some billions, so the product fits.
fn part(a: u64, b: u64, c: u64) -> u64 {
    a.saturating_mul(b) / c.max(1)
}

/// The value of a constant of `Parameters.sol` that is a plain number.
fn parameter(text: &str, name: &str) -> anyhow::Result<u64> {
    let start = format!(" constant {name} = ");
    let value = text.split_once(&start).and_then(|(_, rest)| rest.split_once(';'));
    let value = value.with_context(|| format!("Parameters.sol has no {name}"))?.0;
    value.replace('_', "").parse().with_context(|| format!("{name} is no plain number: {value}"))
}

/// Of what a range earns, or of the units it takes, in the mean, billionths.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// Units that auditors' machines execute again.
    again: u64,
    /// To the auditors, for that.
    fees: u64,
    /// Out of the provider's earnings, beside the share.
    provider: u64,
    /// The share of every range, which is in the price that the client pays.
    client: u64,
}

fn work(report: &mut Report, what: &str, cost: &Cost) {
    report.line(
        &format!("audits, ranges of {what}: executed again, of all units"),
        format!("at most {}", percent(cost.again)),
        "all by a second provider 100 %".into(),
        format!("1/{:.0}", ONE as f64 / cost.again as f64),
    );
    let left = (cost.client + cost.provider).checked_sub(cost.fees);
    report.line(
        &format!("audits, ranges of {what}: fees of auditors, of what ranges earn"),
        percent(cost.fees),
        format!(
            "the share in the client's price {}, besides of the provider's earnings {}",
            percent(cost.client),
            percent(cost.provider)
        ),
        left.map_or_else(
            || "the purse LOSES".to_owned(),
            |left| format!("the purse keeps {}", percent(left)),
        ),
    );
}

fn percent(billionths: u64) -> String {
    format!("{:.2} %", billionths as f64 / 1e7)
}

/// The recorded gas of an audit of two votes, by who sends the transactions, and of what is dearer in an audited job.
#[derive(Debug, PartialEq, Eq)]
struct Gas {
    /// Claim and hand in, beyond a plain job's.
    handing_in: u64,
    /// The client's acknowledgement of one range, beyond a plain job's: not drawn, and upheld.
    acknowledging: [u64; 2],
    /// By whoever is first.
    draw: u64,
    /// Name and open, by the provider.
    provider: u64,
    /// Commit and reveal, by both auditors together.
    auditors: u64,
}

impl Gas {
    fn read(recorded: &BTreeMap<String, u64>) -> anyhow::Result<Self> {
        let of = |name: &str| {
            recorded
                .get(name)
                .copied()
                .with_context(|| format!("contracts/snapshots has no {name}"))
        };
        let audited = |name: &str| of(&format!("audited: {name}"));
        let beyond =
            |name: &str, plain: &str| anyhow::Ok(audited(name)?.saturating_sub(of(plain)?));
        let gas = Self {
            handing_in: beyond("claim", "claim")? + beyond("submit", "submit")?,
            acknowledging: [
                beyond("acknowledge 1, not drawn", "acknowledge 1")?,
                beyond("acknowledge 1, upheld", "acknowledge 1")?,
            ],
            draw: audited("draw, two seats")?,
            provider: audited("name")? + audited("open, 8 leaves of 1,000")?,
            auditors: audited("commit")?
                + audited("commit, last")?
                + audited("reveal")?
                + audited("reveal, last, upheld")?,
        };
        let whole = audited("whole audit, two auditors agree")?;
        let sum = gas.draw + gas.provider + gas.auditors;
        ensure!(sum == whole, "the steps of an audit take {sum} gas, recorded are {whole}");
        Ok(gas)
    }

    /// Per range in the mean, at `rate`: the provider's, the client's, the auditors', and that of who draws.
    fn per_range(&self, rate: u64) -> [u64; 4] {
        let [not_drawn, upheld] = self.acknowledging;
        [
            self.handing_in + part(rate, self.provider, ONE),
            part(ONE - rate, not_drawn, ONE) + part(rate, upheld, ONE),
            part(rate, self.auditors, ONE),
            part(rate, self.draw, ONE),
        ]
    }
}

fn gas_of(report: &mut Report, who: &str, gas: &Gas, rate: u64) {
    let parts = gas.per_range(rate);
    let [provider, client, auditors, draw] = parts;
    let all: u64 = parts.iter().sum();
    let tasks =
        LEAVES.map(|leaves| format!("{:.1} a task of {leaves}", all as f64 / leaves as f64));
    report.line(
        &format!("audits, {who}: gas per range beyond a plain job's"),
        format!("{all} gas"),
        format!(
            "provider {provider}, client {client}, auditors {auditors}, who draws first {draw}"
        ),
        tasks.join(", "),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn rules() -> Rules {
        let path = root().join("contracts/src/libraries/Parameters.sol");
        Rules::read(&fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn plain_numbers_are_read_and_nothing_else() {
        let text =
            "uint256 internal constant A = 50_000_000;\nuint256 internal constant BA = A / 2;";
        assert_eq!(parameter(text, "A").unwrap(), 50_000_000);
        assert!(parameter(text, "BA").is_err() && parameter(text, "C").is_err());
    }

    #[test]
    fn the_share_pays_for_the_floor_rate_at_fifty_leaves() {
        let cost = rules().cost(50, rules().floor);
        // 5 % of two auditors who execute 8 of 50, at a quarter more than the price.
        let (again, fees) = (16_000_000, 20_000_000);
        assert_eq!(cost, Cost { again, fees, provider: 0, client: 20_000_000 });
        let smaller = rules().cost(40, rules().floor);
        // Each audit has no more than 40 % of what its range earns.
        assert_eq!((smaller.again, smaller.fees), (20_000_000, 20_000_000));
    }

    #[test]
    fn a_newcomer_pays_for_what_is_above_the_floor() {
        let cost = rules().cost(1_000, ONE);
        // 2 x 8 / 1,000 x 1.25 = 2 % for every range; one in twenty of that is the purse's.
        assert_eq!((cost.again, cost.fees, cost.provider), (16_000_000, 20_000_000, 19_000_000));
        // Never more than half of what it earns.
        let tiny = rules().cost(4, ONE);
        assert_eq!((tiny.again, tiny.provider), (2 * ONE, 456_000_000));
        // Its share has paid for the half already, and is set aside for the floor rate once more.
        assert_eq!((tiny.fees, tiny.client + tiny.provider), (495_000_000, 476_000_000));
    }

    /// What is recorded of each step of an audit of two votes.
    const STEPS: [&str; 7] = [
        "audited: draw, two seats",
        "audited: name",
        "audited: commit",
        "audited: commit, last",
        "audited: open, 8 leaves of 1,000",
        "audited: reveal",
        "audited: reveal, last, upheld",
    ];

    #[test]
    fn the_recorded_steps_are_those_of_a_whole_audit() {
        let recorded = gas::recorded().unwrap();
        // Forge has added them up by itself.
        let whole = recorded["audited: whole audit, two auditors agree"];
        let beyond = |name: &str, plain: &str| {
            recorded[&format!("audited: {name}")].checked_sub(recorded[plain]).unwrap()
        };
        let handed_in = beyond("claim", "claim") + beyond("submit", "submit");
        let [spared, upheld] = ["not drawn", "upheld"]
            .map(|how| beyond(&format!("acknowledge 1, {how}"), "acknowledge 1"));
        let gas = Gas::read(&recorded).unwrap();
        assert_eq!(gas.per_range(ONE).iter().sum::<u64>(), whole + handed_in + upheld);
        assert_eq!(gas.per_range(0), [handed_in, spared, 0, 0]);
        // Whoever leaves one out, or counts another one, is told so.
        for step in STEPS {
            let mut other = recorded.clone();
            other.insert(step.to_owned(), recorded[step] + 1);
            assert!(Gas::read(&other).is_err(), "{step}");
            other.remove(step);
            assert!(Gas::read(&other).is_err(), "{step}");
        }
    }

    #[test]
    fn every_move_of_the_contract_is_a_step() {
        let path = root().join("contracts/artifacts/Audits.json");
        let artifact: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let changes = |entry: &&Value| {
            entry["type"] == "function" && entry["stateMutability"] == "nonpayable"
        };
        let changing = artifact["abi"].as_array().unwrap().iter().filter(changes);
        let names = changing.map(|entry| entry["name"].as_str().unwrap());
        // What the Bench alone may call, and what belongs to no audit in which everybody is on time.
        let others = ["advance", "collect", "dispute", "forget", "strike", "submitted"];
        let moves: BTreeSet<&str> = names.filter(|name| !others.contains(name)).collect();
        let step = |name: &'static str| {
            name.strip_prefix("audited: ").and_then(|rest| rest.split(',').next()).unwrap()
        };
        assert_eq!(moves, BTreeSet::from(STEPS.map(step)));
    }
}
