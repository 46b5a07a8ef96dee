//! What is said of many worlds, and how it is shown.

use super::*;
use crate::trust::{oracle::FRAMED, sample::Sample};

/// One of the samples.
type Pick = fn(&mut Counts) -> &mut Sample;

fn report(place: usize, fill: impl Fn(&mut Counts)) -> Report {
    let mut row = Row { worlds: 1, ..Row::default() };
    fill(&mut row.counts);
    Report { rows: BTreeMap::from([(place, row)]), faults: Vec::new() }
}

#[test]
fn a_row_that_no_chance_explains_is_a_fault() {
    let half = 500_000_000;
    let sampled = |pick: fn(&mut Counts) -> &mut Sample, came: bool| {
        let mut report = report(2, |counts| (0..200).for_each(|_| pick(counts).add(half, came)));
        report.check();
        report.faults
    };
    for (what, faults) in [
        ("audits", sampled(|counts| &mut counts.audits, false)),
        ("hits", sampled(|counts| &mut counts.hits, true)),
        ("matches", sampled(|counts| &mut counts.matches, true)),
        ("asks", sampled(|counts| &mut counts.held, true)),
        ("holders that serve", sampled(|counts| &mut counts.served, false)),
        ("holders that do not", sampled(|counts| &mut counts.unserved, true)),
        ("bought", sampled(|counts| &mut counts.bought, true)),
        ("framed", sampled(|counts| &mut counts.framed, true)),
        ("cases", sampled(|counts| &mut counts.no_lead, true)),
    ] {
        assert_eq!(faults.len(), 1, "{what}");
        assert!(faults[0].1 == ALL[2].name && faults[0].2.starts_with(what), "{faults:?}");
    }
    // Fewer verdicts bought than could be are no fault.
    assert!(sampled(|counts| &mut counts.bought, false).is_empty());
}

#[test]
fn replicated_ranges_have_a_table_of_their_own() {
    let lines = |report: &Report| report.render().lines().count();
    let mut both = report(0, |counts| counts.audits.add(1, false));
    assert_eq!(lines(&both), 3);
    both.merge(report(27, |counts| {
        counts.replicas = [0, 5, 4, 3, 2];
        (0..10).for_each(|n| counts.matches.add(100_000_000, n == 0));
    }));
    assert_eq!(lines(&both), 8);
    let last = format!("| {} | 1 | 5 | 4 | 3 | 2 | 10.0 % of 10 | 10.0 % |", ALL[27].name);
    assert_eq!(both.render().lines().last(), Some(last.as_str()));
}

#[test]
fn kept_ranges_have_a_table_of_their_own() {
    let mut both = report(0, |counts| counts.audits.add(1, false));
    both.merge(report(41, |counts| {
        (counts.holds, counts.inputs) = ([6, 0, 0, 3, 5, 2, 1], [0, 0, 0, 1, 8, 7, 0]);
        (0..10).for_each(|n| counts.held.add(500_000_000, n < 5));
    }));
    assert_eq!(both.render().lines().count(), 8);
    let of = ALL[41].name;
    let last = format!("| {of} | 1 | 8 | 7 | 5 | 3 | 2 | 1 | 6 | 50.0 % of 10 | 50.0 % |");
    assert_eq!(both.render().lines().last(), Some(last.as_str()));
}

#[test]
fn who_looks_at_holders_has_a_table_of_its_own() {
    let mut both = report(0, |counts| counts.audits.add(1, false));
    both.merge(report(56, |counts| {
        counts.spots = [1, 9];
        (0..10).for_each(|_| counts.served.add(1_000_000_000, true));
        (0..4).for_each(|n| counts.unserved.add(250_000_000, n < 1));
    }));
    assert_eq!(both.render().lines().count(), 8);
    let of = ALL[56].name;
    let last = format!("| {of} | 1 | 9 | 1 | 100.0 % of 10 | 100.0 % | 25.0 % of 4 | 25.0 % |");
    assert_eq!(both.render().lines().last(), Some(last.as_str()));
}

#[test]
fn jobs_that_were_cancelled_have_a_table_of_their_own() {
    let mut both = report(0, |counts| counts.audits.add(1, false));
    both.merge(report(25, |counts| counts.cancelled = [5, 3, 4, 7]));
    assert_eq!(both.render().lines().count(), 8);
    let last = format!("| {} | 1 | 5 | 3 | 4 | 7 |", ALL[25].name);
    assert_eq!(both.render().lines().last(), Some(last.as_str()));
}

#[test]
fn a_place_without_an_adversary_is_nobody_elses() {
    let refused = Report::played(0..1, Some(ALL.len()));
    assert!(
        matches!(refused, Err(FarmError::NoAdversary { place }) if place == ALL.len()),
        "{refused:?}"
    );
}

#[test]
fn rows_are_judged_together() {
    // Twenty of each in every row: too few for any row alone, whatever came of them.
    let rows = |pick: Pick, chance: u32, came: u64| {
        let mut all = Report::default();
        for place in 0..20 {
            all.merge(report(place, |counts| {
                (0..20).for_each(|n| pick(counts).add(chance, n < came));
            }));
        }
        all.check();
        all.faults
    };
    let audits: Pick = |counts| &mut counts.audits;
    let hits: Pick = |counts| &mut counts.hits;
    for (what, pick) in [("audits", audits), ("hits", hits)] {
        assert_eq!(rows(pick, 800_000_000, 16), [], "{what}: as many as are due");
        let half = rows(pick, 800_000_000, 8);
        assert_eq!(half.len(), 1, "{what}: {half:?}");
        assert!(half[0].1 == TOGETHER && half[0].2.starts_with(what), "{half:?}");
    }
    // One in a hundred may be framed, and one in ten is.
    let framed = rows(|counts| &mut counts.framed, FRAMED, 2);
    assert!(framed.len() == 1 && framed[0].1 == TOGETHER, "{framed:?}");
    assert_eq!(rows(|counts| &mut counts.framed, FRAMED, 0), []);
}

#[test]
fn quarters_are_judged_together() {
    // Five of thirty where fifteen are due: chance, once; four times in a row it is not.
    let quarter =
        || report(0, |counts| (0..30).for_each(|n| counts.audits.add(500_000_000, n < 5)));
    let mut alone = quarter();
    alone.check();
    assert_eq!(alone.faults, []);
    let mut all = quarter();
    (0..3).for_each(|_| all.merge(quarter()));
    assert_eq!((all.rows[&0].worlds, all.rows[&0].counts.audits.trials), (4, 120));
    all.check();
    assert_eq!(all.faults.len(), 1);
}
