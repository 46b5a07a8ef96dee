//! Becoming, and staying, a provider: registration, stake, keys and address, brought in line with the
//! configuration at every start. Doing it again changes nothing and costs nothing.

use alloy_primitives::{Bytes, FixedBytes};
use tilth_client::{ChainError, money};
use tilth_contracts::{Attributes, Provider as OnChain, Registry};
use tilth_protocol::{Amount, Contact};
use tracing::info;

use crate::{ProviderError, capability::Capability, chain::Chain, config::Config};

/// One step towards what the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Register,
    SetNode,
    Update,
    AddStake(u128),
    SetEndpoint,
    Unpause,
}

/// Brings the chain's record of this provider in line. `published` is the contact the chain was told
/// last, as far as we remember; the contract keeps addresses only in its events.
pub(crate) async fn enroll(
    chain: &Chain,
    config: &Config,
    contact: &Contact,
    published: &str,
    found: &Capability,
) -> Result<(), ProviderError> {
    let owner = chain.owner.address();
    let registry = chain.link.addresses().registry;
    let known = chain.link.read(registry, Registry::providerCall { owner }).await?;
    let wanted = attributes(config, found)?;
    let fresh = published != encoded(contact);
    for step in steps(&known, config, &wanted, contact, fresh) {
        info!(%owner, ?step, "bringing the registration up to date");
        take(chain, config, &wanted, contact, step).await?;
    }
    chain.refill().await?;
    Ok(())
}

/// A contact as the bookmark remembers it.
pub(crate) fn encoded(contact: &Contact) -> String {
    alloy_primitives::hex::encode(contact.to_bytes())
}

fn attributes(config: &Config, found: &Capability) -> Result<Attributes, ProviderError> {
    let offer = &config.offer;
    let region = offer.region.as_bytes();
    if region.len() > 8 || !region.is_ascii() {
        let text = format!("the region {:?} is not at most 8 ASCII characters", offer.region);
        return Err(ProviderError::Config(text));
    }
    let mut padded = [0; 8];
    padded[..region.len()].copy_from_slice(region);
    let memory_mib = config.limits.memory_per_slot >> 20;
    Ok(Attributes {
        classBits: found.class_bits,
        memoryMib: u32::try_from(memory_mib).unwrap_or(u32::MAX),
        vramMib: found.vram_mib,
        region: FixedBytes(padded),
    })
}

/// What is to be done. Pure.
fn steps(
    known: &OnChain,
    config: &Config,
    wanted: &Attributes,
    contact: &Contact,
    fresh: bool,
) -> Vec<Step> {
    if known.number == 0 {
        return vec![Step::Register];
    }
    let mut steps = Vec::new();
    if known.node != config.node.address() {
        steps.push(Step::SetNode);
    }
    if known.slots != config.offer.slots || known.attributes != *wanted {
        steps.push(Step::Update);
    }
    if let Some(missing) = config.offer.stake.0.checked_sub(known.stake).filter(|more| *more > 0) {
        steps.push(Step::AddStake(missing));
    }
    if fresh || known.endpointId.0 != contact.endpoint {
        steps.push(Step::SetEndpoint);
    }
    if known.paused {
        steps.push(Step::Unpause);
    }
    steps
}

async fn take(
    chain: &Chain,
    config: &Config,
    wanted: &Attributes,
    contact: &Contact,
    step: Step,
) -> Result<(), ProviderError> {
    let registry = chain.link.addresses().registry;
    let owner = &chain.owner;
    let (id, endpoint) = (contact.endpoint.into(), Bytes::from(contact.to_bytes()));
    let slots = config.offer.slots;
    match step {
        Step::Register => {
            let stake = config.offer.stake;
            fund(chain, stake).await?;
            let call = Registry::registerCall {
                node: config.node.address(),
                slots,
                attributes: wanted.clone(),
                endpointId: id,
                endpoint,
                stake: stake.0,
                consent: chain.node.agree_to_work_for(owner.address()).await?,
            };
            let registered = owner.execute(registry, call).await;
            ignore_receipt(registered)?;
        }
        Step::SetNode => {
            let consent = chain.node.agree_to_work_for(owner.address()).await?;
            let call = Registry::setNodeCall { node: config.node.address(), consent };
            ignore_receipt(owner.execute(registry, call).await)?;
        }
        Step::Update => {
            let call = Registry::updateCall { slots, attributes: wanted.clone() };
            ignore_receipt(owner.execute(registry, call).await)?;
        }
        Step::AddStake(amount) => {
            fund(chain, Amount(amount)).await?;
            ignore_receipt(owner.execute(registry, Registry::addStakeCall { amount }).await)?;
        }
        Step::SetEndpoint => {
            let call = Registry::setEndpointCall { endpointId: id, endpoint };
            ignore_receipt(owner.execute(registry, call).await)?;
        }
        Step::Unpause => {
            let call = Registry::setPausedCall { paused: false };
            ignore_receipt(owner.execute(registry, call).await)?;
        }
    }
    Ok(())
}

fn ignore_receipt<T>(sent: Result<T, ChainError>) -> Result<(), ChainError> {
    sent.map(drop)
}

/// Deposits what is missing of an amount in the owner's free balance.
pub(crate) async fn fund(chain: &Chain, amount: Amount) -> Result<(), ProviderError> {
    let free = money::balances(&chain.link, chain.owner.address()).await?.free;
    if let Some(missing) = amount.checked_sub(free).filter(|missing| *missing > Amount::ZERO) {
        money::deposit(&chain.owner, missing, chain.wraps_native).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::signers::local::PrivateKeySigner;
    use alloy_primitives::{Address, aliases::U40};
    use tilth_client::Network;
    use tilth_contracts::Addresses;
    use tilth_sandbox::CommandLine;

    use super::*;

    fn config() -> Config {
        let command = CommandLine { program: "/bin/true".into(), args: Vec::new() };
        Config {
            dir: "/nowhere".into(),
            network: Network {
                rpc_url: "http://127.0.0.1:1".into(),
                chain_id: 1,
                contracts: Addresses::predeployed().into(),
                first_block: 0,
                wraps_native: true,
                confirmations: 0,
            },
            owner: PrivateKeySigner::from_bytes(&[1; 32].into()).unwrap(),
            node: PrivateKeySigner::from_bytes(&[2; 32].into()).unwrap(),
            offer: crate::config::Offer::default(),
            limits: crate::config::Limits::default(),
            worker: command.clone(),
            sandbox_init: command,
            gpu: tilth_sandbox::GpuUse::Off,
            bind: ([127, 0, 0, 1], 0).into(),
            advertise: Vec::new(),
            retention: std::time::Duration::ZERO,
            withdraw_above: None,
            gas: crate::config::GasReserve::default(),
            measure: false,
            comfort: crate::config::Comfort::default(),
        }
    }

    fn contact() -> Contact {
        Contact { endpoint: [7; 32], addresses: Vec::new() }
    }

    fn in_line(config: &Config) -> OnChain {
        OnChain {
            number: 3,
            owner: config.owner.address(),
            node: config.node.address(),
            slots: 1,
            held: 0,
            paused: false,
            stake: config.offer.stake.0,
            exposure: 0,
            unbonding: 0,
            unbondingReadyAt: U40::ZERO,
            attributes: attributes(config, &Capability::default()).unwrap(),
            endpointId: FixedBytes(contact().endpoint),
        }
    }

    fn plan(known: &OnChain, config: &Config, fresh: bool) -> Vec<Step> {
        steps(
            known,
            config,
            &attributes(config, &Capability::default()).unwrap(),
            &contact(),
            fresh,
        )
    }

    #[test]
    fn a_registration_in_line_needs_nothing() {
        let config = config();
        assert_eq!(plan(&in_line(&config), &config, false), []);
    }

    #[test]
    fn every_difference_is_mended() {
        let config = config();
        let mut known = in_line(&config);
        known.number = 0;
        assert_eq!(plan(&known, &config, true), [Step::Register]);
        let known = OnChain { node: Address::ZERO, paused: true, ..in_line(&config) };
        assert_eq!(plan(&known, &config, true), [Step::SetNode, Step::SetEndpoint, Step::Unpause]);
        let mut known = in_line(&config);
        (known.slots, known.stake) = (9, config.offer.stake.0 - 5);
        assert_eq!(plan(&known, &config, false), [Step::Update, Step::AddStake(5)]);
        known.stake = config.offer.stake.0 + 5;
        assert_eq!(
            plan(&known, &config, false),
            [Step::Update],
            "more stake than asked for is fine"
        );
    }

    #[test]
    fn what_was_found_is_announced() {
        let config = config();
        let found = Capability { class_bits: 0x301, vram_mib: 7, devices: Vec::new() };
        let wanted = attributes(&config, &found).unwrap();
        assert_eq!((wanted.classBits, wanted.vramMib), (0x301, 7));
        assert_eq!(steps(&in_line(&config), &config, &wanted, &contact(), false), [Step::Update]);
    }

    #[test]
    fn a_region_that_does_not_fit_is_refused() {
        let mut config = config();
        for wrong in ["nine-char", "é"] {
            config.offer.region = wrong.into();
            assert!(matches!(
                attributes(&config, &Capability::default()),
                Err(ProviderError::Config(_))
            ));
        }
    }
}
