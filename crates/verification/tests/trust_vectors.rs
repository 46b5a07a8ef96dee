//! `vectors/trust.json`: draws, rates, verdicts and arithmetic that Rust and forge share.
//!
//! Written by this test when `TILTH_WRITE_VECTORS` is set and compared otherwise; forge computes every
//! line again with `contracts/src/libraries`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::{collections::BTreeMap, path::Path};

use alloy_primitives::{Address, B256, keccak256};
use serde_json::{Value, json};
use tilth_protocol::{JobId, Leaf, RangeId, Status, amount::GRAIN};
use tilth_verification::{
    MerkleSum,
    arithmetic::{Fault, MAX_AMOUNT, ONE, Share, detection, exposure, rate_for},
    audit::{self, Asked, Decision, Verdict},
    draw::{Panel, Person, Pick, Purpose, Seed},
    holding::{self, Prices},
    replica::{self, Waiter, mate},
    walk::{self, Place, first_difference, fold},
};

/// Largest inputs of a job that may be asked for, MiB (`Parameters.MOST_INPUTS_MIB`).
const MOST_INPUTS_MIB: u32 = 64 << 10;

/// Columns of a table, all of them strings: decimal numbers and hashes.
#[derive(Default)]
struct Table(BTreeMap<&'static str, Vec<String>>);

impl Table {
    fn row(&mut self, cells: &[(&'static str, String)]) {
        for (name, cell) in cells {
            self.0.entry(name).or_default().push(cell.clone());
        }
    }

    fn json(self) -> Value {
        json!(self.0)
    }
}

fn range(n: u32) -> RangeId {
    RangeId { job: JobId(u64::from(n) << 33 | 5), seq: n.wrapping_mul(0x9e37_79b9) }
}

fn seed(n: u32) -> Seed {
    Seed::new(keccak256(n.to_be_bytes()), range(n), 0)
}

fn words() -> Value {
    let mut table = Table::default();
    for n in 0..24_u32 {
        let beacon = keccak256(n.to_be_bytes());
        let stage = u8::try_from(n * 11 % 256).unwrap();
        let purpose =
            [Purpose::Decision, Purpose::Leaf, Purpose::Auditor, Purpose::Replica][n as usize % 4];
        let i = n.wrapping_mul(0x0101_0101);
        let seed = Seed::new(beacon, range(n), stage);
        table.row(&[
            ("beacon", beacon.to_string()),
            ("job", range(n).job.to_string()),
            ("seq", range(n).seq.to_string()),
            ("stage", stage.to_string()),
            ("purpose", (purpose as u8).to_string()),
            ("i", i.to_string()),
            ("seed", seed.0.to_string()),
            ("word", B256::from(seed.word(purpose, i)).to_string()),
        ]);
    }
    table.json()
}

fn picks() -> Value {
    let mut table = Table::default();
    for n in 0..40_u32 {
        let leaves = [1, 2, 7, 1_000, 1 << 20][n as usize % 5];
        let units = [0, 1, 13, u64::from(u32::MAX), u64::MAX][n as usize / 5 % 5];
        let (by_units, value) = match seed(n).pick(n, leaves, units).unwrap() {
            Pick::Position(position) => (0, u64::from(position)),
            Pick::Unit(unit) => (1, unit),
        };
        table.row(&[
            ("seed", seed(n).0.to_string()),
            ("i", n.to_string()),
            ("leaves", leaves.to_string()),
            ("units", units.to_string()),
            ("byUnits", by_units.to_string()),
            ("value", value.to_string()),
        ]);
    }
    table.json()
}

/// One tree; its leaves are written out, and for every unit the leaf that answers it.
fn units() -> Value {
    let units = [3_u64, 0, 1, 5, 0, 0, 2, 1, 4, 0, 6];
    let leaves: Vec<_> =
        (0..).zip(units).map(|(i, units)| Leaf::failed(i, Status::Trap, units)).collect();
    let tree = MerkleSum::build(JobId(9), &leaves).unwrap();
    let answers: Vec<_> =
        (0..tree.root().tally.units).map(|unit| tree.position_of_unit(unit).unwrap()).collect();
    let before: Vec<_> = (0..11).map(|at| tree.open(at).unwrap().units_before().unwrap()).collect();
    json!({
        "job": "9",
        "units": units.map(|n| n.to_string()),
        "root": tree.root().hash,
        "positionOfUnit": answers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unitsBefore": before.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Whom a draw leaves out, as digits: some twice, some who are nobody, all but one, all.
const OUT: [&str; 8] = ["", "4", "49", "123", "0", "22", "123456789", "12356789"];

/// One kind of draw: of a seed, from which number on, how many are wanted, and who is left out.
type Draw<'a> = &'a dyn Fn(Seed, u32, usize, &dyn Fn(&u8) -> bool) -> Panel;

/// Whom draws find among these people, and, if it counts, which draw comes next.
fn found(people: &[Person<u8>], draw: Draw<'_>, next_counts: bool) -> Value {
    let mut table = Table::default();
    for n in 0..24_u32 {
        let out = OUT[n as usize % OUT.len()];
        let (first, wanted) = (n / 8 * 1_000_003, n % 16);
        let is_out = |owner: &u8| out.bytes().any(|digit| digit - b'0' == *owner);
        let drawn = draw(seed(n), first, wanted as usize, &is_out);
        let found = drawn.members.iter().map(|member| people[*member].owner.to_string());
        table.row(&[
            ("seed", seed(n).0.to_string()),
            ("first", first.to_string()),
            ("wanted", wanted.to_string()),
            ("out", out.to_owned()),
            ("found", found.collect()),
        ]);
        if next_counts {
            table.row(&[("next", drawn.next.to_string())]);
        }
    }
    table.json()
}

/// Nine auditors, and whom draws find among them. People are digits, their numbers in the contract; 0 is nobody.
fn votes() -> Value {
    // Ten coins is the least stake; most of the line is one person's, and places do not fall on round numbers.
    let stakes =
        [10_u128, 25, 10, 400, 33, 11, 90, 10, 57].map(|coins| coins * 10_u128.pow(18) + coins);
    let people: Vec<_> =
        (1_u8..).zip(stakes).map(|(owner, stake)| Person { owner, stake }).collect();
    let votes = |seed: Seed, first: u32, wanted: usize, is_out: &dyn Fn(&u8) -> bool| {
        seed.votes(Purpose::Auditor, first, wanted, &people, is_out)
    };
    // Mates from the same line: whoever is drawn is left out of the next draw.
    let panel = |seed: Seed, first: u32, wanted: usize, is_out: &dyn Fn(&u8) -> bool| {
        seed.panel(Purpose::Replica, first, wanted, &people, is_out)
    };
    json!({
        "stakes": stakes.map(|stake| stake.to_string()),
        "draws": found(&people, &votes, false),
        "panels": found(&people, &panel, true),
        "mates": mates(&people),
        "holders": holders(&people),
    })
}

/// The same line, on which everybody asks for as much a unit as its number is. `first` draws are used up.
fn mates(people: &[Person<u8>]) -> Value {
    let waiter = |person: &Person<u8>| Waiter {
        owner: person.owner,
        bond: person.stake,
        min_price: u128::from(person.owner),
        reach: person.stake,
    };
    let line: Vec<_> = people.iter().map(waiter).collect();
    let mut table = Table::default();
    for n in 0..24_u32 {
        let out = OUT[n as usize % OUT.len()];
        let (first, coins) = (n as usize % 3, [1, 30, 60, 401][n as usize / 2 % 4]);
        let is_out = |owner: &u8| out.bytes().any(|digit| digit - b'0' == *owner);
        let (value, price) = (coins * 10_u128.pow(18), u128::from(3 + n % 7));
        let (place, next) = mate(seed(n), first, &line, replica::Asked { value, price }, is_out);
        table.row(&[
            ("seed", seed(n).0.to_string()),
            ("first", first.to_string()),
            ("out", out.to_owned()),
            ("value", value.to_string()),
            ("price", price.to_string()),
            ("found", place.map_or(0, |place| line[place].owner).to_string()),
            ("next", next.to_string()),
        ]);
    }
    table.json()
}

/// Holders from the same line.
fn holders(people: &[Person<u8>]) -> Value {
    let mut table = Table::default();
    for n in 0..16_u32 {
        let out = OUT[n as usize % OUT.len()];
        let is_out = |owner: &u8| out.bytes().any(|digit| digit - b'0' == *owner);
        let found = holding::named(seed(n), people, is_out);
        let found = found.iter().map(|place| people[*place].owner.to_string());
        table.row(&[
            ("seed", seed(n).0.to_string()),
            ("out", out.to_owned()),
            ("found", found.collect()),
        ]);
    }
    table.json()
}

/// What a range costs its provider that nobody could hold.
fn lost() -> Value {
    let mut table = Table::default();
    for value in [0, 1, 9, 10, 800, 809, 810, 7 * GRAIN, 1 << 95] {
        for least in [0, 1, 10, GRAIN / 100] {
            table.row(&[
                ("value", value.to_string()),
                ("least", least.to_string()),
                ("due", holding::lost(value, least).to_string()),
            ]);
        }
    }
    table.json()
}

/// Which draws of holders were seen to serve.
fn served() -> Value {
    let mut served = Table::default();
    for votes in 0..=holding::SPOTTERS {
        for n in 0..4_u64 {
            // By how many each draw was seen: no more than have looked, and all different things.
            let by = |draw: u64| (draw * 5 + n * 3) % (votes as u64 + 1);
            let seen = (0..15).fold(0_u64, |seen, draw| seen | by(draw) << (4 * draw));
            served.row(&[
                ("seen", seen.to_string()),
                ("votes", votes.to_string()),
                ("bits", holding::served(seen, votes).to_string()),
            ]);
        }
    }
    served.json()
}

/// What kept ranges cost, and how many must sign when.
fn kept() -> Value {
    let prices = [
        (0, 0, 1),
        (10_u128.pow(18) / 50, 10_u128.pow(18) / 100, 7 * 86_400),
        (3, 7, 86_401),
        (0, 12_345_678_901, holding::MAX_KEEP_S),
        (u128::from(u64::MAX), (1 << 40) - 1, u32::MAX),
    ];
    let mut fees = Table::default();
    for n in 0..40_usize {
        let least = [0, 1, 10_u128.pow(16), MAX_AMOUNT][n % 4];
        let mib = [1, 30, 100, 1 << 20, u32::MAX][n / 4 % 5];
        let (per_mib, per_mib_day, keep_seconds) = prices[(n + n / 5) % 5];
        let prices = Prices { max_mib: mib, per_mib, per_mib_day, keep_seconds };
        fees.row(&[
            ("least", least.to_string()),
            ("mib", mib.to_string()),
            ("perMib", per_mib.to_string()),
            ("perMibDay", per_mib_day.to_string()),
            ("keepSeconds", keep_seconds.to_string()),
            ("fee", prices.fee(least, mib).to_string()),
            ("cost", prices.cost(least, mib).to_string()),
        ]);
    }
    let mut majorities = Table::default();
    for elapsed in [0, 3_599, 3_600, 3_601, 7_200, 7_201, 1 << 40] {
        for votes in [0, 3, 4, 7, 8, 15] {
            let open = holding::open_draws(elapsed);
            majorities.row(&[
                ("elapsed", elapsed.to_string()),
                ("votes", votes.to_string()),
                ("open", open.to_string()),
                ("held", u8::from(holding::is_majority(votes, open)).to_string()),
            ]);
        }
    }
    json!({
        "parameters": {
            "askFirst": holding::ASK_FIRST_S.to_string(),
            "holdTime": holding::HOLD_TIME_S.to_string(),
            "inputsLost": holding::INPUTS_LOST.to_string(),
            "firstHolders": holding::FIRST_HOLDERS.to_string(),
            "holders": holding::HOLDERS.to_string(),
            "asks": holding::ASKS.to_string(),
            "notHeld": holding::NOT_HELD.0.to_string(),
            "maxKeep": holding::MAX_KEEP_S.to_string(),
            "mostMib": holding::MOST_MIB.to_string(),
            "mostInputsMib": MOST_INPUTS_MIB.to_string(),
            "inputs": holding::INPUTS.to_string(),
            "inputsAfter": holding::INPUTS_AFTER_S.to_string(),
            "purpose": (Purpose::Holder as u8).to_string(),
            "spot": (Purpose::Spot as u8).to_string(),
            "mostHeld": holding::MOST_HELD.to_string(),
            "spotters": holding::SPOTTERS.to_string(),
            "spotTime": holding::SPOT_TIME_S.to_string(),
            "spotDue": holding::SPOT_DUE_S.to_string(),
        },
        "served": served(),
        "lost": lost(),
        "fees": fees.json(),
        "majorities": majorities.json(),
    })
}

/// Walks to one leaf in which two trees differ; every step is a row. Tasks have written their index and cost 1 + index % 7
/// units; the other tree has one of them with another first byte, or a unit more, or failed.
fn walks() -> Value {
    let job = JobId(9);
    let task = |index: u32| Leaf::finished(index, &index.to_be_bytes(), 1 + u64::from(index % 7));
    let mut table = Table::default();
    for (n, (count, differs)) in (0_u32..).zip([
        (2, 1),
        (3, 2),
        (16, 0),
        (17, 16),
        (18, 17),
        (33, 32),
        (100, 63),
        (257, 200),
        (300, 299),
    ]) {
        let ours: Vec<_> = (0..count).map(task).collect();
        let mut theirs = ours.clone();
        let leaf = &mut theirs[differs as usize];
        match n % 3 {
            0 => leaf.output[0] = 0xff,
            1 => leaf.units += 1,
            _ => *leaf = Leaf::failed(leaf.index, Status::Trap, leaf.units),
        }
        let trees = [ours, theirs].map(|leaves| MerkleSum::build(job, &leaves).unwrap());
        let mut at = Place::top(count);
        while !at.is_leaf() {
            let step = at.below(count).unwrap();
            let lists = trees.each_ref().map(|tree| tree.below(at).unwrap());
            let [ours, theirs] = lists.map(|list| walk::mark(fold(list).unwrap()).to_string());
            let place = first_difference(lists[0], lists[1]).unwrap();
            table.row(&[
                ("leaves", count.to_string()),
                ("differs", differs.to_string()),
                ("kind", (n % 3).to_string()),
                ("level", at.level.to_string()),
                ("index", at.index.to_string()),
                ("lower", step.level.to_string()),
                ("first", step.first.to_string()),
                ("count", step.count.to_string()),
                ("ours", ours),
                ("theirs", theirs),
                ("place", place.to_string()),
            ]);
            at = step.place(place).unwrap();
        }
        assert_eq!(at.index, differs);
    }
    table.json()
}

fn rates() -> Value {
    let mut table = Table::default();
    let amounts = [0, 1, 19, 1_000, 10_u128.pow(18), 10_u128.pow(21), MAX_AMOUNT];
    for (n, record) in (0..).zip(amounts) {
        for half in amounts {
            let rate = audit::rate(record, half);
            let decision = match audit::decide(seed(n), rate) {
                Decision::Unaudited => 0,
                Decision::AtClientsCost => 1,
                Decision::AtProvidersCost => 2,
            };
            table.row(&[
                ("record", record.to_string()),
                ("half", half.to_string()),
                ("rate", rate.0.to_string()),
                ("seed", seed(n).0.to_string()),
                ("decision", decision.to_string()),
            ]);
        }
    }
    table.json()
}

fn detections() -> Value {
    let mut table = Table::default();
    for wrong in [0, 1, 10_000_000, 333_333_333, 999_999_999, ONE.0] {
        for samples in [0, 1, 2, 8, 29, 59, 299, 4_096] {
            table.row(&[
                ("wrong", wrong.to_string()),
                ("samples", samples.to_string()),
                ("detection", detection(Share(wrong), samples).0.to_string()),
            ]);
        }
    }
    table.json()
}

fn exposures() -> Value {
    let mut table = Table::default();
    for stake in [0, 1, 999, 10_u128.pow(18), MAX_AMOUNT] {
        for caught in [0, 1, 50_000_000, 500_000_000, 999_999_999, ONE.0] {
            for fault in Fault::ALL {
                table.row(&[
                    ("stake", stake.to_string()),
                    ("caught", caught.to_string()),
                    ("exposure", exposure(stake, Share(caught)).to_string()),
                    ("severity", fault.severity().0.to_string()),
                    ("floor", "500".to_owned()),
                    ("penalty", fault.penalty(stake, 500).to_string()),
                ]);
            }
        }
    }
    table.json()
}

/// The rate that an exposure asks for.
fn needs() -> Value {
    let mut table = Table::default();
    let amounts = [0, 1, 999, 10_u128.pow(18), 3 * 10_u128.pow(18), MAX_AMOUNT];
    for stake in amounts {
        for exposure in amounts {
            table.row(&[
                ("stake", stake.to_string()),
                ("exposure", exposure.to_string()),
                ("rate", rate_for(stake, exposure).0.to_string()),
            ]);
        }
    }
    table.json()
}

/// Votes are digits; an answer is the digit as a hash, and 0 is what the provider claims.
fn verdicts() -> Value {
    let mut table = Table::default();
    for (votes, first, last, given) in [
        ("", 1, 1, 1),
        ("", 2, 1, 15),
        ("0", 1, 1, 1),
        ("0", 2, 2, 2),
        ("0", 2, 1, 15),
        ("00", 2, 2, 2),
        ("1", 1, 1, 1),
        ("01", 2, 2, 2),
        ("111", 1, 2, 3),
        ("1111111", 1, 4, 7),
        ("0111111", 1, 4, 7),
        ("1000000", 1, 4, 7),
        ("0011111", 1, 4, 7),
        ("0001112", 1, 4, 7),
        ("000001111111111", 1, 8, 15),
        ("000000111111111", 1, 8, 15),
        ("111111000000000", 1, 8, 15),
        ("111111112222222", 1, 8, 15),
        ("1111112", 1, 8, 15),
        ("00001111", 2, 8, 14),
        ("01", 2, 1, 3),
    ] {
        let hash = |digit: char| B256::with_last_byte(u8::try_from(digit).unwrap() - b'0');
        let list: Vec<_> = votes.chars().map(hash).collect();
        let (what, winner, more) =
            match audit::verdict(hash('0'), &list, Asked { first, last, all: given }) {
                Verdict::Upheld => (0, hash('0'), 0),
                Verdict::Overturned(answer) => (1, answer, 0),
                Verdict::More(more) => (2, B256::ZERO, more),
                Verdict::Undecided => (3, B256::ZERO, 0),
                Verdict::Unheard => (4, B256::ZERO, 0),
            };
        table.row(&[
            ("votes", votes.to_owned()),
            ("first", first.to_string()),
            ("last", last.to_string()),
            ("given", given.to_string()),
            ("what", what.to_string()),
            ("winner", winner.to_string()),
            ("more", more.to_string()),
        ]);
    }
    table.json()
}

fn seals() -> Value {
    let leaves = [Leaf::finished(3, &[1], 5), Leaf::failed(9, Status::OutOfFuel, 6)];
    let job = JobId(0x0102_0304_0506_0708);
    let answer = audit::answer(job, &leaves);
    let range = RangeId { job, seq: 77 };
    let (contract, who) = (Address::repeat_byte(0xc0), Address::repeat_byte(0xa1));
    let salt = keccak256(b"salt");
    json!({
        "leafHashes": leaves.map(|leaf| leaf.hash(job)),
        "answer": answer,
        "chainId": "31337",
        "contract": contract,
        "job": job.to_string(),
        "seq": "77",
        "who": who,
        "salt": salt,
        "seal": audit::seal(31_337, contract, range, who, answer, salt),
    })
}

fn parameters() -> Value {
    let severities = Fault::ALL.map(|fault| fault.severity().0.to_string());
    json!({
        "one": ONE.0.to_string(),
        "floorRate": audit::FLOOR_RATE.0.to_string(),
        "honestFirst": audit::HONEST_FIRST.0.to_string(),
        "halfRecordSmallValues": audit::HALF_RECORD_SMALL_VALUES.to_string(),
        "samples": audit::SAMPLES.to_string(),
        "lead": audit::LEAD.to_string(),
        "committee": audit::COMMITTEE.to_string(),
        "maxRangeTimeout": audit::MAX_RANGE_TIMEOUT_S.to_string(),
        "minAuditors": audit::MIN_AUDITORS.to_string(),
        "disputedRate": walk::DISPUTED_RATE.to_string(),
        "walkTime": walk::WALK_TIME_S.to_string(),
        "walkLevels": walk::LEVELS.to_string(),
        "severities": severities,
    })
}

#[test]
fn trust_vectors_are_those_committed() {
    let vectors = json!({
        "parameters": parameters(),
        "words": words(),
        "picks": picks(),
        "tree": units(),
        "rates": rates(),
        "detections": detections(),
        "exposures": exposures(),
        "needs": needs(),
        "verdicts": verdicts(),
        "votes": votes(),
        "holding": kept(),
        "seal": seals(),
        "walks": walks(),
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/trust.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap());
    if std::env::var_os("TILTH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == text, "vectors/trust.json differs: is the change of the rules meant?");
}
