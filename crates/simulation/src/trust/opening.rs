//! How a client comes: with its money, its job, and a deposit if that is kept.

use tilth_contracts::{Holders, JobBook};

use super::{
    cast::{ClientPlan, deposit, prices, terms},
    client::Client,
    oracle::Oracle,
    provider::Provider,
    scene::{Actor, Scene},
    workload::worth,
    world::client_address,
};
use crate::farm::FarmError;

/// The client of this number, and what its people must know of it.
///
/// # Errors
/// The contracts refused what they should not.
pub fn come(
    number: usize,
    plan: ClientPlan,
    providers: &[Provider],
    scene: &mut Scene,
    oracle: &mut Oracle,
) -> Result<Client, FarmError> {
    let (who, at) = (client_address(number), *scene.farm.addresses());
    let terms = terms(&plan, scene.farm.now);
    let cap = worth(terms.unitCap, terms.price.to::<u128>());
    let funds = cap * u128::from(plan.tasks) * if plan.replicated { 2 } else { 1 };
    // It may fill its deposit up to the double.
    let amount = deposit(&plan);
    let money = funds + 2 * amount.to::<u128>();
    scene.farm.fund(who, money)?;
    oracle.meet(who, plan.side, money);
    let (job, mut logs) = scene.farm.send(who, at.job_book, &JobBook::openCall { terms, funds })?;
    if !amount.is_zero() {
        let call = Holders::fundCall { jobId: job, prices: prices(&plan), amount };
        logs.extend(scene.farm.send(who, at.holders, &call)?.1);
    }
    let now = scene.farm.now;
    for log in &logs {
        scene.public.read(&at, log);
        oracle.read(log, scene);
        oracle.read_keeps(log, (now, false), scene);
    }
    let me = Actor::Client(number);
    let most = if plan.mind.withdraws() { 0 } else { 2 * amount.to::<u128>() };
    let client = Client::new(me, (who, plan.side), (plan.skew, most), plan.mind, scene);
    let strangers = providers.iter().filter(|provider| !client.serves(provider.who));
    scene.refused.extend(strangers.map(|provider| (who, provider.who)));
    Ok(client)
}
