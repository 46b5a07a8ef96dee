//! `tilth provider status`: what a provider does, what it has at stake, and why no work comes.

use std::{fmt::Display, process::ExitCode, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use tilth_client::ChainError;
use tilth_protocol::Amount;
use tilth_provider::{
    GasReserve, Stake, Wish,
    machine::{Unfit, Wait},
};
use tokio::time::timeout;

use super::{
    command::{Answer, reasons, tell, text},
    ending::UNHELD,
    stake::moment,
};
use crate::{
    Ended,
    args::Common,
    place::Place,
    print_json,
    table::{Align, Table},
};

/// So long the chain is waited for; the rest is told without it.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn status(common: &Common, name: &str) -> Ended {
    let (control, answer) = tell(common, name, Wish::Status).await?;
    let money = Money::of(common, name).await;
    if common.json {
        let (paused, until) = (control.is_paused(), control.paused_until());
        let until = until.map(|until| until / 1_000);
        let (running, status) = (answer.is_some(), answer.map(|answer| answer.raw));
        let Money { stake, gas } = money;
        print_json(&Shown { running, paused, until, stake, gas, status })?;
        return Ok(ExitCode::SUCCESS);
    }
    let pause = control.paused_until().map(|end| format!(" until {}", moment(end / 1_000)));
    let pause = pause.unwrap_or_default();
    let Some(answer) = answer else {
        let paused =
            if control.is_paused() { format!(", and it is paused{pause}") } else { String::new() };
        println!("provider {name} does not run{paused}");
        money.lines().iter().for_each(|line| println!("  {line}"));
        return Ok(ExitCode::SUCCESS);
    };
    say(name, &answer, &money, &pause);
    Ok(ExitCode::SUCCESS)
}

/// `pause`: until when it is paused, for people.
fn say(name: &str, answer: &Answer, money: &Money, pause: &str) {
    let status = &answer.status;
    let rests = reasons(status);
    let doing = match (rests.is_empty(), status["draining"].as_bool()) {
        (_, Some(true)) => "ending: it finishes what it runs".to_owned(),
        (true, _) => "working".to_owned(),
        (false, _) => format!("resting: {}{pause}", rests.join(", ")),
    };
    println!("provider {name}: {doing}");
    println!("  chain      {}", text(&status["chain"]));
    let (held, unsettled) = (number(status, "held"), number(status, "unsettled"));
    println!("  ranges     {held} held, {unsettled} delivered and not yet paid");
    if let Some(open) = status["audits"].as_u64().filter(|open| *open > 0) {
        println!("  audits     {open} open: to be away for half an hour costs the whole stake");
    }
    replicas(status).iter().for_each(|line| println!("  {line}"));
    println!("  jobs       {}", number(status, "jobs"));
    println!("  content    {} MiB on disk", number(status, "stored-bytes") >> 20);
    println!("  earned     {:.4} GRAIN since it was set up", Amount(answer.earned));
    money.lines().iter().for_each(|line| println!("  {line}"));
    why_idle(status, money).iter().for_each(|line| println!("  no work    {line}"));
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
}

/// What it does in replicated and in kept jobs; nothing if it has to do with none.
fn replicas(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let [open, mates, waits, bound] =
        ["replicas", "mates", "lines", "bonds"].map(|key| number(status, key));
    // What it owes as a mate is among them, and it has committed to nothing there yet.
    if let sealed @ 1.. = open.saturating_sub(mates) {
        lines.push(format!(
            "seals      {sealed} open: to be away for half an hour costs the whole stake"
        ));
    }
    if let open @ 1.. = number(status, "kept") {
        lines.push(format!(
            "kept       {open} to be fetched by holders within some hours: each that they do not get {UNHELD}"
        ));
    }
    if mates > 0 {
        lines.push(format!(
            "mate       {mates} ranges of others to be done, each within 15 minutes for every one \
             it owes, an hour at most: a late one costs a tenth of its value"
        ));
    }
    if waits > 0 || bound > 0 {
        lines.push(format!(
            "lines      waits to be drawn as mate in {waits} jobs, can still be drawn in {bound} \
             that it has left, for an hour at most"
        ));
    }
    lines
}

fn number(status: &Value, key: &str) -> u64 {
    status[key].as_u64().unwrap_or(0)
}

/// As programs read it.
#[derive(Serialize)]
struct Shown {
    running: bool,
    paused: bool,
    /// When the pause ends by itself, in seconds since 1970.
    #[serde(rename = "paused-until")]
    until: Option<u64>,
    stake: Option<Stake>,
    gas: Option<Amount>,
    status: Option<Box<RawValue>>,
}

/// What the chain says of a provider. Nothing where it does not answer, or does not know it.
#[derive(Debug, Default)]
struct Money {
    stake: Option<Stake>,
    /// Coin on the hot key.
    gas: Option<Amount>,
}

impl Money {
    async fn of(common: &Common, name: &str) -> Self {
        let Ok(place) = Place::open(common) else { return Self::default() };
        let hot = place.address(&format!("{name}-node"));
        let (Ok(owner), Ok(node)) = (place.address(name), hot) else { return Self::default() };
        let read = async {
            let stake = Stake::of(&place.link, owner).await?;
            let gas = place.link.balance(node).await?;
            let gas = Amount(u128::try_from(gas).unwrap_or(u128::MAX));
            Ok::<_, ChainError>(Self { stake, gas: Some(gas) })
        };
        timeout(PATIENCE, read).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Stake { staked, free, leaving, ready_at, .. }) = self.stake {
            let text = format!("stake      {staked:.4} GRAIN, {free:.4} of them free for new work");
            lines.push(text);
            if leaving > Amount::ZERO {
                let ready = moment(ready_at);
                lines.push(format!("leaving    {leaving:.4} GRAIN of stake, until {ready}"));
            }
        }
        if let Some(gas) = self.gas {
            let low = gas < GasReserve::default().least;
            let low = if low { ": little; it is refilled from the owner's wallet" } else { "" };
            lines.push(format!("gas        {gas:.4} GRAIN on the hot key{low}"));
        }
        lines
    }
}

/// Why a provider that would work has no work, as far as it knows. Nothing if it has some.
fn why_idle(status: &Value, money: &Money) -> Vec<String> {
    let draining = status["draining"].as_bool() == Some(true);
    if draining || number(status, "held") > 0 || !reasons(status).is_empty() {
        return Vec::new();
    }
    match status["chain"].as_str() {
        Some("reading") => {
            return vec!["what happened on the chain is still being read".to_owned()];
        }
        Some("away") => return vec!["the chain does not answer".to_owned()],
        _ => {}
    }
    let mut lines = Vec::new();
    if status["crowded"].as_bool() == Some(true) {
        lines.push("`data.content-bytes` are nearly used up".to_owned());
    }
    if money.stake.is_some_and(|stake| stake.free == Amount::ZERO) {
        lines.push("no stake is free".to_owned());
    }
    lines.extend(counted::<Wait>(&status["waiting"]));
    lines.extend(counted::<Unfit>(&status["ignored"]));
    if lines.is_empty() && number(status, "jobs") == 0 {
        lines.push("there is no open job".to_owned());
    }
    lines
}

/// How many jobs, and why: in the provider's words, or by the key of one of a newer version.
fn counted<T: DeserializeOwned + Display>(counts: &Value) -> Vec<String> {
    let counts = counts.as_object().into_iter().flatten();
    counts
        .map(|(key, count)| match serde_json::from_value::<T>(key.as_str().into()) {
            Ok(why) => format!("{count} jobs: {why}"),
            Err(_) => format!("{count} jobs: {key}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn why_no_work_comes_is_said() {
        let idle = |more: Value| {
            let mut status = json!({
                "held": 0, "jobs": 0, "draining": false, "chain": "here", "rests": [],
                "crowded": false, "waiting": {}, "ignored": {},
            });
            for (key, value) in more.as_object().unwrap() {
                status[key] = value.clone();
            }
            why_idle(&status, &Money::default())
        };
        assert_eq!(idle(json!({})), ["there is no open job"]);
        assert_eq!(idle(json!({ "held": 1 })), Vec::<String>::new());
        assert_eq!(idle(json!({ "rests": ["paused"] })), Vec::<String>::new());
        assert_eq!(idle(json!({ "chain": "away" })), ["the chain does not answer"]);
        let lines = idle(json!({
            "jobs": 2, "crowded": true, "waiting": { "work": 2 },
            "ignored": { "price": 3, "too-slow": 4, "of-a-newer-version": 1 },
        }));
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines.contains(&format!("4 jobs: {}", Unfit::TooSlow)), "{lines:?}");
        assert!(lines.contains(&"2 jobs: all tasks are given out".to_owned()), "{lines:?}");
        let cheap = "3 jobs: they pay less than `price-floor`".to_owned();
        assert!(lines.contains(&cheap), "{lines:?}");
        assert!(lines.contains(&"1 jobs: of-a-newer-version".to_owned()), "{lines:?}");
        let stake = Stake {
            number: 1,
            staked: Amount(5),
            free: Amount(0),
            leaving: Amount(0),
            ready_at: 0,
        };
        let money = Money { stake: Some(stake), gas: Some(Amount(1)) };
        let status = json!({ "jobs": 1, "waiting": { "stake": 1 } });
        assert_eq!(why_idle(&status, &money).len(), 2);
        assert!(money.lines()[1].contains("refilled"), "{:?}", money.lines());
    }

    #[test]
    fn replicas_are_shown_to_whom_has_to_do_with_them() {
        let none = json!({ "replicas": null, "mates": 0, "lines": 0, "bonds": 0, "kept": 0 });
        assert_eq!(replicas(&none), Vec::<String>::new());
        let kept = replicas(&json!({ "kept": 2 })).remove(0);
        assert!(kept.contains("2 to be fetched by holders") && kept.ends_with(UNHELD), "{kept}");
        let some = json!({ "replicas": 3, "mates": 1, "lines": 2, "bonds": 0 });
        let lines = replicas(&some);
        assert!(lines[0].contains("2 open") && lines[0].contains("whole stake"), "{lines:?}");
        let owes = lines[1].contains("1 ranges of others") && lines[1].contains("a tenth");
        assert!(owes && lines[1].contains("an hour at most"), "{lines:?}");
        assert!(lines.len() == 3 && lines[2].contains("2 jobs"), "{lines:?}");
        let lines = replicas(&json!({ "replicas": 1, "mates": 1 }));
        assert!(lines.len() == 1 && lines[0].contains("a tenth"), "nothing is sealed: {lines:?}");
        // What was drawn is heard of here before there.
        assert_eq!(replicas(&json!({ "replicas": 0, "mates": 1 })).len(), 1);
        assert_eq!(replicas(&json!({ "replicas": 0, "bonds": 1 })).len(), 1, "nothing is open");
    }
}
