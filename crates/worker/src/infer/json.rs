//! Which bytes may follow in a JSON object (RFC 8259), byte by byte. Pure.
//!
//! Some of what is JSON is left out, so that an answer cannot go on for ever without saying anything, and everybody can
//! read it: long runs of white space, objects deeper than [`MAX_DEPTH`], halves of surrogates, and white space around
//! the whole.

use super::automaton::{Automaton, Place, Reach};

/// Objects and lists inside each other: one bit each.
const MAX_DEPTH: u8 = 64;
/// White space in a row: a line's end, and the deepest line's beginning by two.
const MAX_SPACES: u8 = 2 * MAX_DEPTH + 2;

/// Any object.
#[derive(Debug)]
pub(crate) struct AnyObject;

impl Automaton for AnyObject {
    type At = Json;

    fn begin(&self) -> Json {
        Json::BEGIN
    }

    fn with(&self, at: Json, byte: u8) -> Option<Json> {
        at.with(byte)
    }

    fn is_whole(&self, at: Json) -> bool {
        at.is_whole()
    }

    fn class(&self, at: Json, reach: Reach) -> Json {
        at.class(reach)
    }

    fn place(&self, class: Json) -> Place {
        Place::Any(class)
    }
}

/// Where in an object a text is that began as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Json {
    state: State,
    /// The kind of each open one: 1 for a list. The lowest bit is the innermost.
    open: u64,
    depth: u8,
    spaces: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Begin,
    /// Behind `{`.
    KeyOrEnd,
    /// Behind a comma in an object.
    Key,
    Colon,
    /// Behind `[`.
    ValueOrEnd,
    Value,
    /// Behind a value.
    After,
    /// In a text, which may be a key.
    Text {
        key: bool,
        at: Letter,
    },
    /// In `true`, `false` or `null`.
    Word(&'static [u8]),
    Number(Number),
    Whole,
}

/// Where in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Letter {
    First,
    /// Behind a backslash.
    Escape,
    /// So many hexadecimal digits are due; the next is bounded if the one before was a `d`.
    Hex {
        left: u8,
        high: bool,
    },
    /// So many bytes of a character are due, the next one within these.
    More {
        left: u8,
        low: u8,
        high: u8,
    },
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// Of this first byte, if it can be one.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Digits),
            _ => None,
        }
    }

    /// With this byte, if it belongs to it.
    pub(super) fn with(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Digits, b'0'..=b'9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Digits | Self::Fraction | Self::Power)
    }
}

impl Letter {
    /// Behind this byte of a text; `None` if it may not be there. The closing mark is not among them.
    pub(super) fn with(self, byte: u8) -> Option<Self> {
        let more = |left, low, high| Some(Self::More { left, low, high });
        match (self, byte) {
            (Self::First, b'\\') => Some(Self::Escape),
            (Self::First, 0x20..=0x7f)
            | (Self::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                Some(Self::First)
            }
            // Well-formed UTF-8, as Unicode's table 3-7 has it.
            (Self::First, 0xc2..=0xdf) => more(1, 0x80, 0xbf),
            (Self::First, 0xe0) => more(2, 0xa0, 0xbf),
            (Self::First, 0xed) => more(2, 0x80, 0x9f),
            (Self::First, 0xe1..=0xef) => more(2, 0x80, 0xbf),
            (Self::First, 0xf0) => more(3, 0x90, 0xbf),
            (Self::First, 0xf1..=0xf3) => more(3, 0x80, 0xbf),
            (Self::First, 0xf4) => more(3, 0x80, 0x8f),
            (Self::More { left: 1, low, high }, byte) if (low..=high).contains(&byte) => {
                Some(Self::First)
            }
            (Self::More { left, low, high }, byte) if (low..=high).contains(&byte) => {
                more(left - 1, 0x80, 0xbf)
            }
            (Self::Escape, b'u') => Some(Self::Hex { left: 4, high: false }),
            (Self::Hex { left: 4, .. }, b'd' | b'D') => Some(Self::Hex { left: 3, high: true }),
            (Self::Hex { high: true, .. }, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => None,
            (Self::Hex { left: 1, .. }, byte) if byte.is_ascii_hexdigit() => Some(Self::First),
            (Self::Hex { left, .. }, byte) if byte.is_ascii_hexdigit() => {
                Some(Self::Hex { left: left - 1, high: false })
            }
            _ => None,
        }
    }
}

impl Json {
    /// Before an object.
    pub(crate) const BEGIN: Self = Self { state: State::Begin, open: 0, depth: 0, spaces: 0 };

    /// Whether the object is whole; nothing may follow.
    pub(crate) fn is_whole(self) -> bool {
        self.state == State::Whole
    }

    /// One place for all from which pieces of this reach go on alike, so that only so many need be looked at.
    pub(crate) fn class(self, reach: Reach) -> Self {
        let mut class = self;
        // Of so many open ones none that a piece can close is the outermost.
        let enough = reach.closed.saturating_add(1);
        let deepest = self.depth.saturating_add(reach.opened);
        if self.depth > enough && deepest <= MAX_DEPTH {
            class.depth = enough;
            // The kinds of those that it can close, and of the one around them.
            class.open &= (1_u64 << enough) - 1;
        }
        if self.spaces.saturating_add(reach.spaces) <= MAX_SPACES {
            class.spaces = 0;
        }
        class
    }

    /// Behind this byte; `None` if it may not be there.
    pub(crate) fn with(self, byte: u8) -> Option<Self> {
        let to = |state| Some(Self { state, spaces: 0, ..self });
        match (self.state, byte) {
            (State::Text { key, at: Letter::First }, b'"') => {
                to(if key { State::Colon } else { State::After })
            }
            (State::Text { key, at }, byte) => to(State::Text { key, at: at.with(byte)? }),
            (State::Word([next, rest @ ..]), byte) if *next == byte => {
                to(if rest.is_empty() { State::After } else { State::Word(rest) })
            }
            (State::Number(number), byte) => match number.with(byte) {
                Some(number) => to(State::Number(number)),
                None if number.may_end() => Self { state: State::After, ..self }.with(byte),
                None => None,
            },
            (State::Word(_) | State::Whole | State::Begin, byte) if byte != b'{' => None,
            (State::Word(_) | State::Whole, _) => None,
            (_, b' ' | b'\n' | b'\r' | b'\t') => {
                (self.spaces < MAX_SPACES).then(|| Self { spaces: self.spaces + 1, ..self })
            }
            (State::Begin, _) => self.opened(false),
            (State::KeyOrEnd | State::Key, b'"') => {
                to(State::Text { key: true, at: Letter::First })
            }
            (State::Colon, b':') => to(State::Value),
            (State::KeyOrEnd, b'}') | (State::ValueOrEnd, b']') => self.closed(),
            (State::After, b',') => to(if self.is_in_list() { State::Value } else { State::Key }),
            (State::After, b'}') if !self.is_in_list() => self.closed(),
            (State::After, b']') if self.is_in_list() => self.closed(),
            (State::Value | State::ValueOrEnd, byte) => self.value(byte),
            _ => None,
        }
    }

    fn is_in_list(self) -> bool {
        self.open & 1 == 1
    }

    /// Behind the first byte of a value.
    fn value(self, byte: u8) -> Option<Self> {
        let state = match byte {
            b'{' => return self.opened(false),
            b'[' => return self.opened(true),
            b'"' => State::Text { key: false, at: Letter::First },
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            _ => State::Number(Number::begin(byte)?),
        };
        Some(Self { state, spaces: 0, ..self })
    }

    fn opened(self, list: bool) -> Option<Self> {
        let state = if list { State::ValueOrEnd } else { State::KeyOrEnd };
        (self.depth < MAX_DEPTH).then(|| Self {
            state,
            open: self.open << 1 | u64::from(list),
            depth: self.depth + 1,
            spaces: 0,
        })
    }

    fn closed(self) -> Option<Self> {
        let depth = self.depth.checked_sub(1)?;
        let state = if depth == 0 { State::Whole } else { State::After };
        Some(Self { state, open: self.open >> 1, depth, spaces: 0 })
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
