//! A chain with contracts and funded accounts, and a provider that works without a machine: it claims,
//! computes outputs in the test's own process, publishes and submits them.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use alloy::{
    primitives::{Address, FixedBytes, U256, aliases::U96},
    signers::local::PrivateKeySigner,
    sol_types::SolEvent,
};
use bytes::Bytes;
use tempfile::TempDir;
use tilth_blobs::{Blobs, Config as BlobsConfig, Limits, Tag};
use tilth_chain::{Chain, Clock, Config, Genesis, Predeploy};
use tilth_client::{Account, ChainError, Jobs, Link, money};
use tilth_contracts::{Addresses, Attributes, DeployParams, JobBook, Registry, plan};
use tilth_protocol::{
    Amount, ContentHash, JobId, Leaf, PREPARE_INDEX, RangeId, RangeManifest, Status, amount::GRAIN,
};
use tilth_verification::MerkleSum;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub dir: TempDir,
    pub clock: Clock,
    pub config: Config,
    chain: Option<Chain>,
    pub url: String,
}

fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&[number; 32].into()).unwrap()
}

impl World {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let clock = Clock::manual(now);
        let addresses = Addresses::predeployed();
        let params = DeployParams::standard(Address::repeat_byte(0xfe));
        let genesis = Genesis {
            chain_id: 7357,
            timestamp: now,
            gas_limit: 100_000_000,
            base_fee: 1_000_000_000,
            balances: (1..=20).map(|i| (signer(i).address(), U256::from(1000 * GRAIN))).collect(),
            predeploys: plan(&addresses, &params)
                .into_iter()
                .map(|step| Predeploy { address: step.address, init_code: step.init_code })
                .collect(),
            ..Genesis::default()
        };
        let mut config = Config::in_memory(genesis);
        config.dir = Some(dir.path().join("chain"));
        config.clock = clock.clone();
        let chain = tilth_chain::spawn(config.clone()).await.unwrap();
        config.rpc = chain.rpc_addr();
        let url = chain.rpc_url();
        Self { dir, clock, config, chain: Some(chain), url }
    }

    /// Stops the chain's process, so to say.
    pub async fn stop_chain(&mut self) {
        self.chain.take().unwrap().shutdown().await;
    }

    /// Starts it again on the same folder and port.
    pub async fn start_chain(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.chain = loop {
            match tilth_chain::spawn(self.config.clone()).await {
                Ok(chain) => break Some(chain),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
    }

    pub async fn advance(&self, seconds: u64) {
        assert!(self.clock.advance(seconds));
        self.chain.as_ref().unwrap().mine().await.unwrap();
    }

    pub fn link(&self) -> Link {
        Link::open(&self.url, Addresses::predeployed()).unwrap()
    }

    pub fn account(&self, number: u8) -> Account {
        Account::new(self.link(), signer(number))
    }

    pub async fn blobs(&self, name: &str, key: u8) -> Blobs {
        let bind = "127.0.0.1:0".parse().unwrap();
        let mut config = BlobsConfig::new(self.dir.path().join(name), [key; 32], bind);
        config.limits = Limits { disk_reserve: 1 << 20, ..Limits::default() };
        Blobs::spawn(config).await.unwrap()
    }

    /// A client with so much in the Ledger.
    pub async fn client(&self, grain: u128) -> Jobs {
        let account = self.account(1);
        if grain > 0 {
            money::deposit(&account, Amount(grain * GRAIN), true).await.unwrap();
        }
        let blobs = self.blobs("client", 1).await;
        Jobs::new(account, blobs, self.dir.path().join("jobs"), 0)
    }

    /// Writes a job file for a picture of 30 x 20 pixels in 12 tiles, with inputs small and large.
    pub fn job_file(&self, extra: &str) -> PathBuf {
        let dir = self.dir.path();
        std::fs::write(dir.join("program.wasm"), b"\0asm\x01\0\0\0").unwrap();
        std::fs::write(dir.join("small"), b"small").unwrap();
        std::fs::write(dir.join("large"), vec![3; 100_000]).unwrap();
        let text = format!(
            r#"
            name = "tiles"
            program = "program.wasm"
            [inputs]
            "small" = "small"
            "large" = "large"
            [limits]
            gfuel-per-task = 0.01
            gfuel-prepare = 0.02
            memory = "1MiB"
            output = "1KiB"
            [price]
            per-gfuel = "1"
            [schedule]
            target = "2s"
            range-timeout = "30s"
            parallelism = 2
            [output]
            kind = "image"
            width = 30
            height = 20
            tile = 8
            {extra}
            "#
        );
        let path = dir.join("job.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The size of tile `index` of the picture above.
fn tile(index: u32) -> (u32, u32) {
    let (column, row) = (index % 4, index / 4);
    ((30 - 8 * column).min(8), (20 - 8 * row).min(8))
}

/// What the program would write for a tile: one colour.
pub fn output(index: u32) -> Vec<u8> {
    let (width, height) = tile(index);
    vec![u8::try_from(index).unwrap() + 1; (width * height * 3) as usize]
}

/// The whole picture, tile by tile.
pub fn expected_pixels() -> Vec<u8> {
    let pixel = |x: u32, y: u32| [u8::try_from(y / 8 * 4 + x / 8).unwrap() + 1; 3];
    (0..20).flat_map(|y| (0..30).flat_map(move |x| pixel(x, y))).collect()
}

pub fn decode_png(path: &Path) -> Vec<u8> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Publishes other outputs than the submitted root commits to.
    OtherOutputs,
    /// Publishes nothing.
    Nothing,
    /// Its tasks with odd numbers trap.
    OddTasksTrap,
}

#[derive(Clone)]
pub struct FakeProvider {
    pub owner: Account,
    pub node: Account,
    pub blobs: Blobs,
    pub manner: Manner,
}

impl FakeProvider {
    /// Registers provider `number` with stake.
    pub async fn enroll(world: &World, number: u8, manner: Manner) -> Self {
        let (owner, node) = (world.account(number), world.account(number + 10));
        let blobs = world.blobs(&format!("provider{number}"), number).await;
        money::deposit(&owner, Amount(100 * GRAIN), true).await.unwrap();
        let contact = blobs.contact();
        let call = Registry::registerCall {
            node: node.address(),
            slots: 1,
            attributes: Attributes {
                classBits: 0,
                memoryMib: 1024,
                vramMib: 0,
                region: FixedBytes::ZERO,
            },
            endpointId: contact.endpoint.into(),
            endpoint: contact.to_bytes().into(),
            stake: 50 * GRAIN,
            consent: node.agree_to_work_for(owner.address()).await.unwrap(),
        };
        owner.execute(world.link().addresses().registry, call).await.unwrap();
        Self { owner, node, blobs, manner }
    }

    /// Claims one range and hands it in. `None`: nothing to claim now.
    pub async fn work_once(&self, job: JobId) -> Option<u32> {
        let job_book = self.node.link().addresses().job_book;
        let claim = JobBook::claimCall { jobId: job.0, want: 3, minPrice: U96::ZERO };
        let receipt = match self.node.execute(job_book, claim).await {
            Ok(receipt) => receipt,
            Err(ChainError::Reverted { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        let claimed = receipt
            .inner
            .logs()
            .iter()
            .find_map(|log| JobBook::RangeClaimed::decode_log(&log.inner).ok())
            .unwrap();
        let mut leaves = vec![Leaf::finished(PREPARE_INDEX, &[], 7)];
        let tasks = claimed.from..claimed.from + claimed.count;
        let traps = |index: u32| self.manner == Manner::OddTasksTrap && index % 2 == 1;
        leaves.extend(tasks.clone().map(|index| match traps(index) {
            true => Leaf::failed(index, Status::Trap, 10),
            false => Leaf::finished(index, &output(index), 5),
        }));
        let root = MerkleSum::build(job, &leaves).unwrap().root();
        if self.manner == Manner::OtherOutputs {
            leaves[1] = Leaf::finished(claimed.from, &[0; 100], 5);
        }
        let range = RangeId { job, seq: claimed.seq };
        let manifest = RangeManifest { range, from: claimed.from, salt: [5; 32], leaves };
        let tag = Tag::range(job, claimed.seq);
        let mut parts = vec![Bytes::from(manifest.to_bytes())];
        let good = tasks.filter(|index| !traps(*index));
        parts.extend(good.map(|index| Bytes::from(output(index))));
        let hashes: Vec<_> = parts.iter().map(|part| ContentHash::of(part)).collect();
        if self.manner != Manner::Nothing {
            self.blobs.put_many(parts, &tag).await.unwrap();
        }
        let content = self.blobs.put_sequence(&hashes, &tag).await.unwrap();
        if self.manner == Manner::Nothing {
            self.blobs.unpin(&tag).await.unwrap();
        }
        let submit = JobBook::submitCall {
            jobId: job.0,
            seq: claimed.seq,
            root: root.hash,
            units: root.tally.units,
            failures: root.tally.failures,
            contentHash: content.0.into(),
        };
        self.node.execute(job_book, submit).await.unwrap();
        Some(claimed.seq)
    }

    /// Works until nothing is left to claim.
    pub async fn work(&self, job: JobId) -> u32 {
        let mut done = 0;
        while self.work_once(job).await.is_some() {
            done += 1;
        }
        done
    }
}

/// Waits until a condition on a watched value holds.
pub async fn until<T: Clone>(
    what: &str,
    watched: &mut tokio::sync::watch::Receiver<T>,
    holds: impl FnMut(&T) -> bool,
) -> T {
    let waiting = tokio::time::timeout(PATIENCE, watched.wait_for(holds));
    waiting.await.unwrap_or_else(|_| panic!("waited in vain: {what}")).unwrap().clone()
}
