//! `tilth account`: keys and balances.

use std::process::ExitCode;

use alloy::primitives::Address;
use serde_json::{Value, json};
use tilth_client::money::{self, Balances};
use tilth_protocol::{Amount, Problem};

use crate::{
    Ended,
    args::{Account, Common},
    place::Place,
    print_json,
    table::{Align, Table},
};

pub async fn account(common: Common, command: Account) -> Ended {
    let json = common.json;
    match command {
        Account::New { name } => {
            let address = tilth_client::Keys::of(&common.dir()).create(&name)?.address();
            answer(json, json!({ "name": name, "address": address }), || {
                format!("{name}  {address}")
            })?;
        }
        Account::Ls => list(&Place::open(&common)?, json).await?,
        Account::Show { name } => {
            let place = Place::open(&common)?;
            let address = place.address(&name)?;
            let balances = balances(&place, address).await?;
            answer(json, row(&name, address, &balances), || {
                let Balances { native, token, free, locked } = balances;
                format!(
                    "address  {address}\nwallet   {native} GRAIN\nWGRAIN   {token}\n\
                     free     {free} GRAIN in the Ledger\nlocked   {locked} GRAIN in the Ledger"
                )
            })?;
        }
        Account::Send { from, to, amount } => {
            let place = Place::open(&common)?;
            let to = place.address(&to)?;
            let account = place.account(&from)?;
            money::send(&account, to, amount).await.map_err(|error| error.problem())?;
            moved(json, "sent", amount, to)?;
        }
        Account::Deposit { name, amount } => {
            let place = Place::open(&common)?;
            let account = place.account(&name)?;
            money::deposit(&account, amount, place.network.wraps_native)
                .await
                .map_err(|error| error.problem())?;
            moved(json, "deposited", amount, account.address())?;
        }
        Account::Withdraw { name, amount } => {
            let place = Place::open(&common)?;
            let account = place.account(&name)?;
            money::withdraw(&account, amount, place.network.wraps_native)
                .await
                .map_err(|error| error.problem())?;
            moved(json, "withdrew", amount, account.address())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(place: &Place, json: bool) -> Result<(), Problem> {
    let mut rows = Vec::new();
    for (name, address) in place.keys.list()? {
        let balances = balances(place, address).await?;
        rows.push((name, address, balances));
    }
    if json {
        let rows: Vec<Value> =
            rows.iter().map(|(name, address, balances)| row(name, *address, balances)).collect();
        return print_json(&rows);
    }
    let mut table = Table::new(&[
        ("account", Align::Left),
        ("address", Align::Left),
        ("wallet GRAIN", Align::Right),
        ("free GRAIN", Align::Right),
        ("locked GRAIN", Align::Right),
    ]);
    for (name, address, balances) in rows {
        let Balances { native, free, locked, .. } = balances;
        let cells = [native, free, locked].map(|amount| format!("{amount:.6}"));
        table.row([name, address.to_string()].into_iter().chain(cells));
    }
    print!("{}", table.render());
    Ok(())
}

async fn balances(place: &Place, address: Address) -> Result<Balances, Problem> {
    money::balances(&place.link, address).await.map_err(|error| error.problem())
}

fn row(name: &str, address: Address, balances: &Balances) -> Value {
    let Balances { native, token, free, locked } = balances;
    json!({
        "name": name, "address": address,
        "native": native, "token": token, "free": free, "locked": locked,
    })
}

fn moved(json: bool, verb: &str, amount: Amount, address: Address) -> Result<(), Problem> {
    answer(json, json!({ "done": verb, "amount": amount, "address": address }), || {
        format!("{verb} {amount} GRAIN ({address})")
    })
}

fn answer(json: bool, value: Value, text: impl FnOnce() -> String) -> Result<(), Problem> {
    if json {
        return print_json(&value);
    }
    println!("{}", text());
    Ok(())
}
