use tilth_protocol::infer::{Parameters, Prompt};

use super::*;

fn candidate(letter: u8, log_probability: i32) -> Candidate {
    Candidate { token: letter.into(), bytes: vec![letter], log_probability }
}

fn whole(kind: Kind) -> Value {
    let likely = Some((candidate(b'a', -65_536), vec![candidate(b'b', 0)]));
    let said = vec![Said { token: 97, likely }];
    let answer = Whole { said, text: "a".into(), end: Some(End::Stop), ..Whole::default() };
    let head =
        Head { kind, id: "x".into(), created: 7, model: "m".into(), fingerprint: "f".into() };
    let wanted = Wanted {
        model: "m".into(),
        prompt: Prompt::Text("once ".into()),
        parameters: Parameters::default(),
        most_said: Some("max_tokens"),
        n: 2,
        stream: false,
        include_usage: false,
        echo: true,
        dimensions: None,
    };
    let answers = [answer, Whole { text: "b".into(), ..Whole::default() }];
    serde_json::to_value(head.body(&wanted, &answers)).unwrap()
}

#[test]
fn whole_bodies_have_the_shape_that_clients_know() {
    let b = json!({ "token": "b", "logprob": 0.0, "bytes": [98] });
    let a = json!({ "token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [b] });
    let choice = |index: u32, logprobs: Value, reason: Value| {
        json!({
            "index": index,
            "logprobs": logprobs,
            "finish_reason": reason,
            "tilth": { "receipt": null },
        })
    };
    let said = |text: &str| json!({ "role": "assistant", "content": text, "refusal": null });
    let mut choices = json!([
        choice(0, json!({ "content": [a], "refusal": null }), "stop".into()),
        choice(1, Value::Null, Value::Null)
    ]);
    choices[0]["message"] = said("a");
    choices[1]["message"] = said("b");
    let usage = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
    let mut due = json!({
        "id": "x",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "system_fingerprint": "f",
        "choices": choices,
        "usage": usage,
    });
    assert_eq!(whole(Kind::Chat), due);
    let logprobs = json!({
        "tokens": ["a"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{ "b": 0.0 }],
    });
    let mut choices =
        json!([choice(0, logprobs, "stop".into()), choice(1, Value::Null, Value::Null)]);
    choices[0]["text"] = "once a".into();
    choices[1]["text"] = "once b".into();
    (due["object"], due["choices"]) = ("text_completion".into(), choices);
    assert_eq!(whole(Kind::Text), due);
}
