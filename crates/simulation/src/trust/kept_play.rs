//! A kept job by logs alone, for tests of who watches over it: no world is in it, and what is told may be wrong.

use alloy_primitives::{
    Address, B256, Log,
    aliases::{U40, U96},
    keccak256,
};
use alloy_sol_types::SolEvent;
use tilth_contracts::{
    HoldState, Holders, JobBook, Ledger, RangeState, Registry, SoloRandomness, Spots,
};
use tilth_protocol::{JobId, RangeId, amount::GRAIN};
use tilth_verification::{
    draw::Purpose,
    holding::{INPUTS_AFTER_S, Prices, SPOT_TIME_S, SPOTTERS},
};

use super::{
    Cast, Counts,
    cast::{deposit, least_fee, prices, terms},
    deposits::Deposit,
    keeps::Keeps,
    mind::{Conduct, Service, Sight},
    public::{Job, Range},
    scene::{Handed, Scene},
    workload,
};
use crate::{farm::Farm, random::Random};

pub(super) const ID: RangeId = RangeId { job: JobId(1), seq: 0 };
pub(super) const CLIENT: Address = Address::repeat_byte(1);
pub(super) const PROVIDER: Address = Address::repeat_byte(2);
/// What it has at stake, and what the purse's cut of that is when nobody holds its range: twice 2 % of that.
const STAKE: u128 = 1_000 * GRAIN;
const BILL: u128 = 400;
/// Size of what is asked for, MiB, and when the window of the range is over: it is handed in at 10.
const MIB: u32 = 2;
pub(super) const DUE: u64 = 610;
/// The beacon's round of those who look.
pub(super) const LOOKS: u64 = 100;

/// Four auditors with a stake of 100 each. A job with a deposit, and a range worth 10,000 in it.
pub(super) struct Play {
    pub(super) keeps: Keeps,
    pub(super) counts: Counts,
    pub(super) scene: Scene,
    pub(super) prices: Prices,
    /// What is asked for.
    pub(super) id: RangeId,
}

impl Play {
    /// The last ones lie.
    pub(super) fn new(service: Service, liars: usize) -> Self {
        let people = std::array::from_fn(|number| {
            let lies = number + liars >= 4;
            (if lies { Conduct::Lies } else { Conduct::Fetches }, Sight::Looks)
        });
        Self::of(service, people)
    }

    /// The same with such auditors.
    pub(super) fn of(service: Service, people: [(Conduct, Sight); 4]) -> Self {
        let mut scene = Scene::new(Farm::new().unwrap(), Random::new(0));
        let mut cast = Cast::honest(16, 0, 0);
        let plan = &mut cast.clients[0];
        plan.keep = Some(2);
        let job = Job { client: CLIENT, terms: terms(plan, 0), settled: 0, over: false };
        scene.public.jobs.insert(ID.job, job);
        let range = Range {
            provider: PROVIDER,
            from: 0,
            count: 4,
            price: 1_000,
            state: RangeState::Submitted,
            at: 10,
            root: B256::ZERO,
        };
        scene.public.ranges.insert(ID, range);
        let leaves = workload::leaves(ID.job, 0, 4);
        let handed = Handed { leaves, wrong: vec![false; 4], units: 10, by_foe: false };
        scene.handed.insert(ID, handed);
        scene.serves_holders.extend([(PROVIDER, service), (CLIENT, service)]);
        let mut keeps = Keeps::default();
        for (number, of) in (0_u8..).zip(people) {
            keeps.meet(Address::with_last_byte(number), of, 100);
        }
        let offer = prices(plan);
        let amount = deposit(plan);
        let prices = Prices {
            max_mib: offer.maxMib,
            per_mib: offer.perMib.to::<u128>(),
            per_mib_day: offer.perMibDay.to::<u128>(),
            keep_seconds: offer.keepSeconds,
        };
        let mut play = Self { keeps, counts: Counts::default(), scene, prices, id: ID };
        let funded = Holders::KeepFunded {
            jobId: 1,
            client: CLIENT,
            prices: offer,
            amount,
            deposit: amount,
        };
        play.tell(1, &funded);
        play
    }

    /// The same with a range that is handed in.
    pub(super) fn submitted(service: Service, liars: usize) -> Self {
        let mut play = Self::new(service, liars);
        play.submit();
        play
    }

    pub(super) fn submit(&mut self) {
        let submitted = JobBook::RangeSubmitted {
            jobId: 1,
            seq: 0,
            provider: PROVIDER,
            root: B256::ZERO,
            units: 10,
            failures: 0,
            contentHash: B256::ZERO,
            escrow: 0,
            at: U40::from(10),
        };
        self.tell_of_jobs(10, &submitted, false);
    }

    /// The same with an ask whose holders are drawn at `DUE` + 10.
    pub(super) fn drawn(service: Service, liars: usize) -> Self {
        let mut play = Self::submitted(service, liars);
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        play
    }

    /// With such auditors, of whom each has signed at `DUE` + 20 for one of the first four draws, in their order.
    pub(super) fn kept(people: [(Conduct, Sight); 4]) -> Self {
        let mut play = Self::of(Service::Anybody, people);
        play.submit();
        play.ask(DUE, 1);
        play.draw(DUE + 10);
        if let Some(seen) = play.keeps.ranges.get_mut(&ID) {
            seen.named[..4].copy_from_slice(&[1, 2, 3, 4]);
        }
        (0..4).for_each(|draw| play.sign(DUE + 20, draw));
        play.held(DUE + 20);
        assert_eq!(play.keeps.faults, Vec::<String>::new());
        play
    }

    pub(super) fn log<E: SolEvent>(&mut self, address: Address, now: (u64, bool), event: &E) {
        let log = Log { address, data: event.encode_log_data() };
        self.keeps.read(&log, now, &self.scene, &mut self.counts);
    }

    pub(super) fn tell<E: SolEvent>(&mut self, time: u64, event: &E) {
        let at = self.scene.farm.addresses().holders;
        self.log(at, (time, false), event);
    }

    pub(super) fn tell_of_looks<E: SolEvent>(&mut self, time: u64, event: &E) {
        let at = self.scene.farm.addresses().spots;
        self.log(at, (time, false), event);
    }

    pub(super) fn tell_of_jobs<E: SolEvent>(&mut self, time: u64, event: &E, acknowledged: bool) {
        let at = self.scene.farm.addresses().job_book;
        self.log(at, (time, acknowledged), event);
    }

    fn note(&mut self, time: u64, round: u64) {
        let at = self.scene.farm.addresses().randomness;
        let value = keccak256(round.to_be_bytes());
        self.log(at, (time, false), &SoloRandomness::Noted { round, value });
    }

    /// What a vote earns when it is signed; of inputs if they are asked for at `DUE`.
    pub(super) fn fee(&self) -> u128 {
        let mut prices = self.prices;
        if self.id.is_inputs() {
            let left = self.deadline() - DUE;
            prices.keep_seconds = u32::try_from(left).unwrap() + INPUTS_AFTER_S;
        }
        prices.fee(least_fee(), MIB)
    }

    pub(super) fn deadline(&self) -> u64 {
        self.scene.public.jobs[&ID.job].terms.deadline.to::<u64>()
    }

    pub(super) fn ask(&mut self, time: u64, asked: u8) {
        // Of the second ask nothing was signed for before.
        let reserved = U96::saturating_from(Deposit::cost(self.fee()));
        self.ask_with(time, asked, reserved);
    }

    pub(super) fn ask_with(&mut self, time: u64, asked: u8, reserved: U96) {
        let event = Holders::HoldAsked {
            jobId: 1,
            seq: self.id.seq,
            provider: if self.id.is_inputs() { Address::ZERO } else { PROVIDER },
            round: asked.into(),
            mib: MIB,
            asked,
            reserved,
        };
        self.tell(time, &event);
    }

    pub(super) fn draw(&mut self, time: u64) {
        self.note(time, self.keeps.ranges[&self.id].round);
        let from = U40::from(time);
        self.tell(time, &Holders::HoldersDrawn { jobId: 1, seq: self.id.seq, from });
    }

    pub(super) fn sign(&mut self, time: u64, draw: u8) {
        let number = self.keeps.ranges[&self.id].named[usize::from(draw)];
        let fee = U96::saturating_from(self.fee());
        let seq = self.id.seq;
        self.tell(time, &Holders::Held { jobId: 1, seq, number, draw, fee });
    }

    pub(super) fn held(&mut self, time: u64) {
        self.held_until(time, time + u64::from(self.prices.keep_seconds));
    }

    pub(super) fn held_until(&mut self, time: u64, until: u64) {
        let (seq, bits) = (self.id.seq, self.keeps.ranges[&self.id].bits);
        let until = U40::from(until);
        self.tell(time, &Holders::RangeHeld { jobId: 1, seq, bits, until });
    }

    /// An ask has come to nothing. Of a range that is lost the provider has lost the bill of its audit, and so much.
    pub(super) fn fail(&mut self, time: u64, state: HoldState, cut: u128) {
        if state == HoldState::Lost && !self.id.is_inputs() {
            let rejected =
                JobBook::RangeRejected { jobId: 1, seq: 0, provider: PROVIDER, escrow: 0 };
            self.tell_of_jobs(time, &rejected, false);
            let purse = self.scene.farm.addresses().audits;
            self.cut(time, (purse, BILL), STAKE - BILL);
            if cut != 0 {
                self.cut(time, (CLIENT, cut), STAKE - BILL - cut);
            }
        }
        let (seq, state) = (self.id.seq, state.into());
        self.tell(time, &Holders::HoldFailed { jobId: 1, seq, state, cut });
    }

    /// The provider has lost so much for somebody, and has so much left.
    fn cut(&mut self, time: u64, (beneficiary, sum): (Address, u128), stake: u128) {
        let at = self.scene.farm.addresses().registry;
        let slashed = Registry::StakeSlashed {
            owner: PROVIDER,
            beneficiary,
            toBeneficiary: sum / 2,
            burned: sum - sum / 2,
            stake,
            unbonding: 0,
        };
        self.log(at, (time, false), &slashed);
    }

    pub(super) fn settle(&mut self, time: u64, acknowledged: bool) {
        let settled = JobBook::RangeSettled {
            jobId: 1,
            seq: 0,
            provider: PROVIDER,
            paid: 10_000,
            fee: 0,
            resultRoot: B256::ZERO,
        };
        self.tell_of_jobs(time, &settled, acknowledged);
    }

    pub(super) fn close(&mut self, time: u64, amount: u128, left: u128) {
        let (amount, deposit) = (U96::saturating_from(amount), U96::saturating_from(left));
        self.tell(time, &Holders::KeepClosed { jobId: 1, amount, deposit });
    }

    /// A contract has so much of the client's locked money burned.
    pub(super) fn burn(&mut self, time: u64, module: Address, amount: u128) {
        let at = self.scene.farm.addresses().ledger;
        let burned = Ledger::Burned { module, from: CLIENT, amount, fromLocked: 0, burned: amount };
        self.log(at, (time, false), &burned);
    }

    /// Those who look are called for.
    pub(super) fn call(&mut self, time: u64) {
        let until = U40::from(time - 1 + SPOT_TIME_S);
        let seq = self.id.seq;
        self.tell_of_looks(time, &Spots::SpotAsked { jobId: 1, seq, round: LOOKS, until });
        self.note(time + 1, LOOKS);
    }

    /// The numbers of those who look.
    pub(super) fn lookers(&self) -> Vec<u32> {
        let line = self.keeps.ranges[&self.id].look.line.clone();
        self.keeps.drawn(self.id, (LOOKS, line.as_slice()), (Purpose::Spot, SPOTTERS), &self.scene)
    }

    /// One of them, by its draw, says what it has seen.
    pub(super) fn spot(&mut self, time: u64, draw: u8, seen: u16) {
        let number = self.lookers()[usize::from(draw) % SPOTTERS];
        let (seq, fee) = (self.id.seq, U96::saturating_from(least_fee()));
        self.tell_of_looks(time, &Spots::Spotted { jobId: 1, seq, number, draw, seen, fee });
    }

    pub(super) fn conclude(&mut self, time: u64, served: u16) {
        let (seq, fee) = (self.id.seq, U96::saturating_from(self.fee()));
        self.tell_of_looks(time, &Spots::SpotOver { jobId: 1, seq, served, fee });
    }

    pub(super) fn is_right(&self) -> bool {
        self.keeps.faults.is_empty()
    }
}
