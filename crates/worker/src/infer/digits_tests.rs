use std::collections::HashSet;

use super::*;
use crate::infer::shape::tests::draws;

fn after(bounds: Bounds, text: &str) -> Option<Digits> {
    let (first, rest) = text.as_bytes().split_first()?;
    let first = Digits::begin(bounds, *first)?;
    rest.iter().try_fold(first, |at, byte| at.with(bounds, *byte))
}

fn is_number(bounds: Bounds, text: &str) -> bool {
    after(bounds, text).is_some_and(|at| at.may_end(bounds))
}

/// With both bounds, and with each of them alone.
fn all_of(least: i64, most: i64) -> [Bounds; 3] {
    let (least, most) = (Some(least), Some(most));
    [(least, most), (least, None), (None, most)].map(|(least, most)| Bounds { least, most })
}

/// Bounds around powers of ten, on both sides of zero.
fn small() -> impl Iterator<Item = Bounds> {
    let sizes = [0_i64, 1, 2, 5, 9, 10, 11, 37, 99, 100, 101, 350, 999, 1000, 1001];
    let ends: Vec<i64> = sizes.iter().rev().map(|size| -size).chain(sizes).collect();
    let pairs = ends.clone().into_iter().flat_map(move |least| {
        ends.clone().into_iter().filter(move |most| least <= *most).map(move |most| (least, most))
    });
    pairs.flat_map(|(least, most)| all_of(least, most))
}

/// Any number, of any length.
fn any_number(draw: &mut impl FnMut(usize) -> usize) -> i64 {
    let ends = [i64::MIN, i64::MAX, 0, (1 << 53) - 1, 1 - (1 << 53)];
    if draw(6) == 0 {
        return ends[draw(ends.len())];
    }
    let wide = (0..3).fold(0_u64, |all, _| all << 22 | draw(1 << 22) as u64);
    let number = (wide >> (1 + draw(62))).cast_signed();
    if draw(2) == 0 { -number } else { number }
}

#[test]
fn every_number_within_its_bounds_is_taken_and_no_other() {
    for bounds in small() {
        for number in -1_050_i64..=1_050 {
            let text = number.to_string();
            assert_eq!(is_number(bounds, &text), bounds.contains(number), "{text} in {bounds:?}");
        }
        for odd in ["", "-", "-0", "00", "01", "-01", "+1", "1.0", "1e1", "1 ", "--1", "a"] {
            assert!(!is_number(bounds, odd), "{odd} in {bounds:?}");
        }
    }
}

/// Whatever was begun can be brought to an end.
#[test]
fn nothing_is_begun_that_cannot_become_one_of_them() {
    for bounds in small() {
        let (mut begun, mut places) = (vec![String::new()], HashSet::new());
        while let Some(text) = begun.pop() {
            let more = (b'-'..=b'9').map(|byte| format!("{text}{}", char::from(byte)));
            let more: Vec<String> = more.filter(|more| after(bounds, more).is_some()).collect();
            assert!(!more.is_empty() || is_number(bounds, &text), "{text:?} in {bounds:?}");
            // Each place once: behind all that lead to it the same may follow.
            begun.extend(more.into_iter().filter(|more| places.insert(after(bounds, more))));
        }
        let most = if bounds.least.is_some() && bounds.most.is_some() { 4 } else { MANY };
        let digits = |place: &Option<Digits>| match place {
            Some(Digits::Begun { said, .. }) => *said,
            _ => 0,
        };
        assert!(places.iter().map(digits).max().is_some_and(|said| said <= most), "{bounds:?}");
    }
}

#[test]
fn the_longest_numbers_are_told_from_each_other() {
    let mut draw = draws();
    for _ in 0..2_000 {
        let (one, other) = (any_number(&mut draw), any_number(&mut draw));
        for bounds in all_of(one.min(other), one.max(other)) {
            let mut looked_at = vec![0, i64::MIN, i64::MAX];
            for end in [one, other] {
                let near = [-10, -1, 0, 1, 10].map(|by| end.saturating_add(by));
                looked_at.extend(near.into_iter().chain([end / 10, end.saturating_mul(10)]));
            }
            looked_at.extend((0..8).map(|_| any_number(&mut draw)));
            for number in looked_at {
                let found = is_number(bounds, &number.to_string());
                assert_eq!(found, bounds.contains(number), "{number} in {bounds:?}");
            }
            // Beyond all bounds that there may be.
            let long = "7".repeat(40);
            for digits in ["9223372036854775809", "10000000000000000000", long.as_str()] {
                let both = [digits.to_owned(), format!("-{digits}")];
                let found = both.map(|text| is_number(bounds, &text));
                let due = [bounds.most.is_none(), bounds.least.is_none()];
                assert_eq!(found, due, "{digits} in {bounds:?}");
            }
        }
    }
}

#[test]
fn whatever_is_said_digit_by_digit_is_within_the_bounds() {
    let mut draw = draws();
    for _ in 0..3_000 {
        let (one, other) = (any_number(&mut draw), any_number(&mut draw));
        let bounds = all_of(one.min(other), one.max(other))[draw(3)];
        let mut text = String::new();
        loop {
            let may = |byte: &u8| after(bounds, &format!("{text}{}", char::from(*byte))).is_some();
            let some: Vec<u8> = (b'-'..=b'9').filter(may).collect();
            let may_end = is_number(bounds, &text);
            assert!(may_end || !some.is_empty(), "{text:?} in {bounds:?}");
            if some.is_empty() || text.len() > 25 || (may_end && draw(4) == 0) {
                break;
            }
            text.push(char::from(some[draw(some.len())]));
        }
        let number: i128 = text.parse().unwrap();
        let least = bounds.least.is_none_or(|least| i128::from(least) <= number);
        let most = bounds.most.is_none_or(|most| number <= i128::from(most));
        assert!(least && most && number.to_string() == text, "{text} in {bounds:?}");
    }
}

/// So the tokens that may follow are looked for a few times, and not once per number.
#[test]
fn numbers_have_few_places() {
    let bounds = Bounds { least: Some(1 - (1 << 53)), most: Some((1 << 53) - 1) };
    let mut draw = draws();
    let mut places = HashSet::new();
    for _ in 0..20_000 {
        let text = any_number(&mut draw).to_string();
        places.extend((1..=text.len()).filter_map(|cut| after(bounds, &text[..cut])));
    }
    assert!(places.len() > 60 && places.len() < 2 * 20 * 6, "{}", places.len());
}
