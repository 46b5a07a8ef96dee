//! What a log query, filter or subscription looks for, read and refused as geth does.

use alloy_primitives::{Address, B256, Log, hex};
use serde_json::Value;

use super::{Arguments, error::RpcError};
use crate::{
    decode::{Members, strict},
    store::LogKey,
};

/// The members of a query.
const NAMES: [&str; 5] = ["blockHash", "fromBlock", "toBlock", "address", "topics"];

/// Topics a log can have.
const POSITIONS_MAX: usize = 4;
/// Alternatives in one position, and addresses in one query.
const ALTERNATIVES_MAX: usize = 1000;

/// A bound of a range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Earliest,
    Safe,
    Finalized,
    Latest,
    Pending,
    Number(u64),
}

/// Which blocks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// The one with this hash.
    Hash(B256),
    /// All between these; latest where nothing is said.
    Range { from: Option<Bound>, to: Option<Bound> },
}

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Criteria {
    pub(super) blocks: Blocks,
    /// Any of these, ascending; empty for all.
    pub(super) addresses: Vec<Address>,
    /// For each position any of these, ascending; empty for all.
    pub(super) topics: Vec<Vec<B256>>,
}

impl Criteria {
    /// Reads argument number `position`.
    pub(super) fn argument(args: &mut Arguments<'_>, position: usize) -> Result<Self, RpcError> {
        Self::from_json(args.text()?, position)
    }

    /// Reads the text of argument number `position`.
    pub(super) fn from_json(json: &str, position: usize) -> Result<Self, RpcError> {
        Self::parse(json)
            .map_err(|message| RpcError::invalid(format!("invalid argument {position}: {message}")))
    }

    fn parse(json: &str) -> Result<Self, String> {
        let members =
            Members::read(json, &NAMES, "filters.input").map_err(|error| error.to_string())?;
        let member = |name: &str| -> Result<Option<Value>, String> {
            let value = members.get(name).map(serde_json::from_str).transpose();
            value.map_err(|error| strict::reason(&error))
        };
        let hash = member("blockHash")?.as_ref().map(block_hash).transpose()?;
        let from = member("fromBlock")?.as_ref().map(bound).transpose()?;
        let to = member("toBlock")?.as_ref().map(bound).transpose()?;
        let listed = match member("topics")? {
            None => Vec::new(),
            Some(Value::Array(listed)) => listed,
            Some(other) => {
                let kind = kind_of(&other);
                let field = "Go struct field input.topics of type []interface {}";
                return Err(format!("json: cannot unmarshal {kind} into {field}"));
            }
        };
        let blocks = match hash {
            Some(hash) if from.is_none() && to.is_none() => Blocks::Hash(hash),
            Some(_) => {
                return Err(
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the \
                            other"
                        .to_owned(),
                );
            }
            None => Blocks::Range { from, to },
        };
        let mut addresses = match member("address")? {
            None => Vec::new(),
            Some(given) => addresses(&given)?,
        };
        addresses.sort_unstable();
        if listed.len() > POSITIONS_MAX {
            return Err(TOO_MANY_TOPICS.to_owned());
        }
        let topics = listed.iter().map(position).collect::<Result<_, _>>()?;
        Ok(Self { blocks, addresses, topics })
    }

    /// Refuses what would be too much work.
    pub(super) fn check(&self) -> Result<(), RpcError> {
        let alternatives = self.topics.iter().map(Vec::len).chain([self.addresses.len()]).max();
        if alternatives.unwrap_or(0) > ALTERNATIVES_MAX {
            return Err(RpcError::server("exceed max addresses or topics per search position"));
        }
        Ok(())
    }

    /// Refuses ranges that logs yet to come cannot be in.
    pub(super) fn check_future(&self) -> Result<(), RpcError> {
        self.check()?;
        let Blocks::Range { from, to } = self.blocks else { return Ok(()) };
        let from = match from.unwrap_or(Bound::Latest) {
            Bound::Earliest => Bound::Number(0),
            other => other,
        };
        match (from, to.unwrap_or(Bound::Latest)) {
            (Bound::Pending, _) | (_, Bound::Pending) => Err(pending_unsupported()),
            (Bound::Latest | Bound::Number(_), Bound::Latest) => Ok(()),
            (Bound::Number(from), Bound::Number(to)) if from <= to => Ok(()),
            _ => Err(RpcError::invalid("invalid block range params")),
        }
    }

    /// Whether a log is meant, whatever its block.
    pub(super) fn matches(&self, log: &Log) -> bool {
        self.accepts(&log.address, log.topics())
    }

    /// The same by the log's address and topics.
    pub(super) fn accepts(&self, address: &Address, topics: &[B256]) -> bool {
        let is_one_of =
            |wanted: &Vec<B256>, topic| wanted.is_empty() || wanted.binary_search(topic).is_ok();
        (self.addresses.is_empty() || self.addresses.binary_search(address).is_ok())
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(wanted, topic)| is_one_of(wanted, topic))
    }

    /// What the log index is asked: one set of keys for the addresses, and one for each position.
    pub(super) fn conditions(&self) -> Vec<Vec<LogKey>> {
        let addresses = self.addresses.iter().map(LogKey::address).collect();
        let topics = self.topics.iter().enumerate().map(|(position, topics)| {
            topics.iter().map(|topic| LogKey::topic(position, topic)).collect()
        });
        std::iter::once(addresses).chain(topics).filter(|keys: &Vec<_>| !keys.is_empty()).collect()
    }

    /// The bounds that are numbers.
    pub(super) fn numbers(&self) -> (Option<u64>, Option<u64>) {
        let Blocks::Range { from, to } = self.blocks else { return (None, None) };
        let number = |bound| match bound {
            Some(Bound::Number(number)) => Some(number),
            _ => None,
        };
        (number(from), number(to))
    }

    /// Whether a new block is one of those a filter or subscription asks for.
    pub(super) fn covers(&self, number: u64) -> bool {
        let (from, to) = self.numbers();
        from.is_none_or(|from| from <= number) && to.is_none_or(|to| number <= to)
    }
}

/// Logs of the block in the making are not served (geth's refusal).
pub(super) fn pending_unsupported() -> RpcError {
    RpcError::invalid("pending logs are not supported")
}

const TOO_MANY_TOPICS: &str = "exceed max topics";
const INVALID_TOPIC: &str = "invalid topic(s)";

fn addresses(value: &Value) -> Result<Vec<Address>, String> {
    match value {
        Value::String(text) => fixed::<20>(text, "address")
            .map(|bytes| vec![Address::from(bytes)])
            .map_err(|message| format!("invalid address: {message}")),
        Value::Array(items) => {
            let address = |(index, item): (usize, &Value)| match item {
                Value::String(text) => fixed::<20>(text, "address")
                    .map(Address::from)
                    .map_err(|message| format!("invalid address at index {index}: {message}")),
                _ => Err(format!("non-string address at index {index}")),
            };
            items.iter().enumerate().map(address).collect()
        }
        _ => Err("invalid addresses in query".to_owned()),
    }
}

fn position(value: &Value) -> Result<Vec<B256>, String> {
    let topic = |text: &str| fixed::<32>(text, "topic").map(B256::from);
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => topic(text).map(|topic| vec![topic]),
        Value::Array(items) if items.len() > ALTERNATIVES_MAX => Err(TOO_MANY_TOPICS.to_owned()),
        Value::Array(items) => {
            let mut topics = Vec::with_capacity(items.len());
            for item in items {
                match item {
                    // "Any" among the alternatives.
                    Value::Null => return Ok(Vec::new()),
                    Value::String(text) => topics.push(topic(text)?),
                    _ => return Err(INVALID_TOPIC.to_owned()),
                }
            }
            topics.sort_unstable();
            Ok(topics)
        }
        _ => Err(INVALID_TOPIC.to_owned()),
    }
}

fn block_hash(value: &Value) -> Result<B256, String> {
    const FIELD: &str = "Go struct field input.blockHash of type common.Hash";
    let Value::String(text) = value else {
        return Err(format!("json: cannot unmarshal non-string into {FIELD}"));
    };
    if text.is_empty() {
        return Ok(B256::ZERO);
    }
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return Err(format!("json: cannot unmarshal hex string without 0x prefix into {FIELD}"));
    };
    if digits.len() % 2 == 1 {
        return Err(format!("json: cannot unmarshal hex string of odd length into {FIELD}"));
    }
    if digits.len() != 64 {
        return Err(format!("hex string has length {}, want 64 for common.Hash", digits.len()));
    }
    let bytes: [u8; 32] = hex::decode_to_array(digits)
        .map_err(|_| format!("json: cannot unmarshal invalid hex string into {FIELD}"))?;
    Ok(bytes.into())
}

fn bound(value: &Value) -> Result<Bound, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match &*text {
        "earliest" => return Ok(Bound::Earliest),
        "latest" => return Ok(Bound::Latest),
        "pending" => return Ok(Bound::Pending),
        "finalized" => return Ok(Bound::Finalized),
        "safe" => return Ok(Bound::Safe),
        "" => return Err("empty hex string".to_owned()),
        _ => {}
    }
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return Err("hex string without 0x prefix".to_owned());
    };
    if digits.is_empty() {
        return Err("hex string \"0x\"".to_owned());
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("hex number with leading zero digits".to_owned());
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string".to_owned());
    }
    let number = u64::from_str_radix(digits, 16).map_err(|_| "hex number > 64 bits".to_owned())?;
    if i64::try_from(number).is_err() {
        return Err("block number larger than int64".to_owned());
    }
    Ok(Bound::Number(number))
}

fn fixed<const N: usize>(text: &str, what: &str) -> Result<[u8; N], String> {
    if text.is_empty() {
        return Err("empty hex string".to_owned());
    }
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return Err("hex string without 0x prefix".to_owned());
    };
    if digits.len() % 2 == 1 {
        return Err("hex string of odd length".to_owned());
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("invalid hex string".to_owned());
    }
    let length = digits.len() / 2;
    hex::decode_to_array(digits).map_err(|_| {
        format!("hex has invalid length {length} after decoding; expected {N} for {what}")
    })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(query: &Value) -> Result<Criteria, RpcError> {
        Criteria::from_json(&query.to_string(), 0)
    }

    #[test]
    fn queries_are_read_as_geth_reads_them() {
        let topic = B256::repeat_byte(7);
        let address = Address::repeat_byte(9);
        let whole = read(&json!({
            "fromBlock": "0x10", "toBlock": "latest", "address": [address],
            "topics": [null, topic, [topic, null], [topic, topic]], "unknown": 1,
        }))
        .unwrap();
        assert_eq!(
            whole.blocks,
            Blocks::Range { from: Some(Bound::Number(16)), to: Some(Bound::Latest) }
        );
        assert_eq!(whole.addresses, [address]);
        assert_eq!(whole.topics, [vec![], vec![topic], vec![], vec![topic, topic]]);
        let empty = read(&json!({"blockHash": null, "address": null})).unwrap();
        assert_eq!(empty.blocks, Blocks::Range { from: None, to: None });
        let shouted = json!({"FROMBLOCK": "0x10", "Address": address, "topicS": [topic]});
        let shouted = read(&shouted).unwrap();
        assert_eq!(shouted.blocks, Blocks::Range { from: Some(Bound::Number(16)), to: None });
        assert_eq!((shouted.addresses, shouted.topics), (vec![address], vec![vec![topic]]));
        let single = read(&json!({"blockHash": topic, "address": address}));
        assert_eq!(single.unwrap().blocks, Blocks::Hash(topic));
    }

    /// As in every other object, whichever way their names are written.
    #[test]
    fn of_members_that_come_twice_the_last_one_counts() {
        let blocks = |text: &str| Criteria::from_json(text, 0).unwrap().blocks;
        for text in [
            r#"{"fromBlock":"0x1","fromBlock":"0x10"}"#,
            r#"{"fromBlock":"0x1","FROMBLOCK":"0x10"}"#,
            r#"{"FROMBLOCK":"0x1","fromBlock":"0x10"}"#,
            r#"{"FROMBLOCK":null,"fromBlock":"0x10"}"#,
        ] {
            let wanted = Blocks::Range { from: Some(Bound::Number(16)), to: None };
            assert_eq!(blocks(text), wanted, "{text}");
        }
        let none = blocks(r#"{"fromBlock":"0x1","FROMBLOCK":null}"#);
        assert_eq!(none, Blocks::Range { from: None, to: None });
    }

    #[test]
    fn mistakes_are_told_in_geths_words() {
        let topic = B256::repeat_byte(7);
        let cases = [
            (
                json!({"blockHash": topic, "fromBlock": "0x1"}),
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
            ),
            (json!({"topics": [topic, topic, topic, topic, topic]}), "exceed max topics"),
            (json!({"topics": [vec![topic; 1001]]}), "exceed max topics"),
            (json!({"topics": [7]}), "invalid topic(s)"),
            (
                json!({"topics": ["0x12"]}),
                "hex has invalid length 1 after decoding; expected 32 for topic",
            ),
            (
                json!({"address": "0x12"}),
                "invalid address: hex has invalid length 1 after decoding; expected 20 for address",
            ),
            (json!({"address": [1]}), "non-string address at index 0"),
            (json!({"address": 1}), "invalid addresses in query"),
            (json!({"address": [""]}), "invalid address at index 0: empty hex string"),
            (json!({"fromBlock": "17"}), "hex string without 0x prefix"),
            (json!({"fromBlock": 17}), "hex string without 0x prefix"),
            (json!({"fromBlock": "0x01"}), "hex number with leading zero digits"),
            (json!({"toBlock": "0xffffffffffffffff"}), "block number larger than int64"),
            (json!({"toBlock": "0x1ffffffffffffffff"}), "hex number > 64 bits"),
            (json!({"blockHash": "0x12"}), "hex string has length 2, want 64 for common.Hash"),
            (json!([]), "json: cannot unmarshal array into Go value of type filters.input"),
        ];
        for (value, message) in cases {
            let expected = RpcError::invalid(format!("invalid argument 0: {message}"));
            assert_eq!(read(&value), Err(expected), "{value}");
        }
        let many = json!({"address": vec![Address::ZERO; 1001]});
        let error = read(&many).unwrap().check().unwrap_err();
        assert_eq!(error, RpcError::server("exceed max addresses or topics per search position"));
    }

    #[test]
    fn ranges_of_logs_to_come() {
        let future = |from: Value, to: Value| {
            let value = json!({"fromBlock": from, "toBlock": to});
            read(&value).unwrap().check_future()
        };
        for (from, to) in [
            (json!(null), json!(null)),
            (json!("earliest"), json!("latest")),
            (json!("0x5"), json!("latest")),
            (json!("0x5"), json!("0x5")),
        ] {
            assert_eq!(future(from, to), Ok(()));
        }
        let pending = Err(RpcError::invalid("pending logs are not supported"));
        assert_eq!(future(json!("pending"), json!(null)), pending);
        assert_eq!(future(json!(null), json!("pending")), pending);
        let invalid = Err(RpcError::invalid("invalid block range params"));
        assert_eq!(future(json!("0x5"), json!("0x4")), invalid);
        assert_eq!(future(json!("latest"), json!("0x4")), invalid);
        assert_eq!(future(json!("safe"), json!("latest")), invalid);
    }

    #[test]
    fn logs_match_by_address_and_position() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let log = Log::new_unchecked(Address::repeat_byte(9), vec![a, b], Default::default());
        let matches = |value: Value| read(&value).unwrap().matches(&log);
        assert!(matches(json!({})));
        assert!(matches(json!({"topics": [[], b]})));
        assert!(matches(json!({"topics": [[b, a]], "address": log.address})));
        assert!(!matches(json!({"topics": [b]})));
        assert!(!matches(json!({"topics": [a, b, []]})));
        assert!(!matches(json!({"address": Address::ZERO})));
    }
}
