use super::*;

fn plain(kind: Kind) -> Node {
    Node { kind, or_null: false }
}

fn or_null(kind: Kind) -> Node {
    Node { kind, or_null: true }
}

fn field(key: &str, node: u8, required: bool) -> Field {
    Field { key: key.to_owned(), node, required }
}

fn words(words: &[&str]) -> Kind {
    Kind::Enum(words.iter().map(|word| (*word).to_owned()).collect())
}

fn nodes(text: &str) -> Vec<Node> {
    compile(text).unwrap_or_else(|error| panic!("{error}: {text}")).into()
}

#[test]
fn schemas_become_trees_in_the_order_in_which_they_are_written() {
    let text = r#"{
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Animal", "type": "object",
        "properties": {
            "zebra": {"type": "string", "description": "first as written", "default": "z"},
            "age": {"type": ["integer", "null"]},
            "kind": {"enum": ["cat", "dog", null], "type": ["string", "null"]},
            "likes": {"type": "array", "items": {
                "type": "object", "properties": {"what": {"const": "fish"}, "much": {"type": "number"}},
                "additionalProperties": false
            }},
            "alive": {"type": "boolean"},
            "none": {"type": "null"}
        },
        "required": ["alive", "zebra"], "additionalProperties": false
    }"#;
    let whole = vec![
        field("zebra", 1, true),
        field("age", 2, false),
        field("kind", 3, false),
        field("likes", 4, false),
        field("alive", 8, true),
        field("none", 9, false),
    ];
    let liked = vec![field("what", 6, false), field("much", 7, false)];
    let expected = vec![
        plain(Kind::Object(whole)),
        plain(Kind::String),
        or_null(Kind::Integer),
        or_null(words(&["cat", "dog"])),
        plain(Kind::Array(5)),
        plain(Kind::Object(liked)),
        plain(words(&["fish"])),
        plain(Kind::Number),
        plain(Kind::Boolean),
        plain(Kind::Null),
    ];
    assert_eq!(nodes(text), expected);
}

/// As the official clients write what a program has classes for.
#[test]
fn definitions_are_put_in_and_null_is_taken_out_of_choices() {
    let text = r##"{
        "$defs": {
            "Step": {"type": "object", "title": "Step", "properties": {
                "text": {"type": "string"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null}
            }, "required": ["text", "note"], "additionalProperties": false},
            "Steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}}
        },
        "type": "object", "properties": {
            "first": {"$ref": "#/$defs/Step", "description": "the first"},
            "more": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Steps"}]}
        }, "required": ["first", "more"], "additionalProperties": false
    }"##;
    let step = |text, note| {
        plain(Kind::Object(vec![field("text", text, true), field("note", note, true)]))
    };
    let expected = vec![
        plain(Kind::Object(vec![field("first", 1, true), field("more", 4, true)])),
        step(2, 3),
        plain(Kind::String),
        or_null(Kind::String),
        or_null(Kind::Array(5)),
        step(6, 7),
        plain(Kind::String),
        or_null(Kind::String),
    ];
    assert_eq!(nodes(text), expected);
}

fn bounded(least: Option<i64>, most: Option<i64>) -> Kind {
    Kind::Bounded(Bounds { least, most })
}

/// What is made of one property.
fn property(value: &str) -> Node {
    nodes(&format!(r#"{{"type":"object","properties":{{"a":{value}}}}}"#)).remove(1)
}

#[test]
fn whole_numbers_have_the_narrowest_of_their_bounds() {
    let of = |more: &str| property(&format!(r#"{{"type":"integer"{more}}}"#));
    assert_eq!(of(""), plain(Kind::Integer));
    // As zod writes `z.int()`, and pydantic a `PositiveInt`.
    let safe = 9_007_199_254_740_991;
    let safely = of(r#","minimum":-9007199254740991,"maximum":9007199254740991"#);
    assert_eq!(safely, plain(bounded(Some(-safe), Some(safe))));
    assert_eq!(of(r#","exclusiveMinimum":0"#), plain(bounded(Some(1), None)));
    assert_eq!(of(r#","maximum":-7,"title":"cold""#), plain(bounded(None, Some(-7))));
    let all = r#","minimum":0,"exclusiveMinimum":-1,"maximum":10,"exclusiveMaximum":10"#;
    assert_eq!(of(all), plain(bounded(Some(0), Some(9))));
    let ends = r#","minimum":-9223372036854775808,"maximum":9223372036854775807"#;
    assert_eq!(of(ends), plain(bounded(Some(i64::MIN), Some(i64::MAX))));
    let one = r#","exclusiveMinimum":4,"exclusiveMaximum":6"#;
    assert_eq!(of(one), plain(bounded(Some(5), Some(5))));
    let nullable = property(r#"{"type":["integer","null"],"minimum":1}"#);
    assert_eq!(nullable, or_null(bounded(Some(1), None)));
    let chosen = property(r#"{"anyOf":[{"type":"integer","maximum":3},{"type":"null"}]}"#);
    assert_eq!(chosen, or_null(bounded(None, Some(3))));
}

#[test]
fn null_is_taken_only_where_everything_says_so() {
    let of = property;
    assert_eq!(of(r#"{"enum":["x",null]}"#), or_null(words(&["x"])));
    assert_eq!(of(r#"{"enum":["x",null],"type":"string"}"#), plain(words(&["x"])));
    assert_eq!(of(r#"{"enum":["x"],"type":["null","string"]}"#), plain(words(&["x"])));
    assert_eq!(of(r#"{"const":"x","type":["string","null"]}"#), plain(words(&["x"])));
    assert_eq!(of(r#"{"type":["boolean"]}"#), plain(Kind::Boolean));
    // As some releases of pydantic write a choice of one.
    assert_eq!(of(r#"{"const":"x","enum":["x"],"type":"string"}"#), plain(words(&["x"])));
}

#[test]
fn what_cannot_be_followed_is_refused_by_its_path() {
    let refused = |text: &str, path: &str| {
        let error = compile(text).expect_err(path);
        assert_eq!(error.path, path, "{error}: {text}");
    };
    for text in ["", "[]", "true", "{", r#"{"type":"object","type":"object"}"#, "{}", "{} {}"] {
        refused(text, "schema");
    }
    let string = r#"{"type":"string"}"#;
    refused(string, "schema");
    refused(r#"{"type":"object"}"#, "schema.properties");
    refused(r#"{"type":"object","properties":[]}"#, "schema.properties");
    refused(r#"{"type":["object","null"],"properties":{}}"#, "schema");
    let closed = |more: &str| format!(r#"{{"type":"object","properties":{{}},{more}}}"#);
    compile(&closed(r#""additionalProperties":false"#)).unwrap();
    for open in ["true", "{}", string] {
        let text = closed(&format!(r#""additionalProperties":{open}"#));
        refused(&text, "schema.additionalProperties");
    }
    refused(&closed(r#""required":["a"]"#), "schema.required");
    refused(&closed(r#""required":"a""#), "schema.required");
    refused(&closed(r#""required":[1]"#), "schema.required");
    refused(&closed(r#""patternProperties":{}"#), "schema.patternProperties");
    for (value, path) in [
        ("true", ""),
        ("{}", ""),
        (r#"{"type":"text"}"#, ".type"),
        (r#"{"type":5}"#, ".type"),
        (r#"{"type":[]}"#, ".type"),
        (r#"{"type":["string","integer"]}"#, ".type"),
        (r#"{"type":["null","null"]}"#, ".type"),
        (r#"{"type":"string","pattern":"a+"}"#, ".pattern"),
        (r#"{"type":"string","format":"date"}"#, ".format"),
        (r#"{"type":"string","minLength":1}"#, ".minLength"),
        (r#"{"type":"number","minimum":0}"#, ".minimum"),
        (r#"{"type":"string","enum":[]}"#, ""),
        (r#"{"enum":["a",1]}"#, ".enum"),
        (r#"{"enum":"a"}"#, ".enum"),
        (r#"{"type":"integer","enum":[1]}"#, ".enum"),
        (r#"{"const":1}"#, ".const"),
        (r#"{"const":"a","enum":["a","b"]}"#, ".enum"),
        (r#"{"const":"a","enum":["b"]}"#, ".enum"),
        (r#"{"const":"a","enum":"a"}"#, ".enum"),
        (r#"{"const":"a","enum":["a"],"pattern":"a"}"#, ".pattern"),
        (r#"{"type":"array"}"#, ".items"),
        (r#"{"type":"array","items":false}"#, ".items"),
        (r#"{"type":"array","items":{"type":"string"},"minItems":1}"#, ".minItems"),
        (r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, ".anyOf"),
        (r#"{"anyOf":[{"type":"string"},{"type":"null","enum":[]}]}"#, ".anyOf"),
        (r#"{"anyOf":[{"type":"null"}]}"#, ".anyOf"),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}],"type":"string"}"#, ".type"),
        (r#"{"oneOf":[]}"#, ".oneOf"),
        (r#"{"allOf":[{"type":"string"}]}"#, ".allOf"),
        (r#"{"not":{}}"#, ".not"),
        (r##"{"$ref":"#/$defs/None"}"##, ".$ref"),
        (r#"{"$ref":"https://example.org/schema"}"#, ".$ref"),
        (r##"{"$ref":"#"}"##, ".$ref"),
        (r#"{"$ref":5}"#, ".$ref"),
    ] {
        let text = format!(r#"{{"type":"object","properties":{{"a":{value}}}}}"#);
        // An empty choice is of the whole: nothing is known of paths where bounds are checked.
        let empty = value.contains(r#""enum":[]"#) && !value.contains("anyOf");
        let path = if empty { "schema".to_owned() } else { format!("schema.properties.a{path}") };
        refused(&text, &path);
    }
}

#[test]
fn schemas_have_bounds() {
    let text = |count: usize| {
        let all: Vec<_> = (0..count).map(|n| format!(r#""f{n}":{{"type":"null"}}"#)).collect();
        format!(r#"{{"type":"object","properties":{{{}}}}}"#, all.join(","))
    };
    assert_eq!(nodes(&text(63)).len(), 64);
    assert_eq!(compile(&text(64)).unwrap_err().path, "schema.properties");
    let chosen = |count: usize| {
        let texts: Vec<_> = (0..count).map(|n| format!("\"{n}\"")).collect();
        let texts = texts.join(",");
        format!(r#"{{"type":"object","properties":{{"a":{{"enum":[{texts},null]}}}}}}"#)
    };
    assert!(nodes(&chosen(64))[1].or_null);
    // The path says which one, and nothing is made of it.
    assert_eq!(compile(&chosen(65)).unwrap_err().path, "schema.properties.a.enum");
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(MAX_WRITTEN_BYTES));
    assert!(compile(&long).unwrap_err().why.contains("bytes"));
    let endless = r##"{"type":"object","properties":{"me":{"$ref":"#/$defs/A"}},"$defs":{"A":
        {"type":"array","items":{"$ref":"#/$defs/A"}}}}"##;
    let error = compile(endless).unwrap_err();
    assert!(error.path == "schema.$defs.A.items" && error.why.contains("itself"), "{error}");
    let circle = r##"{"type":"object","properties":{"me":{"$ref":"#/$defs/A"}},"$defs":{"A":
        {"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}}}"##;
    assert!(compile(circle).unwrap_err().why.contains("nowhere"));
    let deep = format!("{}{}", r#"{"items":"#.repeat(1000), "}".repeat(1000));
    assert_eq!(compile(&deep).unwrap_err().path, "schema");
    for key in ["a\\\"b", "a\\\\b", "a\\nb"] {
        let text = format!(r#"{{"type":"object","properties":{{"{key}":{{"type":"null"}}}}}}"#);
        assert!(compile(&text).unwrap_err().why.contains("quotes"), "{key}");
    }
}

#[test]
fn bounds_that_no_integer_has_are_refused_by_their_path() {
    for (value, path) in [
        (r#"{"type":"integer","minimum":0.5}"#, ".minimum"),
        (r#"{"type":"integer","minimum":"0"}"#, ".minimum"),
        (r#"{"type":"integer","minimum":1e3}"#, ".minimum"),
        (r#"{"type":"integer","maximum":9223372036854775808}"#, ".maximum"),
        (r#"{"type":"integer","minimum":-9223372036854775809}"#, ".minimum"),
        (r#"{"type":"integer","exclusiveMinimum":true}"#, ".exclusiveMinimum"),
        (r#"{"type":"integer","exclusiveMinimum":9223372036854775807}"#, ".exclusiveMinimum"),
        (r#"{"type":"integer","exclusiveMaximum":-9223372036854775808}"#, ".exclusiveMaximum"),
        (r#"{"type":"integer","minimum":2,"exclusiveMaximum":2}"#, ""),
        (r#"{"type":"integer","minimum":0,"multipleOf":2}"#, ".multipleOf"),
        (r#"{"minimum":0}"#, ".minimum"),
    ] {
        let text = format!(r#"{{"type":"object","properties":{{"a":{value}}}}}"#);
        let error = compile(&text).expect_err(value);
        assert_eq!(error.path, format!("schema.properties.a{path}"), "{error}: {value}");
    }
}
