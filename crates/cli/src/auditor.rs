//! `tilth auditor`: one auditor in a process of its own, and what its owner does with its stake.

mod config;

use std::process::ExitCode;

use serde_json::{Value, json};
use tilth_client::{Account, ChainError};
use tilth_contracts::Audits;
use tilth_protocol::{Amount, Problem};
use tilth_provider::{
    Auditor, AuditorConfig, GasReserve,
    auditor::{self, HeldRange},
};
use tracing::warn;

use crate::{
    Ended,
    args::{self, AuditorCommand, AuditorOptions, Common},
    place::Place,
    print_json,
    provider::moment,
    up::{listen, own_command},
};
use config::{AuditorSettings, Told};

pub async fn auditor(common: Common, args: args::Auditor) -> Ended {
    let Some(command) = args.command else {
        // The command line asks for a name.
        return Box::pin(run(common, args.name.unwrap_or_default(), args.options)).await;
    };
    let told = |error: ChainError| error.problem();
    match command {
        AuditorCommand::Config { reference } => {
            print!("{}", if reference { config::reference() } else { config::default_file() });
        }
        AuditorCommand::Status { name } => return status(&common, &name).await,
        AuditorCommand::Leave { name, amount } => {
            let (_, owner) = open(&common, &name)?;
            let amount = auditor::unstake(&owner, amount).await.map_err(told)?;
            say(
                &common,
                &format!(
                    "{amount} GRAIN of {name}'s stake are leaving; in seven days: tilth auditor withdraw {name}"
                ),
            )?;
        }
        AuditorCommand::Withdraw { name } => {
            let (_, owner) = open(&common, &name)?;
            auditor::withdraw_stake(&owner).await.map_err(told)?;
            say(&common, &format!("what had left of {name}'s stake is free balance again"))?;
        }
        AuditorCommand::Collect { name } => {
            let (_, owner) = open(&common, &name)?;
            let paid = auditor::collect(&owner, owner.address()).await.map_err(told)?;
            let paid = paid.unwrap_or_default();
            let text = collected(&name, paid);
            if common.json {
                print_json(&json!({ "done": text, "paid": paid }))?;
            } else {
                println!("{text}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(common: &Common, name: &str) -> Result<(Place, Account), Problem> {
    let place = Place::open(common)?;
    let owner = place.account(name)?;
    Ok((place, owner))
}

fn say(common: &Common, text: &str) -> Result<(), Problem> {
    if common.json {
        return print_json(&json!({ "done": text }));
    }
    println!("{text}");
    Ok(())
}

/// What came of collecting an auditor's fees.
fn collected(name: &str, paid: Amount) -> String {
    if paid > Amount::ZERO {
        return format!("{paid} GRAIN of fees were paid to {name}");
    }
    format!(
        "nothing was paid to {name}: no fees are owed, or the purse of the audits has nothing for now; \
         see: tilth auditor status {name}"
    )
}

async fn status(common: &Common, name: &str) -> Ended {
    let place = Place::open(common)?;
    let owner = place.address(name)?;
    let known = auditor::standing(&place.link, owner).await.map_err(|error| error.problem())?;
    let audits = place.network.contracts.audits;
    let owed = place.link.read(audits, Audits::owedCall { owner }).await;
    let owed = Amount(owed.map_err(|error| error.problem())?);
    if known.number == 0 {
        return Err(Problem::new(
            "this account is no auditor",
            format!("{name} ({owner})"),
            "start it once: tilth auditor NAME",
        ));
    }
    let held = auditor::held(&place.dir.join("auditors").join(name));
    let held = held.map_err(|error| error.problem())?;
    let (stake, leaving) = (Amount(known.stake), Amount(known.leaving));
    if common.json {
        print_json(&json!({
            "number": known.number,
            "owner": owner,
            "node": known.node,
            "stake": stake,
            "leaving": leaving,
            "ready-at": known.readyAt.to::<u64>(),
            "owed": owed,
            "held": held.iter().map(shown).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("auditor {name} (number {})", known.number);
    println!("  owner    {owner}");
    println!("  stake    {stake:.4} GRAIN");
    if leaving > Amount::ZERO {
        let ready = moment(known.readyAt.to::<u64>());
        println!("  leaving  {leaving:.4} GRAIN, within reach of punishment until {ready}");
    }
    println!("  owed     {owed:.6} GRAIN of fees that the purse has not paid yet");
    if let Some(held) = summary(&held) {
        println!("  holds    {held}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A range that it holds, or the inputs of a job, for programs. `until` is the latest time: it goes when others have looked
/// whether it is served.
fn shown(held: &HeldRange) -> Value {
    let HeldRange { range, mib, until } = held;
    // Inputs are no range, whatever their number is.
    let seq = (!range.is_inputs()).then_some(range.seq);
    json!({ "job": range.job, "seq": seq, "mib": mib, "until": until })
}

/// What it holds for clients of kept jobs, as far as its folder is on this machine.
fn summary(held: &[HeldRange]) -> Option<String> {
    let mib = held.iter().map(|one| u64::from(one.mib)).fold(0, u64::saturating_add);
    let last = held.iter().filter_map(|one| one.until).max();
    let until =
        last.map_or_else(String::new, |last| format!(", until {} at the latest", moment(last)));
    let unsigned = match held.iter().filter(|one| one.until.is_none()).count() {
        0 => String::new(),
        1 => "; 1 of them is not signed for by enough yet".to_owned(),
        open => format!("; {open} of them are not signed for by enough yet"),
    };
    let inputs = held.iter().filter(|one| one.range.is_inputs()).count();
    let ranges = held.len().saturating_sub(inputs);
    let of = match inputs {
        0 => String::new(),
        inputs => format!(" and the inputs of {inputs}"),
    };
    let ranges = match ranges {
        1 => "1 range".to_owned(),
        ranges => format!("{ranges} ranges"),
    };
    let text = || format!("{ranges} of kept jobs{of}, {mib} MiB{until}{unsigned}");
    (!held.is_empty()).then(text)
}

async fn run(common: Common, name: String, options: AuditorOptions) -> Ended {
    let mut signals = listen()?;
    let place = Place::open(&common)?;
    let dir = place.dir.join("auditors").join(&name);
    let config = AuditorSettings::gather(&dir.join("auditor.toml"), &options)?;
    for variable in config::stray_variables() {
        warn!(variable, "looks like an option of an auditor and is none");
    }
    let Told { stake, limits, bind, data } = config.told()?;
    let starting = Auditor::spawn(AuditorConfig {
        dir,
        owner: place.signer(&name)?,
        node: place.signer(&format!("{name}-node"))?,
        network: place.network,
        stake,
        limits,
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        bind,
        relays: data.relays,
        upload: data.upload,
        download: data.download,
        content_bytes: data.content_bytes,
        gas: GasReserve::default(),
    });
    let auditor = tokio::select! {
        started = starting => started.map_err(|error| error.problem())?,
        _ = signals.next() => return Ok(ExitCode::from(crate::DETACHED)),
    };
    if common.json {
        print_json(&json!({ "auditor": name, "number": auditor.number(), "ready": true }))?;
    } else {
        println!(
            "auditor {name} is ready; Ctrl-C stops it, its open audits wait for the next start"
        );
    }
    tokio::select! {
        failure = auditor.failure() => return Err(failure.problem()),
        _ = signals.next() => {}
    }
    auditor.stop().await.map_err(|error| error.problem())?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use tilth_protocol::{JobId, RangeId};

    use super::*;

    #[test]
    fn whoever_collects_hears_how_much_or_that_there_is_nothing() {
        let paid = collected("alice", "1.25".parse().unwrap());
        assert_eq!(paid, "1.25 GRAIN of fees were paid to alice");
        let nothing = collected("alice", Amount::ZERO);
        assert!(nothing.starts_with("nothing was paid to alice: no fees are owed"), "{nothing}");
        assert!(nothing.ends_with("tilth auditor status alice"), "{nothing}");
    }

    #[test]
    fn what_is_held_is_said_with_its_size_and_the_time_of_the_last() {
        let held = |seq, until| HeldRange { range: RangeId { job: JobId(7), seq }, mib: 20, until };
        assert_eq!(summary(&[]), None);
        let said = summary(&[held(1, Some(1_772_323_200)), held(2, Some(60))]).unwrap();
        assert_eq!(said, "2 ranges of kept jobs, 40 MiB, until 2026-03-01 00:00 UTC at the latest");
        let said = summary(&[held(1, None)]).unwrap();
        assert_eq!(said, "1 range of kept jobs, 20 MiB; 1 of them is not signed for by enough yet");
        let said = summary(&[held(1, None), held(2, None)]).unwrap();
        assert!(said.ends_with("; 2 of them are not signed for by enough yet"), "{said}");
        let all = json!({ "job": 7, "seq": 1, "mib": 20, "until": 60 });
        assert_eq!(shown(&held(1, Some(60))), all);
        let inputs = held(RangeId::INPUTS, Some(60));
        let said = summary(&[held(1, Some(60)), inputs]).unwrap();
        assert!(said.starts_with("1 range of kept jobs and the inputs of 1, 40 MiB"), "{said}");
        assert_eq!(shown(&inputs)["seq"], Value::Null);
    }
}
