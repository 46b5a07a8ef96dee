//! Which of the known rules a `tokenizer.json` asks for: the whole of it must be one of them, or tokens would
//! be cut otherwise, in silence.

use serde_json::Value;

use super::Splitting;
use super::form::NormalForm;
use super::normal::Normalising;
use crate::{Error, Result};

/// GPT-2's expression, where a file writes it out.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's expression.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's expression.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How text is cut before merging.
pub(super) fn splitting(rule: &Value) -> Result<Splitting> {
    let parts = match rule["type"].as_str() {
        Some("Sequence") => rule["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice),
        _ => std::slice::from_ref(rule),
    };
    let found = match parts {
        [bytes] if is_bytes(bytes, true) => Some(Splitting::Gpt2),
        [digits, bytes] if is_digits(digits) && is_bytes(bytes, true) => Some(Splitting::Digits),
        [split, bytes] if is_bytes(bytes, false) => match isolated(split) {
            Some(GPT2) => Some(Splitting::Gpt2),
            Some(LLAMA3) => Some(Splitting::Llama3),
            Some(QWEN2) => Some(Splitting::Qwen2),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| Error::unsupported(format!("a tokenizer that cuts text by {rule}")))
}

/// Bytes as characters, and whether GPT-2's expression cuts before that.
fn is_bytes(part: &Value, cuts: bool) -> bool {
    let flag = |key: &str, otherwise: bool| part[key].as_bool().unwrap_or(otherwise);
    part["type"] == "ByteLevel"
        && !flag("add_prefix_space", true)
        && flag("use_regex", true) == cuts
}

fn is_digits(part: &Value) -> bool {
    part["type"] == "Digits" && part["individual_digits"] == true
}

/// The expression of a part that makes each match a piece.
fn isolated(part: &Value) -> Option<&str> {
    let plain = part["type"] == "Split"
        && part["behavior"] == "Isolated"
        && part["invert"].as_bool() != Some(true);
    part["pattern"]["Regex"].as_str().filter(|_| plain)
}

/// What text is brought to before it is cut, if it is not taken as it is. A form keeps what is in it already, so that
/// one that is asked for twice is asked for once.
pub(super) fn normaliser(rule: &Value) -> Result<Option<NormalForm>> {
    match rule["type"].as_str() {
        None if rule.is_null() => Ok(None),
        Some("NFC") => Ok(Some(NormalForm::Nfc)),
        Some("Sequence") if rule["normalizers"].is_array() => {
            let parts = rule["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
            parts.iter().try_fold(None, |found, part| Ok(found.or(normaliser(part)?)))
        }
        _ => Err(Error::unsupported(format!("a tokenizer that changes text by {rule}"))),
    }
}

/// Tokens that are texts as they stand are cut out before text is changed, never after.
pub(super) fn cut_first(added: &Value) -> Result<()> {
    let added = added.as_array().map_or(&[][..], Vec::as_slice);
    match added.iter().find(|token| token["normalized"] == true) {
        None => Ok(()),
        Some(token) => Err(Error::unsupported(format!(
            "a tokenizer that changes text before it looks for {}",
            token["content"]
        ))),
    }
}

/// Nothing is done but writing spaces as SentencePiece does, and nothing is cut: a `Split` at spaces, which Gemma's
/// files have, finds none any more.
pub(super) fn spaces(json: &Value) -> Result<()> {
    let (normal, cut) = (&json["normalizer"], &json["pre_tokenizer"]);
    let replaced = normal["type"] == "Replace"
        && normal["pattern"]["String"] == " "
        && normal["content"] == "\u{2581}";
    let whole = cut.is_null() || cut["type"] == "Split" && cut["pattern"]["String"] == " ";
    let model = &json["model"];
    let plain = ["continuing_subword_prefix", "end_of_word_suffix"]
        .iter()
        .all(|key| model[*key].is_null() || model[*key] == "");
    if replaced && whole && plain && model["ignore_merges"] != true {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "a tokenizer that changes text by {normal} and cuts it by {cut}"
    )))
}

/// What is done to text before it is cut into words.
pub(super) fn normalising(rule: &Value) -> Result<Normalising> {
    if rule["type"] != "BertNormalizer" {
        return Err(Error::unsupported(format!("a tokenizer that changes text by {rule}")));
    }
    let flag = |key: &str| rule[key].as_bool().unwrap_or(true);
    let lower = flag("lowercase");
    Ok(Normalising {
        clean: flag("clean_text"),
        ideographs: flag("handle_chinese_chars"),
        // Those that do not say strip accents where they make letters small.
        accents: rule["strip_accents"].as_bool().unwrap_or(lower),
        lower,
    })
}

/// The texts of the tokens that are put before and after an encoder's input.
pub(super) fn around(rule: &Value) -> Result<(Option<&str>, Option<&str>)> {
    let special = |part: &Value| part["SpecialToken"]["id"].is_string();
    let text = |part: &Value| part["Sequence"].is_object();
    let parts = rule["single"].as_array().map_or(&[][..], Vec::as_slice);
    match (rule["type"].as_str(), parts) {
        (None, _) if rule.is_null() => Ok((None, None)),
        (Some("TemplateProcessing"), [first, middle, last])
            if special(first) && text(middle) && special(last) =>
        {
            Ok((first["SpecialToken"]["id"].as_str(), last["SpecialToken"]["id"].as_str()))
        }
        (Some("BertProcessing"), _) if rule["cls"][0].is_string() && rule["sep"][0].is_string() => {
            Ok((rule["cls"][0].as_str(), rule["sep"][0].as_str()))
        }
        _ => Err(Error::unsupported(format!("a tokenizer that adds tokens as {rule}"))),
    }
}

/// The text of the token that is put before every sequence.
pub(super) fn first(rule: &Value) -> Result<Option<&str>> {
    match rule["type"].as_str() {
        None | Some("ByteLevel") => Ok(None),
        Some("Sequence") => {
            let parts = rule["processors"].as_array().map_or(&[][..], Vec::as_slice);
            parts.iter().try_fold(None, |found, part| Ok(found.or(first(part)?)))
        }
        Some("TemplateProcessing") => {
            let parts = rule["single"].as_array().map_or(&[][..], Vec::as_slice);
            match parts {
                [_text] => Ok(None),
                [token, text] if text["Sequence"].is_object() => {
                    Ok(token["SpecialToken"]["id"].as_str())
                }
                _ => Err(Error::unsupported(format!("a tokenizer that adds tokens as {rule}"))),
            }
        }
        _ => Err(Error::unsupported(format!("a tokenizer that adds tokens as {rule}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]
mod tests {
    use serde_json::json;

    use super::*;

    fn split(regex: &str) -> Value {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]})
    }

    #[test]
    fn known_rules_are_known() {
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let both = json!({"type": "Sequence", "pretokenizers": [digits, bytes]});
        assert_eq!(splitting(&bytes), Ok(Splitting::Gpt2));
        assert_eq!(splitting(&both), Ok(Splitting::Digits));
        assert_eq!(splitting(&split(GPT2)), Ok(Splitting::Gpt2));
        assert_eq!(splitting(&split(LLAMA3)), Ok(Splitting::Llama3));
        assert_eq!(splitting(&split(QWEN2)), Ok(Splitting::Qwen2));
    }

    #[test]
    fn the_first_token_is_found() {
        let template = json!({"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]});
        let both = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]});
        assert_eq!(first(&template), Ok(Some("<|begin_of_text|>")));
        assert_eq!(first(&both), Ok(Some("<|begin_of_text|>")));
        assert_eq!(first(&Value::Null), Ok(None));
        let mut around = template.clone();
        around["single"].as_array_mut().unwrap().push(template["single"][0].clone());
        assert!(first(&around).is_err() && first(&json!({"type": "BertProcessing"})).is_err());
    }

    #[test]
    fn encoders_rules_are_read() {
        let template = json!({"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]});
        let older = json!({"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]});
        for rule in [template, older] {
            assert_eq!(around(&rule), Ok((Some("[CLS]"), Some("[SEP]"))));
        }
        assert_eq!(around(&Value::Null), Ok((None, None)));
        assert!(around(&json!({"type": "ByteLevel"})).is_err());
        let rule = json!({"type": "BertNormalizer", "lowercase": false, "strip_accents": null});
        let read = normalising(&rule).unwrap();
        assert_eq!(
            (read.clean, read.ideographs, read.accents, read.lower),
            (true, true, false, false)
        );
        assert!(normalising(&json!({"type": "BertNormalizer"})).unwrap().accents);
        assert!(normalising(&json!({"type": "Lowercase"})).is_err());
    }

    #[test]
    fn only_spaces_are_written_otherwise() {
        let rule = json!({"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            "pre_tokenizer": null, "model": {"end_of_word_suffix": ""}});
        assert_eq!(spaces(&rule), Ok(()));
        for (place, value) in [
            ("/normalizer/content", json!("_")),
            ("/normalizer/pattern", json!({"Regex": " +"})),
            ("/pre_tokenizer", json!({"type": "Whitespace"})),
            ("/model/end_of_word_suffix", json!("</w>")),
        ] {
            let mut other = rule.clone();
            *other.pointer_mut(place).unwrap() = value;
            assert!(spaces(&other).is_err(), "{place}");
        }
    }

    #[test]
    fn what_looks_like_a_known_rule_is_refused() {
        // One that contains Llama 3's numbers, but cuts letters by case.
        let other = LLAMA3.replace(r"?\p{L}+|", r"?[\p{Lu}\p{Lt}]*[\p{Ll}\p{M}]+|");
        assert!(splitting(&split(&other)).unwrap_err().detail.contains("Lu"));
        assert!(splitting(&split(&QWEN2.replace("|\\s+(?!\\S)", ""))).is_err());
        let change = |key: &str, value: Value, part: usize| {
            let mut rule = split(LLAMA3);
            rule["pretokenizers"][part][key] = value;
            splitting(&rule).is_err()
        };
        assert!(change("behavior", json!("Removed"), 0));
        assert!(change("invert", json!(true), 0));
        assert!(change("use_regex", json!(true), 1));
        assert!(change("add_prefix_space", json!(true), 1));
        // The default of the format puts a space in front.
        assert!(splitting(&json!({"type": "ByteLevel"})).is_err());
        assert!(splitting(&Value::Null).is_err());
        assert!(normaliser(&json!({"type": "Lowercase"})).is_err());
    }

    #[test]
    fn the_normal_form_is_found() {
        let nfc = json!({"type": "NFC"});
        let rows = |parts: &[&Value]| json!({"type": "Sequence", "normalizers": parts});
        assert_eq!(normaliser(&Value::Null), Ok(None));
        assert_eq!(normaliser(&nfc), Ok(Some(NormalForm::Nfc)));
        assert_eq!(normaliser(&rows(&[])), Ok(None));
        assert_eq!(normaliser(&rows(&[&rows(&[&nfc]), &nfc])), Ok(Some(NormalForm::Nfc)));
        for other in [json!({"type": "NFKC"}), json!({"type": "NFD"}), json!({"type": "Sequence"})]
        {
            let error = normaliser(&other).unwrap_err();
            assert!(error.detail.contains(&other.to_string()), "{error}");
            assert!(normaliser(&rows(&[&nfc, &other])).is_err(), "{other}");
        }
    }

    #[test]
    fn tokens_that_are_looked_for_in_changed_text_are_refused() {
        let added =
            |normalized: bool| json!([{"id": 7, "content": "<x>", "normalized": normalized}]);
        assert_eq!(cut_first(&added(false)), Ok(()));
        assert_eq!(cut_first(&Value::Null), Ok(()));
        assert!(cut_first(&added(true)).unwrap_err().detail.contains("<x>"));
    }
}
