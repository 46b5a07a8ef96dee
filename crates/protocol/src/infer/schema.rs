//! What an answer may be held to beyond being an object: a tree of values, small enough to lie in every receipt.
//!
//! A [`Schema`] that exists is within its bounds: decoding one checks them. What it means byte by byte says
//! `docs/reference/int1.md`, section 13.

use std::{collections::BTreeSet, io};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{Hash, OutOfBounds, within};

/// Most values of a schema.
pub const MAX_NODES: usize = 64;
/// Most objects and lists inside each other, the outermost included.
pub const MAX_NESTED: usize = 16;
/// Most texts of one choice: one bit each where they are followed.
pub const MAX_CHOICES: usize = 64;
/// Most keys and texts of choices together.
pub const MAX_LITERALS: usize = 256;
/// Most bytes of a key, or of a choice's text.
pub const MAX_LITERAL_BYTES: usize = 255;
/// Most bytes of all of them together.
pub const MAX_ALL_LITERAL_BYTES: usize = 2 << 10;
/// Bytes of a value of the largest kind, an integer with two bounds, and whether it may be null.
const NODE_BYTES: usize = 1 + 2 * (1 + 8) + 1;
/// Bytes of a field beside its key: its value, and whether it must be there.
const FIELD_BYTES: usize = 2;
/// Most bytes of an encoded schema. Every value but the first has one place in one other, so there are fewer fields
/// than values.
pub const MAX_SCHEMA_BYTES: usize =
    4 + MAX_NODES * (NODE_BYTES + FIELD_BYTES) + MAX_LITERALS * 4 + MAX_ALL_LITERAL_BYTES;

/// A tree of values; the first is the whole, an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize)]
#[serde(try_from = "Vec<Node>", into = "Vec<Node>")]
pub struct Schema(Vec<Node>);

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Whether it may be `null` instead.
    pub or_null: bool,
}

/// What a value is. New kinds come last: so schemas from before them keep their bytes, and whoever does not know one
/// refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An object with these fields, in this order, and no others.
    Object(Vec<Field>),
    /// A list, maybe empty, of values that are all this one of the tree.
    Array(u8),
    /// One of these texts, 1 to [`MAX_CHOICES`].
    Enum(Vec<String>),
    /// Any text.
    String,
    /// Any number.
    Number,
    /// A number without point and exponent.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// A whole number within bounds, written in the shortest way: without leading zeros, and zero without a sign.
    Bounded(Bounds),
}

/// Where a whole number must lie, both included; there is at least one of them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bounds {
    /// The smallest; `None`: there is none.
    pub least: Option<i64>,
    /// The largest; `None`: there is none.
    pub most: Option<i64>,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Field {
    /// Its name.
    pub key: String,
    /// Its value: a later one of the tree.
    pub node: u8,
    /// Whether it must be there.
    pub required: bool,
}

impl Bounds {
    /// Whether a number lies within them.
    pub fn contains(&self, number: i64) -> bool {
        self.least.is_none_or(|least| least <= number)
            && self.most.is_none_or(|most| number <= most)
    }

    fn check(self) -> Result<(), OutOfBounds> {
        let fits = match (self.least, self.most) {
            (Some(least), Some(most)) => least <= most,
            // Without any bound it would be a second way to say the same.
            (least, most) => least.or(most).is_some(),
        };
        let shown = format!("{:?} to {:?}", self.least, self.most);
        let bound = "a smallest number, a largest one that is not below it, or one of them";
        within(fits, "an integer's range", shown, bound)
    }
}

impl Kind {
    /// The values inside it.
    fn inside(&self) -> Vec<u8> {
        match self {
            Self::Object(fields) => fields.iter().map(|field| field.node).collect(),
            Self::Array(items) => vec![*items],
            _ => Vec::new(),
        }
    }

    /// Its keys, or the texts that it may be.
    fn literals(&self) -> Vec<&str> {
        match self {
            Self::Object(fields) => fields.iter().map(|field| field.key.as_str()).collect(),
            Self::Enum(texts) => texts.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn check(&self) -> Result<(), OutOfBounds> {
        if let Self::Bounded(bounds) = self {
            return bounds.check();
        }
        if let Self::Enum(texts) = self {
            let bound = format!("1 to {MAX_CHOICES}");
            let fits = (1..=MAX_CHOICES).contains(&texts.len());
            within(fits, "the number of a choice's texts", texts.len(), bound)?;
        }
        let mut known = BTreeSet::new();
        for literal in self.literals() {
            let shown = || format!("{:?}", literal.chars().take(40).collect::<String>());
            let bound = format!("at most {MAX_LITERAL_BYTES} bytes");
            let what = "a key or a choice's text";
            within(literal.len() <= MAX_LITERAL_BYTES, what, shown(), bound)?;
            // Followed byte by byte as they are, without escapes.
            let plain = !literal.chars().any(|one| matches!(one, '"' | '\\') || one.is_control());
            within(plain, what, shown(), "without quotes, backslashes and control characters")?;
            within(known.insert(literal), what, shown(), "another than those beside it")?;
        }
        Ok(())
    }
}

impl Schema {
    /// Of these values; the first is the whole.
    ///
    /// # Errors
    /// The first thing that is outside its bounds, or no tree.
    pub fn new(nodes: Vec<Node>) -> Result<Self, OutOfBounds> {
        let count = nodes.len();
        let bound = format!("1 to {MAX_NODES}");
        within((1..=MAX_NODES).contains(&count), "the number of a schema's values", count, bound)?;
        let is_whole = |node: &Node| matches!(node.kind, Kind::Object(_)) && !node.or_null;
        let whole = nodes.first().is_some_and(is_whole);
        within(whole, "the whole of a schema", "something else", "an object")?;
        check_tree(&nodes)?;
        nodes.iter().try_for_each(|node| node.kind.check())?;
        let literals: Vec<&str> = nodes.iter().flat_map(|node| node.kind.literals()).collect();
        let bound = format!("at most {MAX_LITERALS}");
        let what = "the number of a schema's keys and texts";
        within(literals.len() <= MAX_LITERALS, what, literals.len(), bound)?;
        let bytes: usize = literals.iter().map(|literal| literal.len()).sum();
        let bound = format!("at most {MAX_ALL_LITERAL_BYTES} bytes");
        let what = "the length of a schema's keys and texts";
        within(bytes <= MAX_ALL_LITERAL_BYTES, what, bytes, bound)?;
        Ok(Self(nodes))
    }

    /// One of its values.
    pub fn node(&self, number: u8) -> Option<&Node> {
        self.0.get(usize::from(number))
    }

    /// Its keys and the texts of its choices.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|node| node.kind.literals())
    }

    /// Whether it has integers with bounds.
    pub fn has_bounds(&self) -> bool {
        self.0.iter().any(|node| matches!(node.kind, Kind::Bounded(_)))
    }

    /// A name that no other schema has.
    pub fn hash(&self) -> Hash {
        blake3::derive_key("tilth 2026-11 schema v1", &crate::encode(self))
    }
}

/// Every value but the first is inside one other, which comes before it, and no deeper than they may be.
fn check_tree(nodes: &[Node]) -> Result<(), OutOfBounds> {
    // In how many objects and lists each is, as soon as the one around it was seen.
    let mut depths: Vec<Option<usize>> = vec![None; nodes.len()];
    if let Some(whole) = depths.first_mut() {
        *whole = Some(0);
    }
    for (number, node) in nodes.iter().enumerate() {
        let Some(depth) = depths.get(number).copied().flatten() else {
            return within(false, "a schema's value", format!("number {number}"), "inside another");
        };
        if !matches!(node.kind, Kind::Object(_) | Kind::Array(_)) {
            continue;
        }
        let depth = depth + 1;
        let bound = format!("at most {MAX_NESTED}");
        within(depth <= MAX_NESTED, "a schema's depth", depth, bound)?;
        for inner in node.kind.inside() {
            let inner = usize::from(inner);
            match depths.get_mut(inner) {
                Some(free) if inner > number && free.is_none() => *free = Some(depth),
                _ => {
                    let value = format!("number {inner} in number {number}");
                    let bound = "one that comes later and is in no other";
                    return within(false, "a schema's value", value, bound);
                }
            }
        }
    }
    Ok(())
}

impl TryFrom<Vec<Node>> for Schema {
    type Error = OutOfBounds;

    fn try_from(nodes: Vec<Node>) -> Result<Self, OutOfBounds> {
        Self::new(nodes)
    }
}

impl From<Schema> for Vec<Node> {
    fn from(schema: Schema) -> Self {
        schema.0
    }
}

impl BorshDeserialize for Schema {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let count = u32::deserialize_reader(reader)?;
        // Before any of them is read: what follows is a stranger's.
        if count as usize > MAX_NODES {
            return Err(invalid(format!("a schema of {count} values")));
        }
        let nodes: io::Result<Vec<Node>> =
            (0..count).map(|_| Node::deserialize_reader(reader)).collect();
        Self::new(nodes?).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
