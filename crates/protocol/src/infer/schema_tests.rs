use proptest::prelude::*;

use super::*;
use crate::{decode, encode};

fn plain(kind: Kind) -> Node {
    Node { kind, or_null: false }
}

fn field(key: &str, node: u8) -> Field {
    Field { key: key.to_owned(), node, required: true }
}

fn object(fields: Vec<Field>) -> Node {
    plain(Kind::Object(fields))
}

/// Objects inside each other, each the only field of the one around it.
fn nested(depth: u8) -> Vec<Node> {
    let inner = (1..depth).map(|number| object(vec![field("a", number)]));
    inner.chain([object(vec![])]).collect()
}

fn refused(nodes: Vec<Node>, names: &str) {
    // What is refused when it is made is refused when it is read.
    let bytes = encode(&nodes);
    let error = Schema::new(nodes).expect_err(names).to_string();
    assert!(error.contains(names), "{error}");
    let read = decode::<Schema>(&bytes, 1 << 20).expect_err(names);
    assert!(read.to_string().contains("values") || read.to_string().contains(names), "{read}");
}

#[test]
fn what_is_no_small_tree_is_refused() {
    refused(vec![], "number of a schema's values");
    refused(vec![plain(Kind::String)], "whole");
    refused(vec![Node { kind: Kind::Object(vec![]), or_null: true }], "whole");
    refused(vec![object(vec![]); MAX_NODES + 1], "number of a schema's values");
    refused(vec![object(vec![]), plain(Kind::Null)], "number 1");
    refused(vec![object(vec![field("a", 0)])], "number 0 in number 0");
    refused(vec![object(vec![field("a", 1)])], "number 1 in number 0");
    let twice = object(vec![field("a", 1), field("b", 1)]);
    refused(vec![twice, plain(Kind::Null)], "number 1 in number 0");
    let back = vec![object(vec![field("a", 1)]), plain(Kind::Array(1))];
    refused(back, "number 1 in number 1");
    let most = u8::try_from(MAX_NESTED).unwrap();
    Schema::new(nested(most)).unwrap();
    refused(nested(most + 1), "depth");
}

#[test]
fn keys_and_texts_have_bounds() {
    let keyed = |keys: &[&str]| {
        let fields = (1..).zip(keys).map(|(node, key)| field(key, node)).collect();
        let mut nodes = vec![object(fields)];
        nodes.resize(keys.len() + 1, plain(Kind::Null));
        nodes
    };
    Schema::new(keyed(&["", "a", "b c", "é"])).unwrap();
    for odd in ["a\"", "a\\", "a\n", "\u{7f}", "\u{85}"] {
        refused(keyed(&[odd]), "without quotes");
    }
    refused(keyed(&["a", "b", "a"]), "another than those beside it");
    Schema::new(keyed(&[&"k".repeat(MAX_LITERAL_BYTES)])).unwrap();
    refused(keyed(&[&"k".repeat(MAX_LITERAL_BYTES + 1)]), "at most 255 bytes");
    let chosen = |texts: Vec<Vec<String>>| {
        let count = u8::try_from(texts.len()).unwrap();
        let keys: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        let fields = (1..).zip(&keys).map(|(node, key)| field(key, node)).collect();
        let choices = texts.into_iter().map(|texts| plain(Kind::Enum(texts)));
        std::iter::once(object(fields)).chain(choices).collect::<Vec<Node>>()
    };
    let count = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    Schema::new(chosen(vec![count(MAX_CHOICES)])).unwrap();
    refused(chosen(vec![count(MAX_CHOICES + 1)]), "choice's texts");
    refused(chosen(vec![vec![]]), "choice's texts");
    refused(chosen(vec![vec!["x".into(), "x".into()]]), "another than those beside it");
    refused(chosen(vec![count(64), count(64), count(64), count(61)]), "number of a schema's keys");
    let long = |letter: char| vec![letter.to_string().repeat(250)];
    let all: Vec<_> = "abcdefghi".chars().map(long).collect();
    Schema::new(chosen(all[..8].to_vec())).unwrap();
    refused(chosen(all), "length of a schema's keys");
}

fn bounded(least: Option<i64>, most: Option<i64>) -> Kind {
    Kind::Bounded(Bounds { least, most })
}

#[test]
fn integers_have_at_least_one_bound_and_a_number_between_two() {
    let of = |least, most| vec![object(vec![field("a", 1)]), plain(bounded(least, most))];
    for (least, most) in [
        (Some(5), Some(5)),
        (Some(i64::MIN), Some(i64::MAX)),
        (Some(i64::MAX), None),
        (None, Some(i64::MIN)),
    ] {
        Schema::new(of(least, most)).unwrap();
    }
    refused(of(None, None), "an integer's range");
    refused(of(Some(6), Some(5)), "an integer's range");
    let bounds = Bounds { least: Some(-2), most: Some(3) };
    let found: Vec<i64> = (-9..9).filter(|number| bounds.contains(*number)).collect();
    assert_eq!(found, [-2, -1, 0, 1, 2, 3]);
    let above = Bounds { most: None, ..bounds };
    let below = Bounds { least: None, ..bounds };
    assert!(above.contains(i64::MAX) && !above.contains(-3));
    assert!(below.contains(i64::MIN) && !below.contains(4));
}

/// As many fields and choices' texts as three choices allow, all bytes that they may have, and the largest numbers.
fn largest() -> Schema {
    let fields: Vec<Field> = (1..64).map(|node| field(&format!("{node:03}"), node)).collect();
    let mut spare = MAX_ALL_LITERAL_BYTES - 3 * (fields.len() + 3 * MAX_CHOICES);
    let mut nodes = vec![object(fields)];
    for _ in 0..3 {
        let mut texts = Vec::new();
        for number in 0..MAX_CHOICES {
            let more = spare.min(MAX_LITERAL_BYTES - 3);
            spare -= more;
            texts.push(format!("{number:03}{}", "x".repeat(more)));
        }
        nodes.push(plain(Kind::Enum(texts)));
    }
    nodes.resize(MAX_NODES, plain(bounded(Some(i64::MIN), Some(i64::MIN + 1))));
    Schema::new(nodes).unwrap()
}

#[test]
fn the_largest_ones_fit_and_none_is_read_before_it_is_counted() {
    let schema = largest();
    let bytes = encode(&schema);
    // The bound takes every value for an integer, but the object and the choices are none; it takes every value for a
    // field's, but the whole is nobody's; and for one more text there would have to be a choice more.
    let spare = 4 * (NODE_BYTES - 6) + FIELD_BYTES + 4;
    assert_eq!(bytes.len() + spare, MAX_SCHEMA_BYTES);
    assert_eq!(decode::<Schema>(&bytes, MAX_SCHEMA_BYTES), Ok(schema));
    let endless = [&u32::MAX.to_le_bytes()[..], &[7, 0]].concat();
    let error = decode::<Schema>(&endless, 100).unwrap_err().to_string();
    assert!(error.contains("4294967295 values"), "{error}");
}

/// They are in receipts.
#[test]
fn the_bytes_of_a_schema_are_these() {
    let nodes = vec![
        object(vec![field("a", 1), Field { required: false, ..field("é", 2) }]),
        Node { kind: Kind::Enum(vec!["x".into()]), or_null: true },
        plain(Kind::Array(3)),
        plain(Kind::Null),
    ];
    let bytes = [
        &[4, 0, 0, 0][..],
        &[0, 2, 0, 0, 0, 1, 0, 0, 0, b'a', 1, 1, 2, 0, 0, 0, 0xc3, 0xa9, 2, 0, 0],
        &[2, 1, 0, 0, 0, 1, 0, 0, 0, b'x', 1],
        &[1, 3, 0],
        &[7, 0],
    ];
    assert_eq!(encode(&Schema::new(nodes).unwrap()), bytes.concat());
    let nodes = vec![
        object(vec![field("a", 1), field("b", 2)]),
        plain(bounded(Some(-2), Some(258))),
        plain(bounded(None, Some(0))),
    ];
    let bytes = [
        &[3, 0, 0, 0][..],
        &[0, 2, 0, 0, 0, 1, 0, 0, 0, b'a', 1, 1, 1, 0, 0, 0, b'b', 2, 1, 0],
        &[8, 1, 0xfe, 255, 255, 255, 255, 255, 255, 255, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0],
        &[8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(encode(&Schema::new(nodes).unwrap()), bytes.concat());
}

#[test]
fn schemas_differ_in_their_hashes() {
    let of = |nodes: Vec<Node>| Schema::new(nodes).unwrap().hash();
    let base = || vec![object(vec![field("a", 1)]), plain(Kind::Number)];
    let mut others = vec![base()];
    let changes: [fn(&mut Vec<Node>); 7] = [
        |nodes| nodes[1].kind = Kind::Integer,
        |nodes| nodes[1].kind = bounded(Some(1), None),
        |nodes| nodes[1].kind = bounded(None, Some(1)),
        |nodes| nodes[1].kind = bounded(Some(1), Some(1)),
        |nodes| nodes[1].or_null = true,
        |nodes| nodes[0] = object(vec![field("b", 1)]),
        |nodes| nodes[0] = object(vec![Field { required: false, ..field("a", 1) }]),
    ];
    for change in changes {
        let mut nodes = base();
        change(&mut nodes);
        others.push(nodes);
    }
    let hashes: BTreeSet<Hash> = others.into_iter().map(of).collect();
    assert_eq!(hashes.len(), changes.len() + 1);
}

/// One of every kind.
fn every_kind() -> Schema {
    let fields = ["a", "ab", "é", "d", "e", "f", "g"];
    let fields = (1..).zip(fields).map(|(node, key)| field(key, node)).collect();
    let nodes = vec![
        object(fields),
        plain(Kind::String),
        Node { kind: Kind::Enum(vec!["x".into(), "xyz".into()]), or_null: true },
        plain(Kind::Array(8)),
        plain(Kind::Number),
        plain(Kind::Integer),
        plain(bounded(Some(-7), Some(300))),
        plain(bounded(Some(1), None)),
        object(vec![Field { required: false, ..field("k", 9) }, field("l", 10)]),
        plain(Kind::Boolean),
        plain(Kind::Null),
    ];
    Schema::new(nodes).unwrap()
}

/// Whether they are a schema: then its bytes are these and no others.
fn is_read(bytes: &[u8]) -> bool {
    let Ok(schema) = decode::<Schema>(bytes, MAX_SCHEMA_BYTES) else { return false };
    assert_eq!(encode(&schema), bytes);
    true
}

#[test]
fn whatever_byte_is_changed_they_are_a_schema_with_these_bytes_or_refused() {
    let bytes = encode(&every_kind());
    assert!(is_read(&bytes));
    let mut read = 0;
    for place in 0..bytes.len() {
        for byte in 0..=255 {
            let mut other = bytes.clone();
            other[place] = byte;
            read += usize::from(is_read(&other));
        }
    }
    // Any letter of a key or text, and most bytes of a bound.
    assert!(read > 3000, "{read} of {}", 256 * bytes.len());
    for cut in 0..bytes.len() {
        assert!(!is_read(&bytes[..cut]), "{cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_schema_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..9), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        more in proptest::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut bytes = encode(&every_kind());
        for (place, byte) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if let Some(cut) = cut {
            bytes.remove(cut.index(bytes.len()));
        }
        bytes.extend(more);
        is_read(&bytes);
    }
}
