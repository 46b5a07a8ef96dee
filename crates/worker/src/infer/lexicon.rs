//! A model's tokens by their bytes: which of them may follow in an answer that is held to a form.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tilth_tensor::{engine::Form, tokenizer::Tokenizer};

use super::automaton::{Automaton, Place, Reach};

/// Bytes that have to be tokens by themselves, so that whatever has been said can be brought to an end.
pub(super) const NEEDED: &[u8] = b"{}[]:,\"0truefalsn";
/// Those that have to be tokens as well for whole numbers within bounds.
pub(super) const NEEDED_IN_BOUNDS: &[u8] = b"-0123456789";
/// Tokens of all sets together that are kept: 16 MiB. Within a text nearly all of a vocabulary may follow, and the
/// largest have 2^18.
const MOST_KEPT: usize = 1 << 22;
/// What a set takes beside its tokens, in tokens: its place in a table that may be half empty, and while it grows there
/// is the one before as well.
const SET: usize = 128;
const _: () = assert!(4 * size_of::<(Place, Arc<[u32]>)>() <= SET * size_of::<u32>());

/// Tokens that say something.
pub(crate) struct Lexicon {
    /// Sorted by what they say.
    entries: Vec<Entry>,
    /// By token its place among them.
    places: Vec<Option<u32>>,
    reach: Reach,
    found: Mutex<Found>,
}

struct Entry {
    bytes: Box<[u8]>,
    token: u32,
    /// Bytes that it begins with as the one before it does.
    shared: usize,
}

/// The tokens that may follow, as far as they were looked for: answers come by the same places again and again, and
/// looking through a whole vocabulary takes longer than many a model's step.
#[derive(Default)]
struct Found {
    sets: HashMap<Place, Arc<[u32]>>,
    /// Tokens of all, and [`SET`] for each.
    kept: usize,
}

impl Found {
    fn keep(&mut self, place: Place, tokens: &Arc<[u32]>) {
        let more = tokens.len().saturating_add(SET);
        if self.kept.saturating_add(more) > MOST_KEPT {
            // What is still wanted is soon here again.
            *self = Self::default();
        }
        self.kept += more;
        self.sets.insert(place, Arc::clone(tokens));
    }
}

impl fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lexicon").field(&self.entries.len()).finish()
    }
}

/// Sorts tokens, so that those that begin alike lie together.
fn entries(mut all: Vec<(Box<[u8]>, u32)>) -> Vec<Entry> {
    all.sort_unstable();
    let mut before: Box<[u8]> = Box::default();
    let entry = |(bytes, token): (Box<[u8]>, u32)| {
        let shared = before.iter().zip(&bytes[..]).take_while(|(a, b)| a == b).count();
        before.clone_from(&bytes);
        Entry { bytes, token, shared }
    };
    all.into_iter().map(entry).collect()
}

/// How far any of them leads.
fn reach(entries: &[Entry]) -> Reach {
    let most = |wanted: &[u8]| {
        let count = |entry: &Entry| entry.bytes.iter().filter(|byte| wanted.contains(byte)).count();
        u8::try_from(entries.iter().map(count).max().unwrap_or_default()).unwrap_or(u8::MAX)
    };
    Reach { opened: most(b"{["), closed: most(b"}]"), spaces: most(b" \n\r\t") }
}

impl Lexicon {
    /// Of a model with so many tokens; `None` if what it says cannot be held to a form byte by byte.
    pub(crate) fn new(tokenizer: &Tokenizer, vocabulary: usize) -> Option<Self> {
        let says = |token: &u32| {
            !tokenizer.is_special(*token)
                && !tokenizer.ends().contains(token)
                && !tokenizer.token(*token).is_empty()
        };
        let tokens = (0..u32::try_from(vocabulary).ok()?).filter(says);
        let all: Vec<(Box<[u8]>, u32)> =
            tokens.map(|token| (tokenizer.token(token).into(), token)).collect();
        let lexicon = Self::of(all);
        // Of a character whose first bytes were said the others can be.
        let mut needed = NEEDED.iter().copied().chain(0x80..=0xbf);
        needed.all(|byte| lexicon.has(byte)).then_some(lexicon)
    }

    pub(super) fn of(all: Vec<(Box<[u8]>, u32)>) -> Self {
        let entries = entries(all);
        let count = entries.iter().map(|entry| entry.token as usize + 1).max().unwrap_or_default();
        let mut places = vec![None; count];
        for (place, entry) in (0..).zip(&entries) {
            places[entry.token as usize] = Some(place);
        }
        let reach = reach(&entries);
        Self { entries, places, reach, found: Mutex::default() }
    }

    /// Whether this byte is a token by itself.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.entries.binary_search_by(|entry| entry.bytes[..].cmp(&[byte][..])).is_ok()
    }

    /// The tokens that may follow, in ascending order.
    fn allowed<A: Automaton>(&self, form: &A, at: A::At) -> Arc<[u32]> {
        let class = form.class(at, self.reach);
        let place = form.place(class);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = found.sets.get(&place) {
            return Arc::clone(tokens);
        }
        let tokens = self.look_for(form, class).into();
        found.keep(place, &tokens);
        tokens
    }

    /// Looks through all of them.
    fn look_for<A: Automaton>(&self, form: &A, at: A::At) -> Vec<u32> {
        let mut allowed = Vec::new();
        // Behind each byte of the last token, as far as they may be there.
        let mut path = vec![at];
        for entry in &self.entries {
            // What the last one shares with this one and could not say, this one cannot say either.
            if entry.shared >= path.len() {
                continue;
            }
            path.truncate(entry.shared + 1);
            for byte in &entry.bytes[entry.shared..] {
                let Some(next) = path.last().and_then(|at| form.with(*at, *byte)) else { break };
                path.push(next);
            }
            if path.len() == entry.bytes.len() + 1 {
                allowed.push(entry.token);
            }
        }
        allowed.sort_unstable();
        allowed
    }

    /// What a token says; nothing, if it is none of these.
    fn bytes(&self, token: u32) -> &[u8] {
        let place = self.places.get(token as usize).copied().flatten();
        let entry = place.and_then(|place| self.entries.get(place as usize));
        entry.map_or(&[][..], |entry| &entry.bytes[..])
    }
}

/// An answer that is held to a form.
#[derive(Debug)]
pub(crate) struct Held<A: Automaton> {
    lexicon: Arc<Lexicon>,
    form: A,
    at: A::At,
}

impl<A: Automaton> Held<A> {
    pub(crate) fn new(lexicon: Arc<Lexicon>, form: A) -> Self {
        let at = form.begin();
        Self { lexicon, form, at }
    }
}

impl<A: Automaton> Form for Held<A> {
    fn allowed(&self) -> Arc<[u32]> {
        self.lexicon.allowed(&self.form, self.at)
    }

    fn take(&mut self, token: u32) {
        let mut bytes = self.lexicon.bytes(token).iter();
        let next = bytes.try_fold(self.at, |at, byte| self.form.with(at, *byte));
        self.at = next.unwrap_or(self.at);
    }

    fn is_whole(&self) -> bool {
        self.form.is_whole(self.at)
    }
}

#[cfg(test)]
#[path = "lexicon_tests.rs"]
mod tests;
