//! The answers of a real node, replayed: every case of execution-apis against our server.
//!
//! The cases are data of others, so they are not in this repository. `TILTH_EXECUTION_APIS` names a
//! checkout of <https://github.com/ethereum/execution-apis> (last run with its commit
//! 033ca6e69da000445840d2060ff47e5e56172a86):
//!
//! ```text
//! TILTH_EXECUTION_APIS=PATH cargo nextest run -p tilth-chain --test it --run-ignored only conformance simulation
//! ```
//!
//! A case is a file of requests and the exact answers geth gave. Results must be equal, errors in
//! code, message and data. Where a file says `speconly`, only the shape of the result counts. What
//! we answer otherwise on purpose is listed with its reason in `differences.txt`, by case or by
//! folder; a listed case or folder that passes fails the test too, so that the list never says too
//! much.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tilth_chain::{Chain, Config, Genesis, Production};

use crate::{errors::post, fixture::start};

/// The recorded cases in the checkout.
pub fn folder() -> PathBuf {
    let checkout = std::env::var_os("TILTH_EXECUTION_APIS")
        .expect("TILTH_EXECUTION_APIS names a checkout of ethereum/execution-apis");
    PathBuf::from(checkout).join("tests")
}

/// One request with the answer geth gave.
struct Exchange {
    request: String,
    answer: Value,
}

/// The exchanges of one file, in order.
struct Case {
    exchanges: Vec<Exchange>,
    /// Only the shape of results counts.
    shape_only: bool,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut case = Self { exchanges: Vec::new(), shape_only: false };
        let mut asked = None;
        for line in text.lines() {
            if let Some(request) = line.strip_prefix(">> ") {
                asked = Some(request.to_owned());
            } else if let Some(answer) = line.strip_prefix("<< ") {
                let request = asked.take().expect("an answer follows its request");
                case.exchanges
                    .push(Exchange { request, answer: serde_json::from_str(answer).unwrap() });
            } else {
                case.shape_only |= line.starts_with("// speconly");
            }
        }
        assert!(asked.is_none() && !case.exchanges.is_empty(), "{} is not whole", path.display());
        case
    }

    /// The first difference to what `chain` answers, if any.
    async fn difference(&self, chain: &Chain) -> Option<String> {
        for exchange in &self.exchanges {
            let text = post(chain, exchange.request.clone()).await;
            let Ok(ours) = serde_json::from_str::<Value>(&text) else {
                return Some(format!("the answer is no JSON: {text:.200}"));
            };
            let theirs = &exchange.answer;
            let difference = if self.shape_only && theirs.get("result").is_some() {
                shape("", &theirs["result"], &ours["result"])
                    .or_else(|| ours.get("error").map(|error| format!("an error: {error}")))
            } else {
                differ("", theirs, &ours)
            };
            if difference.is_some() {
                return difference;
            }
        }
        None
    }
}

fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 160 {
        let end = (0..=160).rev().find(|end| text.is_char_boundary(*end)).unwrap();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Where two values differ first.
fn differ(at: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let names: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
            names.into_iter().find_map(|name| {
                let at = format!("{at}.{name}");
                match (theirs.get(name), ours.get(name)) {
                    (Some(theirs), Some(ours)) => differ(&at, theirs, ours),
                    (Some(theirs), None) => {
                        Some(format!("{at} is missing, geth: {}", short(theirs)))
                    }
                    (_, Some(ours)) => Some(format!("{at} is too much: {}", short(ours))),
                    (None, None) => None,
                }
            })
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            let pairs = theirs.iter().zip(ours).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (theirs, ours))| differ(&format!("{at}[{i}]"), theirs, ours))
        }
        // Numbers as numbers: Go writes 0 where others write 0.0.
        (Value::Number(theirs), Value::Number(ours)) if theirs.as_f64() == ours.as_f64() => None,
        _ if theirs == ours => None,
        _ => Some(format!("{at} is {}, geth: {}", short(ours), short(theirs))),
    }
}

/// Where the outermost shape of two values differs.
fn shape(at: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => theirs
            .keys()
            .find(|name| !ours.contains_key(*name))
            .map(|name| format!("{at}.{name} is missing")),
        _ if std::mem::discriminant(theirs) == std::mem::discriminant(ours) => None,
        _ => Some(format!("{at} is {}, geth: {}", short(ours), short(theirs))),
    }
}

/// All cases by their path below the folder, in the order in which they were recorded.
fn cases() -> BTreeMap<String, Case> {
    let mut cases = BTreeMap::new();
    for method in fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        if !method.file_type().unwrap().is_dir() {
            continue;
        }
        for file in fs::read_dir(method.path()).unwrap().map(Result::unwrap) {
            let path = file.path();
            assert_eq!(path.extension().unwrap(), "io", "{}", path.display());
            let name = path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
            cases.insert(name, Case::read(&path));
        }
    }
    cases
}

/// Paths of cases that we answer otherwise, with the reasons.
fn differences() -> BTreeMap<String, String> {
    let lines = include_str!("differences.txt")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (path, reason) = line.split_once(": ").expect("a path, a colon and a reason");
            (path.to_owned(), reason.to_owned())
        })
        .collect()
}

/// The chain of the cases, at the head they were recorded at.
async fn recorded_chain() -> Chain {
    let genesis = fs::read(folder().join("genesis.json")).unwrap();
    let config = Config::in_memory(Genesis::from_json(&genesis).unwrap());
    let chain = start(Config { production: Production::Manual, ..config }).await;
    let blocks = fs::read(folder().join("chain.rlp")).unwrap();
    chain.import(std::io::Cursor::new(blocks), |_| ()).await.unwrap();
    let choice = fs::read(folder().join("headfcu.json")).unwrap();
    let choice: Value = serde_json::from_slice(&choice).unwrap();
    // The blocks of a solo chain are safe and final at once; the recorded node was told the same.
    for which in ["headBlockHash", "safeBlockHash", "finalizedBlockHash"] {
        assert_eq!(choice["params"][0][which], chain.head().hash().to_string(), "{which}");
    }
    chain
}

#[tokio::test]
#[ignore = "needs a checkout of ethereum/execution-apis: TILTH_EXECUTION_APIS=DIR cargo nextest run --release -p tilth-chain --run-ignored only ours"]
async fn every_recorded_answer_is_ours() {
    let chain = recorded_chain().await;
    let (cases, expected) = (cases(), differences());
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    let mut complaints = String::new();
    for (name, case) in &cases {
        let count = counts.entry(name.split('/').next().unwrap()).or_default();
        count.1 += 1;
        let folder = format!("{}/", name.split('/').next().unwrap());
        let difference = case.difference(&chain).await;
        count.0 += usize::from(difference.is_none());
        match (difference, expected.contains_key(name)) {
            (None, true) => writeln!(complaints, "{name}: listed, but passes").unwrap(),
            (Some(difference), false) if !expected.contains_key(&folder) => {
                writeln!(complaints, "{name}: {difference}").unwrap();
            }
            _ => {}
        }
    }
    for name in expected.keys() {
        let folder = name.strip_suffix('/').and_then(|folder| counts.get(folder));
        if folder.is_some_and(|(passed, all)| passed == all) {
            writeln!(complaints, "{name}: listed, but passes as a whole").unwrap();
        } else if folder.is_none() && !cases.contains_key(name) {
            writeln!(complaints, "{name}: listed, but there is no such case").unwrap();
        }
    }
    for (method, (passed, all)) in &counts {
        println!("{method}: {passed} of {all}");
    }
    let passed: usize = counts.values().map(|(passed, _)| passed).sum();
    println!("all: {passed} of {}, {} listed", cases.len(), expected.len());
    assert!(complaints.is_empty(), "\n{complaints}");
}
