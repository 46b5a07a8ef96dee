//! A chain whose clock stands still, with auditors and a client.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, Bytes, U256};
use tilth_chain::Clock;
use tilth_client::Link;
use tilth_provider::Auditor;

use crate::{
    audits::{LEAST, auditors},
    world::{Client, World},
};

pub struct Stage {
    pub world: World,
    clock: Clock,
    pub client: Client,
    /// As many as there must be.
    pub auditors: Vec<Auditor>,
}

impl Stage {
    pub async fn set() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let clock = Clock::manual(now.as_secs());
        let world = World::start_at(clock.clone()).await;
        let client = world.client().await;
        let auditors = auditors(&world, LEAST).await;
        // Whoever is drawn is so from a line as of the second before.
        assert!(clock.advance(2));
        Self { world, clock, client, auditors }
    }

    /// The client's.
    pub fn link(&self) -> &Link {
        self.client.jobs.account().link()
    }

    /// Lets time pass; a transaction of anybody's makes a block that shows it.
    pub async fn pass(&self, seconds: u64) {
        assert!(self.clock.advance(seconds));
        let anybody = self.client.jobs.account();
        anybody.send(Address::repeat_byte(9), Bytes::new(), U256::ONE).await.unwrap();
    }
}
