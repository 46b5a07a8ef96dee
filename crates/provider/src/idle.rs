//! When a machine works for others: never against its owner.
//!
//! [`Idle`] decides, as a pure state machine: what is seen goes in, the reasons to rest come out; with no
//! reason the machine may work. `senses` looks, `watch` carries the two together. What cannot be seen
//! never makes the machine rest, and is said aloud.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use tilth_service::options::{OptionError, Row, Setting, TomlValue};

use crate::machine::{Millis, Rest};

mod schedule;
pub(crate) mod watch;

pub use schedule::{Schedule, TimeZone, Window, WindowError};

tilth_service::options! {
    /// When the machine works for others. Pausing by hand (`tilth provider pause`) comes on top of this.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct IdleRules {
        /// Work only while nobody uses the machine: no input from people, no load by other programs, no
        /// other use of its graphics cards. What this system does not let a provider see is said by
        /// `tilth provider status` and in the log, and is taken for idle.
        pub only_when_idle: bool = false,
        /// How long keyboard, mouse and terminals must have been quiet. Keyboard and mouse can only be heard
        /// while the provider runs, so it counts them from its own start.
        pub input_quiet: Duration = Duration::from_secs(300),
        /// How much of all processors other programs may use, 1 to 100 percent.
        pub cpu_percent: u32 = 30,
        /// How much of a graphics card other programs may use, 1 to 100 percent.
        pub gpu_percent: u32 = 20,
        /// Other programs must use more than that for so long before the machine rests; a short peak is
        /// nothing.
        pub busy_time: Duration = Duration::from_secs(10),
        /// They must use less for so long before it works again.
        pub quiet_time: Duration = Duration::from_secs(60),
        /// When it may work at all, by the clock on the wall: a list of windows such as
        /// `mon-fri 22:00-07:00` (until the next morning) or `sat,sun 00:00-24:00`. An empty list is always.
        /// When the clock is put forward the hour left out is missing from a window, when it is put back the
        /// hour that comes twice counts twice.
        pub schedule: Schedule = Schedule::default(),
        /// Whose clock: `local`, the zone that this system is set to, or `utc`.
        pub time_zone: TimeZone = TimeZone::Local,
        /// Whether to work while the machine runs on battery.
        pub on_battery: bool = false,
        /// What happens to work that runs when the owner comes: `pause` (it stands still and keeps its
        /// memory; when it would not be done in time any more it is given back), `finish` (it runs to its
        /// end, and so does what was claimed before and cannot be given back for nothing), or `release` (it is
        /// given back at once and its memory is free, that of models that are sold, too). With `pause` and `release`
        /// downloads and compiling are left off, too.
        pub when_busy: WhenBusy = WhenBusy(Rest::Freeze),
        /// How often to look, from 250ms on.
        pub look_every: Duration = Duration::from_secs(2),
    }
}

impl IdleRules {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A share that is never reached, or reached by a machine where nothing runs: in words.
    pub fn check(&self) -> Result<(), String> {
        for (name, percent) in [("cpu", self.cpu_percent), ("gpu", self.gpu_percent)] {
            if !(1..=100).contains(&percent) {
                return Err(format!("idle.{name}-percent is {percent}"));
            }
        }
        Ok(())
    }
}

/// How [`IdleRules::when_busy`] is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhenBusy(pub Rest);

/// What was seen at a moment. `None`: this system does not let us see it, or nobody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether the owner has paused the provider.
    pub by_hand: bool,
    /// Minute of the week by the wall clock, 0 is Monday 00:00; below 10,080.
    pub week_minute: u16,
    /// Whether the machine runs on battery.
    pub on_battery: Option<bool>,
    /// Milliseconds since the last input of a person.
    pub input_quiet_ms: Option<u64>,
    /// Share of all processors that others use, 0 to 100.
    pub cpu_percent: Option<u8>,
    /// Share of the busiest graphics card that others use, 0 to 100.
    pub gpu_percent: Option<u8>,
}

/// Why the machine does not work for others now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The owner said so.
    Paused,
    /// It is outside the hours.
    Schedule,
    /// It runs on battery.
    Battery,
    /// Somebody uses keyboard, mouse or a terminal.
    Input,
    /// Other programs need the processors.
    Load,
    /// Other programs need the graphics card.
    Gpu,
}

/// The decision. See the module's head.
#[derive(Clone, Debug)]
pub struct Idle {
    rules: IdleRules,
    load: Level,
    gpu: Level,
}

impl Idle {
    /// Begins as if everything had been quiet.
    pub fn new(rules: IdleRules) -> Self {
        Self { rules, load: Level::default(), gpu: Level::default() }
    }

    /// Takes in what was seen at `now` and says why not to work. The clock may jump either way.
    pub fn step(&mut self, seen: &Observation, now: Millis) -> BTreeSet<Reason> {
        let rules = &self.rules;
        let above =
            |percent: Option<u8>, most: u32| percent.map(|percent| u32::from(percent) > most);
        let (busy, quiet) = (millis(rules.busy_time), millis(rules.quiet_time));
        let loaded = self.load.step(above(seen.cpu_percent, rules.cpu_percent), now, busy, quiet);
        let drawing = self.gpu.step(above(seen.gpu_percent, rules.gpu_percent), now, busy, quiet);
        let touched = seen.input_quiet_ms.is_some_and(|quiet| quiet < millis(rules.input_quiet));
        [
            (Reason::Paused, seen.by_hand),
            (Reason::Schedule, !rules.schedule.allows(seen.week_minute)),
            (Reason::Battery, seen.on_battery == Some(true) && !rules.on_battery),
            (Reason::Input, rules.only_when_idle && touched),
            (Reason::Load, rules.only_when_idle && loaded),
            (Reason::Gpu, rules.only_when_idle && drawing),
        ]
        .into_iter()
        .filter_map(|(reason, holds)| holds.then_some(reason))
        .collect()
    }
}

/// Above or below a line, with patience in both directions.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    busy: bool,
    /// Since when the other side of the line has been seen without a break.
    turned: Option<Millis>,
}

impl Level {
    fn step(&mut self, above: Option<bool>, now: Millis, busy_ms: u64, quiet_ms: u64) -> bool {
        match above {
            // What cannot be seen any more is taken for quiet.
            None => *self = Self::default(),
            Some(above) if above == self.busy => self.turned = None,
            Some(above) => {
                // A clock that was set back begins the wait anew.
                let since = self.turned.filter(|since| *since <= now).unwrap_or(now);
                let patience = if above { busy_ms } else { quiet_ms };
                if now.saturating_sub(since) >= patience {
                    *self = Self { busy: above, turned: None };
                } else {
                    self.turned = Some(since);
                }
            }
        }
        self.busy
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Reason {
    /// For a sentence: "because ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "the owner paused it",
            Self::Schedule => "it is outside the hours of the schedule",
            Self::Battery => "the machine runs on battery",
            Self::Input => "somebody uses the machine",
            Self::Load => "other programs need the processors",
            Self::Gpu => "other programs need the graphics card",
        })
    }
}

impl FromStr for WhenBusy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "pause" => Rest::Freeze,
            "finish" => Rest::Finish,
            "release" => Rest::Release,
            _ => return Err("there is no such way".into()),
        }))
    }
}

impl fmt::Display for WhenBusy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Rest::Freeze => "pause",
            Rest::Finish => "finish",
            Rest::Release => "release",
        })
    }
}

impl Setting for WhenBusy {
    fn read(&mut self, key: &str, value: TomlValue) -> Result<(), OptionError> {
        read_text(self, key, &value, WHEN_BUSY)
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        rows.push(text_row(self, key, doc, WHEN_BUSY));
    }
}

const WHEN_BUSY: &str = "pause, finish or release";

/// Reads an option that is written as a text.
fn read_text<T: FromStr<Err: fmt::Display>>(
    target: &mut T,
    key: &str,
    value: &TomlValue,
    kind: &'static str,
) -> Result<(), OptionError> {
    let refused = |why: String| OptionError::Value {
        key: key.to_owned(),
        found: value.to_string(),
        expected: format!("{kind}{why}"),
    };
    let text = value.as_str().ok_or_else(|| refused(String::new()))?;
    *target = text.parse().map_err(|error| refused(format!(" ({error})")))?;
    Ok(())
}

fn text_row(value: &impl fmt::Display, key: &str, doc: &str, kind: &'static str) -> Row {
    Row {
        key: key.to_owned(),
        doc: doc.to_owned(),
        value: Some(TomlValue::String(value.to_string()).to_string()),
        kind,
        is_group: false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Millis = 1_790_000_000_000;

    fn rules() -> IdleRules {
        IdleRules { only_when_idle: true, ..IdleRules::default() }
    }

    fn calm() -> Observation {
        Observation {
            input_quiet_ms: Some(600_000),
            cpu_percent: Some(1),
            gpu_percent: Some(0),
            on_battery: Some(false),
            ..Observation::default()
        }
    }

    fn seen() -> impl Strategy<Value = Observation> {
        (
            any::<bool>(),
            0_u16..10_080,
            any::<Option<bool>>(),
            proptest::option::of(0_u64..900_000),
            proptest::option::of(0_u8..=100),
            proptest::option::of(0_u8..=100),
        )
            .prop_map(
                |(by_hand, week_minute, on_battery, input_quiet_ms, cpu_percent, gpu_percent)| {
                    Observation {
                        by_hand,
                        week_minute,
                        on_battery,
                        input_quiet_ms,
                        cpu_percent,
                        gpu_percent,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_plain_decides_at_once_and_load_only_after_its_time(
            sights in prop::collection::vec((seen(), 0_u64..40_000), 1..60),
        ) {
            let mut idle = Idle::new(rules());
            let mut now = START;
            // How long load has been on the other side of the line, counted by hand.
            let (mut was_busy, mut other_side_since) = (false, None::<Millis>);
            for (sight, pause) in sights {
                now += pause;
                let reasons = idle.step(&sight, now);
                prop_assert_eq!(reasons.contains(&Reason::Paused), sight.by_hand);
                prop_assert!(!reasons.contains(&Reason::Schedule), "an empty schedule is always");
                prop_assert_eq!(reasons.contains(&Reason::Battery), sight.on_battery == Some(true));
                let touched = sight.input_quiet_ms.is_some_and(|quiet| quiet < 300_000);
                prop_assert_eq!(reasons.contains(&Reason::Input), touched);
                let busy = reasons.contains(&Reason::Load);
                let above = sight.cpu_percent.map(|percent| percent > 30);
                match above {
                    None => prop_assert!(!busy, "what is not seen is no reason"),
                    Some(above) if above == was_busy => prop_assert_eq!(busy, was_busy),
                    Some(above) => {
                        let since = *other_side_since.get_or_insert(now);
                        let patience = if above { 10_000 } else { 60_000 };
                        prop_assert_eq!(busy, (now - since >= patience) == above);
                    }
                }
                if above.is_none_or(|above| above == busy) {
                    other_side_since = None;
                }
                was_busy = busy;
            }
        }

        #[test]
        fn after_a_quiet_minute_work_begins_whatever_was_before(
            sights in prop::collection::vec((seen(), 0_u64..4_000_000_000_000), 0..30),
        ) {
            let mut idle = Idle::new(rules());
            // The clock jumps as it likes.
            for (sight, now) in sights {
                idle.step(&sight, now);
            }
            idle.step(&calm(), START);
            prop_assert_eq!(idle.step(&calm(), START + 60_000), BTreeSet::new());
        }

        #[test]
        fn without_the_rule_only_hand_hours_and_battery_count(sight in seen()) {
            let mut idle = Idle::new(IdleRules { on_battery: true, ..IdleRules::default() });
            idle.step(&sight, START);
            let reasons = idle.step(&sight, START + 600_000);
            prop_assert_eq!(reasons.is_empty(), !sight.by_hand, "{:?}", reasons);
        }
    }

    #[test]
    fn ways_to_rest_are_written_as_they_are_read() {
        for text in ["pause", "finish", "release"] {
            assert_eq!(text.parse::<WhenBusy>().unwrap().to_string(), text);
        }
        let mut rules = IdleRules::default();
        let error = tilth_service::options::read(&mut rules, "when-busy = \"stop\"").unwrap_err();
        assert!(error.to_string().contains("pause, finish or release"), "{error}");
        tilth_service::options::read(
            &mut rules,
            "when-busy = \"release\"\nschedule = [\"22:00-07:00\"]",
        )
        .unwrap();
        assert_eq!(rules.when_busy, WhenBusy(Rest::Release));
    }
}
