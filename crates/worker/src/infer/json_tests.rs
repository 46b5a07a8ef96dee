use super::*;

fn after(text: &[u8]) -> Option<Json> {
    text.iter().try_fold(Json::BEGIN, |json, byte| json.with(*byte))
}

fn is_whole(text: &[u8]) -> bool {
    after(text).is_some_and(Json::is_whole)
}

/// Whether it is an object to those who read JSON; numbers that only we cannot hold are numbers.
fn is_read(text: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(value) => value.is_object(),
        Err(error) => error.to_string().starts_with("number out of range"),
    }
}

const GOOD: [&str; 9] = [
    "{}",
    "{ }",
    r#"{"a":1}"#,
    "{\n  \"a\": [1, -0.5e+3, 2E9, 0, 10, -1.25],\r\n\t\"b\": {\"c\": null}\n}",
    r#"{"":true,"\"\\\/\b\f\n\r\t\u00e9\uD7fF\u0000":false}"#,
    r#"{"e":[[],[{}],[[["x"]]]]}"#,
    "{\"é€😀\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\":\"\u{7f}\"}",
    r#"{"a":[true,false,null,""]}"#,
    r#"{"a":1 , "a" : 2}"#,
];

const BAD: [&str; 22] = [
    "",
    "{",
    "[]",
    "1",
    "\"a\"",
    " {}",
    "{} ",
    "{}{}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\":01}",
    "{\"a\":1.}",
    "{\"a\":-}",
    "{\"a\":.5}",
    "{\"a\":+1}",
    "{\"a\":1e}",
    "{\"a\":tru}",
    "{\"a\":[1}",
    "{\"a\":\"\n\"}",
];

#[test]
fn objects_are_followed_to_their_end_and_nothing_else_is() {
    for text in GOOD {
        assert!(is_read(text.as_bytes()) && is_whole(text.as_bytes()), "{text}");
        for cut in 0..text.len() {
            let begun = after(&text.as_bytes()[..cut]);
            assert!(begun.is_some_and(|json| !json.is_whole()), "{text} to {cut}");
        }
    }
    for text in BAD {
        assert!(!is_whole(text.as_bytes()), "{text}");
    }
    // Half a surrogate, which not everybody reads, and bytes that are no text.
    for text in [&b"{\"\\ud83d\":1}"[..], b"{\"\xff\":1}", b"{\"\xc3\":1}", b"{\"\xed\xa0\x80\":1}"]
    {
        assert!(!is_whole(text), "{text:?}");
    }
}

#[test]
fn whatever_is_changed_is_taken_only_if_it_is_still_an_object() {
    for text in GOOD {
        for at in 0..text.len() {
            for byte in 0..=255 {
                let mut other = text.as_bytes().to_vec();
                other[at] = byte;
                assert!(!is_whole(&other) || is_read(&other), "{text} with {byte} at {at}");
            }
        }
    }
}

#[test]
fn any_walk_can_come_to_an_end_and_its_end_is_an_object() {
    let mut state = 1_u64;
    let mut draw = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % most
    };
    let mut ended = 0;
    for _ in 0..400 {
        let (mut json, mut text) = (Json::BEGIN, Vec::new());
        // As long as nobody wants it to end; then the shortest way.
        for step in 0..4000 {
            let may = |byte: &u8| json.with(*byte).is_some();
            let some: Vec<u8> = (0..=255).filter(may).collect();
            assert!(!some.is_empty(), "nothing may follow {:?}", String::from_utf8_lossy(&text));
            let closing = b"\"}]:".iter().copied().find(|byte| step > 100 && may(byte));
            let byte = closing.unwrap_or_else(|| some[draw(some.len())]);
            text.push(byte);
            json = json.with(byte).unwrap();
            if json.is_whole() {
                break;
            }
        }
        if json.is_whole() {
            assert!(is_read(&text), "{:?}", String::from_utf8_lossy(&text));
            ended += 1;
        }
    }
    assert!(ended > 300, "{ended}");
}

#[test]
fn depth_and_white_space_have_bounds() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let most = usize::from(MAX_DEPTH);
    assert!(is_whole(nested(most).as_bytes()));
    assert!(!is_whole(nested(most + 1).as_bytes()));
    let spaced = |count: usize| format!("{{{}}}", " ".repeat(count));
    let most = usize::from(MAX_SPACES);
    assert!(is_whole(spaced(most).as_bytes()));
    assert!(!is_whole(spaced(most + 1).as_bytes()));
}
