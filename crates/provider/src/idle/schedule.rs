//! Weekly hours by the wall clock.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike as _, Local, Timelike as _, Utc};
use tilth_service::options::{OptionError, Row, Setting, TomlValue};

use super::{read_text, text_row};
use crate::machine::Millis;

/// Minutes of a day and of a week.
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
/// Most windows in a schedule.
const MAX_WINDOWS: usize = 64;
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A list of windows; an empty one allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule(Vec<Window>);

/// The same hours on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bit 0 is Monday.
    days: u8,
    /// Minute of the day at which it opens, below 1440.
    from: u16,
    /// Minute at which it closes, 1 to 1440; not later than `from` means on the next day.
    to: u16,
}

/// Why a window was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// There are no hours in it.
    #[error("hours are written like 22:00-07:00")]
    Hours,
    /// A day is unknown.
    #[error("days are written like mon-fri or sat,sun")]
    Days,
    /// It opens and closes at the same minute.
    #[error("a whole day is written 00:00-24:00")]
    Empty,
}

/// Whose wall clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// The zone this system is set to (`TZ`, or `/etc/localtime`), with its daylight saving.
    Local,
    /// Universal time, which has none.
    Utc,
}

impl Schedule {
    /// Whether a minute of the week (0 is Monday 00:00) is within the hours.
    pub fn allows(&self, week_minute: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|window| window.contains(week_minute))
    }

    /// Whether everything is allowed because nothing is written.
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }
}

impl Window {
    fn contains(self, week_minute: u16) -> bool {
        let (day, minute) = ((week_minute / DAY) % 7, week_minute % DAY);
        let on = |day: u16| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            on(day) && (self.from..self.to).contains(&minute)
        } else {
            (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
        }
    }
}

impl TimeZone {
    /// The minute of the week at a moment, by this clock.
    pub fn week_minute(self, now: Millis) -> u16 {
        let now = i64::try_from(now).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
        let now = now.unwrap_or_default();
        match self {
            Self::Utc => minute_of(&now),
            Self::Local => minute_of(&now.with_timezone(&Local)),
        }
    }
}

fn minute_of<Z: chrono::TimeZone>(time: &DateTime<Z>) -> u16 {
    let days = time.weekday().num_days_from_monday();
    let minutes = days * 1_440 + time.hour() * 60 + time.minute();
    u16::try_from(minutes).unwrap_or(0) % WEEK
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let text = text.trim();
        let (days, hours) = text.rsplit_once(' ').unwrap_or(("", text));
        let (from, to) = hours.split_once('-').ok_or(WindowError::Hours)?;
        let (from, to) = (minute(from)?, minute(to)?);
        if from == to || from >= DAY || to == 0 && from == 0 {
            return Err(WindowError::Empty);
        }
        // Midnight as an end is the end of the day.
        let to = if to == 0 { DAY } else { to };
        Ok(Self { days: days_of(days.trim())?, from, to })
    }
}

fn minute(text: &str) -> Result<u16, WindowError> {
    let (hour, minute) = text.split_once(':').ok_or(WindowError::Hours)?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return Err(WindowError::Hours);
    }
    let number = |text: &str| text.parse::<u16>().map_err(|_| WindowError::Hours);
    let (hour, minute) = (number(hour)?, number(minute)?);
    if minute > 59 || hour * 60 + minute > DAY {
        return Err(WindowError::Hours);
    }
    Ok(hour * 60 + minute)
}

/// Bits of days such as `mon-fri` or `sat,sun`; none written are all.
fn days_of(text: &str) -> Result<u8, WindowError> {
    if text.is_empty() {
        return Ok(0x7f);
    }
    let day = |name: &str| NAMES.iter().position(|known| name.trim().eq_ignore_ascii_case(known));
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = day(first).zip(day(last)).ok_or(WindowError::Days)?;
        // `sat-mon` goes over the end of the week.
        let count = (last + 7 - first) % 7;
        (0..=count).for_each(|step| bits |= 1 << ((first + step) % 7));
    }
    Ok(bits)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> =
            (0..7).filter(|day| self.days & (1 << day) != 0).map(|day| NAMES[day]).collect();
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        if days.len() < 7 {
            write!(f, "{} ", days.join(","))?;
        }
        write!(f, "{}-{}", time(self.from), time(self.to))
    }
}

impl Setting for Schedule {
    fn read(&mut self, key: &str, value: TomlValue) -> Result<(), OptionError> {
        let mut texts = Vec::new();
        match &value {
            // In a flag or variable; days may hold commas, so windows are parted by semicolons there.
            TomlValue::String(text) => {
                texts.extend(text.split(';').filter(|t| !t.trim().is_empty()).map(str::to_owned));
            }
            _ => texts.read(key, value.clone())?,
        }
        let refused = |text: &str, why: String| OptionError::Value {
            key: key.to_owned(),
            found: format!("{text:?}"),
            expected: why,
        };
        if texts.len() > MAX_WINDOWS {
            return Err(refused("so long a list", format!("at most {MAX_WINDOWS} windows")));
        }
        let windows = texts.iter().map(|text| {
            text.parse().map_err(|error: WindowError| refused(text, error.to_string()))
        });
        self.0 = windows.collect::<Result<_, _>>()?;
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        texts.describe(key, doc, rows);
    }
}

impl FromStr for TimeZone {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "local" => Ok(Self::Local),
            "utc" => Ok(Self::Utc),
            _ => Err("set the system's zone, or TZ for the provider, to use another"),
        }
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Utc { "utc" } else { "local" })
    }
}

impl Setting for TimeZone {
    fn read(&mut self, key: &str, value: TomlValue) -> Result<(), OptionError> {
        read_text(self, key, &value, "local or utc")
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        rows.push(text_row(self, key, doc, "local or utc"));
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, TimeZone as _};
    use proptest::prelude::*;

    use super::*;

    fn schedule(windows: &[&str]) -> Schedule {
        Schedule(windows.iter().map(|text| text.parse().unwrap()).collect())
    }

    /// Monday is day 0.
    fn at(day: u16, hour: u16, minute: u16) -> u16 {
        day * DAY + hour * 60 + minute
    }

    #[test]
    fn windows_cross_midnight_and_the_end_of_the_week() {
        let nights = schedule(&["mon-fri 22:00-07:00"]);
        for (minute, allowed) in [
            (at(0, 6, 59), false), // Monday morning belongs to Sunday's night
            (at(0, 22, 0), true),
            (at(1, 6, 59), true),
            (at(1, 7, 0), false),
            (at(5, 6, 59), true), // Friday's night
            (at(5, 22, 0), false),
        ] {
            assert_eq!(nights.allows(minute), allowed, "{minute}");
        }
        let sunday = schedule(&["sun 22:00-07:00"]);
        assert!(
            sunday.allows(at(6, 23, 0))
                && sunday.allows(at(0, 3, 0))
                && !sunday.allows(at(1, 3, 0))
        );
        assert!(schedule(&["sat-mon 08:00-09:00"]).allows(at(6, 8, 30)));
        assert!(
            schedule(&["18:00-00:00"]).allows(at(2, 23, 59)) && schedule(&[]).allows(at(3, 3, 3))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "",
            "mon",
            "22-07",
            "mon 25:00-26:00",
            "mon 10:61-11:00",
            "xyz 10:00-11:00",
            "10:00-10:00",
            "mon- 10:00-11:00",
            "24:00-07:00",
            "+1:00-02:00",
            "00:00-00:00",
        ] {
            assert!(wrong.parse::<Window>().is_err(), "{wrong:?}");
        }
        let mut schedule = Schedule::default();
        let error = schedule.read("idle.schedule", TomlValue::from(vec!["mon 9-5"])).unwrap_err();
        assert!(error.to_string().contains("22:00-07:00"), "{error}");
        schedule.read("x", TomlValue::from("mon,tue 10:00-11:00; 20:00-24:00")).unwrap();
        assert_eq!(schedule.0.len(), 2);
    }

    /// The night of the change in Vienna, 2026: 01:59 CET is followed by 03:00 CEST on 29 March, and
    /// 02:59 CEST by 02:00 CET on 25 October.
    #[test]
    fn the_wall_clock_decides_when_daylight_saving_changes() {
        let window = schedule(&["sun 02:00-03:00"]);
        let open = |zone_s: i32, time: DateTime<Utc>| {
            window.allows(minute_of(&time.with_timezone(&FixedOffset::east_opt(zone_s).unwrap())))
        };
        let (cet, cest) = (3_600, 7_200);
        let change = Utc.with_ymd_and_hms(2026, 3, 29, 1, 0, 0).unwrap();
        let minutes = |from: i64, to: i64| (from..to).map(chrono::TimeDelta::minutes);
        assert!(minutes(-60, 0).all(|m| !open(cet, change + m)), "before, it is not yet two");
        assert!(minutes(0, 60).all(|m| !open(cest, change + m)), "then it is three at once");
        let change = Utc.with_ymd_and_hms(2026, 10, 25, 1, 0, 0).unwrap();
        assert!(minutes(-60, 0).all(|m| open(cest, change + m)), "two o'clock the first time");
        assert!(minutes(0, 60).all(|m| open(cet, change + m)), "and the second time");
        assert!(!open(cet, change + chrono::TimeDelta::minutes(60)));
    }

    #[test]
    fn a_moment_has_its_minute() {
        // 2026-11-28 was a Saturday.
        let noon = Utc.with_ymd_and_hms(2026, 11, 28, 12, 34, 56).unwrap();
        let now = u64::try_from(noon.timestamp_millis()).unwrap();
        assert_eq!(TimeZone::Utc.week_minute(now), at(5, 12, 34));
        assert!(
            TimeZone::Local.week_minute(now) < WEEK && TimeZone::Utc.week_minute(u64::MAX) < WEEK
        );
    }

    proptest! {
        #[test]
        fn a_window_is_open_for_as_long_as_it_says(days in 1_u8..128, from in 0_u16..DAY, length in 1_u16..DAY) {
            let end = (from + length) % DAY;
            let window = Window { days, from, to: if end == 0 { DAY } else { end } };
            let read: Window = window.to_string().parse().unwrap();
            prop_assert_eq!(read, window);
            // Opened minute by minute from the start of every day that is on.
            let mut open = vec![false; usize::from(WEEK)];
            for day in (0..7).filter(|day| days & (1 << day) != 0) {
                for minute in 0..length {
                    open[usize::from((day * DAY + from + minute) % WEEK)] = true;
                }
            }
            for minute in 0..WEEK {
                prop_assert_eq!(window.contains(minute), open[usize::from(minute)], "{}", minute);
            }
        }
    }
}
