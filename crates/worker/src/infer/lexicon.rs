//! A model's tokens by their bytes: which of them may follow in a JSON object.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tilth_tensor::{engine::Form, tokenizer::Tokenizer};

use super::json::{Json, Reach};

/// Bytes that have to be tokens by themselves, so that whatever has been said can be brought to an end.
const NEEDED: &[u8] = b"{}[]:,\"0truefalsn";
/// Tokens of all sets together that are kept: 16 MiB. Within a text nearly all of a vocabulary may follow, and the
/// largest have 2^18.
const MOST_KEPT: usize = 1 << 22;
/// What a set takes beside its tokens, in tokens.
const SET: usize = 32;

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
    sets: HashMap<Json, Arc<[u32]>>,
    /// Tokens of all, and [`SET`] for each.
    kept: usize,
}

impl Found {
    fn keep(&mut self, class: Json, tokens: &Arc<[u32]>) {
        let more = tokens.len().saturating_add(SET);
        if self.kept.saturating_add(more) > MOST_KEPT {
            // What is still wanted is soon here again.
            *self = Self::default();
        }
        self.kept += more;
        self.sets.insert(class, Arc::clone(tokens));
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
        let has = |byte: u8| all.iter().any(|(bytes, _)| **bytes == [byte]);
        // Of a character whose first bytes were said the others can be.
        if !NEEDED.iter().copied().chain(0x80..=0xbf).all(has) {
            return None;
        }
        Some(Self::of(all))
    }

    fn of(all: Vec<(Box<[u8]>, u32)>) -> Self {
        let entries = entries(all);
        let count = entries.iter().map(|entry| entry.token as usize + 1).max().unwrap_or_default();
        let mut places = vec![None; count];
        for (place, entry) in (0..).zip(&entries) {
            places[entry.token as usize] = Some(place);
        }
        let reach = reach(&entries);
        Self { entries, places, reach, found: Mutex::default() }
    }

    /// The tokens that may follow, in ascending order.
    fn allowed(&self, json: Json) -> Arc<[u32]> {
        let class = json.class(self.reach);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = found.sets.get(&class) {
            return Arc::clone(tokens);
        }
        let tokens = self.look_for(class).into();
        found.keep(class, &tokens);
        tokens
    }

    /// Looks through all of them.
    fn look_for(&self, json: Json) -> Vec<u32> {
        let mut allowed = Vec::new();
        // Behind each byte of the last token, as far as they may be there.
        let mut path = vec![json];
        for entry in &self.entries {
            // What the last one shares with this one and could not say, this one cannot say either.
            if entry.shared >= path.len() {
                continue;
            }
            path.truncate(entry.shared + 1);
            for byte in &entry.bytes[entry.shared..] {
                let Some(next) = path.last().and_then(|json| json.with(*byte)) else { break };
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

/// An answer that is held to a JSON object.
#[derive(Debug)]
pub(crate) struct Object {
    lexicon: Arc<Lexicon>,
    json: Json,
}

impl Object {
    pub(crate) fn new(lexicon: Arc<Lexicon>) -> Self {
        Self { lexicon, json: Json::BEGIN }
    }
}

impl Form for Object {
    fn allowed(&self) -> Arc<[u32]> {
        self.lexicon.allowed(self.json)
    }

    fn take(&mut self, token: u32) {
        let mut bytes = self.lexicon.bytes(token).iter();
        let next = bytes.try_fold(self.json, |json, byte| json.with(*byte));
        self.json = next.unwrap_or(self.json);
    }

    fn is_whole(&self) -> bool {
        self.json.is_whole()
    }
}

#[cfg(test)]
mod tests {
    use tilth_tensor::{
        blob::Blob,
        import::{Family, synthetic},
        tokenizer::Vocabulary,
    };

    use super::*;

    fn lexicon() -> (Tokenizer, Lexicon) {
        let blob = Blob::open(Arc::new(synthetic(Family::Llama, 1).unwrap())).unwrap();
        let tokenizer = Tokenizer::new(&Vocabulary::open(&blob).unwrap()).unwrap();
        let vocabulary = blob.header().architecture.vocabulary;
        let lexicon = Lexicon::new(&tokenizer, vocabulary).unwrap();
        (tokenizer, lexicon)
    }

    /// What its tokens say.
    fn said(lexicon: &Lexicon) -> impl Iterator<Item = (Box<[u8]>, u32)> {
        lexicon.entries.iter().map(|entry| (entry.bytes.clone(), entry.token))
    }

    fn after(json: Json, text: &str) -> Option<Json> {
        text.bytes().try_fold(json, |json, byte| json.with(byte))
    }

    #[test]
    fn tokens_that_share_their_beginnings_are_judged_as_each_by_itself() {
        let (tokenizer, lexicon) = lexicon();
        // Beside the model's own tokens, longer ones that begin alike.
        let more = [
            r#"{"a"#,
            r#"{"a":"#,
            r#"{"a":1}"#,
            r#"{"a":1}}"#,
            r#"{"b"#,
            r#"{x"#,
            "\"}",
            "}}",
            "true",
        ];
        let known: Vec<(Box<[u8]>, u32)> = (0..)
            .zip(more)
            .map(|(number, text)| (text.as_bytes().into(), 10_000 + number))
            .chain(said(&lexicon))
            .collect();
        let lexicon = Lexicon::of(known.clone());
        let texts = [
            "",
            "{",
            "{\"",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":{\"b\":1",
            "{\"a\":t",
            "{}",
            "{\"a\":\"\\",
        ];
        for text in texts {
            let json = after(Json::BEGIN, text).unwrap();
            let may = |bytes: &[u8]| bytes.iter().try_fold(json, |json, byte| json.with(*byte));
            let mut alone: Vec<u32> = known
                .iter()
                .filter(|(bytes, _)| may(bytes).is_some())
                .map(|(_, token)| *token)
                .collect();
            alone.sort_unstable();
            assert_eq!(lexicon.allowed(json)[..], alone[..], "{text}");
            assert_eq!(alone.is_empty(), json.is_whole(), "{text}");
        }
        let ends = tokenizer.ends();
        assert!(!ends.is_empty() && lexicon.entries.iter().all(|e| !ends.contains(&e.token)));
    }

    #[test]
    fn an_object_is_whole_when_its_tokens_are() {
        let (tokenizer, lexicon) = lexicon();
        let mut object = Object::new(Arc::new(lexicon));
        for token in tokenizer.encode("{\"k\": [1]}").unwrap() {
            assert!(!object.is_whole() && object.allowed().contains(&token));
            object.take(token);
        }
        assert!(object.is_whole() && object.allowed().is_empty());
    }

    /// Places that count as one have the same tokens, to the deepest and to the longest white space.
    #[test]
    fn what_was_found_once_is_what_would_be_found_again() {
        let more = ["}}", "]}", "}]]", "[[", "{\"", "  ", "\n    ", "\"}}", ",[{"];
        let more = more.map(|text| Box::<[u8]>::from(text.as_bytes())).into_iter().zip(10_000..);
        let (_, model) = lexicon();
        let lexicon = Lexicon::of(said(&model).chain(more).collect());
        let (mut json, mut deepest) = (Json::BEGIN, 0);
        for deeper in ["{\"a\":", "[", "[", "{\"b\":"].into_iter().cycle() {
            let Some(next) = after(json, deeper) else { break };
            (json, deepest) = (next, deepest + 1);
            let blank = [1, 60, 120, 125, 126, 127, 128, 129, 130].map(|count| " ".repeat(count));
            let others = ["", "1", "\"", "\"v", "{", "{\"k", "[1", "[1 "].map(str::to_owned);
            for place in others.into_iter().chain(blank).filter_map(|text| after(json, &text)) {
                let due = lexicon.look_for(place);
                assert_eq!(lexicon.allowed(place)[..], due[..], "{place:?}");
            }
        }
        assert!(deepest >= 64, "{deepest}");
    }

    #[test]
    fn a_vocabulary_is_not_looked_through_for_every_token() {
        let (_, lexicon) = lexicon();
        let at = |text: &str| lexicon.allowed(after(Json::BEGIN, text).unwrap());
        let nested = |depth: usize| format!("{}\"v", "{\"a\":".repeat(depth));
        let begun = at("{\"a\":{\"a\":{\"a\":\"v");
        for same in [nested(3), nested(20) + "alue", nested(40)] {
            assert!(Arc::ptr_eq(&begun, &at(&same)), "{same}");
        }
        assert!(!Arc::ptr_eq(&begun, &at(&format!("{}[\"v", "{\"a\":".repeat(20)))));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut found = Found::default();
        let many: Arc<[u32]> = vec![0_u32; MOST_KEPT / 2].into();
        for text in ["", "{", "{\"", "{\"a\"", "{\"a\":"] {
            let class = after(Json::BEGIN, text).unwrap();
            found.keep(class, &many);
            assert!(found.sets.contains_key(&class));
            let kept: usize = found.sets.values().map(|tokens| tokens.len() + SET).sum();
            assert!(kept == found.kept && kept <= MOST_KEPT, "{kept}");
        }
    }
}
