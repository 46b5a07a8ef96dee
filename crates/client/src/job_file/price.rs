//! The `[price]` table of a job file: one price, or a clock.

use std::path::Path;

use serde::Deserialize;
use tilth_protocol::{Clock, Price, Problem, clock::MIN_FINISH_S};
use tilth_service::TimeSpan;

use super::mistake;

/// The table as written. Which fields belong together is said by [`price_rule`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PriceText {
    #[serde(default)]
    kind: PriceKind,
    #[serde(alias = "per-unit")]
    per_gfuel: Option<String>,
    floor: Option<String>,
    cap: Option<String>,
    finish: Option<TimeSpan>,
}

/// How the price of a unit is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PriceKind {
    #[default]
    Posted,
    Clock,
}

/// One price, or a clock with its cap as the price.
pub(super) fn price_rule(path: &Path, text: &PriceText) -> Result<(Price, Option<Clock>), Problem> {
    let read = |field: &str, value: &Option<String>| {
        let Some(value) = value else {
            let detail = format!("price.{field} is missing");
            let advice = "a posted price has `per-gfuel`; a clock has `floor`, `cap` and `finish`";
            return Err(mistake(path, detail, advice));
        };
        let price = Price::from_grain_per_gfuel(value).map_err(|error| {
            mistake(path, format!("price.{field}: {error}"), "write a decimal number in quotes")
        })?;
        if price.0 == 0 {
            let detail = format!("price.{field} is zero, or too small to be paid");
            return Err(mistake(path, detail, "offer at least 0.000000000000001 GRAIN per Gfuel"));
        }
        Ok(price)
    };
    let of_the_clock = text.floor.is_some() || text.cap.is_some() || text.finish.is_some();
    let of_the_other = match text.kind {
        PriceKind::Posted => of_the_clock,
        PriceKind::Clock => text.per_gfuel.is_some(),
    };
    if of_the_other {
        let detail =
            "[price] mixes `per-gfuel` of a posted price with fields of a clock".to_owned();
        let advice = "write kind = \"clock\" with `floor`, `cap` and `finish`, or only `per-gfuel`";
        return Err(mistake(path, detail, advice));
    }
    if text.kind == PriceKind::Posted {
        return Ok((read("per-gfuel", &text.per_gfuel)?, None));
    }
    let (floor, cap) = (read("floor", &text.floor)?, read("cap", &text.cap)?);
    if floor > cap {
        return Err(mistake(path, "price.floor is above price.cap".into(), "swap the two"));
    }
    let finish = text.finish.map_or(0, |finish| std::time::Duration::from(finish).as_secs());
    let finish_s = u32::try_from(finish).ok().filter(|finish| *finish >= MIN_FINISH_S);
    let finish_s = finish_s.ok_or_else(|| {
        let detail = format!("price.finish is {finish} s, it must be at least {MIN_FINISH_S} s");
        mistake(path, detail, "write when all tasks should be given out, such as \"2h\"")
    })?;
    Ok((cap, Some(Clock { floor, cap, finish_s })))
}
