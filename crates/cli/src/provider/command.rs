//! `tilth provider pause`, `resume` and `status`.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tilth_protocol::{Amount, Problem};
use tilth_provider::{Control, ControlError, Reason, Totals, Wish};

use super::{check_name, folder};
use crate::{
    Ended,
    args::Common,
    print_json,
    table::{Align, Table},
};

pub async fn pause(common: &Common, name: &str) -> Ended {
    let (_, answer) = tell(common, name, Wish::Pause).await?;
    match answer {
        answer if common.json => print_json(&shown(true, answer))?,
        Some(answer) => {
            println!("provider {name} is paused");
            if let Some(held) = answer.status["held"].as_u64().filter(|held| *held > 0) {
                println!(
                    "  {held} ranges are held; what happens to them is `when-busy` in its configuration"
                );
            }
            println!(
                "  it goes on serving what it has delivered; resume: tilth provider resume {name}"
            );
        }
        None => println!("provider {name} does not run; it will be paused when it is started"),
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

pub async fn status(common: &Common, name: &str) -> Ended {
    let (control, answer) = tell(common, name, Wish::Status).await?;
    if common.json {
        print_json(&shown(control.is_paused(), answer))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(answer) = answer else {
        let paused = if control.is_paused() { ", and it is paused" } else { "" };
        println!("provider {name} does not run{paused}");
        return Ok(ExitCode::SUCCESS);
    };
    let status = &answer.status;
    let number = |key: &str| status[key].as_u64().unwrap_or(0);
    let rests = reasons(status);
    let doing = match (rests.is_empty(), status["draining"].as_bool()) {
        (_, Some(true)) => "ending: it finishes what it runs".to_owned(),
        (true, _) => "working".to_owned(),
        (false, _) => format!("resting: {}", rests.join(", ")),
    };
    println!("provider {name}: {doing}");
    println!("  chain      {}", text(&status["chain"]));
    println!(
        "  ranges     {} held, {} delivered and not yet paid",
        number("held"),
        number("unsettled")
    );
    println!("  jobs       {}", number("jobs"));
    println!("  content    {} MiB on disk", number("stored-bytes") >> 20);
    println!("  earned     {:.4} GRAIN since it was set up", Amount(answer.earned));
    let mut table = Table::new(&[("slot", Align::Right), ("", Align::Left)]);
    for (slot, doing) in status["slots"].as_array().into_iter().flatten().enumerate() {
        let job = text(&doing["job"]);
        let range = &doing["range"];
        let what = match doing["doing"].as_str().unwrap_or("?") {
            "running" => format!("range {} of job {}", text(&range["seq"]), text(&range["job"])),
            "calibrating" => format!("a trial task of job {job}"),
            other => other.to_owned(),
        };
        table.row([slot.to_string(), what]);
    }
    print!("\n{}", table.render());
    for unseen in status["unseen"].as_array().into_iter().flatten() {
        println!("\ncannot be seen, and is taken for idle: {}", text(unseen));
    }
    Ok(ExitCode::SUCCESS)
}

/// What a provider has answered.
struct Answer {
    /// As it came: amounts keep all their digits.
    raw: Box<RawValue>,
    status: Value,
    earned: u128,
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
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Why it rests, as people say it.
fn reasons(status: &Value) -> Vec<String> {
    let reasons = serde_json::from_value::<Vec<Reason>>(status["rests"].clone());
    reasons.unwrap_or_default().iter().map(ToString::to_string).collect()
}

async fn tell(
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
