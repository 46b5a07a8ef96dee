//! Re-executing a whole submitted range, for anybody: without stake, without keys, and without believing anything
//! but the chain and this machine.

use std::path::Path;

use alloy::signers::local::PrivateKeySigner;
use tilth_blobs::Blobs;
use tilth_client::{Account, Contacts, Link, Network};
use tilth_contracts::{JobBook, RangeState};
use tilth_protocol::{RangeId, Tally};
use tilth_sandbox::{CommandLine, GpuAccess, GpuUse};
use tilth_verification::{MerkleSum, Root};

use crate::{
    ProviderError,
    auditor::examine::{Place, execute, make_ready},
    chain::Chain,
    config::{GasReserve, Limits},
    role::Workshop,
    shop::Shop,
};

/// A place where ranges are executed again.
#[derive(Debug)]
pub struct Recheck {
    shop: Shop,
    contacts: Contacts,
    first_block: u64,
    blobs: Blobs,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rechecked {
    /// What the provider submitted.
    pub claimed: Root,
    /// What this machine has found.
    pub found: Root,
    /// Number of leaves.
    pub leaves: u32,
    /// Where the range stands.
    pub state: RangeState,
}

impl Rechecked {
    /// Whether every result, status and unit is what was submitted.
    pub fn is_right(&self) -> bool {
        self.claimed == self.found
    }
}

impl Recheck {
    /// Opens such a place in a folder of its own, with the usual limits.
    ///
    /// # Errors
    /// The folder, the sandbox, the worker or the network cannot be used.
    pub async fn open(
        dir: &Path,
        network: &Network,
        worker: CommandLine,
        sandbox_init: CommandLine,
        gpu: GpuUse,
    ) -> Result<Self, ProviderError> {
        let Workshop { folder, confinement, engine } =
            Workshop::open(dir, &worker, &sandbox_init).await?;
        let link = Link::to(network)?;
        link.check().await?;
        // Nothing is ever sent.
        let nobody = Account::new(link.clone(), PrivateKeySigner::random());
        let chain = Chain::new(nobody.clone(), nobody, network.wraps_native, GasReserve::default());
        let anywhere = ([0, 0, 0, 0], 0).into();
        let store = tilth_blobs::Config::new(folder.content(), folder.endpoint_secret()?, anywhere);
        let blobs = Blobs::spawn(store).await?;
        let gpu = GpuAccess::find(&worker.program, gpu);
        let limits = Limits::default();
        let shop =
            Shop::new(folder, blobs.clone(), chain, confinement, worker, gpu, engine, limits);
        let first_block = network.first_block;
        Ok(Self { shop, contacts: Contacts::new(link, first_block), first_block, blobs })
    }

    /// Executes a range and compares. All of its leaves: the root covers each.
    ///
    /// # Errors
    /// [`ProviderError::Recheck`]: the range has no results, or cannot be executed here.
    pub async fn range(&self, range: RangeId) -> Result<Rechecked, ProviderError> {
        let recheck = |error: &dyn std::fmt::Display| {
            ProviderError::Recheck(format!("range {range}: {error}"))
        };
        let link = &self.shop.chain.link;
        let call = JobBook::rangeCall { jobId: range.job.0, seq: range.seq };
        let claimed = link.read(link.addresses().job_book, call).await?;
        let state = RangeState::try_from(claimed.state).map_err(|error| recheck(&error))?;
        if claimed.root.is_zero() {
            return Err(recheck(&format!("there are no results of it (it is {state})")));
        }
        let (shop, contacts, first_block) = (&self.shop, &self.contacts, self.first_block);
        let place = Place { shop, contacts, first_block, at_stake: false };
        make_ready(&place, range).await.map_err(|error| recheck(&error))?;
        let executed = execute(&place, range, |leaves| (0..leaves).collect()).await;
        let leaves = executed.map_err(|error| recheck(&error))?;
        let tree = MerkleSum::build(range.job, &leaves).map_err(|error| recheck(&error))?;
        let tally = Tally { units: claimed.units, failures: claimed.failures };
        Ok(Rechecked {
            claimed: Root { hash: claimed.root, tally },
            found: tree.root(),
            leaves: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            state,
        })
    }

    /// Closes the content store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn close(self) -> Result<(), ProviderError> {
        Ok(self.blobs.shutdown().await?)
    }
}
