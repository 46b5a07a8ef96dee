//! What everybody does about kept ranges: the machine of `tilth_client::holding`, fed from the chain's logs under a clock
//! of the party's own, and what it asks for.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::Address;
use alloy_sol_types::SolError;
use tilth_client::{
    audit::Millis,
    holding::{Effect, Event, Machine, Party, Rules, Standing},
};
use tilth_contracts::{HoldState, Holders};
use tilth_protocol::RangeId;
use tilth_verification::holding::ASK_FIRST_S;

use super::{
    duty::{POKE_AFTER, SPREAD},
    mind::{Conduct, Sight},
    scene::{Actor, Scene, Tx, What},
    workload,
};
use crate::farm::{FarmError, Receipt};

/// So long a client gives a provider to ask for holders itself, milliseconds.
const ASK_AFTER: Millis = ASK_FIRST_S * 1_000;
/// Milliseconds until an attempt to fetch fails: the real one gives a minute and four seconds a MiB.
pub(super) const FETCH_FAILS: Millis = 120_000;

/// A party's machine and all that it needs to be told.
#[derive(Debug)]
pub struct Holding {
    pub(super) rules: Rules,
    machine: Machine,
    pub(super) me: Actor,
    pub(super) who: Address,
    /// An auditor's.
    pub(super) conduct: Conduct,
    pub(super) sight: Sight,
    /// Whether it asks for holders.
    asks: bool,
    /// What is added to the true time to get this party's, milliseconds.
    skew: i64,
    /// Events of the log that it has taken in.
    read: usize,
    caught_up: bool,
    /// What ends later, by the true time.
    pub(super) later: Vec<(Millis, Event)>,
    shown: BTreeMap<RangeId, Standing>,
    /// A client's: whether it has taken back what of its deposit was free when its job was over.
    closed: bool,
}

impl Holding {
    /// Of a party that has heard nothing, and fills up no deposit.
    pub fn new(party: Party, (me, who): (Actor, Address), skew: i64) -> Self {
        let rules = Rules {
            party,
            name: who.into_word(),
            spread: SPREAD,
            poke_after: POKE_AFTER,
            ask_after: ASK_AFTER,
            most: 0,
        };
        Self {
            rules,
            machine: Machine::new(rules),
            me,
            who,
            conduct: Conduct::Fetches,
            sight: Sight::Looks,
            asks: true,
            skew,
            read: 0,
            caught_up: false,
            later: Vec::new(),
            shown: BTreeMap::new(),
            closed: false,
        }
    }

    /// The same of a client that fills its deposit up to so much, base units.
    #[must_use]
    pub fn up_to(mut self, most: u128) -> Self {
        self.rules.most = most;
        self.machine = Machine::new(self.rules);
        self
    }

    /// The same of an auditor that behaves so as a holder, and when it looks at holders.
    #[must_use]
    pub fn conducted(mut self, conduct: Conduct, sight: Sight) -> Self {
        (self.conduct, self.sight) = (conduct, sight);
        self
    }

    /// The same of a provider that asks for holders, or does not.
    #[must_use]
    pub fn asking(mut self, asks: bool) -> Self {
        self.asks = asks;
        self
    }

    /// Starts again with nothing in mind.
    pub fn restart(&mut self) {
        self.machine = Machine::new(self.rules);
        (self.read, self.caught_up) = (0, false);
        self.later.clear();
    }

    /// Reads the log to its end and does what is due.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn act(&mut self, scene: &mut Scene) -> Result<(), FarmError> {
        if self.conduct == Conduct::Absent {
            return Ok(());
        }
        // A client's machine knows of no jobs but its client's.
        let of = (self.rules.party == Party::Client).then_some(self.who);
        let heard = scene.public.holds.iter().skip(self.read);
        let mut events: Vec<Event> = heard
            .filter(|(job, _)| {
                let client = scene.public.jobs.get(job).map(|facts| facts.client);
                of.is_none() || of == client
            })
            .map(|(_, event)| event.clone())
            .collect();
        self.read = scene.public.holds.len();
        if !std::mem::replace(&mut self.caught_up, true) {
            events.push(Event::CaughtUp { head: scene.farm.block });
        }
        let now = scene.now;
        let ended = self.later.extract_if(.., |(at, _)| *at <= now);
        events.extend(ended.map(|(_, event)| event));
        if self.machine.next_wake().is_some_and(|wake| wake <= self.local(now)) {
            events.push(Event::Tick);
        }
        self.tell(events, scene)
    }

    /// When it acts next without news, by the true time.
    pub fn due(&self) -> Option<Millis> {
        let wake = self.machine.next_wake().map(|wake| wake.saturating_add_signed(-self.skew));
        self.later.iter().map(|(at, _)| *at).chain(wake).min()
    }

    /// A transaction of its has ended.
    ///
    /// # Errors
    /// The chain could not be read.
    pub fn done(&mut self, tx: &Tx, receipt: &Receipt, scene: &mut Scene) -> Result<(), FarmError> {
        let event = match tx.what {
            What::Hold(range) => Event::Ended { range, done: receipt.success },
            What::Close(_) => {
                // Where nothing is left, there is nothing more to do.
                let nothing = receipt.output.starts_with(&Holders::NothingFree::SELECTOR);
                self.closed = receipt.success || nothing;
                Event::Closed { done: self.closed }
            }
            _ => return Ok(()),
        };
        self.tell(vec![event], scene)
    }

    /// Whether it would lose something if it did not come back.
    pub fn is_at_stake(&self) -> bool {
        self.machine.at_stake() != 0
    }

    /// As a client: whether it has done all that it does for now. What is held then is looked at later.
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Whether, as far as it has seen, holders let a range be paid.
    pub fn may_be_paid(&self, range: RangeId) -> bool {
        let held = Standing::Over(HoldState::Held);
        let standing = self.shown.get(&range);
        standing.is_some_and(|standing| {
            *standing == held || matches!(standing, Standing::Waived | Standing::Spot(_))
        })
    }

    pub(super) fn local(&self, now: Millis) -> Millis {
        now.saturating_add_signed(self.skew)
    }

    /// Takes events in, and does what they ask for.
    fn tell(&mut self, events: Vec<Event>, scene: &mut Scene) -> Result<(), FarmError> {
        let mut queue = VecDeque::from(events);
        while let Some(event) = queue.pop_front() {
            for effect in self.machine.step(event, self.local(scene.now)) {
                queue.extend(self.perform(effect, scene)?);
            }
        }
        Ok(())
    }

    /// What has ended at once. All else ends with a transaction, or later, or never.
    fn perform(&mut self, effect: Effect, scene: &mut Scene) -> Result<Option<Event>, FarmError> {
        match effect {
            Effect::Look { range } => {
                let local = self.local(scene.now);
                let view = Some(Box::new(scene.look_at_ask(range, self.rules.party, local)?));
                Ok(Some(Event::Looked { range, view }))
            }
            Effect::Show { range, standing } => {
                self.shown.insert(range, standing);
                Ok(None)
            }
            Effect::Size { range, part } => {
                Ok(Some(Event::Sized { range, part, mib: workload::mib(part.count) }))
            }
            Effect::Fetch { range, part, mib, .. } => self.fetch(range, (part, mib), scene),
            Effect::Sign { range, part, draw } => self.sign(range, (part, draw), scene),
            Effect::Inspect { range, draw, holders, .. } => {
                self.inspect(range, draw, &holders, scene);
                Ok(None)
            }
            Effect::Forget { range } => {
                self.delete(range, scene);
                Ok(None)
            }
            // It keeps still, and sees what others do: it takes what it is paid all the same.
            Effect::Ask { range, .. } if !self.asks => {
                self.later.push((scene.now + FETCH_FAILS, Event::Ended { range, done: false }));
                Ok(None)
            }
            Effect::Fund { range, due } => self.fund(range, due, scene),
            Effect::Close => {
                self.close(scene);
                Ok(None)
            }
            other => {
                scene.send_about_ask(self.me, self.who, &other);
                Ok(None)
            }
        }
    }
}
