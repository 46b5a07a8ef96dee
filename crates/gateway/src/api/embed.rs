//! Embeddings: reading questions for them, and writing what comes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use tilth_protocol::infer::{
    Input, Parameters, Prompt, SignedReceipt, check_question, embed::EMBEDDING_FRACTION,
};

use super::{
    ApiError, Wanted,
    request::{parse, whole_number},
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
struct Body {
    model: String,
    input: Option<Box<RawValue>>,
    encoding_format: Option<String>,
    dimensions: Option<i64>,
}

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Result<(Wanted, Format), ApiError> {
    let Body { model, input, encoding_format, dimensions } = parse(body)?;
    let prompt = prompt(input.as_deref())?;
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
        most_said: true,
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
/// only one form is tried. Lists of many short ones take up to fourteen times the memory of their text until they are counted.
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
        let texts: Vec<String> = serde_json::from_str(json).map_err(refused)?;
        return Ok(texts.into_iter().map(Input::Text).collect());
    }
    if list.starts_with('[') {
        let lists: Vec<Vec<u32>> = serde_json::from_str(json).map_err(refused)?;
        return Ok(lists.into_iter().map(Input::Tokens).collect());
    }
    let tokens: Vec<u32> = serde_json::from_str(json).map_err(refused)?;
    Ok(vec![Input::Tokens(tokens)])
}

/// The prompt of a question, if it is one for embeddings.
pub(super) fn prompt_of(body: &[u8]) -> Result<Option<Prompt>, ApiError> {
    #[derive(Deserialize)]
    struct Shape {
        input: Option<Box<RawValue>>,
        messages: Option<IgnoredAny>,
        prompt: Option<IgnoredAny>,
    }
    let shape: Shape = parse(body)?;
    if shape.input.is_none() || shape.messages.is_some() || shape.prompt.is_some() {
        return Ok(None);
    }
    prompt(shape.input.as_deref()).map(Some)
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<One>,
    model: &'a str,
    usage: Usage,
    tilth: Beside<'a>,
}

#[derive(Serialize)]
struct One {
    object: &'static str,
    index: usize,
    embedding: Shown,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Numbers(Vec<f32>),
    Bytes(String),
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

/// An element in single precision, as `tilth_tensor::encoder::to_f32` rounds it. What the receipt hashes is the integer.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to single precision is what is wanted"
)]
fn single(element: i32) -> f32 {
    (f64::from(element) / f64::from(1_u32 << EMBEDDING_FRACTION)) as f32
}

fn shown(embedding: &[i32], format: Format) -> Shown {
    let numbers = embedding.iter().map(|element| single(*element));
    match format {
        Format::Float => Shown::Numbers(numbers.collect()),
        Format::Base64 => {
            let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
            Shown::Bytes(STANDARD.encode(bytes))
        }
    }
}

/// The whole reply.
///
/// # Errors
/// Those of the writer, which has none.
pub(crate) fn body(
    model: &str,
    embeddings: &[Vec<i32>],
    receipt: &SignedReceipt,
    format: Format,
) -> serde_json::Result<Vec<u8>> {
    let one = |(index, embedding): (usize, &Vec<i32>)| One {
        object: "embedding",
        index,
        embedding: shown(embedding, format),
    };
    let tokens = receipt.receipt.prompt_tokens;
    serde_json::to_vec(&Answer {
        object: "list",
        data: embeddings.iter().enumerate().map(one).collect(),
        model,
        usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        tilth: Beside { receipt },
    })
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
    fn numbers_are_the_same_in_both_forms_and_of_length_one() {
        // Six tenths and minus eight tenths.
        let embedding = [644_245_094, -858_993_459, 0, 1];
        let Shown::Numbers(numbers) = shown(&embedding, Format::Float) else { panic!() };
        assert_eq!(numbers, [0.6, -0.8, 0.0, 2_f32.powi(-30)]);
        let Shown::Bytes(text) = shown(&embedding, Format::Base64) else { panic!() };
        let bytes = STANDARD.decode(text).unwrap();
        let again = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert_eq!(again.collect::<Vec<_>>(), numbers);
    }
}
