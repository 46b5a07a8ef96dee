use serde_json::Value;

use super::*;
use crate::infer::lexicon::{NEEDED, NEEDED_IN_BOUNDS};

fn plain(kind: Kind) -> Node {
    Node { kind, or_null: false }
}

fn field(key: &str, node: u8, required: bool) -> Field {
    Field { key: key.to_owned(), node, required }
}

fn texts(texts: &[&str]) -> Kind {
    Kind::Enum(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Of every kind; keys and texts that begin alike, and some that may be left out.
pub(crate) fn example_schema() -> Schema {
    let whole = vec![
        field("name", 1, true),
        field("nam", 2, false),
        field("size", 3, false),
        field("parts", 4, true),
        field("na", 9, false),
    ];
    let part = vec![field("on", 6, false), field("at", 7, false), field("deep", 8, false)];
    let nodes = vec![
        plain(Kind::Object(whole)),
        plain(Kind::String),
        plain(Kind::Integer),
        Node { kind: texts(&["s", "sm", "é"]), or_null: true },
        plain(Kind::Array(5)),
        plain(Kind::Object(part)),
        plain(Kind::Boolean),
        plain(Kind::Number),
        plain(Kind::Array(10)),
        plain(Kind::Null),
        Node { kind: Kind::String, or_null: true },
    ];
    Schema::new(nodes).unwrap()
}

pub(crate) fn example() -> Shape {
    Shape::new(example_schema())
}

/// Numbers below a bound, the same in every run.
pub(crate) fn draws() -> impl FnMut(usize) -> usize {
    let mut state = 1_u64;
    move |most| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % most
    }
}

/// Any schema: an object of up to four fields, and so on inwards.
fn any_schema(draw: &mut impl FnMut(usize) -> usize) -> Schema {
    const TEXTS: [&str; 7] = ["a", "ab", "abc", "b", "é", "", "a b"];
    let mut nodes = vec![plain(Kind::Object(vec![]))];
    let mut depths = vec![1];
    let mut number = 0;
    while number < nodes.len() {
        let inside = match nodes[number].kind {
            Kind::Object(_) if nodes.len() < 20 => draw(5),
            Kind::Array(_) => 1,
            _ => 0,
        };
        let first = u8::try_from(nodes.len()).unwrap();
        for _ in 0..inside {
            let ends = depths[number] > 5 || nodes.len() > 20;
            let kind = match draw(if ends { 7 } else { 11 }) {
                0 => some_texts(&TEXTS, draw),
                1 => Kind::String,
                2 => Kind::Number,
                3 => Kind::Integer,
                4 => Kind::Boolean,
                5 => Kind::Null,
                6 => some_bounds(draw),
                7 | 8 => Kind::Array(0),
                _ => Kind::Object(vec![]),
            };
            nodes.push(Node { kind, or_null: draw(3) == 0 });
            depths.push(depths[number] + 1);
        }
        let (start, inside) = (draw(TEXTS.len()), u8::try_from(inside).unwrap());
        match &mut nodes[number].kind {
            Kind::Object(fields) => {
                let key = |place: u8| TEXTS[(start + usize::from(place)) % TEXTS.len()];
                *fields = (0..inside)
                    .map(|place| field(key(place), first + place, draw(2) == 0))
                    .collect();
            }
            Kind::Array(items) => *items = first,
            _ => {}
        }
        number += 1;
    }
    Schema::new(nodes).unwrap()
}

fn some_texts(all: &[&str], draw: &mut impl FnMut(usize) -> usize) -> Kind {
    let count = 1 + draw(all.len());
    texts(&all[all.len() - count..])
}

fn some_bounds(draw: &mut impl FnMut(usize) -> usize) -> Kind {
    let ends =
        [i64::MIN, 1 - (1 << 53), -1000, -37, -1, 0, 1, 9, 10, 255, 1 << 53, i64::MAX].map(Some);
    let (one, other) = (draw(ends.len()), draw(ends.len()));
    let (least, most) = (ends[one.min(other)], ends[one.max(other)]);
    Kind::Bounded(match draw(4) {
        0 => Bounds { least, most: None },
        1 => Bounds { least: None, most },
        _ => Bounds { least, most },
    })
}

/// Whether a value is what a schema says, as those judge it who know no bytes.
fn keeps(schema: &Schema, node: u8, value: &Value) -> bool {
    let Node { kind, or_null } = schema.node(node).unwrap();
    match (kind, value) {
        (_, Value::Null) => *or_null || *kind == Kind::Null,
        (Kind::Object(fields), Value::Object(found)) => {
            let known = |key: &String| fields.iter().any(|field| field.key == *key);
            let field_keeps = |field: &Field| match found.get(&field.key) {
                Some(value) => keeps(schema, field.node, value),
                None => !field.required,
            };
            found.keys().all(known) && fields.iter().all(field_keeps)
        }
        (Kind::Array(items), Value::Array(found)) => {
            found.iter().all(|value| keeps(schema, *items, value))
        }
        (Kind::Enum(texts), Value::String(found)) => texts.contains(found),
        (Kind::Bounded(bounds), Value::Number(found)) => match found.as_i64() {
            Some(number) => bounds.contains(number),
            // Longer than any bound.
            None if found.as_f64().unwrap() > 0.0 => bounds.most.is_none(),
            None => bounds.least.is_none(),
        },
        (Kind::String, Value::String(_))
        | (Kind::Number | Kind::Integer, Value::Number(_))
        | (Kind::Boolean, Value::Bool(_)) => true,
        _ => false,
    }
}

/// Whether it is read, and is what the schema says; numbers that only we cannot hold are numbers.
fn is_read(shape: &Shape, text: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => keeps(&shape.schema, WHOLE, &value),
        Err(error) => error.to_string().starts_with("number out of range"),
    }
}

/// Whether an answer may begin so.
pub(crate) fn begins(shape: &Shape, text: &[u8]) -> bool {
    after(shape, text).is_some()
}

fn after(shape: &Shape, text: &[u8]) -> Option<At> {
    text.iter().try_fold(At::BEGIN, |at, byte| shape.with(at, *byte))
}

pub(crate) fn is_whole(shape: &Shape, text: &[u8]) -> bool {
    after(shape, text).is_some_and(|at| shape.is_whole(at))
}

pub(crate) const GOOD: &[&str] = &[
    r#"{"name":"x","parts":[]}"#,
    r#"{"name":"x","nam":-12,"size":"sm","parts":[{},{"on":true}],"na":null}"#,
    r#"{"name":"","parts":[{"at":1.5e3,"deep":["a",null,""]},{"deep":[]},{"at":-0}]}"#,
    "{\n  \"name\" : \"\\u00e9\" ,\r\n\t\"size\" : null , \"parts\" : [ ] }",
    r#"{"name":"é€😀","size":"é","parts":[{"on":false,"at":0,"deep":["]}"]}]}"#,
    r#"{"name":"\"","nam":0,"size":"s","parts":[{"at":2E-7}]}"#,
];

const BAD: &[&str] = &[
    "",
    "{}",
    "[]",
    " {\"name\":\"x\",\"parts\":[]}",
    "{\"name\":\"x\",\"parts\":[]} ",
    r#"{"parts":[]}"#,
    r#"{"name":"x"}"#,
    r#"{"name":"x",}"#,
    r#"{"name":"x","size":"s"}"#,
    r#"{"nam":1,"name":"x","parts":[]}"#,
    r#"{"parts":[],"name":"x"}"#,
    r#"{"name":"x","name":"x","parts":[]}"#,
    r#"{"name":"x","parts":[],"parts":[]}"#,
    r#"{"name":"x","parts":[],"nam":1}"#,
    r#"{"name":"x","parts":[],}"#,
    r#"{"name":"x","parts":[],"na":null,}"#,
    r#"{"name":"x","parts":[],"more":1}"#,
    r#"{"name":"x","n":1,"parts":[]}"#,
    r#"{"\u006eame":"x","parts":[]}"#,
    r#"{"name":x,"parts":[]}"#,
    r#"{"name":1,"parts":[]}"#,
    r#"{"name":null,"parts":[]}"#,
    r#"{"name":"x","nam":1.0,"parts":[]}"#,
    r#"{"name":"x","nam":1e2,"parts":[]}"#,
    r#"{"name":"x","nam":-,"parts":[]}"#,
    r#"{"name":"x","nam":null,"parts":[]}"#,
    r#"{"name":"x","size":"","parts":[]}"#,
    r#"{"name":"x","size":"m","parts":[]}"#,
    r#"{"name":"x","size":"smm","parts":[]}"#,
    r#"{"name":"x","size":true,"parts":[]}"#,
    r#"{"name":"x","parts":{}}"#,
    r#"{"name":"x","parts":[[]]}"#,
    r#"{"name":"x","parts":[{},]}"#,
    r#"{"name":"x","parts":[{"at":"1"}]}"#,
    r#"{"name":"x","parts":[{"on":nul}]}"#,
    r#"{"name":"x","parts":[{"deep":[true]}]}"#,
];

#[test]
fn answers_are_followed_to_their_end_and_nothing_else_is() {
    let shape = example();
    for text in GOOD {
        assert!(is_read(&shape, text.as_bytes()) && is_whole(&shape, text.as_bytes()), "{text}");
        for cut in 0..text.len() {
            let begun = after(&shape, &text.as_bytes()[..cut]);
            assert!(begun.is_some_and(|at| !shape.is_whole(at)), "{text} to {cut}");
        }
    }
    for text in BAD {
        assert!(!is_whole(&shape, text.as_bytes()), "{text}");
    }
}

#[test]
fn whatever_is_changed_is_taken_only_if_it_still_keeps_to_the_schema() {
    let shape = example();
    for text in GOOD {
        for at in 0..text.len() {
            for byte in 0..=255 {
                let mut other = text.as_bytes().to_vec();
                other[at] = byte;
                let fine = !is_whole(&shape, &other) || is_read(&shape, &other);
                assert!(fine, "{text} with {byte} at {at}");
            }
        }
    }
}

/// Wherever an answer is, bytes that every such model has as tokens end it, and then it is what the schema says.
#[test]
fn any_walk_in_any_schema_can_come_to_an_end_and_keeps_to_it() {
    let mut draw = draws();
    for walk in 0..600 {
        let shape = if walk % 8 == 0 { example() } else { Shape::new(any_schema(&mut draw)) };
        let literals: Vec<u8> = shape.schema.literals().flat_map(str::bytes).collect();
        let is_token = |byte: u8| {
            let needed = NEEDED.contains(&byte) || NEEDED_IN_BOUNDS.contains(&byte);
            needed || (0x80..=0xbf).contains(&byte) || literals.contains(&byte)
        };
        let long = draw(120);
        let (mut at, mut text) = (shape.begin(), Vec::new());
        for step in 0.. {
            assert!(step < 5000, "no end of {:?}", String::from_utf8_lossy(&text));
            // As long as nobody wants it to end; then the shortest way.
            let ends = step > long;
            let may = |byte: &u8| shape.with(at, *byte).is_some() && (!ends || is_token(*byte));
            let some: Vec<u8> = (0..=255).filter(may).collect();
            assert!(!some.is_empty(), "nothing may follow {:?}", String::from_utf8_lossy(&text));
            let closing = b"\"}]:,".iter().copied().find(|byte| ends && may(byte));
            let byte = closing.unwrap_or_else(|| some[draw(some.len())]);
            text.push(byte);
            at = shape.with(at, byte).unwrap();
            if shape.is_whole(at) {
                break;
            }
        }
        assert!((0..=255).all(|byte| shape.with(at, byte).is_none()));
        assert!(is_read(&shape, &text), "{:?}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn the_deepest_and_the_longest_are_followed() {
    let most = u8::try_from(MAX_NESTED).unwrap();
    // Lists in each other, in an object.
    let mut nodes = vec![plain(Kind::Object(vec![field(&"k".repeat(255), 1, true)]))];
    nodes.extend((1..most).map(|number| plain(Kind::Array(number + 1))));
    nodes.push(plain(texts(&[&"t".repeat(254), &"t".repeat(255)])));
    let shape = Shape::new(Schema::new(nodes).unwrap());
    let lists = usize::from(most) - 1;
    let text = |key: usize, word: usize| {
        let (key, word) = ("k".repeat(key), "t".repeat(word));
        format!("{{\"{key}\":{}\"{word}\"{}}}", "[".repeat(lists), "]".repeat(lists))
    };
    for word in [254, 255] {
        assert!(is_whole(&shape, text(255, word).as_bytes()), "{word}");
    }
    for (key, word) in [(254, 255), (256, 255), (255, 253), (255, 256)] {
        assert!(!is_whole(&shape, text(key, word).as_bytes()), "{key} {word}");
    }
    let shape = example();
    let spaced = |count: usize| format!("{{\"name\":{}\"\",\"parts\":[]}}", " ".repeat(count));
    let most = usize::from(MAX_SPACES);
    assert!(is_whole(&shape, spaced(most).as_bytes()));
    assert!(!is_whole(&shape, spaced(most + 1).as_bytes()));
}

/// As many fields as an object can have, all but the last left out.
#[test]
fn all_fields_of_the_largest_object_may_come() {
    let key = |node: u8| format!("k{node}");
    let mut nodes =
        vec![plain(Kind::Object((1..64).map(|node| field(&key(node), node, false)).collect()))];
    nodes.resize(64, plain(Kind::Null));
    let shape = Shape::new(Schema::new(nodes).unwrap());
    assert!(is_whole(&shape, b"{}") && is_whole(&shape, b"{\"k63\":null}"));
    let all: Vec<String> = (1..64).map(|node| format!("\"{}\":null", key(node))).collect();
    assert!(is_whole(&shape, format!("{{{}}}", all.join(",")).as_bytes()));
    assert!(!is_whole(&shape, b"{\"k63\":null,\"k1\":null}"));
}

/// A whole number from -5 to 300, and maybe one as large as programs take them for whole ones.
pub(crate) fn bounded_schema() -> Schema {
    let safe = (1 << 53) - 1;
    let few = Kind::Bounded(Bounds { least: Some(-5), most: Some(300) });
    let many = Kind::Bounded(Bounds { least: Some(-safe), most: Some(safe) });
    let fields = vec![field("n", 1, true), field("m", 2, false)];
    let nodes = vec![plain(Kind::Object(fields)), plain(few), Node { kind: many, or_null: true }];
    Schema::new(nodes).unwrap()
}

#[test]
fn whole_numbers_keep_within_their_bounds() {
    let shape = Shape::new(bounded_schema());
    for good in [
        r#"{"n":-5}"#,
        r#"{"n": 0 }"#,
        "{\"n\":300\n}",
        r#"{"n":299,"m":null}"#,
        r#"{"n":7,"m":-9007199254740991}"#,
        r#"{"n":31,"m":9007199254740991}"#,
    ] {
        assert!(is_read(&shape, good.as_bytes()) && is_whole(&shape, good.as_bytes()), "{good}");
    }
    for bad in ["-6", "-0", "301", "3000", "007", "1.0", "1e2", "-", "", "null", "\"1\"", "1 2"] {
        let bad = format!("{{\"n\":{bad}}}");
        assert!(!is_whole(&shape, bad.as_bytes()), "{bad}");
    }
    for bad in ["9007199254740992", "-9007199254740992", "10000000000000000"] {
        let bad = format!("{{\"n\":1,\"m\":{bad}}}");
        assert!(!is_whole(&shape, bad.as_bytes()), "{bad}");
    }
}

/// Not the [`example`]: its first key is another.
pub(crate) fn renamed() -> Shape {
    let mut nodes = Vec::<Node>::from(example().schema);
    nodes[0] = plain(Kind::Object(vec![field("other", 1, true)]));
    nodes.truncate(2);
    Shape::new(Schema::new(nodes).unwrap())
}

/// As many objects and lists in each other as there may be; some of the objects have one more field.
pub(crate) fn deep() -> Shape {
    let most = u8::try_from(MAX_NESTED).unwrap();
    let object = |number: u8| {
        let more = field("b", most + 1 + number / 4, false);
        let more = number.is_multiple_of(4).then_some(more);
        Kind::Object([field("a", number + 1, true)].into_iter().chain(more).collect())
    };
    let kind = |number: u8| {
        if number.is_multiple_of(2) { object(number) } else { Kind::Array(number + 1) }
    };
    let mut nodes: Vec<Node> = (0..most).map(|number| plain(kind(number))).collect();
    nodes.resize(MAX_NESTED + 1 + MAX_NESTED / 4, plain(Kind::Boolean));
    Shape::new(Schema::new(nodes).unwrap())
}

/// An answer in [`deep`] with all that there may be.
pub(crate) fn deepest() -> String {
    let mut text = "{\"a\":[".repeat(MAX_NESTED / 2) + "true,false";
    for number in (0..MAX_NESTED).step_by(2).rev() {
        text += if number.is_multiple_of(4) { "],\"b\":true}" } else { "]}" };
    }
    text
}
