//! Who may use the relay of a network: a fold over the chain's events, pure.
//!
//! Admitted are endpoints of providers with enough stake, and of clients whose jobs are not over, or were
//! not until lately. Whoever is unknown is not admitted; nothing an event says can take a place from
//! somebody else: an endpoint is admitted if *any* provider or job that names it is good.

use std::collections::{HashMap, VecDeque};

use alloy::{
    primitives::{Address, B256},
    rpc::types::Log,
    sol_types::SolEvent,
};
use tilth_contracts::{JobBook, Registry};
use tilth_protocol::Contact;

use crate::EndpointKey;

/// Most providers remembered, far more than the networks of today have; those beyond are not admitted.
const MAX_PROVIDERS: usize = 65_536;
/// Most open jobs, and most endpoints of clients, remembered. The same rule.
const MAX_JOBS: usize = 65_536;
/// Latest endpoints of one provider: one who moved still owes results at the old one. The number is that of
/// the endpoints that clients try.
const MAX_ENDPOINTS: usize = 4;

/// The events that are read.
pub(crate) const EVENTS: [B256; 7] = [
    Registry::ProviderRegistered::SIGNATURE_HASH,
    Registry::EndpointChanged::SIGNATURE_HASH,
    Registry::StakeAdded::SIGNATURE_HASH,
    Registry::UnstakeStarted::SIGNATURE_HASH,
    Registry::StakeSlashed::SIGNATURE_HASH,
    JobBook::JobOpened::SIGNATURE_HASH,
    JobBook::JobDone::SIGNATURE_HASH,
];

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Roll {
    /// In the token's smallest unit.
    least_stake: u128,
    /// How long a client stays after its last job, in seconds.
    keep: u64,
    providers: HashMap<Address, Offering>,
    /// How many providers with enough stake name an endpoint.
    bonded: HashMap<EndpointKey, u32>,
    /// Endpoints of the clients of jobs that are not over.
    jobs: HashMap<u64, EndpointKey>,
    clients: HashMap<EndpointKey, Client>,
}

#[derive(Debug, Default)]
struct Offering {
    stake: u128,
    /// The latest last, without repetition.
    endpoints: VecDeque<EndpointKey>,
}

#[derive(Debug, Default)]
struct Client {
    open: u32,
    /// With no open job: when it is forgotten, in seconds since 1970.
    until: u64,
}

impl Roll {
    /// An empty roll. `keep` is in seconds.
    pub(crate) fn new(least_stake: u128, keep: u64) -> Self {
        Self {
            least_stake,
            keep,
            providers: HashMap::new(),
            bonded: HashMap::new(),
            jobs: HashMap::new(),
            clients: HashMap::new(),
        }
    }

    /// Whether an endpoint may use the relay, at a time in seconds since 1970.
    pub(crate) fn admits(&self, endpoint: &EndpointKey, now: u64) -> bool {
        self.bonded.contains_key(endpoint)
            || self
                .clients
                .get(endpoint)
                .is_some_and(|client| client.open > 0 || now < client.until)
    }

    /// Endpoints of providers with enough stake.
    pub(crate) fn bonded(&self) -> usize {
        self.bonded.len()
    }

    /// Endpoints of clients.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Takes one event in, in chain order. `now` is for events whose block's time the node does not say.
    pub(crate) fn note(&mut self, log: &Log, now: u64) {
        let at = log.block_timestamp.unwrap_or(now).min(now);
        let Some(signature) = log.topic0() else { return };
        let log = &log.inner;
        if *signature == Registry::EndpointChanged::SIGNATURE_HASH
            && let Ok(event) = Registry::EndpointChanged::decode_log(log)
        {
            self.moved(event.owner, event.endpointId.0);
        } else if *signature == Registry::ProviderRegistered::SIGNATURE_HASH
            && let Ok(event) = Registry::ProviderRegistered::decode_log(log)
        {
            self.staked(event.owner, event.stake);
        } else if *signature == Registry::StakeAdded::SIGNATURE_HASH
            && let Ok(event) = Registry::StakeAdded::decode_log(log)
        {
            self.staked(event.owner, event.stake);
        } else if *signature == Registry::UnstakeStarted::SIGNATURE_HASH
            && let Ok(event) = Registry::UnstakeStarted::decode_log(log)
        {
            self.staked(event.owner, event.stake);
        } else if *signature == Registry::StakeSlashed::SIGNATURE_HASH
            && let Ok(event) = Registry::StakeSlashed::decode_log(log)
        {
            self.staked(event.owner, event.stake);
        } else if *signature == JobBook::JobOpened::SIGNATURE_HASH
            && let Ok(event) = JobBook::JobOpened::decode_log(log)
        {
            // What cannot be read is a client whom no provider can meet either.
            if let Ok(contact) = Contact::from_bytes(&event.terms.contact) {
                self.opened(event.jobId, contact.endpoint);
            }
        } else if *signature == JobBook::JobDone::SIGNATURE_HASH
            && let Ok(event) = JobBook::JobDone::decode_log(log)
        {
            self.done(event.jobId, at, now);
        }
    }

    /// Forgets clients whose time is over.
    pub(crate) fn forget(&mut self, now: u64) {
        self.clients.retain(|_, client| client.open > 0 || now < client.until);
    }

    fn staked(&mut self, owner: Address, stake: u128) {
        self.change(owner, |offering| offering.stake = stake);
    }

    fn moved(&mut self, owner: Address, endpoint: EndpointKey) {
        self.change(owner, |offering| {
            offering.endpoints.retain(|known| *known != endpoint);
            offering.endpoints.push_back(endpoint);
            if offering.endpoints.len() > MAX_ENDPOINTS {
                offering.endpoints.pop_front();
            }
        });
    }

    /// Changes a provider, and the counts with it.
    fn change(&mut self, owner: Address, change: impl FnOnce(&mut Offering)) {
        let least = self.least_stake;
        if self.providers.len() >= MAX_PROVIDERS && !self.providers.contains_key(&owner) {
            // Registering is free: one without enough stake gives way.
            let weak = self.providers.iter().find(|(_, known)| known.stake < least);
            let Some(weak) = weak.map(|(weak, _)| *weak) else { return };
            self.providers.remove(&weak);
        }
        let offering = self.providers.entry(owner).or_default();
        if offering.stake >= least {
            for endpoint in &offering.endpoints {
                if let Some(count) = self.bonded.get_mut(endpoint) {
                    *count -= 1;
                    if *count == 0 {
                        self.bonded.remove(endpoint);
                    }
                }
            }
        }
        change(offering);
        if offering.stake >= least {
            for endpoint in &offering.endpoints {
                *self.bonded.entry(*endpoint).or_default() += 1;
            }
        }
    }

    fn opened(&mut self, job: u64, endpoint: EndpointKey) {
        let is_known = self.clients.contains_key(&endpoint);
        let is_full = self.jobs.len() >= MAX_JOBS || self.clients.len() >= MAX_JOBS && !is_known;
        if is_full || self.jobs.contains_key(&job) {
            return;
        }
        self.jobs.insert(job, endpoint);
        self.clients.entry(endpoint).or_default().open += 1;
    }

    fn done(&mut self, job: u64, at: u64, now: u64) {
        let Some(endpoint) = self.jobs.remove(&job) else { return };
        if let Some(client) = self.clients.get_mut(&endpoint) {
            client.open -= 1;
            client.until = client.until.max(at.saturating_add(self.keep));
            if client.open == 0 && client.until <= now {
                // Over long ago, as most are while the past is read; it takes no place from others.
                self.clients.remove(&endpoint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{
        Bytes,
        aliases::{U40, U96},
    };
    use proptest::prelude::*;
    use tilth_contracts::{Attributes, JobState, Terms};

    use super::*;

    const NOW: u64 = 1_000_000;
    const KEEP: u64 = 3_600;
    const LEAST: u128 = 100;

    fn log(event: &impl SolEvent, at: u64) -> Log {
        let inner =
            alloy::primitives::Log { address: Address::ZERO, data: event.encode_log_data() };
        Log { inner, block_timestamp: Some(at), ..Log::default() }
    }

    fn owner(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    fn registered(number: u8, stake: u128) -> Log {
        let attributes =
            Attributes { classBits: 0, memoryMib: 0, vramMib: 0, region: [0; 8].into() };
        let (owner, node) = (owner(number), owner(number.wrapping_add(100)));
        let event = Registry::ProviderRegistered {
            owner,
            number: number.into(),
            node,
            slots: 1,
            attributes,
            stake,
        };
        log(&event, NOW)
    }

    fn endpoint(number: u8, endpoint: u8) -> Log {
        let endpoint_id = [endpoint; 32].into();
        let event = Registry::EndpointChanged {
            owner: owner(number),
            endpointId: endpoint_id,
            endpoint: Bytes::new(),
        };
        log(&event, NOW)
    }

    fn opened(job: u64, endpoint: u8) -> Log {
        let contact = Contact { endpoint: [endpoint; 32], addresses: Vec::new() };
        opened_with(job, contact.to_bytes())
    }

    fn opened_with(job: u64, contact: Vec<u8>) -> Log {
        let terms = Terms {
            specHash: B256::ZERO,
            taskCount: 1,
            unitCap: 1,
            prepareCap: 0,
            price: U96::ZERO,
            floorPrice: U96::ZERO,
            finishSeconds: 0,
            window: 0,
            rangeTimeout: 0,
            targetSeconds: 0,
            parallelism: 0,
            firstRange: 1,
            deadline: U40::ZERO,
            maxFailures: 0,
            requiredClass: 0,
            minVramMib: 0,
            afterJob: 0,
            audited: false,
            replicas: 0,
            kept: false,
            callback: Address::ZERO,
            program: B256::ZERO,
            contact: contact.into(),
        };
        let (client, program) = (owner(200), B256::ZERO);
        let event =
            JobBook::JobOpened { jobId: job, client, program, terms, escrow: 1, at: U40::ZERO };
        log(&event, NOW)
    }

    fn done(job: u64, at: u64) -> Log {
        let event = JobBook::JobDone {
            jobId: job,
            state: JobState::Done as u8,
            resultRoot: B256::ZERO,
            settledTasks: 1,
            refunded: 0,
        };
        log(&event, at)
    }

    fn roll(logs: &[Log]) -> Roll {
        let mut roll = Roll::new(LEAST, KEEP);
        logs.iter().for_each(|log| roll.note(log, NOW));
        roll
    }

    #[test]
    fn providers_are_admitted_while_they_are_bonded() {
        let mut roll =
            roll(&[registered(1, 100), endpoint(1, 7), registered(2, 99), endpoint(2, 8)]);
        assert!(roll.admits(&[7; 32], NOW));
        assert!(!roll.admits(&[8; 32], NOW), "too little stake");
        assert!(!roll.admits(&[9; 32], NOW), "unknown");
        let added = Registry::StakeAdded { owner: owner(2), amount: 1, stake: 100 };
        roll.note(&log(&added, NOW), NOW);
        assert!(roll.admits(&[8; 32], NOW));
        let leaves = Registry::UnstakeStarted {
            owner: owner(1),
            amount: 100,
            stake: 0,
            unbonding: 100,
            readyAt: U40::ZERO,
        };
        roll.note(&log(&leaves, NOW), NOW);
        assert!(!roll.admits(&[7; 32], NOW), "has left");
        let slashed = Registry::StakeSlashed {
            owner: owner(2),
            beneficiary: owner(9),
            toBeneficiary: 1,
            burned: 1,
            stake: 98,
            unbonding: 0,
        };
        roll.note(&log(&slashed, NOW), NOW);
        assert!(!roll.admits(&[8; 32], NOW), "was slashed");
        assert_eq!(roll.bonded(), 0);
    }

    #[test]
    fn nobody_takes_a_place_from_another_by_naming_his_endpoint() {
        let mut roll = roll(&[registered(1, 100), endpoint(1, 7)]);
        // Somebody without stake names the same endpoint and moves on, and a job does and ends.
        for event in [registered(2, 0), endpoint(2, 7), endpoint(2, 6), opened(1, 7), done(1, NOW)]
        {
            roll.note(&event, NOW);
        }
        assert!(roll.admits(&[7; 32], NOW + KEEP + 1));
        assert!(!roll.admits(&[6; 32], NOW));
    }

    #[test]
    fn who_moves_is_admitted_at_the_latest_places() {
        let moves: Vec<_> = (1..=6).map(|number| endpoint(1, number)).collect();
        let mut roll = roll(&[&[registered(1, 100)][..], &moves].concat());
        let admitted =
            |roll: &Roll| (1..=6).filter(|n| roll.admits(&[*n; 32], NOW)).collect::<Vec<u8>>();
        assert_eq!(admitted(&roll), [3, 4, 5, 6]);
        roll.note(&endpoint(1, 3), NOW);
        roll.note(&endpoint(1, 1), NOW);
        assert_eq!(admitted(&roll), [1, 3, 5, 6]);
    }

    #[test]
    fn clients_are_admitted_while_they_have_jobs_and_for_a_while_after() {
        let mut roll = roll(&[opened(1, 5), opened(2, 5), opened(3, 4)]);
        roll.note(&done(1, NOW), NOW);
        assert!(roll.admits(&[5; 32], u64::MAX), "one job is open");
        roll.note(&done(2, NOW), NOW);
        assert!(roll.admits(&[5; 32], NOW + KEEP - 1));
        assert!(!roll.admits(&[5; 32], NOW + KEEP));
        // A job that was over long ago, as it is read at the start.
        roll.note(&done(3, NOW - 2 * KEEP), NOW);
        assert!(!roll.admits(&[4; 32], NOW));
        assert_eq!(roll.clients(), 1);
        roll.forget(NOW + KEEP);
        assert_eq!(roll.clients(), 0);
        // A block from the future keeps nobody for ever.
        roll.note(&opened(4, 4), NOW);
        roll.note(&done(4, u64::MAX), NOW);
        assert!(!roll.admits(&[4; 32], NOW + KEEP));
    }

    #[test]
    fn what_is_unreadable_admits_nobody() {
        let mut broken = registered(1, 100);
        broken.inner.data = alloy::primitives::LogData::new_unchecked(
            vec![Registry::ProviderRegistered::SIGNATURE_HASH],
            vec![1; 5].into(),
        );
        let roll = roll(&[opened_with(1, vec![9; 7]), broken, endpoint(1, 7), Log::default()]);
        assert_eq!((roll.bonded(), roll.clients()), (0, 0));
    }

    proptest! {
        /// The counts are what a count from scratch gives, whatever happens in whatever order.
        #[test]
        fn counts_are_those_of_a_recount(steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..6), 0..80)) {
            let mut roll = Roll::new(LEAST, KEEP);
            let mut open = HashMap::<u64, u8>::new();
            for (what, who, which) in steps {
                let job = u64::from(who);
                match what {
                    0 => roll.note(&registered(who, 100), NOW),
                    1 => roll.note(&registered(who, 99), NOW),
                    2 | 3 => roll.note(&endpoint(who, which), NOW),
                    4 => {
                        roll.note(&opened(job, which), NOW);
                        open.entry(job).or_insert(which);
                    }
                    _ => {
                        roll.note(&done(job, NOW), NOW);
                        open.remove(&job);
                    }
                }
                for number in 0..6_u8 {
                    let bonded = roll.providers.values().any(|offering| {
                        offering.stake >= LEAST && offering.endpoints.contains(&[number; 32])
                    });
                    let has_job = open.values().any(|endpoint| *endpoint == number);
                    prop_assert_eq!(roll.admits(&[number; 32], u64::MAX), bonded || has_job);
                }
            }
        }
    }
}
