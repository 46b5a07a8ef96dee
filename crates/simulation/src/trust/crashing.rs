//! How a provider crashes, and what it loses by that.

use tilth_client::audit::Millis;

use super::{provider::Provider, scene::Scene};

impl Provider {
    /// When it crashes next, while there is something to lose. Who only looks back at what is over would begin anew at each crash, and
    /// the world would never be idle.
    pub(super) fn next_death(&self) -> Option<Millis> {
        let at_stake = self.duty.is_at_stake() || self.pairing.is_at_stake();
        let at_stake = at_stake || self.holding.is_at_stake();
        let at_stake = at_stake || self.agent.as_ref().is_some_and(|agent| agent.is_at_stake());
        self.dies.filter(|_| !self.held.is_empty() || at_stake)
    }

    /// What is in work is lost, but for what a machine of work has in its journals, and so is all that its machines know.
    pub(super) fn crash(&mut self, scene: &mut Scene) {
        if let (Some(dies), Some(life)) = (self.next_death(), self.mind.life())
            && scene.now >= dies
        {
            self.held.clear();
            self.duty.restart();
            self.pairing.restart();
            self.holding.restart();
            if let Some(agent) = &mut self.agent {
                agent.restart(scene.now);
            }
            self.dies = Some(scene.now + life / 2 + scene.random.below(life));
        }
    }
}
