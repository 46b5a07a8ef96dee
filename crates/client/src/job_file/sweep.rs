//! The `[sweep]` of a job file: one task per combination of parameters.
//!
//! ```toml
//! [sweep]                                            # or [[sweep]], several times: one grid after the other
//! temperature = [0.85, 0.9]
//! density = { from = 0.1, to = 0.9, step = 0.1 }     # or count = 9
//! seed = { from = 1, to = 4 }                        # whole numbers, one by one
//! ```
//!
//! The last parameter in alphabetical order changes with every task, the first one most slowly. Ranges
//! with a step are counted in decimal, as they are written, so 0.1 to 0.9 has nine values and none of them
//! is 0.30000000000000004.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use tilth_protocol::Problem;

use super::mistake;
use crate::task_table::OWN_COLUMNS;

/// Most parameters of a task.
const MAX_PARAMETERS: usize = 16;
/// Most values of one parameter.
const MAX_VALUES: usize = 10_000;
/// Most grids of a sweep.
const MAX_GRIDS: usize = 64;
/// Longest name or text, bytes.
const MAX_WORD: usize = 64;
/// Most bytes of the table, which travels in the spec beside the small inputs.
pub(super) const MAX_TABLE_BYTES: usize = 160 << 10;
/// Most digits after the point in a range, and the size below which its numbers have to be: together
/// they keep every sum within 128 bits.
const MAX_DIGITS: u32 = 15;
const MAX_NUMBER: f64 = 1e15;

/// The table as written: one grid, or several.
#[derive(Debug)]
pub(super) struct SweepText(Vec<Grid>);

impl<'de> Deserialize<'de> for SweepText {
    /// By hand, for an untagged enumeration would say of every mistake that it is "no variant".
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Grids;

        impl<'de> Visitor<'de> for Grids {
            type Value = SweepText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of parameters, or an array of such tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SweepText, A::Error> {
                let grid = Grid::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SweepText(vec![grid]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SweepText, A::Error> {
                Vec::<Grid>::deserialize(SeqAccessDeserializer::new(seq)).map(SweepText)
            }
        }

        deserializer.deserialize_any(Grids)
    }
}

type Grid = BTreeMap<String, Axis>;

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a list of values, or { from, to, step } or { from, to, count }")]
pub(super) enum Axis {
    List(Vec<Scalar>),
    Range(Range),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    from: Number,
    to: Number,
    step: Option<Number>,
    count: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged, expecting = "a number")]
enum Number {
    Whole(i64),
    Real(f64),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number, a text, true or false")]
pub(super) enum Scalar {
    Truth(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

/// The parameters of all tasks: header and rows as CSV, and the number of rows.
pub(super) fn table(path: &Path, sweep: &SweepText) -> Result<(String, u32), Problem> {
    let wrong = |detail: String, advice: &str| mistake(path, detail, advice);
    let grids = &sweep.0;
    if grids.is_empty() || grids.len() > MAX_GRIDS {
        let detail = format!("the sweep has {} grids, it must have 1 to {MAX_GRIDS}", grids.len());
        return Err(wrong(detail, "write one [sweep], or a few [[sweep]]"));
    }
    let names: Vec<String> = grids[0].keys().cloned().collect();
    check_names(path, &names)?;
    let mut text = names.join(",") + "\n";
    let mut rows = 0_u32;
    for grid in grids {
        if !grid.keys().eq(names.iter()) {
            let detail = "the grids of the sweep have different parameters".to_owned();
            return Err(wrong(
                detail,
                "give each [[sweep]] the same names; a list may have one value",
            ));
        }
        let axes: Vec<Vec<String>> = grid
            .iter()
            .map(|(name, axis)| values(axis).map_err(|detail| (name, detail)))
            .collect::<Result<_, _>>()
            .map_err(|(name, detail)| {
                wrong(
                    format!("sweep.{name}: {detail}"),
                    "write a list of values, or { from = 0.1, to = 0.9, step = 0.1 }",
                )
            })?;
        rows = rows.saturating_add(multiply(&axes, &mut text).ok_or_else(|| {
            wrong(
                format!("the sweep's table has more than {MAX_TABLE_BYTES} bytes"),
                "use fewer values, or let the program compute its parameters from its task's number",
            )
        })?);
    }
    Ok((text, rows))
}

fn check_names(path: &Path, names: &[String]) -> Result<(), Problem> {
    let plain = |name: &String| {
        name.len() <= MAX_WORD
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && !OWN_COLUMNS.contains(&name.as_str())
    };
    if names.is_empty() || names.len() > MAX_PARAMETERS {
        let detail = format!("the sweep has {} parameters", names.len());
        return Err(mistake(path, detail, "give it 1 to 16"));
    }
    if let Some(name) = names.iter().find(|name| !plain(name)) {
        return Err(mistake(
            path,
            format!("{name:?} cannot be the name of a parameter"),
            "use letters, digits, _ and -, and not task, status, output or file",
        ));
    }
    Ok(())
}

/// Writes every combination, the last axis fastest; `None` when the table grows too large.
fn multiply(axes: &[Vec<String>], text: &mut String) -> Option<u32> {
    let mut at = vec![0_usize; axes.len()];
    let mut rows = 0_u32;
    loop {
        for (place, (axis, value)) in axes.iter().zip(&at).enumerate() {
            if place > 0 {
                text.push(',');
            }
            text.push_str(&axis[*value]);
        }
        text.push('\n');
        rows = rows.checked_add(1)?;
        if text.len() > MAX_TABLE_BYTES {
            return None;
        }
        // Like an odometer.
        let mut place = axes.len();
        loop {
            let Some(before) = place.checked_sub(1) else { return Some(rows) };
            place = before;
            at[place] += 1;
            if at[place] < axes[place].len() {
                break;
            }
            at[place] = 0;
        }
    }
}

/// The values of one parameter as the table shows them; never empty.
fn values(axis: &Axis) -> Result<Vec<String>, String> {
    match axis {
        Axis::List(list) if list.is_empty() => Err("the list is empty".to_owned()),
        Axis::List(list) if list.len() > MAX_VALUES => {
            Err(format!("{} values are more than {MAX_VALUES}", list.len()))
        }
        Axis::List(list) => list.iter().map(scalar).collect(),
        Axis::Range(range) => self::range(range),
    }
}

fn scalar(value: &Scalar) -> Result<String, String> {
    match value {
        Scalar::Truth(value) => Ok(value.to_string()),
        Scalar::Whole(value) => Ok(value.to_string()),
        Scalar::Real(value) if value.is_finite() => Ok(value.to_string()),
        Scalar::Real(value) => Err(format!("{value} is not a number to compute with")),
        Scalar::Text(text) => {
            let plain = |c: char| !c.is_control() && !matches!(c, ',' | '"');
            if text.is_empty() || text.len() > MAX_WORD || !text.chars().all(plain) {
                return Err(format!(
                    "{text:?}: a text has 1 to {MAX_WORD} bytes, no comma, quote or control character"
                ));
            }
            Ok(text.clone())
        }
    }
}

/// A number as a decimal: its digits as a whole number, and how many of them follow the point.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    fn of(number: Number) -> Option<Self> {
        let text = match number {
            Number::Whole(value) => value.to_string(),
            // The shortest text that gives the number back: what was written, in sane cases.
            Number::Real(value) if value.abs() < MAX_NUMBER => value.to_string(),
            Number::Real(_) => return None,
        };
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let places = u32::try_from(part.len()).ok().filter(|places| *places <= MAX_DIGITS)?;
        Some(Self { digits: format!("{whole}{part}").parse().ok()?, places })
    }

    /// The digits with so many after the point.
    fn scaled(self, places: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(places.checked_sub(self.places)?)?)
    }

    fn text(digits: i128, places: u32) -> String {
        if places == 0 {
            return digits.to_string();
        }
        let width = places as usize + 1;
        let all = format!("{:0width$}", digits.unsigned_abs());
        let (whole, part) = all.split_at(all.len() - places as usize);
        format!("{}{whole}.{part}", if digits < 0 { "-" } else { "" })
    }
}

fn range(range: &Range) -> Result<Vec<String>, String> {
    match (range.step, range.count) {
        (Some(_), Some(_)) => Err("step and count together".to_owned()),
        (None, Some(count)) => spread(range, count),
        (step, None) => stepped(range, step),
    }
}

fn stepped(range: &Range, step: Option<Number>) -> Result<Vec<String>, String> {
    let whole = matches!((range.from, range.to), (Number::Whole(_), Number::Whole(_)));
    let step = match step {
        Some(step) => step,
        None if whole => Number::Whole(1),
        None => return Err("step or count is missing".to_owned()),
    };
    let too_long = || "a number has too many digits".to_owned();
    let read = |number| Decimal::of(number).ok_or_else(too_long);
    let (from, to, step) = (read(range.from)?, read(range.to)?, read(step)?);
    let places = from.places.max(to.places).max(step.places);
    let scaled = |number: Decimal| number.scaled(places).ok_or_else(too_long);
    let (from, to, step) = (scaled(from)?, scaled(to)?, scaled(step)?);
    if step == 0 || (to - from).signum() * step.signum() < 0 {
        return Err("the step does not lead from `from` to `to`".to_owned());
    }
    let steps = (to - from) / step;
    if steps >= MAX_VALUES as i128 {
        return Err(format!("it has more than {MAX_VALUES} values"));
    }
    Ok((0..=steps).map(|index| Decimal::text(from + index * step, places)).collect())
}

/// So many values at even distances, both ends among them. Numbers are as exact as the machine's.
fn spread(range: &Range, count: u32) -> Result<Vec<String>, String> {
    #[allow(clippy::cast_precision_loss, reason = "parameters of programs, not money")]
    let real = |number| match number {
        Number::Whole(value) => value as f64,
        Number::Real(value) => value,
    };
    let (from, to) = (real(range.from), real(range.to));
    if !(from.is_finite() && to.is_finite() && (to - from).is_finite()) {
        return Err("from and to must be numbers".to_owned());
    }
    if count == 0 || count as usize > MAX_VALUES {
        return Err(format!("count is {count}, it must be 1 to {MAX_VALUES}"));
    }
    let last = f64::from(count - 1).max(1.0);
    let value = |index: u32| {
        if index > 0 && index == count - 1 {
            return to.to_string();
        }
        (from + (to - from) * f64::from(index) / last).to_string()
    };
    Ok((0..count).map(value).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        sweep: SweepText,
    }

    fn swept(text: &str) -> Result<(String, u32), String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        table(Path::new("job.toml"), &file.sweep).map_err(|problem| problem.detail)
    }

    #[test]
    fn every_combination_is_a_row_in_a_stable_order() {
        let (text, rows) = swept(
            "[sweep]\nb = [1, 2]\na = [\"x\", true, 0.5]\nc = { from = 3, to = 2, step = -1 }",
        )
        .unwrap();
        assert_eq!(rows, 12);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..6], ["a,b,c", "x,1,3", "x,1,2", "x,2,3", "x,2,2", "true,1,3"]);
        assert_eq!(lines[12], "0.5,2,2");
    }

    #[test]
    fn steps_are_counted_in_decimal() {
        let (text, rows) = swept("sweep.x = { from = 0.1, to = 0.9, step = 0.1 }").unwrap();
        assert_eq!(rows, 9);
        assert_eq!(text, "x\n0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7\n0.8\n0.9\n");
        let (text, _) = swept("sweep.x = { from = -0.05, to = 0.05, step = 0.05 }").unwrap();
        assert_eq!(text, "x\n-0.05\n0.00\n0.05\n");
        let (text, _) = swept("sweep.x = { from = 0, to = 1, count = 5 }").unwrap();
        assert_eq!(text, "x\n0\n0.25\n0.5\n0.75\n1\n");
        let (text, _) = swept("sweep.x = { from = 7, to = 9 }").unwrap();
        assert_eq!(text, "x\n7\n8\n9\n");
    }

    #[test]
    fn several_grids_follow_each_other() {
        let (text, rows) =
            swept("[[sweep]]\nx = [1, 2]\ny = [3]\n[[sweep]]\nx = [9]\ny = [8, 7]").unwrap();
        assert_eq!((text.as_str(), rows), ("x,y\n1,3\n2,3\n9,8\n9,7\n", 4));
    }

    #[test]
    fn mistakes_and_floods_are_refused() {
        for (text, names) in [
            ("sweep.x = []", "empty"),
            ("sweep = {}", "0 parameters"),
            ("sweep = []", "0 grids"),
            ("sweep.x = [nan]", "NaN"),
            ("sweep.x = [\"a,b\"]", "comma"),
            ("sweep.x = [\"a\\nb\"]", "control"),
            ("sweep.x = [[1]]", "list of values"),
            ("sweep.\"a b\" = [1]", "name of a parameter"),
            ("sweep.status = [1]", "name of a parameter"),
            ("sweep.x = { from = 0, to = 1, step = 0 }", "step"),
            ("sweep.x = { from = 0, to = 1, step = -1 }", "step"),
            ("sweep.x = { from = 0.5, to = 1 }", "missing"),
            ("sweep.x = { from = 0, to = 1, step = 1, count = 2 }", "together"),
            ("sweep.x = { from = 0, to = 1, count = 0 }", "count"),
            ("sweep.x = { from = 0, to = 1, count = 4000000000 }", "count"),
            ("sweep.x = { from = 0, to = 9223372036854775807 }", "more than"),
            ("sweep.x = { from = -inf, to = 1, count = 3 }", "numbers"),
            ("sweep.x = { from = 0, to = 1, step = 1e-300 }", "digits"),
            ("sweep.x = { from = 0, to = 1, stop = 2 }", "list of values"),
            ("[[sweep]]\nx = [1]\n[[sweep]]\ny = [1]", "different"),
        ] {
            let detail = swept(text).unwrap_err();
            assert!(detail.contains(names), "{text}: {detail}");
        }
        let flood: String = ["a", "b", "c", "d", "e", "f"]
            .map(|name| format!("sweep.{name} = {{ from = 1, to = 9999 }}\n"))
            .concat();
        assert!(swept(&flood).unwrap_err().contains("bytes"));
    }

    proptest! {
        /// As many rows as combinations, all of them distinct and in order.
        #[test]
        fn rows_are_all_combinations(sizes in proptest::collection::vec(1_i64..6, 1..5)) {
            let text: String = sizes
                .iter()
                .enumerate()
                .map(|(axis, size)| format!("sweep.p{axis} = {{ from = 1, to = {size} }}\n"))
                .collect();
            let (table, rows) = swept(&text).unwrap();
            prop_assert_eq!(i64::from(rows), sizes.iter().product::<i64>());
            let lines: Vec<&str> = table.lines().skip(1).collect();
            prop_assert!(lines.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn ranges_end_where_they_should(from in -500_i64..500, steps in 0_i64..200, step in 1_i64..50) {
            // In hundredths, as a person would write them.
            let shown = |value: i64| format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100);
            let to = from + steps * step;
            let line = format!("sweep.x = {{ from = {}, to = {}, step = {} }}", shown(from), shown(to), shown(step));
            let (table, rows) = swept(&line).unwrap();
            prop_assert_eq!(i64::from(rows), steps + 1);
            let last: f64 = table.lines().last().unwrap().parse().unwrap();
            prop_assert_eq!(last, shown(to).parse::<f64>().unwrap());
        }
    }
}
