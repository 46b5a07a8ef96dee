//! A provider's part in replicated ranges: it does what its ranges' primaries have done, and what its machine asks for.
//! What it sends about a range is beside this file (`mate_moves`), and so is how it waits to be drawn (`queueing`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall;
use tilth_client::{
    audit::Millis,
    mates::{Effect, Event, Part, Party, Role},
};
use tilth_contracts::Waiting;
use tilth_protocol::{JobId, RangeId};
use tilth_verification::replica::{Found, Sealer};

use super::{
    auditor::CHAIN_ID,
    mate_work::Drawn,
    mates::Mates,
    mind::ProviderMind,
    scene::{Actor, Scene, Tx, What},
    work::Work,
    workload,
};
use crate::farm::{FarmError, Receipt};

/// Whoever shows its root late, or makes its moves in a walk late, does it so long before it would be too late,
/// milliseconds: after half a minute at most its machine asks again.
const LAST_MOMENT: Millis = 300_000;

/// What it has handed in as a primary, or found as a mate.
pub(super) type Works = BTreeMap<RangeId, Work>;

/// Who a provider is.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Its place in the world.
    pub me: Actor,
    /// Owner and node key.
    pub who: Address,
    /// Its number in the contracts.
    pub number: u32,
    /// Milliseconds for a task.
    pub pace: Millis,
}

/// See the module's head.
#[derive(Debug)]
pub struct Pairing {
    /// Units it has executed as a mate, and that were not asked for.
    pub executed: u64,
    pub(super) name: Name,
    /// With which it waits, base units; 0: it does not.
    pub(super) bond: u128,
    pub(super) sealer: Sealer,
    pub(super) mates: Mates,
    /// What it has found as a mate; on disk.
    pub(super) copies: Works,
    /// Of one whose machine runs what it is drawn for: what is still to be run. `None`: it runs that itself.
    pub(super) drawn: Option<BTreeMap<RangeId, Drawn>>,
    /// Whether a transaction about a line is under way.
    pub(super) queueing: bool,
    /// Jobs in which it was refused a place.
    pub(super) turned_away: BTreeSet<JobId>,
    /// From when on it can have a bond back, by the chain's clock, seconds.
    pub(super) free_from: Option<u64>,
}

impl Pairing {
    /// Of a provider that has heard nothing, on a chain with `Replicas` at this address.
    pub fn new(name: Name, bond: u128, skew: i64, replicas: Address) -> Self {
        // Nobody else knows the secret, as far as anybody here tries to find out.
        let secret = name.who.into_word().0;
        Self {
            executed: 0,
            name,
            bond,
            sealer: Sealer::new(CHAIN_ID, replicas, name.who, secret),
            mates: Mates::new(Party::Provider(name.number), name.who, skew),
            copies: BTreeMap::new(),
            drawn: None,
            queueing: false,
            turned_away: BTreeSet::new(),
            free_from: None,
        }
    }

    /// What is handed in instead of a root.
    pub fn seal(&self, range: RangeId, found: &Found) -> B256 {
        self.sealer.seal(range, found)
    }

    /// Its machine starts again.
    pub fn restart(&mut self) {
        self.mates.restart();
        self.drawn.iter_mut().for_each(BTreeMap::clear);
    }

    /// Whether it would lose something if it did not come back.
    pub fn is_at_stake(&self) -> bool {
        self.mates.is_at_stake()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn act(
        &mut self,
        mind: &mut dyn ProviderMind,
        work: &Works,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let effects = self.mates.catch_up(scene)?;
        self.perform(effects, mind, work, scene)?;
        self.queue(mind, scene)
    }

    /// When it acts next without news.
    pub fn due(&self) -> Option<Millis> {
        let free = self.free_from.map(|from| from.saturating_mul(1_000));
        self.mates.due().into_iter().chain(free).min()
    }

    /// A transaction of its has ended.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn done(
        &mut self,
        (tx, receipt): (&Tx, &Receipt),
        mind: &mut dyn ProviderMind,
        work: &Works,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        match tx.what {
            What::Mate(range) => {
                let event = Event::Ended { range, done: receipt.success };
                let effects = self.mates.take(event, scene)?;
                self.perform(effects, mind, work, scene)
            }
            What::Line(job) => {
                self.queueing = false;
                if !receipt.success && tx.call == Waiting::waitCall::SIGNATURE {
                    self.turned_away.insert(job);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn perform(
        &mut self,
        effects: Vec<Effect>,
        mind: &mut dyn ProviderMind,
        work: &Works,
        scene: &mut Scene,
    ) -> Result<(), FarmError> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let range = effect.range();
            let ended = match effect {
                Effect::Draw { .. } if !self.draws(range, mind, scene)? => {
                    Some(Event::Ended { range, done: false })
                }
                Effect::Run { role: Role::Primary, part, .. } => Some(match work.get(&range) {
                    Some(work) => Event::Found { range, part, found: work.found() },
                    None => Event::Ended { range, done: false },
                }),
                Effect::Run { part, left, .. } if self.drawn.is_some() => {
                    self.hand_on(range, Drawn { part, due: scene.now.saturating_add(left) })
                }
                Effect::Run { part, .. } => self.run(range, part, mind, scene),
                Effect::Commit { part, found, .. } => {
                    let sent = self.commit((range, part), &found, mind, scene)?;
                    (!sent).then_some(Event::Ended { range, done: true })
                }
                Effect::Reveal { role, .. } if self.holds_back((range, role), mind, scene)? => {
                    Some(Event::Ended { range, done: false })
                }
                Effect::Reveal { role, found, .. } => {
                    if mind.shows(range, role, &scene.public) {
                        self.reveal((range, role), found, mind, scene);
                    }
                    // Silence otherwise: the machine waits for an end that does not come.
                    None
                }
                Effect::Post { .. } | Effect::Open { .. }
                    if mind.walks_late() && self.has_time(range, scene)? =>
                {
                    Some(Event::Ended { range, done: false })
                }
                Effect::Post { role, .. } | Effect::Open { role, .. } => {
                    let works = if role == Role::Primary { work } else { &self.copies };
                    let sent = self.walk(&effect, works.get(&range), mind, scene);
                    (!sent).then_some(Event::Ended { range, done: false })
                }
                // What a machine has run goes when that says so.
                Effect::Forget { .. } if self.drawn.is_some() => None,
                Effect::Forget { .. } => {
                    self.copies.remove(&range);
                    None
                }
                other => {
                    scene.send_about_pair(self.name.me, self.name.who, &other);
                    None
                }
            };
            if let Some(event) = ended {
                effects.extend(self.mates.take(event, scene)?);
            }
        }
        Ok(())
    }

    /// Whether it has a mate drawn now.
    fn draws(
        &self,
        range: RangeId,
        mind: &dyn ProviderMind,
        scene: &mut Scene,
    ) -> Result<bool, FarmError> {
        let seen = scene.look_at_pair(range, self.mates.local(scene.now))?;
        Ok(mind.draws(seen.lapses > 0 || seen.beacon.is_none()))
    }

    /// Whether it does not show its root yet, because there is time.
    fn holds_back(
        &self,
        (range, role): (RangeId, Role),
        mind: &dyn ProviderMind,
        scene: &mut Scene,
    ) -> Result<bool, FarmError> {
        if !mind.holds_back(range, role, &scene.public) {
            return Ok(false);
        }
        self.has_time(range, scene)
    }

    /// Whether there is time until its next move would be too late.
    fn has_time(&self, range: RangeId, scene: &mut Scene) -> Result<bool, FarmError> {
        let seen = scene.look_at_pair(range, self.mates.local(scene.now))?;
        Ok(seen.now.saturating_add(LAST_MOMENT) < seen.due)
    }

    /// As a mate: what it has found is there at once, or later, or never.
    fn run(
        &mut self,
        range: RangeId,
        part: Part,
        mind: &mut dyn ProviderMind,
        scene: &mut Scene,
    ) -> Option<Event> {
        if let Some(work) = self.copies.get(&range) {
            return Some(Event::Found { range, part, found: work.found() });
        }
        let truth = workload::leaves(range.job, part.from, part.count);
        let Scene { handed, random, .. } = scene;
        let hand_in = mind.replicate(range, &truth, handed.get(&range)?, random)?;
        let executed = hand_in.executed;
        let work = Work::new(range.job, hand_in)?;
        let found = work.found();
        self.executed += executed;
        self.copies.insert(range, work);
        let ends = scene.now + self.name.pace * u64::from(part.count);
        self.mates.later(ends, Event::Found { range, part, found });
        None
    }
}
