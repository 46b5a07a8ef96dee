//! A model's tokens by their bytes: which of them may follow in a JSON object.

use std::{fmt, sync::Arc};

use tilth_tensor::{engine::Form, tokenizer::Tokenizer};

use super::json::Json;

/// Bytes that have to be tokens by themselves, so that whatever has been said can be brought to an end.
const NEEDED: &[u8] = b"{}[]:,\"0truefalsn";

/// Tokens that say something, sorted by what they say.
pub(crate) struct Lexicon(Vec<Entry>);

struct Entry {
    bytes: Box<[u8]>,
    token: u32,
    /// Bytes that it begins with as the one before it does.
    shared: usize,
}

impl fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lexicon").field(&self.0.len()).finish()
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
        Some(Self(entries(all)))
    }

    /// The tokens that may follow, in ascending order.
    fn allowed(&self, json: Json) -> Vec<u32> {
        let mut allowed = Vec::new();
        // Behind each byte of the last token, as far as they may be there.
        let mut path = vec![json];
        for entry in &self.0 {
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
    fn allowed(&self) -> Vec<u32> {
        self.lexicon.allowed(self.json)
    }

    fn take(&mut self, token: u32) {
        let entry = self.lexicon.0.iter().find(|entry| entry.token == token);
        let bytes = entry.map_or(&[][..], |entry| &entry.bytes[..]);
        let next = bytes.iter().try_fold(self.json, |json, byte| json.with(*byte));
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

    #[test]
    fn tokens_that_share_their_beginnings_are_judged_as_each_by_itself() {
        let (tokenizer, mut lexicon) = lexicon();
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
            .chain(lexicon.0.iter().map(|entry| (entry.bytes.clone(), entry.token)))
            .collect();
        lexicon.0 = entries(known.clone());
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
            let json = text.bytes().try_fold(Json::BEGIN, |json, byte| json.with(byte)).unwrap();
            let may = |bytes: &[u8]| bytes.iter().try_fold(json, |json, byte| json.with(*byte));
            let mut alone: Vec<u32> = known
                .iter()
                .filter(|(bytes, _)| may(bytes).is_some())
                .map(|(_, token)| *token)
                .collect();
            alone.sort_unstable();
            assert_eq!(lexicon.allowed(json), alone, "{text}");
            assert_eq!(alone.is_empty(), json.is_whole(), "{text}");
        }
        let ends = tokenizer.ends();
        assert!(!ends.is_empty() && lexicon.0.iter().all(|entry| !ends.contains(&entry.token)));
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
}
