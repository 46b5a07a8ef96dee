//! RLP: what is one must come back the same, and what is none must be refused.

use std::collections::BTreeMap;

use alloy::{
    primitives::{U512, hex},
    rlp::{Encodable as _, Header, PayloadView},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{source::TestFile, tally::Tally};

/// Lists within lists.
const DEPTH_MAX: usize = 1000;

#[derive(Deserialize)]
struct RlpTest {
    #[serde(rename = "in")]
    input: Value,
    out: String,
}

/// Runs all tests of a file.
pub fn run(file: &TestFile, tally: &mut Tally) {
    let tests: BTreeMap<String, RlpTest> = serde_json::from_str(&file.json)
        .unwrap_or_else(|error| panic!("{} is no RLP test: {error}", file.path));
    for (name, test) in tests {
        tally.case(&format!("{} {name}", file.path), || check(&test));
    }
}

fn check(test: &RlpTest) -> Result<(), String> {
    let rlp = hex::decode(&test.out).map_err(|error| error.to_string())?;
    let decoded = exactly(&rlp);
    match (test.input.as_str(), decoded) {
        (Some("INVALID"), Err(_)) => Ok(()),
        (Some("INVALID"), Ok(())) => Err("accepted".to_owned()),
        (_, Err(reason)) => Err(format!("refused: {reason}")),
        (Some("VALID"), Ok(())) => Ok(()),
        (_, Ok(())) => {
            let again = encoded(&test.input)?;
            if again == rlp { Ok(()) } else { Err(format!("becomes {}", hex::encode(again))) }
        }
    }
}

/// Whether the bytes are one item and nothing more, down to the last list.
fn exactly(mut rlp: &[u8]) -> Result<(), String> {
    item(&mut rlp, 0)?;
    if rlp.is_empty() { Ok(()) } else { Err(format!("{} bytes too many", rlp.len())) }
}

fn item(rlp: &mut &[u8], depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err("lists too deep".to_owned());
    }
    match Header::decode_raw(rlp).map_err(|error| error.to_string())? {
        PayloadView::String(_) => Ok(()),
        PayloadView::List(items) => items.into_iter().try_for_each(|mut content| {
            item(&mut content, depth + 1)?;
            if content.is_empty() { Ok(()) } else { Err("an item goes on".to_owned()) }
        }),
    }
}

fn encoded(value: &Value) -> Result<Vec<u8>, String> {
    let mut rlp = Vec::new();
    match value {
        Value::Number(number) => number.as_u64().ok_or("too large")?.encode(&mut rlp),
        Value::String(text) => match text.strip_prefix('#') {
            Some(digits) => {
                let number = U512::from_str_radix(digits, 10).map_err(|e| e.to_string())?;
                number.encode(&mut rlp);
            }
            None => text.as_bytes().encode(&mut rlp),
        },
        Value::Array(items) => {
            let mut content = Vec::new();
            for item in items {
                content.extend(encoded(item)?);
            }
            Header { list: true, payload_length: content.len() }.encode(&mut rlp);
            rlp.extend(content);
        }
        other => return Err(format!("{other} has no RLP")),
    }
    Ok(rlp)
}
