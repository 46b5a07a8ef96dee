use tilth_tensor::{
    blob::Blob,
    import::{Family, synthetic},
    tokenizer::Vocabulary,
};

use super::*;
use crate::infer::{
    json::{AnyObject, Json},
    shape::{
        At, Shape,
        tests::{GOOD, bounded_schema, deep, deepest, draws, example, renamed},
    },
};

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

impl Lexicon {
    /// As of a model that has no token of this byte alone.
    pub(crate) fn without(&self, byte: u8) -> Self {
        Self::of(said(self).filter(|(bytes, _)| **bytes != [byte]).collect())
    }
}

/// The tokens among these that may follow, each looked at by itself.
fn alone<A: Automaton>(form: &A, at: A::At, known: &[(Box<[u8]>, u32)]) -> Vec<u32> {
    let may = |bytes: &[u8]| bytes.iter().try_fold(at, |at, byte| form.with(at, *byte));
    let allowed = known.iter().filter(|(bytes, _)| may(bytes).is_some());
    let mut tokens: Vec<u32> = allowed.map(|(_, token)| *token).collect();
    tokens.sort_unstable();
    tokens
}

#[test]
fn tokens_that_share_their_beginnings_are_judged_as_each_by_itself() {
    let (tokenizer, lexicon) = lexicon();
    // Beside the model's own tokens, longer ones that begin alike.
    let more =
        [r#"{"a"#, r#"{"a":"#, r#"{"a":1}"#, r#"{"a":1}}"#, r#"{"b"#, r#"{x"#, "\"}", "}}", "true"];
    let known: Vec<(Box<[u8]>, u32)> = (0..)
        .zip(more)
        .map(|(number, text)| (text.as_bytes().into(), 10_000 + number))
        .chain(said(&lexicon))
        .collect();
    let lexicon = Lexicon::of(known.clone());
    let texts =
        ["", "{", "{\"", "{\"a\"", "{\"a\":", "{\"a\":{\"b\":1", "{\"a\":t", "{}", "{\"a\":\"\\"];
    for text in texts {
        let json = after(Json::BEGIN, text).unwrap();
        let alone = alone(&AnyObject, json, &known);
        assert_eq!(lexicon.allowed(&AnyObject, json)[..], alone[..], "{text}");
        assert_eq!(alone.is_empty(), json.is_whole(), "{text}");
    }
    let ends = tokenizer.ends();
    assert!(!ends.is_empty() && lexicon.entries.iter().all(|e| !ends.contains(&e.token)));
}

#[test]
fn an_object_is_whole_when_its_tokens_are() {
    let (tokenizer, lexicon) = lexicon();
    let mut object = Held::new(Arc::new(lexicon), AnyObject);
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
            let due = lexicon.look_for(&AnyObject, place);
            assert_eq!(lexicon.allowed(&AnyObject, place)[..], due[..], "{place:?}");
        }
    }
    assert!(deepest >= 64, "{deepest}");
}

#[test]
fn a_vocabulary_is_not_looked_through_for_every_token() {
    let (_, lexicon) = lexicon();
    let at = |text: &str| lexicon.allowed(&AnyObject, after(Json::BEGIN, text).unwrap());
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
        let place = Place::Any(after(Json::BEGIN, text).unwrap());
        found.keep(place, &many);
        assert!(found.sets.contains_key(&place));
        let kept: usize = found.sets.values().map(|tokens| tokens.len() + SET).sum();
        assert!(kept == found.kept && kept <= MOST_KEPT, "{kept}");
    }
}

/// Wherever an answer in a schema is, and whatever was found before: each set is that of a look at every token.
#[test]
fn tokens_in_a_schema_are_judged_as_each_by_itself() {
    let more = r#"
        {" {"name {"nam "name":" ": "," sm" m", "} "}]} }] }]} }],"na é"
        []} [{ [{} {},{ },{"on":t ]},{ null null} :- 1.5 0,
    "#;
    let (_, model) = lexicon();
    let more = more.split_ascii_whitespace().chain(["  ", "\n    "]).zip(10_000..);
    let known: Vec<(Box<[u8]>, u32)> =
        more.map(|(text, token)| (text.as_bytes().into(), token)).chain(said(&model)).collect();
    let lexicon = Lexicon::of(known.clone());
    let shape = example();
    let mut places = 0;
    let mut look = |at: At| {
        assert_eq!(lexicon.allowed(&shape, at)[..], alone(&shape, at, &known)[..], "{at:?}");
        places += 1;
    };
    for text in GOOD {
        let mut at = shape.begin();
        for byte in text.bytes() {
            look(at);
            at = shape.with(at, byte).unwrap();
        }
        look(at);
    }
    // To the longest white space.
    let mut draw = draws();
    for _ in 0..40 {
        let mut at = shape.begin();
        for _ in 0..60 {
            let may = |byte: &u8| shape.with(at, *byte).is_some();
            let some: Vec<u8> = (0..=127).filter(may).collect();
            let blank = some.contains(&b' ') && draw(8) > 0;
            let Some(byte) = some.get(draw(some.len().max(1))) else { break };
            at = shape.with(at, if blank { b' ' } else { *byte }).unwrap();
            look(at);
        }
    }
    assert!(places > 1000, "{places}");
}

/// Tokens of several digits, and of some with what comes behind a number.
#[test]
fn tokens_in_a_number_with_bounds_are_judged_as_each_by_itself() {
    let more = r#"
        00 12 30 31 99 300 301 -5 -6 5} 0, 300} 30," :- :3 9007199254740991 740991} 740992}
    "#;
    let more = more.split_ascii_whitespace().map(|text| Box::<[u8]>::from(text.as_bytes()));
    let more = more.zip(10_000..);
    let (_, model) = lexicon();
    let known: Vec<(Box<[u8]>, u32)> = said(&model).chain(more).collect();
    let lexicon = Lexicon::of(known.clone());
    let shape = Shape::new(bounded_schema());
    let numbers = ["-5", "0", "300", "29", "9"];
    let wide = ["9007199254740991", "-9007199254740990", "12345", "null"];
    for text in numbers.iter().flat_map(|n| wide.map(|m| format!("{{\"n\":{n},\"m\":{m}}}"))) {
        let mut at = shape.begin();
        for byte in text.bytes() {
            let found = lexicon.allowed(&shape, at);
            assert_eq!(found[..], alone(&shape, at, &known)[..], "{text}: {at:?}");
            assert!(!found.is_empty());
            at = shape.with(at, byte).unwrap();
        }
        assert!(shape.is_whole(at), "{text}");
    }
    // However many numbers there are.
    let begun = |number: &str| after_all(&shape, &format!("{{\"n\":1,\"m\":{number}"));
    let (one, other) = (begun("4821"), begun("1399"));
    assert!(Arc::ptr_eq(&lexicon.allowed(&shape, one), &lexicon.allowed(&shape, other)));
}

/// Deeper than any token closes: of what is open only the innermost is looked at.
#[test]
fn tokens_in_a_deep_schema_are_judged_as_each_by_itself() {
    let more = ["]}", "]}]", "]}]}", "},{", "[{\"a", "]},", ":[{", "],\"b\"", "]}}", "true]"];
    let more = more.map(|text| Box::<[u8]>::from(text.as_bytes())).into_iter().zip(10_000..);
    let (_, model) = lexicon();
    let known: Vec<(Box<[u8]>, u32)> = said(&model).chain(more).collect();
    let lexicon = Lexicon::of(known.clone());
    let shape = deep();
    let (mut at, mut shortened) = (shape.begin(), 0);
    for byte in deepest().bytes() {
        assert_eq!(lexicon.allowed(&shape, at)[..], alone(&shape, at, &known)[..], "{at:?}");
        // There is no white space that could be another reason.
        shortened += usize::from(shape.class(at, lexicon.reach) != at);
        at = shape.with(at, byte).unwrap();
    }
    assert!(shape.is_whole(at) && shortened > 40, "{shortened}");
}

#[test]
fn schemas_do_not_share_what_was_found() {
    let (_, lexicon) = lexicon();
    let (first, same) = (example(), example());
    let at = after_all(&first, "{\"");
    assert!(Arc::ptr_eq(&lexicon.allowed(&first, at), &lexicon.allowed(&same, at)));
    let json = after(Json::BEGIN, "{\"").unwrap();
    assert_ne!(lexicon.allowed(&first, at), lexicon.allowed(&AnyObject, json));
    let other = lexicon.allowed(&renamed(), at);
    assert_ne!(lexicon.allowed(&first, at), other, "at the same place");
}

fn after_all<A: Automaton>(form: &A, text: &str) -> A::At {
    text.bytes().try_fold(form.begin(), |at, byte| form.with(at, byte)).unwrap()
}

#[test]
fn an_answer_is_whole_when_its_tokens_are() {
    let (tokenizer, lexicon) = lexicon();
    let mut answer = Held::new(Arc::new(lexicon), example());
    for token in tokenizer.encode(GOOD[1]).unwrap() {
        assert!(!answer.is_whole() && answer.allowed().contains(&token));
        answer.take(token);
    }
    assert!(answer.is_whole() && answer.allowed().is_empty());
}

#[test]
fn single_bytes_are_found_among_the_tokens() {
    let all: [(&[u8], u32); 6] =
        [(b"a", 3), (b"ab", 1), (b"b\xc3", 0), (b"\xc3", 2), (b"c", 4), (b"c", 5)];
    let all = all.map(|(bytes, token)| (Box::<[u8]>::from(bytes), token));
    let lexicon = Lexicon::of(all.into());
    for byte in 0..=255 {
        assert_eq!(lexicon.has(byte), [b'a', b'c', 0xc3].contains(&byte), "{byte}");
    }
}
