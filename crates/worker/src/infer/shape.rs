//! Which bytes may follow in a JSON object that keeps to a schema, byte by byte (`docs/reference/int1.md`, section 13).
//! Pure.
//!
//! What [`super::json`] leaves out of JSON is left out here, too. Fields come in the schema's order, each at most once,
//! and keys and the texts of choices as they are, without escapes: so there is one way to write each, and where an
//! answer is takes little memory whatever the schema.

use tilth_protocol::infer::{
    Hash,
    schema::{Bounds, Field, Kind, MAX_NESTED, Node, Schema},
};

use super::{
    automaton::{Automaton, Place, Reach},
    digits::Digits,
    json::{Letter, Number},
};

/// White space in a row: a line's end, and the deepest line's beginning by two.
const MAX_SPACES: u8 = 34;
const _: () = assert!(MAX_SPACES as usize == 2 * MAX_NESTED + 2);
/// The schema's whole.
const WHOLE: u8 = 0;

/// A schema that answers are held to.
#[derive(Debug)]
pub(crate) struct Shape {
    schema: Schema,
    hash: Hash,
}

/// Where in an object a text is that began as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    state: State,
    /// The open ones, the innermost last; zeros behind it.
    open: [Open; MAX_NESTED],
    depth: u8,
    spaces: u8,
}

/// An object or a list that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Open {
    /// Which value of the schema.
    node: u8,
    /// Of an object, the first of its fields that may still come.
    next: u8,
}

/// The numbers are those of the schema's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Begin,
    /// Behind `{`.
    KeyOrEnd,
    /// Behind a comma in an object.
    Key,
    /// Behind the key of this value.
    Colon(u8),
    /// Behind `[`.
    ValueOrEnd,
    Value(u8),
    /// Behind a value.
    After,
    /// In a key of an object, or in one of a choice's texts.
    Literal {
        node: u8,
        /// Bytes that were said of it.
        matched: u8,
        /// Those that begin so, one bit each.
        candidates: u64,
    },
    Text(Letter),
    /// In `true`, `false` or `null`.
    Word(&'static [u8]),
    Number {
        at: Number,
        whole: bool,
    },
    /// In a whole number within bounds.
    Bounded {
        node: u8,
        at: Digits,
    },
    Whole,
}

/// The places of the bits that are set.
fn places(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        // Without the lowest that is set.
        bits &= bits.checked_sub(1)?;
        Some(place as usize)
    })
}

/// Of so many the bits from one place on, up to and with the first that must be there.
fn due(required: impl Iterator<Item = bool>, next: u8) -> u64 {
    let mut due = 0;
    for (place, required) in required.enumerate().skip(next.into()) {
        due |= 1_u64 << place;
        if required {
            break;
        }
    }
    due
}

impl At {
    const BEGIN: Self = Self {
        state: State::Begin,
        open: [Open { node: 0, next: 0 }; MAX_NESTED],
        depth: 0,
        spaces: 0,
    };

    fn to(self, state: State) -> Self {
        Self { state, spaces: 0, ..self }
    }

    fn innermost(&self) -> Option<&Open> {
        self.open.get(usize::from(self.depth.checked_sub(1)?))
    }

    fn innermost_mut(&mut self) -> Option<&mut Open> {
        self.open.get_mut(usize::from(self.depth.checked_sub(1)?))
    }

    /// Behind white space.
    fn blank(mut self) -> Option<Self> {
        self.spaces += 1;
        (self.spaces <= MAX_SPACES).then_some(self)
    }

    /// In this object or list.
    fn opened(mut self, node: u8, state: State) -> Option<Self> {
        *self.open.get_mut(usize::from(self.depth))? = Open { node, next: 0 };
        Some(Self { depth: self.depth + 1, ..self.to(state) })
    }

    /// Behind the innermost.
    fn closed(mut self) -> Option<Self> {
        *self.innermost_mut()? = Open::default();
        let depth = self.depth.checked_sub(1)?;
        let state = if depth == 0 { State::Whole } else { State::After };
        Some(Self { depth, ..self.to(state) })
    }
}

impl Shape {
    pub(crate) fn new(schema: Schema) -> Self {
        let hash = schema.hash();
        Self { schema, hash }
    }

    fn kind(&self, node: u8) -> Option<&Kind> {
        self.schema.node(node).map(|node| &node.kind)
    }

    /// A key of an object, or a text of a choice.
    fn literal(&self, node: u8, place: usize) -> Option<&[u8]> {
        let text = match self.kind(node)? {
            Kind::Object(fields) => &fields.get(place)?.key,
            Kind::Enum(texts) => texts.get(place)?,
            _ => return None,
        };
        Some(text.as_bytes())
    }

    /// The innermost object's number, its fields, and the first of them that may still come.
    fn object(&self, at: At) -> Option<(u8, &[Field], u8)> {
        let Open { node, next } = *at.innermost()?;
        match self.kind(node)? {
            Kind::Object(fields) => Some((node, &fields[..], next)),
            _ => None,
        }
    }

    /// The items of the innermost list.
    fn items(&self, at: At) -> Option<u8> {
        match self.kind(at.innermost()?.node)? {
            Kind::Array(items) => Some(*items),
            _ => None,
        }
    }

    fn bounds(&self, node: u8) -> Option<Bounds> {
        match self.kind(node)? {
            Kind::Bounded(bounds) => Some(*bounds),
            _ => None,
        }
    }

    /// Behind the mark that begins a key.
    fn key(&self, at: At) -> Option<At> {
        let (node, fields, next) = self.object(at)?;
        let candidates = due(fields.iter().map(|field| field.required), next);
        (candidates != 0).then(|| at.to(State::Literal { node, matched: 0, candidates }))
    }

    /// Behind a byte of a key or of a choice's text.
    fn follow(&self, at: At, (node, matched, candidates): (u8, u8, u64), byte: u8) -> Option<At> {
        let said = usize::from(matched);
        let text = |place: &usize| self.literal(node, *place).unwrap_or_default();
        if byte == b'"' {
            // No two are the same, so at most one ends here.
            let place = places(candidates).find(|place| text(place).len() == said)?;
            return match self.kind(node)? {
                Kind::Object(fields) => named(at, fields, place),
                _ => Some(at.to(State::After)),
            };
        }
        let goes_on = |place: &usize| text(place).get(said) == Some(&byte);
        let left = places(candidates).filter(goes_on);
        let candidates = left.fold(0_u64, |bits, place| bits | 1_u64 << place);
        // A text of 255 bytes has none at 255.
        let matched = matched.checked_add(1)?;
        (candidates != 0).then(|| at.to(State::Literal { node, matched, candidates }))
    }

    /// Behind a byte between values, or one that begins or ends one.
    fn mark(&self, at: At, byte: u8) -> Option<At> {
        match (at.state, byte) {
            (State::KeyOrEnd | State::Key, b'"') => self.key(at),
            (State::Colon(node), b':') => Some(at.to(State::Value(node))),
            (State::Value(node), byte) => self.value(at, node, byte),
            (State::ValueOrEnd | State::After, b']') => self.items(at).and_then(|_| at.closed()),
            (State::ValueOrEnd, byte) => self.value(at, self.items(at)?, byte),
            (State::KeyOrEnd | State::After, b'}') => {
                let (_, fields, next) = self.object(at)?;
                let mut left = fields.iter().skip(next.into());
                if left.any(|field| field.required) { None } else { at.closed() }
            }
            (State::After, b',') => match self.items(at) {
                Some(items) => Some(at.to(State::Value(items))),
                None => {
                    let (_, fields, next) = self.object(at)?;
                    (usize::from(next) < fields.len()).then(|| at.to(State::Key))
                }
            },
            _ => None,
        }
    }

    /// Behind the first byte of a value.
    fn value(&self, at: At, node: u8, byte: u8) -> Option<At> {
        let Node { kind, or_null } = self.schema.node(node)?;
        if byte == b'n' {
            return (*or_null || *kind == Kind::Null).then(|| at.to(State::Word(b"ull")));
        }
        let number = |whole| Number::begin(byte).map(|at| State::Number { at, whole });
        let state = match (kind, byte) {
            (Kind::Object(_), b'{') => return at.opened(node, State::KeyOrEnd),
            (Kind::Array(_), b'[') => return at.opened(node, State::ValueOrEnd),
            (Kind::Enum(texts), b'"') => {
                let candidates = due(texts.iter().map(|_| false), 0);
                State::Literal { node, matched: 0, candidates }
            }
            (Kind::String, b'"') => State::Text(Letter::First),
            (Kind::Number, _) => number(false)?,
            (Kind::Integer, _) => number(true)?,
            (Kind::Bounded(bounds), _) => {
                State::Bounded { node, at: Digits::begin(*bounds, byte)? }
            }
            (Kind::Boolean, b't') => State::Word(b"rue"),
            (Kind::Boolean, b'f') => State::Word(b"alse"),
            _ => return None,
        };
        Some(at.to(state))
    }
}

/// Behind the key of this field.
fn named(at: At, fields: &[Field], place: usize) -> Option<At> {
    let mut next = at.to(State::Colon(fields.get(place)?.node));
    next.innermost_mut()?.next = u8::try_from(place).ok()?.checked_add(1)?;
    Some(next)
}

impl Automaton for Shape {
    type At = At;

    fn begin(&self) -> At {
        At::BEGIN
    }

    fn with(&self, at: At, byte: u8) -> Option<At> {
        match (at.state, byte) {
            (State::Text(Letter::First), b'"') => Some(at.to(State::After)),
            (State::Text(letter), byte) => Some(at.to(State::Text(letter.with(byte)?))),
            (State::Literal { node, matched, candidates }, byte) => {
                self.follow(at, (node, matched, candidates), byte)
            }
            (State::Word([next, rest @ ..]), byte) if *next == byte => {
                Some(at.to(if rest.is_empty() { State::After } else { State::Word(rest) }))
            }
            (State::Word(_) | State::Whole, _) => None,
            (State::Number { whole: true, .. }, b'.' | b'e' | b'E') => None,
            (State::Number { at: number, whole }, byte) => match number.with(byte) {
                Some(number) => Some(at.to(State::Number { at: number, whole })),
                None if number.may_end() => self.with(at.to(State::After), byte),
                None => None,
            },
            (State::Bounded { node, at: digits }, byte) => {
                let bounds = self.bounds(node)?;
                match digits.with(bounds, byte) {
                    Some(digits) => Some(at.to(State::Bounded { node, at: digits })),
                    None if digits.may_end(bounds) => self.with(at.to(State::After), byte),
                    None => None,
                }
            }
            (State::Begin, b'{') => at.opened(WHOLE, State::KeyOrEnd),
            (State::Begin, _) => None,
            (_, b' ' | b'\n' | b'\r' | b'\t') => at.blank(),
            (_, byte) => self.mark(at, byte),
        }
    }

    fn is_whole(&self, at: At) -> bool {
        at.state == State::Whole
    }

    fn class(&self, at: At, reach: Reach) -> At {
        let mut class = at;
        // Of so many open ones none that a piece can close is the outermost.
        let enough = reach.closed.saturating_add(1);
        if let Some(beyond) = at.depth.checked_sub(enough) {
            // Those that it can close, and the one around them.
            class.open = [Open::default(); MAX_NESTED];
            let inner = at.open.iter().skip(beyond.into()).take(enough.into());
            class.open.iter_mut().zip(inner).for_each(|(kept, open)| *kept = *open);
            class.depth = enough;
        }
        if at.spaces.saturating_add(reach.spaces) <= MAX_SPACES {
            class.spaces = 0;
        }
        class
    }

    fn place(&self, class: At) -> Place {
        Place::Shaped(self.hash, class)
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
pub(super) mod tests;
