//! What all parties act on: the chain, what waits to get into it, and what they know of each other.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use tilth_client::{
    audit::{Effect, Millis, View},
    mates::Part,
};
use tilth_contracts::{
    AuditOutcome, AuditState, Audits, HoldAsk, JobState, Keep, RangeState, SeatState,
    SoloRandomness, Spot, WaitingEntry,
    bindings::{audits::IAudits::Case, replicas::IReplicas::Pair},
};
use tilth_protocol::{JobId, Leaf, RangeId};
use tilth_verification::{
    arithmetic::Share, audit::positions, replica::Found, walk::DISPUTED_RATE,
};

pub use super::pool::{Actor, Tx, What};
use super::{mind::Service, public::Public};
use crate::{
    farm::{Farm, FarmError},
    random::Random,
};

/// What was handed in for a range, and what is wrong with it: only oracles and friends of its provider
/// know.
#[derive(Clone, Debug)]
pub struct Handed {
    /// Its leaves.
    pub leaves: Vec<Leaf>,
    /// Which of them are not what execution finds.
    pub wrong: Vec<bool>,
    /// Units that were submitted.
    pub units: u64,
    /// Whether the provider means ill.
    pub by_foe: bool,
}

impl Handed {
    /// How many leaves are wrong, and their units.
    pub fn faults(&self) -> (u64, u64) {
        let wrong = self.leaves.iter().zip(&self.wrong).filter(|(_, wrong)| **wrong);
        wrong.fold((0, 0), |(n, units), (leaf, _)| (n + 1, units + leaf.units))
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Scene {
    /// The chain.
    pub farm: Farm,
    /// What time it really is, milliseconds.
    pub now: Millis,
    /// Transactions that are in no block.
    pub pool: Vec<Tx>,
    /// Chance.
    pub random: Random,
    /// What logs said.
    pub public: Public,
    /// What was handed in.
    pub handed: BTreeMap<RangeId, Handed>,
    /// What primaries show of replicated ranges, with its salts: in the pool already everybody sees that.
    pub openings: BTreeMap<RangeId, (Found, B256)>,
    /// Clients and providers, and whether auditors get inputs from them.
    pub serves_auditors: BTreeMap<Address, bool>,
    /// Clients, and the providers that get no inputs from them.
    pub refused: BTreeSet<(Address, Address)>,
    /// Providers who do not serve outputs.
    pub keeps_outputs: BTreeMap<Address, bool>,
    /// Providers, and to which holders they serve what their kept ranges have made; clients, and to which the inputs
    /// of their jobs.
    pub serves_holders: BTreeMap<Address, Service>,
    /// What auditors really have of that, each by its number.
    pub stored: BTreeSet<(RangeId, u32)>,
    /// Counts changes of the chain's state, by transactions or by blocks that are taken back.
    pub version: u64,
    /// Counts how often news of blocks came later than these: then the same state may say more.
    pub news: u64,
    /// How many blocks must be on top of what logs and receipts tell before anybody hears of it.
    pub reach: u64,
    cases: BTreeMap<RangeId, (u64, Case)>,
    seats: BTreeMap<(RangeId, u8), (u64, u32, u8)>,
    pub(super) beacons: BTreeMap<u64, (u64, B256, u8)>,
    pub(super) pairs: BTreeMap<RangeId, (u64, Part, Pair)>,
    pub(super) entries: BTreeMap<(JobId, u32), (u64, WaitingEntry)>,
    pub(super) asks: BTreeMap<RangeId, (u64, HoldAsk)>,
    pub(super) keeps: BTreeMap<JobId, (u64, Keep, u128)>,
    /// By the beacon's round.
    pub(super) named: BTreeMap<RangeId, (u64, Vec<u32>)>,
    /// Who looks at holders, and how that stands.
    pub(super) spots: BTreeMap<RangeId, (u64, Spot)>,
    /// The same as of holders, by the round that draws them.
    pub(super) spotters: BTreeMap<RangeId, (u64, Vec<u32>)>,
    pub(super) states: BTreeMap<JobId, (u64, (JobState, u32))>,
}

impl Scene {
    /// A chain on which nothing has happened.
    pub fn new(farm: Farm, random: Random) -> Self {
        let now = farm.now.saturating_mul(1_000);
        Self {
            farm,
            now,
            pool: Vec::new(),
            random,
            public: Public::default(),
            handed: BTreeMap::new(),
            openings: BTreeMap::new(),
            serves_auditors: BTreeMap::new(),
            refused: BTreeSet::new(),
            keeps_outputs: BTreeMap::new(),
            serves_holders: BTreeMap::new(),
            stored: BTreeSet::new(),
            version: 0,
            news: 0,
            reach: 0,
            cases: BTreeMap::new(),
            seats: BTreeMap::new(),
            beacons: BTreeMap::new(),
            pairs: BTreeMap::new(),
            entries: BTreeMap::new(),
            asks: BTreeMap::new(),
            keeps: BTreeMap::new(),
            named: BTreeMap::new(),
            spots: BTreeMap::new(),
            spotters: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// The chain is what it was when `farm` was put aside, and what waits is these transactions and what waited already.
    pub fn take_back(&mut self, farm: Farm, undone: impl Iterator<Item = Tx>) {
        self.farm = farm;
        self.version += 1;
        self.cases.clear();
        self.seats.clear();
        self.beacons.clear();
        self.pairs.clear();
        self.entries.clear();
        self.asks.clear();
        self.keeps.clear();
        self.named.clear();
        self.spots.clear();
        self.spotters.clear();
        self.states.clear();
        let waiting = undone.chain(self.pool.drain(..)).collect();
        self.pool = waiting;
    }

    /// The chain's state, and what is known of it: as long as neither changes, nothing that was asked has another
    /// answer.
    pub fn moment(&self) -> (u64, u64) {
        (self.version, self.news)
    }

    /// Sends a transaction.
    pub fn send<C: SolCall>(
        &mut self,
        by: Actor,
        from: Address,
        to: Address,
        call: &C,
        what: What,
    ) {
        let data = Bytes::from(call.abi_encode());
        self.pool.push(Tx { by, from, to, data, call: C::SIGNATURE, what });
    }

    /// Sends what anybody may do about a case; `false` if the effect is another.
    pub fn send_common(&mut self, by: Actor, from: Address, effect: &Effect) -> bool {
        let at = *self.farm.addresses();
        let id = effect.range();
        let (job_id, seq, what) = (id.job.0, id.seq, What::Audit(id));
        match effect {
            Effect::Poke { round, .. } => {
                let call = SoloRandomness::noteCall { round: *round };
                self.send(by, from, at.randomness, &call, what);
            }
            Effect::Draw { .. } => {
                let call = Audits::drawCall { jobId: job_id, seq };
                self.send(by, from, at.audits, &call, what);
            }
            Effect::Advance { .. } => {
                let call = Audits::advanceCall { jobId: job_id, seq };
                self.send(by, from, at.audits, &call, what);
            }
            _ => return false,
        }
        true
    }

    /// A case as the chain shows it now; what cannot have changed is not asked again. `seated`: an
    /// auditor's number, and the seat that it has heard of last; `local`: what the asking party's clock says.
    ///
    /// # Errors
    /// Those of [`Farm::read`].
    pub fn look(
        &mut self,
        id: RangeId,
        seated: Option<(u32, u8)>,
        local: Millis,
    ) -> Result<View, FarmError> {
        let at = *self.farm.addresses();
        let (job_id, seq) = (id.job.0, id.seq);
        let known = self.cases.get(&id).filter(|(version, _)| *version == self.version);
        let case = match known {
            Some((_, case)) => case.clone(),
            None => {
                let call = Audits::auditCaseCall { jobId: job_id, seq };
                let case = self.farm.read(at.audits, &call)?;
                self.cases.insert(id, (self.version, case.clone()));
                case
            }
        };
        let state = AuditState::try_from(case.state).unwrap_or(AuditState::None);
        let outcome = AuditOutcome::try_from(case.outcome).unwrap_or(AuditOutcome::Open);
        // Before the draw, which notes it, a value can come and go with the blocks.
        let (beacon, lapses) = self.beacon(case.round, state != AuditState::Submitted)?;
        let seat = match seated {
            Some(seated) => self.seat_of(id, case.given, seated)?,
            None => None,
        };
        let over = self.public.ranges.get(&id).map(|range| range.state);
        Ok(View {
            state,
            outcome,
            deadline: case.deadline.to::<u64>().saturating_mul(1_000),
            round: case.round,
            rate: Share::new(case.rate),
            disputed: case.rate == DISPUTED_RATE,
            positions: positions(case.positions),
            seat,
            beacon: (!beacon.is_zero()).then_some(beacon),
            lapses,
            block: self.farm.block,
            now: self.farm.now.saturating_mul(1_000),
            next: self.farm.now.saturating_mul(1_000).max(local),
            range_over: matches!(over, Some(RangeState::Settled | RangeState::Rejected)),
        })
    }

    /// Where an auditor sits in a case of so many seats.
    fn seat_of(
        &mut self,
        id: RangeId,
        given: u8,
        (auditor, heard): (u32, u8),
    ) -> Result<Option<(u8, SeatState)>, FarmError> {
        let others = (0..given).filter(|number| *number != heard);
        for number in [heard].into_iter().chain(others) {
            let (who, state) = self.seat(id, number)?;
            if who == auditor {
                return Ok(Some((number, state)));
            }
        }
        Ok(None)
    }

    /// Who sits there, and how that stands.
    fn seat(&mut self, id: RangeId, number: u8) -> Result<(u32, SeatState), FarmError> {
        let known = self.seats.get(&(id, number)).filter(|(version, ..)| *version == self.version);
        let (who, state) = match known {
            Some((_, who, state)) => (*who, *state),
            None => {
                let call = Audits::seatCall { jobId: id.job.0, seq: id.seq, number };
                let audits = self.farm.addresses().audits;
                let seat = self.farm.read(audits, &call)?;
                self.seats.insert((id, number), (self.version, seat.auditor, seat.state));
                (seat.auditor, seat.state)
            }
        };
        Ok((who, SeatState::try_from(state).unwrap_or(SeatState::Absent)))
    }
}
