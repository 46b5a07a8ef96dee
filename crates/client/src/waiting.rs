//! Why nobody works on a job: asked of the contracts, told to people.

use std::collections::BTreeMap;

use tilth_contracts::{JobBook, Refusal, Registry};
use tilth_protocol::{JobId, Problem};
use tilth_service::Doing;

use crate::{
    ChainError, Link,
    holding::{inputs_state, why_no_work},
};

/// Providers looked at; on a larger market somebody among them can say why.
const LOOK_AT: u32 = 64;

/// Why nobody works on a job. `kept`: whether auditors must hold its inputs first.
///
/// # Errors
/// Those of [`Link`].
pub fn why(link: &Link, job: JobId, kept: bool) -> Doing<'_, Result<Problem, ChainError>> {
    Box::pin(async move {
        if kept && let Some(problem) = why_no_work(job, inputs_state(link, job).await?) {
            return Ok(problem);
        }
        Ok(explain(&look(link, job).await?))
    })
}

/// What the providers on the chain would get if they claimed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// Registered providers.
    pub registered: u32,
    /// Of those looked at: paused by their owner.
    pub paused: u32,
    /// Of those looked at: would get a range.
    pub welcome: u32,
    /// Of those looked at: how many are refused for which reason.
    pub refused: BTreeMap<u8, u32>,
}

/// Reads the market's view of a job.
///
/// # Errors
/// Those of [`Link`].
pub fn look(link: &Link, job: JobId) -> Doing<'_, Result<Market, ChainError>> {
    Box::pin(async move {
        let addresses = link.addresses();
        let registered = link.read(addresses.registry, Registry::providerCountCall {}).await?;
        let mut market = Market { registered, ..Market::default() };
        for number in 1..=registered.min(LOOK_AT) {
            let call = Registry::providerByNumberCall { number };
            let provider = link.read(addresses.registry, call).await?;
            if provider.paused {
                market.paused += 1;
                continue;
            }
            let call = JobBook::claimableCall { jobId: job.0, provider: provider.owner };
            let claimable = link.read(addresses.job_book, call).await?;
            if claimable.why == u8::from(Refusal::None) {
                market.welcome += 1;
            } else {
                *market.refused.entry(claimable.why).or_default() += 1;
            }
        }
        Ok(market)
    })
}

/// What to tell a person whose job nobody claims.
pub fn explain(market: &Market) -> Problem {
    let what = "nobody works on this job yet";
    if market.registered == 0 {
        return Problem::new(
            "no provider is online",
            "no provider is registered on this chain",
            "start one (tilth up --providers N, or tilth provider), the job waits until its deadline",
        );
    }
    let looked = market.registered.min(LOOK_AT);
    if market.paused == looked {
        return Problem::new(
            "no provider is online",
            format!("all {looked} providers are paused"),
            "wait, or start another one; the job waits until its deadline",
        );
    }
    if market.welcome > 0 {
        let detail =
            format!("{} of {looked} providers could claim now and have not", market.welcome);
        return Problem::new(
            what,
            detail,
            "they may be fetching the inputs, resting while their owners use the machine (an owner sees it with `tilth provider status`), be switched off, or ask for more than the job's price; keep this program running, since it serves the inputs",
        );
    }
    let most = market.refused.iter().max_by_key(|(_, count)| **count).map(|(why, _)| *why);
    let why = most.and_then(|why| Refusal::try_from(why).ok()).unwrap_or(Refusal::None);
    let advice = match why {
        Refusal::Dry => "put more money into the job (tilth job top-up)",
        Refusal::DeadlinePassed => "submit the job again with a later deadline",
        Refusal::NotQualified => "lower the job's requirements, or wait for better machines",
        Refusal::NoFreeSlot => "wait: they are busy with other work",
        Refusal::NoExposure => {
            "wait: they are busy with other work; of a kept job the deposit may not reach for another range, then keep this program running, which fills it up"
        }
        _ => "wait, or submit the job again with other terms",
    };
    let detail = format!("{why} ({looked} providers asked)");
    Problem::new(what, detail, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_market_has_its_own_words() {
        assert_eq!(explain(&Market::default()).what, "no provider is online");
        let paused = Market { registered: 2, paused: 2, ..Market::default() };
        assert!(explain(&paused).detail.contains("paused"));
        let slow = Market { registered: 2, paused: 1, welcome: 1, ..Market::default() };
        assert!(explain(&slow).detail.contains("1 of 2"));
        assert!(explain(&slow).advice.contains("tilth provider status"), "{:?}", explain(&slow));
        let refused =
            BTreeMap::from([(u8::from(Refusal::Dry), 2), (u8::from(Refusal::NoFreeSlot), 1)]);
        let dry = Market { registered: 3, refused, ..Market::default() };
        assert!(explain(&dry).advice.contains("money"), "{:?}", explain(&dry));
    }
}
