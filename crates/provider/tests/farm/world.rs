//! A chain with contracts and funded accounts, a client, and providers to be started and killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, U256};
use tempfile::TempDir;
use tilth_blobs::{Blobs, Config as BlobsConfig, Relays};
use tilth_chain::{Chain, Clock, Config, Genesis, Predeploy, Production};
use tilth_client::{
    Account, Agreed, Jobs, Link, Network, Progress, Tend, Tending, job_file, money,
};
use tilth_contracts::{Addresses, DeployParams, plan};
use tilth_protocol::{Amount, amount::GRAIN};
use tilth_provider::{Auditor, AuditorConfig, GasReserve, Limits, ProviderError};
use tilth_sandbox::CommandLine;
use tokio::sync::watch;

use crate::script::Script;

/// How long a test waits for something that must happen. Machines that run tests are shared and slow at times.
pub const PATIENCE: Duration = Duration::from_secs(240);

pub struct World {
    pub dir: TempDir,
    config: Config,
    chain: Option<Chain>,
    pub network: Network,
}

fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&[number; 32].into()).unwrap()
}

impl World {
    pub async fn start() -> Self {
        Self::start_at(Clock::system()).await
    }

    /// A world whose chain has a clock of its own.
    pub async fn start_at(clock: Clock) -> Self {
        Self::start_making(clock, Production::Instant).await
    }

    /// A world in which nothing is believed that has not so many blocks on top. Its chain makes one a second.
    pub async fn start_deep(confirmations: u32) -> Self {
        let blocks = Production::Interval(Duration::from_secs(1));
        let mut world = Self::start_making(Clock::system(), blocks).await;
        world.network.confirmations = confirmations;
        world
    }

    async fn start_making(clock: Clock, production: Production) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Workers run as another user when the tests run as root.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // No block is earlier than the first one: a clock that stands still must not be behind it.
        let now = clock.now();
        let addresses = Addresses::predeployed();
        let params = DeployParams::standard(Address::repeat_byte(0xfe));
        let steps = plan(&addresses, &params).into_iter();
        let genesis = Genesis {
            chain_id: 7357,
            timestamp: now,
            gas_limit: 100_000_000,
            base_fee: 1_000_000_000,
            balances: (1..=20).map(|i| (signer(i).address(), U256::from(1_000 * GRAIN))).collect(),
            predeploys: steps
                .map(|step| Predeploy { address: step.address, init_code: step.init_code })
                .collect(),
            ..Genesis::default()
        };
        let mut config = Config::in_memory(genesis);
        config.dir = Some(dir.path().join("chain"));
        config.clock = clock;
        config.production = production;
        let chain = tilth_chain::spawn(config.clone()).await.unwrap();
        config.rpc = chain.rpc_addr();
        let network = Network {
            rpc_url: chain.rpc_url(),
            chain_id: 7357,
            contracts: addresses.into(),
            first_block: 0,
            wraps_native: true,
            confirmations: 0,
        };
        Self { dir, config, chain: Some(chain), network }
    }

    pub async fn stop_chain(&mut self) {
        self.chain.take().unwrap().shutdown().await;
    }

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

    /// Starts auditor `key` in this process; only its workers and their sandbox are processes of their own.
    pub async fn auditor(&self, key: u8) -> Auditor {
        let command = |name: &str| CommandLine {
            program: env!("CARGO_BIN_EXE_provider-fixture").into(),
            args: vec![name.into()],
        };
        let config = AuditorConfig {
            dir: self.dir.path().join(format!("auditor{key}")),
            network: self.network.clone(),
            owner: signer(key),
            node: signer(key + 100),
            stake: Amount(20 * GRAIN),
            limits: Limits { memory_per_slot: 256 << 20, ..Limits::default() },
            worker: command("worker"),
            sandbox_init: command("sandbox-init"),
            bind: "127.0.0.1:0".parse().unwrap(),
            relays: Relays::default(),
            upload: None,
            download: None,
            content_bytes: None,
            gas: GasReserve::default(),
        };
        // The folder of one that was stopped is free when the last of its tasks is gone.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Box::pin(Auditor::spawn(config.clone())).await {
                Err(ProviderError::InUse { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                spawned => return spawned.unwrap(),
            }
        }
    }

    pub fn account(&self, number: u8) -> Account {
        Account::new(Link::to(&self.network).unwrap(), signer(number))
    }

    /// A client with money in the Ledger.
    pub async fn client(&self) -> Client {
        let account = self.account(1);
        money::deposit(&account, Amount(500 * GRAIN), true).await.unwrap();
        let bind = "127.0.0.1:0".parse().unwrap();
        let config = BlobsConfig::new(self.dir.path().join("client"), [1; 32], bind);
        let blobs = Blobs::spawn(config).await.unwrap();
        let jobs = Jobs::new(account, blobs.clone(), self.dir.path().join("jobs"), 0);
        Client { jobs, blobs }
    }

    /// Starts provider `key`, or starts it again.
    pub fn provider(&self, key: u8, slots: u16) -> Running {
        self.provider_that(key, slots, &[])
    }

    /// As [`World::provider`], with settings that are on: `measure`, `lies`, `hangs`, `flips`, `release`, `choosy`.
    pub fn provider_that(&self, key: u8, slots: u16, on: &[&str]) -> Running {
        self.provider_selling(key, slots, on, None)
    }

    /// As [`World::provider_that`], with a model to sell.
    pub fn provider_selling(
        &self,
        key: u8,
        slots: u16,
        on: &[&str],
        model: Option<&Path>,
    ) -> Running {
        let setting = self.dir.path().join(format!("provider{key}.json"));
        let dir = self.dir.path().join(format!("provider{key}"));
        let text = serde_json::json!({
            "dir": dir,
            "model": model,
            "network": serde_json::to_value(&self.network).unwrap(),
            "key": key,
            "slots": slots,
            "measure": on.contains(&"measure"),
            "lies": on.contains(&"lies"),
            "hangs": on.contains(&"hangs"),
            "release": on.contains(&"release"),
            "flips": on.contains(&"flips"),
            "choosy": on.contains(&"choosy"),
        });
        fs::write(&setting, text.to_string()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_provider-fixture"))
            .arg("provider")
            .arg(&setting)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Running { child, stdin, said, dir, address: signer(key).address() }
    }
}

/// A provider's process. Dropping it kills it.
pub struct Running {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::Receiver<String>,
    pub dir: PathBuf,
    pub address: Address,
}

impl Running {
    /// Its worker programs that run in a mode, `serve` or `compile`, as far as they can be seen.
    pub fn programs(&self, mode: &str) -> usize {
        let mut parents = BTreeMap::new();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
            parents.insert(pid, rest.split(' ').nth(1).unwrap().parse::<u32>().unwrap());
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).skip(1);
            if words.next().is_some_and(|word| word.ends_with(b"worker"))
                && words.next() == Some(mode.as_bytes())
            {
                found.push(pid);
            }
        }
        let is_ours = |mut pid: u32| {
            while pid > 1 && pid != self.child.id() {
                pid = parents.get(&pid).copied().unwrap_or(0);
            }
            pid == self.child.id()
        };
        found.into_iter().filter(|pid| is_ours(*pid)).count()
    }

    /// The next line it says.
    pub fn hear(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("the provider says something")
    }

    pub fn expect(self, word: &str) -> Self {
        assert_eq!(self.hear(), word);
        self
    }

    pub fn say(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").unwrap();
    }

    pub fn status(&mut self) -> serde_json::Value {
        self.say("status");
        serde_json::from_str(&self.hear()).unwrap()
    }

    /// SIGKILL, now.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job to be.
pub struct Order {
    pub script: Script,
    pub tasks: u32,
    pub prepare: bool,
    pub first_range: u32,
    pub window: &'static str,
    pub timeout: &'static str,
    pub audited: bool,
    /// Whether a second provider does every range, and whoever is choosy comes with the clock: some seconds later.
    pub replicated: bool,
    /// Whether auditors are to hold for a day what the client does not acknowledge.
    pub kept: bool,
}

impl Order {
    pub fn new(tasks: u32, script: Script) -> Self {
        let (window, timeout) = ("60s", "60s");
        Self {
            script,
            tasks,
            prepare: false,
            first_range: 1,
            window,
            timeout,
            audited: false,
            replicated: false,
            kept: false,
        }
    }

    /// What is paid for a unit.
    fn price(&self) -> &'static str {
        if self.replicated {
            // The cap is reached two seconds behind schedule.
            "kind = \"clock\"\nfloor = \"0.09\"\ncap = \"0.1\"\nfinish = \"16s\""
        } else {
            "per-gfuel = \"0.1\""
        }
    }
}

pub struct Client {
    pub jobs: Jobs,
    pub blobs: Blobs,
}

impl Client {
    /// Submits a job. Its program is the script.
    pub async fn submit(&self, world: &World, order: &Order) -> Agreed {
        let folder = world.dir.path().join(format!("order{}", order.script.to_program().len()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("program.wasm"), order.script.to_program()).unwrap();
        fs::write(folder.join("small"), "small").unwrap();
        fs::write(folder.join("large"), vec![3; 500_000]).unwrap();
        let prepare = if order.prepare { "gfuel-prepare = 0.02" } else { "" };
        // A task of an audited job must be worth the fees of a whole committee.
        let cap = if order.audited { "2.0" } else { "0.01" };
        let replicas = if order.replicated { "replicas = 2" } else { "" };
        let keep = if order.kept { "keep = \"1d\"" } else { "" };
        let text = format!(
            r#"
            name = "scripted"
            program = "program.wasm"
            tasks = {}
            [inputs]
            "small" = "small"
            "large" = "large"
            [limits]
            gfuel-per-task = {cap}
            {prepare}
            memory = "1MiB"
            output = "64KiB"
            [price]
            {}
            [verification]
            window = "{}"
            audited = {}
            {replicas}
            {keep}
            [schedule]
            target = "2s"
            range-timeout = "{}"
            parallelism = 2
            first-range = {}
            [output]
            kind = "files"
            "#,
            order.tasks,
            order.price(),
            order.window,
            order.audited,
            order.timeout,
            order.first_range,
        );
        let path = folder.join("job.toml");
        fs::write(&path, text).unwrap();
        let prepared = job_file::load(&path).unwrap();
        self.jobs.submit(&prepared, None).await.unwrap()
    }

    pub fn tend(&self, agreed: &Agreed) -> Tending {
        self.jobs.tend(agreed, Tend { pay: true })
    }

    /// Waits for the job's end; every result has then been fetched, checked and paid.
    pub async fn finish(&self, tending: Tending) -> Progress {
        tokio::time::timeout(PATIENCE, tending.finished()).await.expect("the job ends").unwrap()
    }

    /// Checks every output of a finished job.
    pub async fn check_outputs(&self, world: &World, agreed: &Agreed, script: &Script) {
        let folder = world.dir.path().join(format!("outputs{}", agreed.job));
        let merged = self.jobs.merge(agreed, &folder).await.unwrap();
        assert_eq!(merged.missing, 0);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let outputs: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
        assert_eq!(outputs.len(), agreed.spec.task_count as usize);
        for (index, output) in (0..).zip(outputs) {
            assert_eq!(output, script.output_of(index), "task {index}");
        }
    }
}

/// Waits until a condition holds.
pub async fn wait(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the progress is as wanted.
pub async fn until(
    what: &str,
    progress: &mut watch::Receiver<Progress>,
    wanted: impl Fn(&Progress) -> bool,
) -> Progress {
    let found = tokio::time::timeout(PATIENCE, progress.wait_for(wanted)).await;
    let found = found.map(|found| found.map(|found| found.clone()));
    match found {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => panic!("tending ended before: {what}"),
        Err(_) => panic!("waited too long until {what}: {:?}", progress.borrow()),
    }
}
