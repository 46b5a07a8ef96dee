//! A time in which the machines of all who mean well are down. It begins with the first dispute of a world.

use tilth_client::audit::Millis;

use super::cast::Side;

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    lasts: Millis,
    /// When it is over, by the true time; none: it has not begun.
    until: Option<Millis>,
}

impl Outage {
    /// One that will last so many seconds.
    pub(super) fn new(seconds: u64) -> Self {
        Self { lasts: seconds.saturating_mul(1_000), until: None }
    }

    /// It begins now, if it has not begun before.
    pub(super) fn begin(&mut self, now: Millis) {
        self.until.get_or_insert(now.saturating_add(self.lasts));
    }

    /// When somebody does what it would do at a time.
    pub(super) fn delay(self, side: Side, at: Millis) -> Millis {
        match self.until {
            Some(until) if side == Side::Honest => at.max(until),
            _ => at,
        }
    }

    /// Whether somebody's machine is up.
    pub(super) fn is_up(self, side: Side, now: Millis) -> bool {
        self.delay(side, now) == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_means_well_does_everything_when_it_is_over() {
        let mut outage = Outage::new(10);
        assert!(outage.is_up(Side::Honest, 5) && outage.delay(Side::Honest, 5) == 5);
        outage.begin(1_000);
        // Another dispute makes it no longer.
        outage.begin(4_000);
        for (at, delayed) in [(500, 11_000), (10_999, 11_000), (11_000, 11_000), (12_000, 12_000)] {
            assert_eq!(outage.delay(Side::Honest, at), delayed);
            assert_eq!(outage.is_up(Side::Honest, at), at == delayed);
            assert_eq!((outage.delay(Side::Foe, at), outage.is_up(Side::Foe, at)), (at, true));
        }
    }
}
