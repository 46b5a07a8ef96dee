use tilth_protocol::infer::{
    Form, Message,
    schema::{Field, Kind as Shape, Node},
};

use super::*;

fn chat(more: &str) -> Result<Wanted, ApiError> {
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#);
    read(Kind::Chat, body.as_bytes(), 77)
}

#[test]
fn numbers_become_fixed_point_and_defaults_are_the_known_ones() {
    let wanted = chat("").unwrap();
    let parameters = &wanted.parameters;
    assert_eq!((parameters.temperature, parameters.top_p, parameters.most), (65_536, 65_536, 1024));
    assert_eq!((parameters.seed, wanted.n, wanted.most_said), (77, 1, None));
    assert_eq!(parameters.top_k, 0);
    let more =
        r#","temperature":0.7,"top_p":0.9,"top_k":40,"max_tokens":5,"seed":-1,"n":3,"stop":"x""#;
    let wanted = chat(more).unwrap();
    let parameters = &wanted.parameters;
    assert_eq!((parameters.temperature, parameters.top_p), (45_875, 58_982));
    assert_eq!(parameters.top_k, 40);
    assert_eq!((parameters.most, parameters.seed, wanted.n), (5, u64::MAX, 3));
    assert_eq!((&parameters.stops[..], &parameters.form), (&["x".to_owned()][..], &Form::Text));
    let object = chat(r#","response_format":{"type":"json_object"}"#).unwrap();
    assert_eq!(object.parameters.form, Form::JsonObject);
    let text = read(Kind::Text, br#"{"model":"m","prompt":["a"],"logprobs":2}"#, 0).unwrap();
    assert_eq!((text.prompt, text.parameters.most), (Prompt::Text("a".into()), 16));
    assert_eq!(text.parameters.alternatives, Some(2));
    let parts = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#;
    let parts = read(Kind::Chat, parts.as_bytes(), 0).unwrap();
    assert_eq!(
        parts.prompt,
        Prompt::Chat(vec![Message { role: "user".into(), content: "ab".into() }])
    );
}

#[test]
fn schemas_are_read_as_they_are_written() {
    let asked = r#","response_format":{"type":"json_schema","json_schema":{"name":"animal","strict":true,"description":"an animal","schema":{
        "type":"object","properties":{"name":{"type":"string"},"kind":{"enum":["cat","dog"]}},"required":["name","kind"],"additionalProperties":false}}}"#;
    let Form::Schema(schema) = chat(asked).unwrap().parameters.form else { panic!("no schema") };
    let plain = |kind| Node { kind, or_null: false };
    let field = |key: &str, node| Field { key: key.to_owned(), node, required: true };
    let expected = vec![
        plain(Shape::Object(vec![field("name", 1), field("kind", 2)])),
        plain(Shape::String),
        plain(Shape::Enum(vec!["cat".into(), "dog".into()])),
    ];
    assert_eq!(Vec::<Node>::from(*schema), expected);
    // How strictly it is to be followed changes nothing.
    let loose = asked.replace("\"strict\":true", "\"strict\":false");
    assert_eq!(chat(asked).unwrap().parameters, chat(&loose).unwrap().parameters);
}

#[test]
fn whoever_checks_an_answer_finds_the_prompt_that_was_answered() {
    let chat = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":null}]}"#;
    let text = br#"{"model":"m","prompt":["once"],"max_tokens":3}"#;
    let embed = br#"{"model":"m","input":["once",""]}"#;
    prompt_of(embed).unwrap_err();
    let embed = br#"{"model":"m","input":["once","upon"]}"#;
    assert_eq!(prompt_of(embed).unwrap(), embed::read(embed).unwrap().0.prompt);
    // What a chat does not know is ignored there, and so it is here.
    let both = br#"{"model":"m","prompt":"once","input":"upon"}"#;
    assert_eq!(prompt_of(both).unwrap(), Prompt::Text("once".into()));
    for (kind, body) in [(Kind::Chat, &chat[..]), (Kind::Text, &text[..])] {
        assert_eq!(prompt_of(body).unwrap(), read(kind, body, 0).unwrap().prompt);
    }
    prompt_of(b"{}").unwrap_err();
}

#[test]
fn of_a_question_with_prompts_of_several_shapes_that_one_is_found_that_was_answered() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"prompt":"once","input":"upon"}"#;
    let chat = read(Kind::Chat, body, 0).unwrap().prompt;
    let text = read(Kind::Text, body, 0).unwrap().prompt;
    let embed = embed::read(body).unwrap().0.prompt;
    for prompt in [&chat, &text, &embed] {
        assert_eq!(prompt_with(body, &prompt.hash()).unwrap(), *prompt);
    }
    assert_eq!(prompt_with(body, &[0; 32]).unwrap(), prompt_of(body).unwrap());
    // One shape that is none does not hide the other.
    let odd = br#"{"model":"m","messages":5,"input":"upon"}"#;
    assert_eq!(prompt_with(odd, &embed.hash()).unwrap(), embed);
    prompt_with(odd, &[0; 32]).unwrap_err();
    prompt_with(b"{}", &[0; 32]).unwrap_err();
}

#[test]
fn whoever_checks_an_answer_finds_how_it_was_to_be_made() {
    let asked = |body: &str, prompt: &Prompt, made: &Parameters| {
        parameters_with(body.as_bytes(), prompt, made).unwrap()
    };
    let form = r#""response_format":{"type":"json_object"}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"prompt":"once","n":2,{form}}}"#
    );
    let read = |kind| read(kind, body.as_bytes(), 5).unwrap();
    let (chat, text) = (read(Kind::Chat), read(Kind::Text));
    for wanted in [&chat, &text] {
        // Cut by a gateway, and the second of two.
        let made = Parameters { most: 3, stream: 1, ..wanted.parameters.clone() };
        assert_eq!(asked(&body, &wanted.prompt, &made), made);
        for other in [
            Parameters { form: Form::Text, ..made.clone() },
            Parameters { temperature: 0, ..made.clone() },
            // More than there are by default, and one more than were asked for.
            Parameters { most: wanted.parameters.most + 1, ..made.clone() },
            Parameters { stream: 2, ..made.clone() },
        ] {
            assert_ne!(asked(&body, &wanted.prompt, &other), other);
        }
        let seeded = body.replace("\"n\":2", "\"n\":2,\"seed\":6");
        assert_eq!(asked(&seeded, &wanted.prompt, &made), Parameters { seed: 6, ..made.clone() });
        // Nobody cuts an answer whose length was said.
        let said = body.replace("\"n\":2", "\"n\":2,\"max_tokens\":4");
        for (most, due) in [(3, 4), (4, 4), (5, 4)] {
            let made = Parameters { most, ..made.clone() };
            assert_eq!(asked(&said, &wanted.prompt, &made), Parameters { most: due, ..made });
        }
    }
    let inputs = r#"{"model":"m","input":["once"],"response_format":5}"#;
    let prompt = prompt_of(inputs.as_bytes()).unwrap();
    assert_eq!(asked(inputs, &prompt, &Parameters::NONE), Parameters::NONE);
}

#[test]
fn what_clients_say_without_meaning_it_is_taken() {
    let harmless = r#","tool_choice":"auto","function_call":"none","tools":[],"reasoning_effort":null,"modalities":["text"],"repetition_penalty":1,"min_p":0,"top_k":0,"echo":false,"response_format":{"type":"text"},"logit_bias":{},"best_of":1,"suffix":"","frequency_penalty":0,"functions":[]"#;
    let (plain, same) = (chat("").unwrap(), chat(harmless).unwrap());
    assert_eq!((plain.parameters, plain.echo), (same.parameters, same.echo));
}

#[test]
fn absurd_questions_are_refused_by_name() {
    for (more, field) in [
        (r#","temperature":1e300"#, "temperature"),
        (r#","temperature":-1"#, "temperature"),
        (r#","top_p":1.5"#, "top_p"),
        (r#","max_tokens":0"#, "max_tokens"),
        (r#","max_tokens":99999999999"#, "max_tokens"),
        (r#","max_completion_tokens":0"#, "max_completion_tokens"),
        (r#","max_tokens":0,"max_completion_tokens":-1"#, "max_completion_tokens"),
        (r#","n":1000000"#, "n"),
        (r#","stop":["a","b","c","d","e"]"#, "stop"),
        (r#","stop":{"a":1}"#, "stop"),
        (r#","stop":"""#, "stop"),
        (r#","stop":["a",""]"#, "stop"),
        (r#","logprobs":"yes""#, "logprobs"),
        (r#","logprobs":3"#, "logprobs"),
        (r#","logit_bias":{"5":1}"#, "logit_bias"),
        (r#","top_logprobs":5"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs"),
        (r#","logprobs":true,"top_logprobs":-1"#, "top_logprobs"),
        (r#","tools":[{}]"#, "tools"),
        (r#","response_format":{"type":"json_schema","json_schema":{}}"#, "response_format"),
        (r#","response_format":{"type":"json_schema","json_schema":5}"#, "response_format"),
        (r#","response_format":{"type":"xml"}"#, "response_format"),
        (r#","presence_penalty":1"#, "presence_penalty"),
        (r#","frequency_penalty":-0.5"#, "frequency_penalty"),
        (r#","best_of":2"#, "best_of"),
        (r#","n":3,"best_of":1"#, "best_of"),
        (r#","suffix":"x""#, "suffix"),
        (r#","functions":[{}]"#, "functions"),
        (r#","repetition_penalty":1.1"#, "repetition_penalty"),
        (r#","min_p":0.05"#, "min_p"),
        (r#","top_k":-1"#, "top_k"),
        (r#","tool_choice":"required""#, "tool_choice"),
        (r#","tool_choice":{"type":"function"}"#, "tool_choice"),
        (r#","function_call":{"name":"f"}"#, "function_call"),
        (r#","reasoning_effort":"high""#, "reasoning_effort"),
        (r#","modalities":["text","audio"]"#, "modalities"),
        (r#","echo":true"#, "echo"),
    ] {
        let error = chat(more).expect_err(more);
        assert_eq!(error.param.as_deref(), Some(field), "{more}: {error:?}");
    }
}

#[test]
fn bodies_that_are_no_questions_are_refused() {
    for body in [&b"{"[..], b"", b"[]", b"{\"model\":5}", b"\xff\xfe{}", b"{\"model\":\"m\"}"] {
        assert_eq!(read(Kind::Chat, body, 0).unwrap_err().status, 400);
        assert_eq!(read(Kind::Text, body, 0).unwrap_err().status, 400);
    }
    for field in [
        r#""name":"bob""#,
        r#""tool_calls":[{"id":"x"}]"#,
        r#""function_call":{"name":"f"}"#,
        r#""tool_call_id":"x""#,
    ] {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi",{field}}}]}}"#);
        let error = read(Kind::Chat, body.as_bytes(), 0).unwrap_err();
        let name = field.split('"').nth(1).unwrap();
        assert!(error.message.contains(&format!("`{name}`")), "{error:?}");
    }
    let plain = r#"{"model":"m","messages":[{"role":"assistant","content":"hi","name":null,"tool_calls":[],"refusal":null}]}"#;
    assert!(read(Kind::Chat, plain.as_bytes(), 0).is_ok());
    let echoed = br#"{"model":"m","prompt":"x","echo":true,"logprobs":1}"#;
    let error = read(Kind::Text, echoed, 0).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("echo"));
    let many = vec![r#"{"role":"user","content":"hi"}"#; 1025].join(",");
    let body = format!(r#"{{"model":"m","messages":[{many}]}}"#);
    let error = read(Kind::Chat, body.as_bytes(), 0).unwrap_err();
    assert!(error.param.as_deref() == Some("messages") && error.message.contains("more than 1024"));
    let schema = chat(r#","response_format":{"type":"json_schema"}"#).unwrap_err();
    assert!(schema.message.contains("`json_object`"), "{schema:?}");
    let odd = r#","response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object","properties":{"a":{"type":"string","pattern":"b"}}}}}"#;
    let odd = chat(odd).unwrap_err();
    let path = "`response_format.json_schema.schema.properties.a.pattern`";
    assert!(odd.param.as_deref() == Some("response_format") && odd.message.contains(path));
    let image = br#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
    assert!(read(Kind::Chat, image, 0).is_err());
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"model":"m","prompt":{deep}}}"#);
    assert!(read(Kind::Text, body.as_bytes(), 0).is_err());
}

#[test]
fn what_is_out_of_bounds_is_named_by_the_field_that_it_came_in() {
    let long = "x".repeat((1 << 20) + 1);
    let body = format!(r#"{{"model":"m","prompt":"{long}"}}"#);
    let error = read(Kind::Text, body.as_bytes(), 0).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("prompt"));
    assert_eq!(prompt_of(body.as_bytes()).unwrap_err().param.as_deref(), Some("prompt"));
    let body = br#"{"model":"m","messages":[{"role":"U","content":"hi"}]}"#;
    let error = read(Kind::Chat, body, 0).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
    let error = chat(&format!(r#","stop":"{}""#, "x".repeat(257))).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("stop"));
    let error = read(Kind::Text, br#"{"model":"m","prompt":"x","logprobs":21}"#, 0).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("logprobs"));
    let wanted = chat(r#","max_tokens":5,"max_completion_tokens":7"#).unwrap();
    assert_eq!(
        (wanted.parameters.most, wanted.most_field()),
        (7, "max_completion_tokens"),
        "what comes later names it as well"
    );
}
