//! What is known of a kept job's auditors, and of each content that they are asked to hold.

use alloy_primitives::Address;
use tilth_contracts::HoldState;
use tilth_protocol::RangeId;
use tilth_verification::{
    draw::{Person, Purpose, Seed},
    holding::{HOLD_TIME_S, open_draws},
};

use super::{
    keeps::Keeps,
    mind::{Conduct, Service, Sight},
    scene::Scene,
    spots::Look,
};

/// After its time something is done within so long, seconds: everybody looks four times a minute, and some take turns.
pub(super) const LATE: u64 = 300;

/// An auditor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) who: Address,
    pub(super) conduct: Conduct,
    pub(super) sight: Sight,
    /// What it has at stake, base units.
    pub(super) stake: u128,
}

impl Holder {
    /// Whether it signs for what is served so.
    pub(super) fn signs(&self, service: Service) -> bool {
        match self.conduct {
            Conduct::Fetches | Conduct::Deletes => service != Service::Nobody,
            Conduct::Lies => true,
            Conduct::Absent => false,
        }
    }

    /// Whether it still has what it has signed for when somebody looks.
    pub(super) fn serves(&self) -> bool {
        self.conduct == Conduct::Fetches
    }

    /// What it says when it looks at somebody who serves, or does not. `None`: it does not come.
    pub(super) fn says(&self, serves: bool) -> Option<bool> {
        match self.sight {
            _ if self.conduct == Conduct::Absent => None,
            Sight::Looks => Some(serves),
            Sight::Denies => Some(false),
            Sight::Vouches => Some(true),
            Sight::Absent => None,
        }
    }
}

/// What was seen of a range or of a job's inputs.
#[derive(Debug)]
pub(super) struct Seen {
    /// Stakes of all auditors in the second before its submission; of inputs: before the latest ask.
    pub(super) line: Vec<u128>,
    /// From when on it may be asked for, by the chain's clock, seconds, as all times here.
    pub(super) window_end: u64,
    pub(super) state: HoldState,
    pub(super) asked: u8,
    pub(super) asked_at: u64,
    pub(super) round: u64,
    pub(super) mib: u32,
    /// What each vote earns when it is signed, base units.
    pub(super) fee: u128,
    /// Since when it may be signed for; 0: not yet.
    pub(super) from: u64,
    /// Whom the draws name.
    pub(super) named: Vec<u32>,
    /// The chance, billionths, that enough of them sign.
    pub(super) chance: u32,
    pub(super) bits: u16,
    /// Votes of the ask before.
    pub(super) spent: usize,
    /// Up to when it is kept; 0: it is not held.
    pub(super) until: u64,
    /// When it was paid or rejected; of inputs: when their job was cancelled or over.
    pub(super) over_at: Option<u64>,
    /// Who has looked at its holders.
    pub(super) look: Look,
}

impl Seen {
    pub(super) fn new(line: Vec<u128>, window_end: u64) -> Self {
        Self {
            line,
            window_end,
            state: HoldState::None,
            asked: 0,
            asked_at: 0,
            round: 0,
            mib: 0,
            fee: 0,
            from: 0,
            named: Vec::new(),
            chance: 0,
            bits: 0,
            spent: 0,
            until: 0,
            over_at: None,
            look: Look::default(),
        }
    }

    pub(super) fn votes(&self) -> usize {
        self.bits.count_ones() as usize
    }

    /// How many draws may sign now.
    pub(super) fn open(&self, time: u64) -> usize {
        open_draws(time.saturating_sub(self.from))
    }

    /// Whether an ask that too few have signed ends now as it should: when all its time is over and soon after, or because
    /// nobody has kept the beacon.
    pub(super) fn has_run_out(&self, time: u64) -> bool {
        let end = self.from + 2 * HOLD_TIME_S;
        match self.state {
            HoldState::Asked => true,
            HoldState::Open => time > end && time <= end + LATE,
            _ => false,
        }
    }
}

impl Keeps {
    /// Who is not drawn: the range's provider and the client. Of inputs the client alone.
    pub(super) fn out(id: RangeId, scene: &Scene) -> [Option<Address>; 2] {
        let client = scene.public.jobs.get(&id.job).map(|facts| facts.client);
        let provider = scene.public.ranges.get(&id).map(|facts| facts.provider);
        [client, provider]
    }

    /// Whom the draws of a round name out of the line as it was, each by its number; nobody, if the beacon is not
    /// known.
    pub(super) fn drawn(
        &self,
        id: RangeId,
        (round, line): (u64, &[u128]),
        (purpose, wanted): (Purpose, usize),
        scene: &Scene,
    ) -> Vec<u32> {
        let Some(beacon) = self.beacons.get(&round) else { return Vec::new() };
        let people = self.people.iter().zip(line);
        let line: Vec<Person<Address>> =
            people.map(|(one, stake)| Person { owner: one.who, stake: *stake }).collect();
        let out = Self::out(id, scene);
        let seed = Seed::new(*beacon, id, 0);
        let panel = seed.votes(purpose, 0, wanted, &line, |who| out.contains(&Some(*who)));
        panel.members.into_iter().filter_map(|place| u32::try_from(place + 1).ok()).collect()
    }

    /// The auditor with this number.
    pub(super) fn holder(&self, number: u32) -> Option<&Holder> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.people.get(place)
    }
}
