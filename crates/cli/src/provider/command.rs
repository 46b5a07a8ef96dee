//! `tilth provider pause` and `resume`, and how a provider is told anything.

use std::{process::ExitCode, time::Duration};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tilth_client::clock;
use tilth_protocol::Problem;
use tilth_provider::{Control, ControlError, Reason, Totals, Wish};

use super::{check_name, folder, stake::moment};
use crate::{Ended, args::Common, print_json};

/// `time`: when it ends by itself; without, `resume` does.
pub async fn pause(common: &Common, name: &str, time: Option<Duration>) -> Ended {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let wish = time.map_or(Wish::Pause, |time| Wish::PauseUntil {
        until: clock::now().saturating_add(millis(time)),
    });
    let (control, answer) = tell(common, name, wish).await?;
    let end = control.paused_until().map(|end| format!(" until {}", moment(end / 1_000)));
    let end = end.unwrap_or_default();
    match answer {
        answer if common.json => print_json(&shown(true, answer))?,
        Some(answer) => {
            println!("provider {name} is paused{end}");
            if let Some(held) = answer.status["held"].as_u64().filter(|held| *held > 0) {
                println!(
                    "  {held} ranges are held; what happens to them is `when-busy` in its configuration"
                );
            }
            println!(
                "  it goes on serving what it has delivered; resume: tilth provider resume {name}"
            );
        }
        None => println!("provider {name} does not run; it will be paused{end} when it is started"),
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn resume(common: &Common, name: &str) -> Ended {
    let (_, answer) = tell(common, name, Wish::Resume).await?;
    match answer {
        answer if common.json => print_json(&shown(false, answer))?,
        Some(answer) => {
            let rests = reasons(&answer.status);
            if rests.is_empty() {
                println!("provider {name} works again");
            } else {
                println!(
                    "provider {name} is no longer paused; it still rests: {}",
                    rests.join(", ")
                );
            }
        }
        None => println!("provider {name} does not run; it will work when it is started"),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a provider has answered.
pub(super) struct Answer {
    /// As it came: amounts keep all their digits.
    pub(super) raw: Box<RawValue>,
    pub(super) status: Value,
    pub(super) earned: u128,
}

#[derive(Deserialize)]
struct WithTotals {
    totals: Totals,
}

fn shown(paused: bool, answer: Option<Answer>) -> impl serde::Serialize {
    #[derive(serde::Serialize)]
    struct Shown {
        running: bool,
        paused: bool,
        status: Option<Box<RawValue>>,
    }
    Shown { running: answer.is_some(), paused, status: answer.map(|answer| answer.raw) }
}

/// A value without quotes.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why it rests, as people say it.
pub(super) fn reasons(status: &Value) -> Vec<String> {
    let reasons = serde_json::from_value::<Vec<Reason>>(status["rests"].clone());
    reasons.unwrap_or_default().iter().map(ToString::to_string).collect()
}

pub(super) async fn tell(
    common: &Common,
    name: &str,
    wish: Wish,
) -> Result<(Control, Option<Answer>), Problem> {
    check_name(name)?;
    let control = Control::of(&folder(common, name)).map_err(|error| problem(&error))?;
    let raw = control.tell(wish).await.map_err(|error| problem(&error))?;
    let strange = |error: serde_json::Error| problem(&ControlError::Answer(error.to_string()));
    let read = |raw: Box<RawValue>| -> Result<Answer, serde_json::Error> {
        let status = serde_json::from_str(raw.get())?;
        let earned = serde_json::from_str::<WithTotals>(raw.get())?.totals.earned;
        Ok(Answer { raw, status, earned })
    };
    let answer = raw.map(read).transpose().map_err(strange)?;
    Ok((control, answer))
}

fn problem(error: &ControlError) -> Problem {
    let (what, advice) = match error {
        ControlError::NoProvider(_) => (
            "there is no such provider here",
            "check the name and --dir; a provider has a folder once it has been started",
        ),
        ControlError::File { .. } => (
            "the provider cannot be told",
            "only the user who runs it (and root) may; run the command as that user",
        ),
        ControlError::Answer(_) => (
            "the provider does not answer",
            "look at its log; a provider and its commands must be of the same version",
        ),
    };
    Problem::new(what, error.to_string(), advice)
}
