//! Vocabularies from a `tokenizer.json` of Hugging Face's `tokenizers`.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Splitting;
use super::pieces::{SPACE, ScoredPieces};
use super::rules::{around, cut_first, first, normaliser, normalising, spaces, splitting};
use super::vocabulary::{Vocabulary, is_end, merge_ids};
use super::words::WordPieces;
use crate::blob::LONGEST_HEADER;
use crate::{Error, Result};

impl Vocabulary {
    /// From a `tokenizer.json` of Hugging Face's `tokenizers`.
    ///
    /// # Errors
    /// When it is damaged or of a kind that is not supported.
    pub fn from_tokenizer_json(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > 4 * LONGEST_HEADER {
            return Err(Error::damaged(format!("a tokenizer.json of {} bytes", bytes.len())));
        }
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(format!("tokenizer.json: {error}")))?;
        match json["model"]["type"].as_str() {
            Some("BPE") if json["model"]["byte_fallback"] == true => Self::from_pieces(&json),
            Some("BPE") => Self::from_pairs(&json),
            Some("WordPiece") => Self::from_words(&json),
            _ => Err(Error::unsupported(format!(
                "a tokenizer of the kind {}",
                json["model"]["type"]
            ))),
        }
    }

    /// Byte-level pair encoding.
    fn from_pairs(json: &Value) -> Result<Self> {
        let model = &json["model"];
        let form = normaliser(&json["normalizer"])?;
        if form.is_some() {
            cut_first(&json["added_tokens"])?;
        }
        let Numbered { ids, tokens, special, shown } = Numbered::new(json)?;
        let ends = special.iter().copied().filter(|id| is_end(&tokens[*id as usize])).collect();
        Ok(Self {
            form,
            splitting: splitting(&json["pre_tokenizer"])?,
            merges: merge_ids(&ids, pairs(model))?,
            whole_pieces: model["ignore_merges"] == true,
            special,
            shown,
            first: first(&json["post_processor"])?.and_then(|text| ids.get(text).copied()),
            ends,
            chat_template: None,
            word_pieces: None,
            scored_pieces: None,
            tokens,
        })
    }

    /// Pieces that merge over whole texts, and bytes for what is no piece: Gemma.
    fn from_pieces(json: &Value) -> Result<Self> {
        let model = &json["model"];
        spaces(json)?;
        let Numbered { ids, tokens, special, shown } = Numbered::new(json)?;
        // What is defined outright is taken before anything merges, and merges with nothing.
        let defined: HashSet<&str> =
            special.iter().map(|token| tokens[*token as usize].as_str()).collect();
        let merges = pairs(model).filter(|pair| {
            pair.is_none_or(|(left, right)| {
                let merged = format!("{left}{right}");
                ![left, right, merged.as_str()].iter().any(|text| defined.contains(*text))
            })
        });
        let says: HashSet<u32> = shown.iter().copied().collect();
        let control = special.iter().copied().filter(|token| !says.contains(token));
        Ok(Self {
            form: None,
            splitting: Splitting::Whole,
            merges: merge_ids(&ids, merges)?,
            whole_pieces: false,
            first: first(&json["post_processor"])?.and_then(|text| ids.get(text).copied()),
            ends: control.filter(|token| is_end(&tokens[*token as usize])).collect(),
            chat_template: None,
            word_pieces: None,
            scored_pieces: Some(ScoredPieces::named(|text| ids.get(text).copied())?),
            tokens: tokens.iter().map(|text| text.replace(SPACE, " ")).collect(),
            special,
            shown,
        })
    }

    /// Words in pieces. Padding and truncation, which some files ask for, are no part of a tokenizer here.
    fn from_words(json: &Value) -> Result<Self> {
        let model = &json["model"];
        let Numbered { ids, tokens, special, shown } = Numbered::new(json)?;
        let token = |text: &str| {
            ids.get(text)
                .copied()
                .ok_or_else(|| Error::damaged(format!("there is no token {text}")))
        };
        let (first, last) = around(&json["post_processor"])?;
        if json["pre_tokenizer"]["type"] != "BertPreTokenizer" {
            return Err(Error::unsupported(format!(
                "a tokenizer that cuts text by {}",
                json["pre_tokenizer"]
            )));
        }
        let rule = WordPieces {
            normalising: normalising(&json["normalizer"])?,
            mark: model["continuing_subword_prefix"].as_str().unwrap_or("##").to_owned(),
            unknown: token(model["unk_token"].as_str().unwrap_or("[UNK]"))?,
            longest: model["max_input_chars_per_word"]
                .as_u64()
                .map_or(Ok(100), usize::try_from)
                .map_err(|_| Error::damaged("max_input_chars_per_word"))?,
            last: last.map(token).transpose()?,
        };
        Ok(Self {
            form: None,
            splitting: Splitting::Whole,
            merges: vec![],
            whole_pieces: false,
            special,
            shown,
            first: first.map(token).transpose()?,
            ends: vec![],
            chat_template: None,
            word_pieces: Some(rule),
            scored_pieces: None,
            tokens,
        })
    }
}

/// The pairs of a model that merge; none for what is no pair.
fn pairs(model: &Value) -> impl Iterator<Item = Option<(&str, &str)>> {
    let merges = model["merges"].as_array().map_or(&[][..], Vec::as_slice);
    merges.iter().map(|merge| match merge {
        Value::String(merge) => merge.split_once(' '),
        Value::Array(pair) => Some((pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    })
}

/// Tokens by text and by number.
struct Numbered<'a> {
    ids: HashMap<&'a str, u32>,
    tokens: Vec<String>,
    special: Vec<u32>,
    shown: Vec<u32>,
}

impl<'a> Numbered<'a> {
    fn new(json: &'a Value) -> Result<Self> {
        let vocabulary = json["model"]["vocab"]
            .as_object()
            .ok_or_else(|| Error::damaged("tokenizer.json has no vocab"))?;
        let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let named = vocabulary.iter().map(|(text, id)| (text.as_str(), id));
        let specials =
            added.iter().filter_map(|token| Some((token["content"].as_str()?, &token["id"])));
        for (text, id) in named.chain(specials.clone()) {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| Error::damaged(format!("the token {text} has no id")))?;
            ids.insert(text, id);
        }
        let mut tokens = vec![String::new(); ids.len()];
        for (text, id) in &ids {
            let slot = tokens.get_mut(*id as usize);
            let slot =
                slot.ok_or_else(|| Error::damaged(format!("token ids have gaps below {id}")))?;
            (*text).clone_into(slot);
        }
        let special: Vec<u32> = specials.map(|(text, _)| ids[text]).collect();
        // Files that do not say are of tokenizers whose added tokens are all special.
        let shown = added.iter().filter(|token| token["special"] == false);
        let shown =
            shown.filter_map(|token| ids.get(token["content"].as_str()?).copied()).collect();
        Ok(Self { ids, tokens, special, shown })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
mod tests {
    use serde_json::json;

    use super::super::Tokenizer;
    use super::*;

    /// A file in the manner of Gemma's: bytes, pieces, line ends defined outright, a tag, two tokens that steer.
    fn pieces() -> Value {
        let mut vocabulary = serde_json::Map::new();
        let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
        let rest = [
            "<bos>",
            "<end_of_turn>",
            "\n\n",
            "<i>",
            "\u{2581}",
            "a",
            "b",
            "\n",
            "ab",
            "\u{2581}ab",
            "\n\u{2581}",
        ];
        for (id, text) in bytes.chain(rest.map(str::to_owned)).enumerate() {
            vocabulary.insert(text, json!(id));
        }
        let added = |id: u32, content: &str, special: bool| json!({"id": id, "content": content, "special": special});
        json!({
            "added_tokens": [added(256, "<bos>", true), added(257, "<end_of_turn>", true),
                added(258, "\n\n", false), added(259, "<i>", false)],
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
            "post_processor": {"type": "TemplateProcessing", "single": [
                {"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
            "model": {"type": "BPE", "byte_fallback": true, "ignore_merges": false, "vocab": vocabulary,
                "merges": [["a", "b"], ["\u{2581}", "ab"], ["\n", "\n"], ["\n", "\u{2581}"]]},
        })
    }

    fn read(json: &Value) -> Result<Vocabulary> {
        Vocabulary::from_tokenizer_json(json.to_string().as_bytes())
    }

    #[test]
    fn pieces_with_bytes_are_read() {
        let vocabulary = read(&pieces()).unwrap();
        assert_eq!((vocabulary.first, &*vocabulary.ends), (Some(256), &[257][..]));
        // A way to make what is defined outright is none.
        assert_eq!(vocabulary.merges, [[261, 262], [260, 264], [263, 260]]);
        let tokenizer = Tokenizer::new(&vocabulary).unwrap();
        let tokens = tokenizer.encode("ab ab\n\n\n<i>\u{e9}<bos>").unwrap();
        let control: Vec<u32> = "<bos>".bytes().map(u32::from).collect();
        assert_eq!(tokens[..7], [264, 265, 258, 263, 259, 0xc3, 0xa9]);
        // Letters that are pieces are not bytes.
        let control: Vec<u32> =
            control.into_iter().map(|c| if c == 98 { 262 } else { c }).collect();
        assert_eq!(tokens[7..], control);
        assert_eq!(tokenizer.decode(&tokens), "ab ab\n\n\n<i>\u{e9}<bos>");
        let tokens = tokenizer.encode_template("<bos>a<end_of_turn>\n\n").unwrap();
        assert_eq!(tokens, [256, 261, 257, 258]);
        assert_eq!(tokenizer.encode_template(&tokenizer.guard("<bos>")).unwrap(), control);
    }

    #[test]
    fn pieces_of_another_kind_are_refused() {
        let changed = |key: &str, value: Value| {
            let mut json = pieces();
            *json.pointer_mut(key).unwrap() = value;
            read(&json).map(drop)
        };
        // As Llama 2's: a space before every text.
        let prepend = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"}]});
        assert!(changed("/normalizer", prepend).unwrap_err().detail.contains("Prepend"));
        assert!(changed("/pre_tokenizer/pattern", json!({"Regex": "x"})).is_err());
        assert!(changed("/pre_tokenizer", Value::Null).is_ok());
        assert!(changed("/model/ignore_merges", json!(true)).is_err());
        assert!(
            changed("/model/merges", json!([["a", "c"]])).unwrap_err().detail.contains("merge 0")
        );
        let mut json = pieces();
        json["model"]["vocab"].as_object_mut().unwrap().remove("<0x00>");
        json["model"]["vocab"]["<zero>"] = json!(0);
        assert!(read(&json).unwrap_err().detail.contains("<0x00>"));
    }
}
