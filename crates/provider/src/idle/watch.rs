//! The watch: looks, has [`Idle`] decide, and tells the machine when the decision changes.

use std::{collections::BTreeSet, fs, time::Duration};

use tilth_client::clock::now;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::{Idle, IdleRules, Observation, Reason};
use crate::{
    machine::{Event, Millis},
    senses::{Places, Senses},
    status::Status,
};

/// Looking more often than this would be load of its own.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// What the watch needs.
pub(crate) struct Watch {
    pub(crate) rules: IdleRules,
    pub(crate) places: Places,
    /// Until when the owner has paused the provider, 0 if it is not paused; changes when a pause is over.
    pub(crate) paused: watch::Receiver<Millis>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) status: watch::Sender<Status>,
}

impl Watch {
    /// Watches until the agent is gone.
    pub(crate) async fn keep(mut self) {
        let mut idle = Idle::new(self.rules.clone());
        let mut senses = Some(Senses::new(self.places.clone()));
        let looks = self.has_something_to_see();
        let pause = self.rules.look_every.max(LEAST_PAUSE);
        let mut reasons = None;
        let mut looked = 0_u32;
        loop {
            let seen = self.look(&mut senses).await;
            let now = idle.step(&seen, now());
            looked = looked.saturating_add(1);
            if looked == 2
                && let Some(senses) = &senses
            {
                self.say_what_is_hidden(senses.blind());
            }
            if reasons.as_ref() != Some(&now) && !self.tell(&now, reasons.is_none()).await {
                return;
            }
            reasons = Some(now);
            let changed = self.paused.changed();
            if looks {
                // A sender that is gone leaves the timer.
                let _ = tokio::time::timeout(pause, forever_after(changed)).await;
            } else if changed.await.is_err() {
                return;
            }
        }
    }

    /// Whether anything but the owner's word can change the decision.
    fn has_something_to_see(&self) -> bool {
        let rules = &self.rules;
        let supplies = fs::read_dir(self.places.sys.join("class/power_supply"));
        let powered = supplies.is_ok_and(|mut supplies| supplies.next().is_some());
        rules.only_when_idle || !rules.schedule.is_always() || (powered && !rules.on_battery)
    }

    /// Looks, away from the threads that serve others.
    async fn look(&self, senses: &mut Option<Senses>) -> Observation {
        let everything = self.rules.only_when_idle;
        let mut taken = senses.take().unwrap_or_else(|| Senses::new(self.places.clone()));
        let looked = tokio::task::spawn_blocking(move || {
            let seen = taken.look(everything);
            (seen, taken)
        });
        let mut seen = Observation::default();
        if let Ok((what, back)) = looked.await {
            seen = what;
            *senses = Some(back);
        }
        seen.by_hand = *self.paused.borrow() > now();
        seen.week_minute = self.rules.time_zone.week_minute(now());
        seen
    }

    /// Tells the machine and people. False: nobody is there any more.
    async fn tell(&self, reasons: &BTreeSet<Reason>, first: bool) -> bool {
        let rest = (!reasons.is_empty()).then_some(self.rules.when_busy.0);
        if self.events.send(Event::Rest(rest)).await.is_err() {
            return false;
        }
        let list: Vec<_> = reasons.iter().copied().collect();
        self.status.send_modify(|status| status.rests.clone_from(&list));
        let why: Vec<_> = list.iter().map(ToString::to_string).collect();
        match (why.is_empty(), first) {
            (false, _) => info!("not working for others: {}", why.join(", ")),
            (true, false) => info!("working for others again"),
            (true, true) => {}
        }
        true
    }

    fn say_what_is_hidden(&self, blind: Vec<String>) {
        for what in &blind {
            warn!("cannot be seen, and is taken for idle: {what}");
        }
        self.status.send_modify(|status| status.unseen.clone_from(&blind));
    }
}

/// A change; after the last one there is none.
async fn forever_after(changed: impl Future<Output = Result<(), watch::error::RecvError>>) {
    if changed.await.is_err() {
        std::future::pending::<()>().await;
    }
}
