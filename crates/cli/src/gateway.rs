//! `tilth gateway`: the HTTP door to language models.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use alloy::signers::local::PrivateKeySigner;
use hyper::Method;
use serde_json::{Value, json};
use tilth_client::{Account, Keys, Network, tabs};
use tilth_gateway::{
    Config, Gateway, Limits,
    operator::{self, CallError},
};
use tilth_protocol::{Amount, Problem, infer::Prices};
use tilth_provider::infer::Model;
use tilth_service::{Registry, options};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::{
    Ended,
    args::{Common, Gateway as Args, GatewayCommand, GatewayOptions, KeyCommand, OnSale, Settle},
    configuration::Subject,
    monitor, open_files,
    place::Place,
    print_json,
    table::{Align, Table},
    up::listen,
};

/// The gateway's folder in a network's.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join("gateway")
}

pub async fn gateway(common: Common, args: Args) -> Ended {
    match args.command {
        None => Box::pin(serve(common, args.options)).await,
        Some(GatewayCommand::Key(command)) => key(&common, command).await,
        Some(GatewayCommand::Owed { all }) => owed(&common, all).await,
        Some(GatewayCommand::Settle(args)) => settle(&common, args).await,
        Some(GatewayCommand::Receipts { from }) => receipts(&common, from).await,
        Some(GatewayCommand::Limits) => {
            print!("{}", options::file(&Limits::default()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Models for sale, as the command line has them.
pub fn models(on_sale: &OnSale) -> Vec<Model> {
    let prices = Prices { input: on_sale.input_price, output: on_sale.output_price };
    on_sale.model.iter().map(|file| Model::new(file.clone(), prices)).collect()
}

/// A gateway with the port where it is watched.
pub struct Watched {
    pub gateway: Gateway,
    /// Where health and metrics are served.
    pub monitor: Option<SocketAddr>,
    watching: Option<JoinHandle<()>>,
}

impl Watched {
    async fn start(config: Config, monitor: Option<SocketAddr>) -> Result<Self, Problem> {
        open_files::allow_more();
        let registry = Registry::new();
        monitor::describe(&registry);
        let watched = match monitor {
            Some(address) => Some(monitor::bind(address).await?),
            None => None,
        };
        let gateway = Gateway::spawn(config, &registry).await.map_err(|error| error.problem())?;
        let monitor = watched.as_ref().and_then(|monitor| monitor.address().ok());
        let watching =
            watched.map(|monitor| tokio::spawn(monitor.serve(registry, gateway.readiness())));
        Ok(Self { gateway, monitor, watching })
    }

    /// Waits until it stops by itself, and says why.
    pub async fn failure(&self) -> Problem {
        let advice = "see the log; start it again, what was charged is on disk";
        Problem::new("the gateway has stopped", self.gateway.failure().await, advice)
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
        if let Some(watching) = self.watching {
            watching.abort();
        }
    }
}

/// The key of the account that pays, if one is named.
fn payer(keys: &Keys, name: Option<&str>) -> Result<Option<PrivateKeySigner>, Problem> {
    name.map(|name| keys.open(name)).transpose()
}

/// Starts a gateway beside a network in this process.
pub async fn beside(
    dir: &Path,
    network: &Network,
    on_sale: &OnSale,
) -> Result<Option<Watched>, Problem> {
    if on_sale.model.is_empty() {
        return Ok(None);
    }
    let (listen, limits) = (on_sale.gateway, limits(&[])?);
    let payer = payer(&Keys::of(dir), on_sale.gateway_payer.as_deref())?;
    let config = Config { listen, limits, payer, ..Config::local(folder(dir), network.clone()) };
    Watched::start(config, on_sale.gateway_monitor).await.map(Some)
}

const LIMITS: Subject = Subject {
    what: "a limit of the gateway",
    described: "`tilth gateway limits` prints",
    example: "questions-max=512",
    prefix: "TILTH_GATEWAY",
    file_variable: "",
};

/// The limits that the environment and `--set` leave.
fn limits(given: &[String]) -> Result<Limits, Problem> {
    let mut limits = Limits::default();
    LIMITS.set(&mut limits, given)?;
    for variable in LIMITS.stray_variables(&options::rows(&limits)) {
        warn!(variable, "looks like a limit of the gateway and is none");
    }
    Ok(limits)
}

async fn serve(common: Common, options: GatewayOptions) -> Ended {
    let limits = limits(&options.set)?;
    let place = Place::open(&common)?;
    let mut signals = listen()?;
    let data = crate::data::client(&place.dir)?;
    let config = Config {
        listen: options.listen,
        names: options.name.into_iter().collect(),
        relays: data.relays(),
        limits,
        payer: payer(&place.keys, options.payer.as_deref())?,
        ..Config::local(folder(&place.dir), place.network.clone())
    };
    let watched = Watched::start(config, options.monitor).await?;
    let url = format!("http://{}/v1", watched.gateway.address());
    let monitor = watched.monitor.map(|address| format!("http://{address}"));
    if common.json {
        print_json(&json!({ "url": url, "monitor": monitor }))?;
    } else {
        println!("gateway is ready at {url}; Ctrl-C stops it");
        if let Some(monitor) = monitor {
            println!("  monitor  {monitor}/health  {monitor}/ready  {monitor}/metrics");
        }
        println!(
            "  next: tilth gateway key create NAME --budget 1{}",
            crate::place::dir_option(&place.dir)
        );
    }
    tokio::select! {
        _ = signals.next() => {}
        failure = watched.failure() => return Err(failure),
    }
    tokio::select! {
        () = watched.stop() => {}
        () = signals.insisted() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn call(
    common: &Common,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, Problem> {
    let dir = folder(&common.dir());
    operator::call(&dir, method, path, body.as_ref()).await.map_err(|error| problem(&error))
}

/// Why the gateway of a folder did not do something, and what helps.
fn problem(error: &CallError) -> Problem {
    let source = match error {
        CallError::Refused { message, advice } => {
            let advice = advice.as_deref();
            let advice = advice.unwrap_or("correct the command; the gateway runs on");
            return Problem::new("the gateway does not do it", message, advice);
        }
        CallError::Away(source) => source,
    };
    let advice = match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            "see that it runs (`tilth gateway`, or `tilth up --model FILE`), and in which folder"
        }
        ErrorKind::PermissionDenied => "do it as the user whose gateway it is",
        ErrorKind::TimedOut => {
            "it may be done all the same: look before doing it again; see its log"
        }
        ErrorKind::InvalidInput => "name its folder by a shorter path (--dir)",
        _ => "see its log, and that it has the same version as this command",
    };
    Problem::new("the gateway of this folder does not answer", source.to_string(), advice)
}

async fn key(common: &Common, command: KeyCommand) -> Ended {
    match command {
        KeyCommand::Create { name, budget, owner } => {
            let body = json!({ "name": name, "budget": budget, "owner": owner });
            let made = call(common, Method::POST, "/admin/keys", Some(body)).await?;
            if common.json {
                print_json(&made)?;
            } else {
                println!("{}", made["key"].as_str().unwrap_or_default());
                eprintln!("  it is not shown again; clients send it as their API key");
            }
        }
        KeyCommand::Set { id, budget } => {
            let body = json!({ "budget": budget });
            let set = call(common, Method::POST, &format!("/admin/keys/{id}"), Some(body)).await?;
            if common.json {
                print_json(&set)?;
            } else {
                println!("key {id} may spend {budget} GRAIN in all");
            }
        }
        KeyCommand::Rm { id } => {
            let gone = call(common, Method::DELETE, &format!("/admin/keys/{id}"), None).await?;
            if common.json {
                print_json(&gone)?;
            } else {
                println!("key {id} is removed; its receipts stay");
            }
        }
        KeyCommand::Ls => {
            let keys = call(common, Method::GET, "/admin/keys", None).await?;
            if common.json {
                print_json(&keys)?;
            } else {
                print!("{}", keys_table(&keys).render());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn amount(value: &Value) -> String {
    let parsed = serde_json::from_value::<Amount>(value.clone()).ok();
    parsed.map_or_else(String::new, |amount| format!("{amount:.6}"))
}

fn keys_table(keys: &Value) -> Table {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("budget GRAIN", Align::Right),
        ("spent GRAIN", Align::Right),
        ("answers", Align::Right),
        ("tokens in", Align::Right),
        ("tokens out", Align::Right),
        ("id", Align::Left),
    ]);
    for key in keys.as_array().into_iter().flatten() {
        table.row([
            key["name"].as_str().unwrap_or_default().to_owned(),
            amount(&key["budget"]),
            amount(&key["spent"]),
            key["answers"].to_string(),
            key["prompt-tokens"].to_string(),
            key["output-tokens"].to_string(),
            key["id"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    table
}

/// Whether there is something left to be paid.
fn is_due(owed: &Value) -> bool {
    owed["amount"] != "0"
}

/// All tabs, as a gateway gives them: page by page.
async fn tabs_of(common: &Common) -> Result<Vec<Value>, Problem> {
    let (mut all, mut path) = (Vec::new(), "/admin/owed".to_owned());
    loop {
        let page = call(common, Method::GET, &path, None).await?;
        let page = page.as_array().map(Vec::as_slice).unwrap_or_default();
        all.extend_from_slice(page);
        let last = page.last().and_then(|last| last["id"].as_str());
        match last.filter(|_| page.len() >= operator::MAX_OWED) {
            Some(last) => path = format!("/admin/owed/{last}"),
            None => return Ok(all),
        }
    }
}

async fn owed(common: &Common, all: bool) -> Ended {
    let mut owed = tabs_of(common).await?;
    owed.retain(|one| all || is_due(one));
    if common.json {
        print_json(&owed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("provider", Align::Right),
        ("node", Align::Left),
        ("payer", Align::Left),
        ("answers", Align::Right),
        ("charged GRAIN", Align::Right),
        ("settled GRAIN", Align::Right),
        ("owed GRAIN", Align::Right),
    ]);
    for one in owed {
        // The latest of a provider that took another one is not known; any of them says who it is.
        let account = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let provider = one["provider"].as_u64();
        table.row([
            provider.map_or_else(|| "-".to_owned(), |number| number.to_string()),
            account(&one["nodes"][0]),
            account(&one["payer"]),
            one["answers"].to_string(),
            amount(&one["total"]),
            amount(&one["settled"]),
            amount(&one["amount"]),
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}

/// Pays what an account owes. The gateway says what that is, and needs no key for it.
async fn settle(common: &Common, args: Settle) -> Ended {
    let place = Place::open(common)?;
    let signer = match &args.key {
        Some(file) => Keys::open_file(file)?,
        None => place.signer(&args.account)?,
    };
    let account = Account::new(place.link.clone(), signer);
    let payer = account.address();
    let body = json!({ "operator": args.operator });
    let stated = call(common, Method::POST, &format!("/admin/tabs/{payer}"), Some(body)).await?;
    let stated = serde_json::from_value(stated).map_err(|error| {
        let advice = "see that the gateway has the same version as this command";
        Problem::new("the gateway's answer is not a statement", error.to_string(), advice)
    })?;
    let done = tabs::settle_within(&account, &stated, args.above, args.most).await;
    let done = done.map_err(|error| error.problem())?;
    // The gateway looks at the chain when it is asked what is owed. What was paid is said even if it is gone by now.
    let owed = tabs_of(common).await.ok();
    let nobodys =
        owed.map(|owed| owed.iter().filter(|one| one["payer"].is_null() && is_due(one)).count());
    if common.json {
        print_json(&json!({ "payer": payer, "settled": done, "without-payer": nobodys }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if done.tabs == 0 {
        println!("nothing is due from {payer}");
    } else {
        println!(
            "paid {:.6} GRAIN to {} providers, and {:.6} GRAIN of fees",
            done.paid, done.tabs, done.fees
        );
    }
    if let Some(nobodys) = nobodys.filter(|count| *count > 0) {
        let command = format!("tilth gateway settle --operator{}", place.dir_option());
        eprintln!("  {nobodys} more wait for what keys without an owner have spent: {command}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Receipts from a number on, as many as a gateway gives at once.
async fn receipts(common: &Common, from: u64) -> Ended {
    let found = call(common, Method::GET, &format!("/admin/receipts/{from}"), None).await?;
    if common.json {
        print_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("number", Align::Right),
        ("node", Align::Left),
        ("tokens in", Align::Right),
        ("tokens out", Align::Right),
        ("charge GRAIN", Align::Right),
        ("key", Align::Left),
    ]);
    let all = found.as_array().map(Vec::as_slice).unwrap_or_default();
    for one in all {
        let receipt = &one["receipt"]["receipt"];
        table.row([
            one["number"].to_string(),
            receipt["node"].as_str().unwrap_or_default().to_owned(),
            receipt["prompt-tokens"].to_string(),
            receipt["output-tokens"].to_string(),
            amount(&receipt["charge"]),
            one["key"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    print!("{}", table.render());
    if let Some(hint) = further(all, &common.dir()) {
        eprintln!("  {hint}");
    }
    Ok(ExitCode::SUCCESS)
}

/// How to see the receipts after these.
fn further(all: &[Value], dir: &Path) -> Option<String> {
    let next = all.last()?["number"].as_u64()?.checked_add(1)?;
    // A list that is not full was all there is, until now.
    let which = if all.len() < operator::MAX_RECEIPTS { "later ones" } else { "the next ones" };
    let dir = crate::place::dir_option(dir);
    Some(format!("{which}: tilth gateway receipts --from {next}{dir}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_by_its_name_and_no_other() {
        let given = ["questions-max=7", "answer-bytes-max=64MiB", "answer-time-max=90s"];
        let limits = limits(&given.map(str::to_owned)).unwrap();
        assert_eq!((limits.questions_max, limits.answer_bytes_max), (7, 64 << 20));
        assert_eq!(limits.answer_time_max.as_secs(), 90);
        let problem = super::limits(&["question-max=7".to_owned()]).unwrap_err();
        assert!(problem.to_string().contains("`questions-max`"), "{problem}");
        assert_eq!(options::rows(&Limits::default()).len(), 11);
    }

    #[test]
    fn advice_is_about_what_has_happened() {
        let advice = |error: CallError| problem(&error).advice;
        let away = |kind: ErrorKind| advice(CallError::Away(kind.into()));
        assert!(away(ErrorKind::ConnectionRefused).contains("see that it runs"));
        assert!(away(ErrorKind::PermissionDenied).contains("as the user"));
        assert!(!away(ErrorKind::TimedOut).contains("see that it runs"));
        let refused = |advice: Option<&str>| CallError::Refused {
            message: "no".to_owned(),
            advice: advice.map(str::to_owned),
        };
        assert_eq!(advice(refused(Some("make room"))), "make room");
        assert!(advice(refused(None)).contains("correct the command"));
    }

    #[test]
    fn a_full_list_of_receipts_says_how_to_see_the_next_ones() {
        let dir = Path::new("/net");
        let list = |count: u64| (5..5 + count).map(|n| json!({ "number": n })).collect::<Vec<_>>();
        assert_eq!(further(&[], dir), None);
        let some = further(&list(3), dir).unwrap();
        assert_eq!(some, "later ones: tilth gateway receipts --from 8 --dir /net");
        let full = further(&list(operator::MAX_RECEIPTS as u64), dir).unwrap();
        assert_eq!(full, "the next ones: tilth gateway receipts --from 1005 --dir /net");
    }
}
