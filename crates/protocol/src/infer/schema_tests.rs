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

#[test]
fn the_largest_ones_fit_and_none_is_read_before_it_is_counted() {
    // As many fields as there can be, the longest texts, and the shortest of the rest.
    let fields = (1..64).map(|node| field(&format!("{node:03}"), node)).collect();
    let mut texts: Vec<String> = (0..64).map(|number| format!("{number:03}")).collect();
    let mut nodes = vec![object(fields)];
    for choice in 0..3_usize {
        nodes.push(plain(Kind::Enum(texts.clone())));
        texts[choice].push_str(&"x".repeat(200));
    }
    nodes.resize(MAX_NODES, Node { kind: Kind::Boolean, or_null: true });
    let schema = Schema::new(nodes).unwrap();
    let bytes = encode(&schema);
    assert!(bytes.len() <= MAX_SCHEMA_BYTES, "{}", bytes.len());
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
}

#[test]
fn schemas_differ_in_their_hashes() {
    let of = |nodes: Vec<Node>| Schema::new(nodes).unwrap().hash();
    let base = || vec![object(vec![field("a", 1)]), plain(Kind::Number)];
    let mut others = vec![base()];
    let changes: [fn(&mut Vec<Node>); 4] = [
        |nodes| nodes[1].kind = Kind::Integer,
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

proptest! {
    #[test]
    fn any_bytes_are_a_schema_or_refused(bytes in proptest::collection::vec(0_u8..9, 0..200)) {
        if let Ok(schema) = decode::<Schema>(&bytes, MAX_SCHEMA_BYTES) {
            prop_assert_eq!(encode(&schema), bytes);
        }
    }
}
