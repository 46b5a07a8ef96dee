//! `tilth provider leave` and `withdraw`: how an owner has the stake back.

use std::process::ExitCode;

use alloy::primitives::Address;
use serde_json::json;
use tilth_client::ChainError;
use tilth_protocol::{Amount, Problem};
use tilth_provider::{Stake, stake};

use super::{earnings::date, ending::time};
use crate::{Ended, args::Common, place::Place, print_json};

pub async fn leave(common: &Common, name: &str, amount: Option<Amount>) -> Ended {
    let place = Place::open(common)?;
    let owner = place.account(name)?;
    let known = standing(&place, name, owner.address()).await?;
    let bonds = match takes_bonds(&known, amount) {
        true => leave_lines(&place, name, &known).await?,
        false => 0,
    };
    let known = standing(&place, name, owner.address()).await?;
    let amount = wanted(&known, name, amount)?;
    stake::unstake(&owner, amount).await.map_err(told)?;
    let left = standing(&place, name, owner.address()).await?;
    if common.json {
        print_json(&json!({ "left": amount, "stake": left, "bonds": bonds }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = place.dir_option();
    println!("{amount} GRAIN of {name}'s stake are leaving, and stay within reach of punishment");
    println!("  from {} on: tilth provider withdraw {name}{dir}", moment(left.ready_at));
    if left.staked > Amount::ZERO {
        let bound = left.staked.checked_sub(left.free).unwrap_or_default();
        println!("  {} GRAIN stay, {bound} of them bound to unsettled work", left.staked);
    }
    if bonds > 0 {
        println!(
            "  {bonds} bonds of replicated jobs stay for an hour: run the same command after that"
        );
    }
    println!("  a start of the provider locks what its option `stake` asks for again");
    Ok(ExitCode::SUCCESS)
}

pub async fn withdraw(common: &Common, name: &str) -> Ended {
    let place = Place::open(common)?;
    let owner = place.account(name)?;
    let known = standing(&place, name, owner.address()).await?;
    let dir = place.dir_option();
    if known.leaving == Amount::ZERO {
        return Err(Problem::new(
            "nothing of the stake is leaving",
            format!("{} GRAIN are staked by {name}", known.staked),
            format!("begin with: tilth provider leave {name}{dir}"),
        ));
    }
    if place.link.next_time().await.map_err(told)? < known.ready_at {
        return Err(Problem::new(
            "the stake has not left yet",
            format!("{} GRAIN are leaving until {}", known.leaving, moment(known.ready_at)),
            "run the same command after that; more stake that leaves begins the week anew",
        ));
    }
    stake::withdraw_stake(&owner).await.map_err(told)?;
    let amount = known.leaving;
    if common.json {
        print_json(&json!({ "withdrawn": amount }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{amount} GRAIN of {name} are free balance again");
    println!("  to the wallet: tilth account withdraw {name} {amount}{dir}");
    Ok(ExitCode::SUCCESS)
}

/// Whether some of the stake that is wanted can only be there when bonds are free. Who takes out what is free goes on
/// waiting to be drawn.
fn takes_bonds(known: &Stake, amount: Option<Amount>) -> bool {
    let wanted = amount.unwrap_or(known.staked);
    known.free < wanted && wanted <= known.staked
}

/// Leaves the lines of replicated jobs, to which stake is bound. Says in how many a bond stays for now.
async fn leave_lines(place: &Place, name: &str, known: &Stake) -> Result<usize, Problem> {
    // Where its node key is not there is no provider to be drawn either; what it works on binds the stake all the same.
    let Ok(node) = place.account(&format!("{name}-node")) else { return Ok(0) };
    stake::leave_lines(&node, known.number, place.network.first_block).await.map_err(told)
}

async fn standing(place: &Place, name: &str, owner: Address) -> Result<Stake, Problem> {
    Stake::of(&place.link, owner).await.map_err(told)?.ok_or_else(|| {
        Problem::new(
            "this account is no provider",
            format!("{name} ({owner})"),
            "check the name; a provider is registered when it is started first",
        )
    })
}

/// How much is to leave: so much, or all that is not bound.
fn wanted(known: &Stake, name: &str, amount: Option<Amount>) -> Result<Amount, Problem> {
    let amount = amount.unwrap_or(known.free);
    if amount > Amount::ZERO && amount <= known.free {
        return Ok(amount);
    }
    let detail = format!(
        "{} GRAIN are staked by {name}, {} of them are not bound to unsettled work",
        known.staked, known.free
    );
    let advice = if known.free < known.staked {
        "ask for less, or stop the provider, wait until what it delivered is paid and its bonds are free (an hour), and try again"
    } else if known.leaving > Amount::ZERO {
        "what is leaving already is had back with `tilth provider withdraw`"
    } else {
        "ask for more than nothing and not for more than there is"
    };
    Err(Problem::new("so much stake cannot leave now", detail, advice))
}

/// A moment from seconds since 1970, UTC.
pub fn moment(seconds: u64) -> String {
    format!("{} {}", date(seconds), time(seconds))
}

/// An error of the chain for people.
fn told(error: ChainError) -> Problem {
    error.problem()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stake_that_is_not_bound_leaves() {
        let known = Stake {
            number: 1,
            staked: Amount(100),
            free: Amount(60),
            leaving: Amount(0),
            ready_at: 0,
        };
        assert_eq!(wanted(&known, "a", None).unwrap(), Amount(60));
        assert_eq!(wanted(&known, "a", Some(Amount(59))).unwrap(), Amount(59));
        let bound = wanted(&known, "a", Some(Amount(61))).unwrap_err();
        assert!(bound.advice.contains("until what it delivered is paid"), "{bound}");
        let gone = Stake { staked: Amount(0), free: Amount(0), leaving: Amount(100), ..known };
        let gone = wanted(&gone, "a", None).unwrap_err();
        assert!(gone.advice.contains("withdraw"), "{gone}");
        assert!(wanted(&known, "a", Some(Amount(0))).is_err());
    }

    #[test]
    fn lines_are_left_only_for_stake_that_is_not_free() {
        let known = Stake {
            number: 1,
            staked: Amount(100),
            free: Amount(60),
            leaving: Amount(0),
            ready_at: 0,
        };
        let takes = |amount: u128| takes_bonds(&known, Some(Amount(amount)));
        assert_eq!([0, 60, 61, 100, 101].map(takes), [false, false, true, true, false]);
        assert!(takes_bonds(&known, None), "all of it");
        assert!(!takes_bonds(&Stake { free: Amount(100), ..known }, None), "nothing is bound");
    }

    #[test]
    fn moments_are_shown_with_their_day() {
        assert_eq!(moment(1_772_323_200 + 3_661), "2026-03-01 01:01 UTC");
    }
}
