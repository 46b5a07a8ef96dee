//! A farm whose every role is a process on a machine of its own: node, providers, client.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::Log,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use serde_json::{Value, json};
use tilth_client::{Keys, Network};
use tilth_contracts::{Addresses, Ledger, WGrain};

use crate::{
    clock::{Clock, Clocks},
    disk::Disk,
    http,
    oracle::{self, Books, Money, People},
    process::{Service, finish},
    proxy::Proxy,
    schedule::{PROVIDERS, Plan, Role, What},
    space::Space,
};

/// The program under test.
pub const TILTH: &str = env!("CARGO_BIN_EXE_tilth");
/// Longest wait for anything. Machines that run tests are shared and slow at times.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// What each provider stakes, in GRAIN.
const STAKE: &str = "500";
/// What each provider gets to begin with, in GRAIN.
const PURSE: &str = "600";
/// How long providers serve what is paid for.
const RETENTION: &str = "3s";

/// A machine of the farm.
pub struct Machine {
    pub name: String,
    pub dir: PathBuf,
    pub clock: Clock,
    pub proxy: Option<Proxy>,
    pub disk: Option<Disk>,
    number: u8,
}

/// The farm. Fields are dropped in this order: processes first, then what they stand on.
pub struct Farm {
    pub node: Service,
    pub providers: Vec<Service>,
    pub twins: Vec<Service>,
    pub machines: Vec<Machine>,
    pub space: Option<Space>,
    pub node_address: SocketAddr,
    pub people: People,
    pub root: PathBuf,
    clocks: Option<Clocks>,
    network: Network,
}

/// An address on this machine for a node that is killed and comes back to it. Not a port of those that the
/// system hands out itself (32,768 and above by default): one of these would be somebody else's meanwhile.
fn quiet_address() -> Result<SocketAddr, String> {
    let start = 16_000 + u16::try_from(std::process::id() % 12_000).unwrap_or(0);
    let free = (start..start + 2_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let port = free.ok_or("no port below those that the system hands out is free")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// What this machine cannot do, said aloud.
pub fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED: {what}: {why}");
}

/// Waits until a condition gives a value.
pub fn eventually<T>(
    what: &str,
    mut condition: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() > deadline => {
                return Err(format!("{what}: not within {PATIENCE:?}: {why}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl Farm {
    /// Builds and starts everything, and waits until all of it is ready.
    pub fn start(root: &Path, plan: &Plan) -> Result<Self, String> {
        let mut names = vec![("node".to_owned(), 2), ("client".to_owned(), 3)];
        names.extend((1..=PROVIDERS).map(|n| (format!("provider-{n}"), 10 + n)));
        names.extend((1..=PROVIDERS).map(|n| (format!("twin-{n}"), 20 + n)));
        let listed: Vec<_> = names.iter().map(|(name, number)| (name.as_str(), *number)).collect();
        let space =
            Space::make(&listed).inspect_err(|error| skip("cut, slow and lossy links", error)).ok();
        if space.as_ref().is_some_and(|space| !space.can_lose()) {
            skip("lossy links", "nft cannot drop packets at random here");
        }
        let clocks = Clocks::build(root).inspect_err(|error| skip("wrong clocks", error)).ok();
        let node_address = match space {
            Some(_) => format!("{}:8545", Space::address(2)).parse().unwrap(),
            None => quiet_address()?,
        };
        let network = Network {
            rpc_url: format!("http://{node_address}"),
            chain_id: tilth_devnet::CHAIN_ID,
            contracts: Addresses::predeployed().into(),
            first_block: 0,
            wraps_native: true,
            confirmations: 0,
        };
        let mut machines = Vec::new();
        for (name, number) in names {
            machines.push(Machine::new(root, name, number, plan)?);
        }
        let people = People { client: Address::ZERO, treasury: Address::ZERO };
        let node = Service::new("node", root, || Command::new(TILTH));
        let mut farm = Self {
            node,
            providers: Vec::new(),
            twins: Vec::new(),
            machines,
            space,
            node_address,
            people,
            root: root.to_owned(),
            clocks,
            network,
        };
        farm.start_node()?;
        farm.move_in(plan)?;
        farm.start_providers()?;
        Ok(farm)
    }

    fn start_node(&mut self) -> Result<(), String> {
        let listen = self.node_address.to_string();
        let args = ["up", "--json", "--providers", "0", "--listen", &listen];
        self.node = self.service("node", "node", &args);
        self.node.start();
        let ready = self.await_said(&[&self.node]);
        ready?;
        let keys = Keys::of(&self.machine("node").dir);
        let address = |name| keys.open(name).map(|key| key.address()).map_err(|e| e.to_string());
        self.people = People { client: address("client")?, treasury: address("treasury")? };
        Ok(())
    }

    /// Gives every machine its keys, its money and its way to the node.
    fn move_in(&mut self, plan: &Plan) -> Result<(), String> {
        let node_dir = self.machine("node").dir.clone();
        let keys = Keys::of(&node_dir);
        let open = |name: &str| -> Result<PrivateKeySigner, String> {
            keys.open_or_create(name).map_err(|error| error.to_string())
        };
        for number in 1..=PROVIDERS {
            let name = format!("provider-{number}");
            open(&name)?;
            open(&format!("{name}-node"))?;
            let dir = node_dir.display().to_string();
            let mut send = Command::new(TILTH);
            send.args(["account", "send", "funder", &name, PURSE, "--dir", &dir]);
            finish(&mut send, &self.root, "setup")?;
        }
        for index in 1..self.machines.len() {
            let machine = &self.machines[index];
            let owner = machine.name.replace("twin", "provider");
            let accounts = machine.dir.join("accounts");
            fs::create_dir_all(&accounts).map_err(|error| error.to_string())?;
            let files =
                fs::read_dir(node_dir.join("accounts")).map_err(|error| error.to_string())?;
            for file in files.flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                let account = name.split('.').next().unwrap_or_default();
                if account == owner || account == format!("{owner}-node") {
                    fs::copy(file.path(), accounts.join(&name)).map_err(|e| e.to_string())?;
                }
            }
            let entrance = self.space.as_ref().map(|space| space.entrance(&machine.name));
            let seed = plan.seed.unwrap_or(0).wrapping_add(u64::from(machine.number));
            let proxy = Proxy::start(entrance.transpose()?, self.node_address, seed)?;
            let network = Network { rpc_url: proxy.url(), ..self.network.clone() };
            network.save(&machine.dir).map_err(|error| error.to_string())?;
            self.machines[index].proxy = Some(proxy);
        }
        Ok(())
    }

    fn start_providers(&mut self) -> Result<(), String> {
        for number in 1..=PROVIDERS {
            for machine in ["provider", "twin"] {
                let is_twin = machine == "twin";
                let machine = format!("{machine}-{number}");
                let bind = self.bind(&machine);
                let (name, stake) = (format!("provider-{number}"), STAKE);
                let mut args = vec!["provider", &name, "--json", "--stake", stake];
                // Measuring loads the machine for seconds, in which faults are to happen.
                args.extend(["--set", "measure=false"]);
                args.extend(["--bind", &bind, "--retention", RETENTION]);
                if is_twin {
                    // It may not come back: it leaves when what it has handed in is fetched and paid.
                    args.extend(["--set", "wait-for-pay=true"]);
                }
                let service = self.service(&machine, &machine, &args);
                if is_twin {
                    self.twins.push(service);
                } else {
                    self.providers.push(service);
                }
            }
        }
        self.providers.iter_mut().for_each(Service::start);
        self.await_said(&self.providers.iter().collect::<Vec<_>>())
    }

    /// Where the data endpoint of a machine listens.
    pub fn bind(&self, machine: &str) -> String {
        match self.space {
            Some(_) => format!("{}:0", Space::address(self.machine(machine).number)),
            None => "127.0.0.1:0".to_owned(),
        }
    }

    fn await_said(&self, services: &[&Service]) -> Result<(), String> {
        eventually("roles are ready", || {
            match services.iter().find(|service| service.said().is_empty()) {
                Some(service) => Err(format!("{} has said nothing", service.name)),
                None => Ok(()),
            }
        })
    }

    fn service(&self, name: &str, machine: &str, args: &[&str]) -> Service {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let prepared = Prepared::of(self, machine);
        Service::new(name, &self.root, move || {
            let mut command = prepared.command();
            command.args(&args);
            command
        })
    }

    /// The program on a machine, with that machine's folder, clock and network.
    pub fn tilth(&self, machine: &str, args: &[&str]) -> Command {
        let mut command = Prepared::of(self, machine).command();
        command.args(args);
        command
    }

    /// A machine by its name.
    pub fn machine(&self, name: &str) -> &Machine {
        let found = self.machines.iter().find(|machine| machine.name == name);
        found.unwrap_or_else(|| panic!("there is no machine {name}"))
    }

    /// The process of a role, but the client's, which come and go.
    pub fn service_of(&mut self, role: Role) -> Option<&mut Service> {
        match role {
            Role::Node => Some(&mut self.node),
            Role::Client => None,
            Role::Provider(number) => self.providers.get_mut(usize::from(number) - 1),
        }
    }

    /// All that runs, or did.
    pub fn services(&mut self) -> impl Iterator<Item = &mut Service> {
        let others = self.providers.iter_mut().chain(&mut self.twins);
        std::iter::once(&mut self.node).chain(others)
    }

    /// Whether clocks can be set wrong here.
    pub fn can_turn_clocks(&self) -> bool {
        self.clocks.is_some()
    }

    /// The contract's events, all of them.
    pub fn books(&self) -> Result<Books, String> {
        Books::read(&self.logs(self.network.contracts.job_book)?)
    }

    /// What everybody has in the Ledger, and what it holds.
    pub fn money(&self) -> Result<Money, String> {
        let keys = Keys::of(&self.machine("node").dir);
        let named = keys.list().map_err(|error| error.to_string())?;
        let mut accounts: Vec<_> = named.into_iter().map(|(_, address)| address).collect();
        let contracts = Addresses::from(self.network.contracts);
        accounts.extend([contracts.registry, contracts.job_book, contracts.ledger]);
        accounts.push(self.call(contracts.ledger, Ledger::BURN_ACCOUNTCall {})?);
        let brought = oracle::brought(&self.logs(contracts.ledger)?)?;
        let mut money = Money { brought, ..Money::default() };
        for owner in accounts {
            let account = self.call(contracts.ledger, Ledger::accountCall { owner })?;
            money.owed.insert(owner, account.free + account.locked);
        }
        let held = WGrain::balanceOfCall { account: contracts.ledger };
        let held = self.call(contracts.token, held)?;
        money.held = u128::try_from(held).map_err(|error| error.to_string())?;
        Ok(money)
    }

    /// What the client has locked in the Ledger.
    pub fn client_locked(&self) -> Result<u128, String> {
        let owner = self.people.client;
        let ledger = self.network.contracts.ledger;
        Ok(self.call(ledger, Ledger::accountCall { owner })?.locked)
    }

    fn logs(&self, contract: Address) -> Result<Vec<Log>, String> {
        let all = json!([{ "fromBlock": "0x0", "toBlock": "latest", "address": contract }]);
        serde_json::from_value(self.rpc("eth_getLogs", all)?).map_err(|error| error.to_string())
    }

    fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, String> {
        let input = Bytes::from(call.abi_encode());
        let answer = self.rpc("eth_call", json!([{ "to": to, "input": input }, "latest"]))?;
        C::abi_decode_returns(&oracle::bytes(&answer)?).map_err(|error| error.to_string())
    }

    fn rpc(&self, method: &str, params: Value) -> Result<Value, String> {
        http::rpc(self.node_address, method, params).map_err(|error| error.to_string())
    }
}

impl Machine {
    fn new(root: &Path, name: String, number: u8, plan: &Plan) -> Result<Self, String> {
        let dir = root.join(&name);
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let clock = Clock::right(root.join(format!("{name}.clock"))).map_err(|e| e.to_string())?;
        let fills = |what: &What| matches!(what, What::FullDisk(role) if role.to_string() == name);
        let disk = if plan.faults.iter().any(|fault| fills(&fault.what)) {
            Disk::mount(&dir).inspect_err(|error| skip("full disks", error)).ok()
        } else {
            None
        };
        Ok(Self { name, dir, clock, proxy: None, disk, number })
    }
}

/// How to start the program on a machine, without holding on to the farm.
struct Prepared {
    program: OsString,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    root: PathBuf,
}

impl Prepared {
    fn of(farm: &Farm, machine: &str) -> Self {
        let here = farm.machine(machine);
        let mut command = match &farm.space {
            Some(space) => space.command(machine, TILTH),
            None => Command::new(TILTH),
        };
        if let Some(clocks) = &farm.clocks {
            clocks.apply(&mut command, &here.clock);
        }
        command.env("HOME", &here.dir).env("TILTH_DIR", &here.dir);
        command.env("TILTH_LOG", "warn,tilth=info");
        let environment = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        // A round that is killed takes its processes with it.
        let mut args: Vec<OsString> = vec!["--pdeathsig".into(), "KILL".into()];
        args.push(command.get_program().to_owned());
        args.extend(command.get_args().map(OsStr::to_owned));
        Self {
            program: "setpriv".into(),
            args,
            environment: environment.collect(),
            root: farm.root.clone(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.environment.iter().cloned()).current_dir(&self.root);
        command
    }
}
