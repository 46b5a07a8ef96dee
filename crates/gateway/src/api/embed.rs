//! Embeddings: reading questions for them, and writing what comes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tilth_protocol::infer::{
    Input, Parameters, Prompt, SignedReceipt, check_question,
    embed::{MAX_INPUTS, single},
};

use super::{
    ApiError, Wanted,
    request::{parse, whole_number},
    values::AtMost,
};

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a list.
    Float,
    /// As the bytes of single-precision numbers, the lowest byte first.
    Base64,
}

#[derive(Deserialize)]
struct Body<'a> {
    model: String,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    encoding_format: Option<String>,
    dimensions: Option<i64>,
}

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Result<(Wanted, Format), ApiError> {
    let Body { model, input, encoding_format, dimensions } = parse(body)?;
    let prompt = prompt(input)?;
    let format = match encoding_format.as_deref() {
        None | Some("float") => Format::Float,
        Some("base64") => Format::Base64,
        Some(_) => {
            let text = "`encoding_format` must be `float` or `base64`.";
            return Err(ApiError::field("encoding_format", text));
        }
    };
    let dimensions = dimensions
        .map(|number| whole_number("dimensions", Some(number), 1, u32::MAX, 0))
        .transpose()?;
    let wanted = Wanted {
        model,
        prompt,
        parameters: Parameters::NONE,
        // Their number bounds what comes.
        most_said: Some("input"),
        n: 1,
        stream: false,
        include_usage: false,
        echo: false,
        dimensions,
    };
    Ok((wanted, format))
}

fn prompt(input: Option<&RawValue>) -> Result<Prompt, ApiError> {
    let input = input.ok_or_else(|| ApiError::field("input", "`input` is missing."))?;
    let prompt = Prompt::Inputs(inputs(input.get())?);
    check_question(&prompt, &Parameters::NONE)
        .map_err(|error| ApiError::field("input", error.to_string()))?;
    Ok(prompt)
}

/// A text, a list of texts, a list of tokens, or a list of such lists. Which of them it is, its first letters say: so
/// only one form is tried, and of a list that is too long no more is read.
fn inputs(json: &str) -> Result<Vec<Input>, ApiError> {
    let refused = |error: serde_json::Error| {
        let text = format!(
            "`input` must be a text, a list of texts, a list of tokens, or a list of such lists: {error}."
        );
        ApiError::field("input", text)
    };
    let json = json.trim_start();
    let Some(list) = json.strip_prefix('[') else {
        let text = serde_json::from_str(json).map_err(refused)?;
        return Ok(vec![Input::Text(text)]);
    };
    let list = list.trim_start();
    if list.starts_with('"') {
        let texts: AtMost<String, MAX_INPUTS> = serde_json::from_str(json).map_err(refused)?;
        return Ok(texts.0.into_iter().map(Input::Text).collect());
    }
    if list.starts_with('[') {
        let lists: AtMost<Vec<u32>, MAX_INPUTS> = serde_json::from_str(json).map_err(refused)?;
        return Ok(lists.0.into_iter().map(Input::Tokens).collect());
    }
    let tokens: Vec<u32> = serde_json::from_str(json).map_err(refused)?;
    Ok(vec![Input::Tokens(tokens)])
}

/// The prompt of a question for embeddings.
pub(super) fn prompt_of(body: &[u8]) -> Result<Prompt, ApiError> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        input: Option<&'a RawValue>,
    }
    let fields: Fields<'_> = parse(body)?;
    prompt(fields.input)
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<One<'a>>,
    model: &'a str,
    usage: Usage,
    tilth: Beside<'a>,
}

#[derive(Serialize)]
struct One<'a> {
    object: &'static str,
    index: usize,
    embedding: Shown<'a>,
}

/// An embedding that is converted while it is written.
struct Shown<'a>(&'a [i32], Format);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = self.0.iter().map(|element| single(*element));
        match self.1 {
            Format::Float => serializer.collect_seq(numbers),
            Format::Base64 => {
                let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
        }
    }
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

#[derive(Serialize)]
struct Beside<'a> {
    receipt: &'a SignedReceipt,
}

/// The whole reply. It borrows the embeddings, which are converted while it is written.
pub(crate) fn body<'a>(
    model: &'a str,
    embeddings: &'a [Vec<i32>],
    receipt: &'a SignedReceipt,
    format: Format,
) -> impl Serialize + use<'a> {
    let all = embeddings.iter().enumerate();
    let data = all.map(|(index, embedding)| One {
        object: "embedding",
        index,
        embedding: Shown(embedding, format),
    });
    let tokens = receipt.receipt.prompt_tokens;
    Answer {
        object: "list",
        data: data.collect(),
        model,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        tilth: Beside { receipt },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(more: &str) -> Result<(Wanted, Format), ApiError> {
        read(format!(r#"{{"model":"m"{more}}}"#).as_bytes())
    }

    fn text(text: &str) -> Input {
        Input::Text(text.into())
    }

    #[test]
    fn all_four_forms_of_inputs_are_read() {
        let cases: [(&str, Vec<Input>); 4] = [
            (r#" "once""#, vec![text("once")]),
            (r#"[ "a" , "b\n"]"#, vec![text("a"), text("b\n")]),
            ("[5, 6]", vec![Input::Tokens(vec![5, 6])]),
            ("[[5],[6,7]]", vec![Input::Tokens(vec![5]), Input::Tokens(vec![6, 7])]),
        ];
        for (json, inputs) in cases {
            let (wanted, format) = asked(&format!(r#","input":{json},"user":"me""#)).unwrap();
            assert_eq!((wanted.prompt, format), (Prompt::Inputs(inputs), Format::Float), "{json}");
            assert_eq!((wanted.parameters, wanted.dimensions), (Parameters::NONE, None));
        }
        let (wanted, format) =
            asked(r#","input":"a","encoding_format":"base64","dimensions":384"#).unwrap();
        assert_eq!((format, wanted.dimensions), (Format::Base64, Some(384)));
    }

    #[test]
    fn absurd_questions_are_refused_by_name() {
        let many = format!(r#","input":[{}"a"]"#, r#""a","#.repeat(2048));
        let deep = format!(r#","input":{}5{}"#, "[".repeat(100_000), "]".repeat(100_000));
        let long = format!(r#","input":"{}""#, "x".repeat((1 << 20) + 1));
        for (more, field) in [
            ("", "input"),
            (r#","input":null"#, "input"),
            (r#","input":"""#, "input"),
            (r#","input":[]"#, "input"),
            (r#","input":["a",""]"#, "input"),
            (r#","input":["a",5]"#, "input"),
            (r#","input":[[5],"a"]"#, "input"),
            (r#","input":[[]]"#, "input"),
            (r#","input":[-1]"#, "input"),
            (r#","input":[1.5]"#, "input"),
            (r#","input":[4294967296]"#, "input"),
            (r#","input":{"a":1}"#, "input"),
            (r#","input":5"#, "input"),
            (many.as_str(), "input"),
            (deep.as_str(), "input"),
            (long.as_str(), "input"),
            (r#","input":"a","encoding_format":"int8""#, "encoding_format"),
            (r#","input":"a","dimensions":0"#, "dimensions"),
        ] {
            let error = asked(more).expect_err(field);
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(field)));
        }
        for body in [&b""[..], b"[]", b"{\"input\":\"a\"}", b"\xff"] {
            assert_eq!(read(body).unwrap_err().status, 400);
        }
    }

    #[test]
    fn numbers_are_the_same_in_both_forms() {
        // Six tenths and minus eight tenths.
        let embedding = [644_245_094, -858_993_459, 0, 1];
        let text = serde_json::to_string(&Shown(&embedding, Format::Float)).unwrap();
        let numbers: Vec<f32> = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers, [0.6, -0.8, 0.0, 2_f32.powi(-30)]);
        let text = serde_json::to_string(&Shown(&embedding, Format::Base64)).unwrap();
        let text: String = serde_json::from_str(&text).unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        let again = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert_eq!(again.collect::<Vec<_>>(), numbers);
    }
}
