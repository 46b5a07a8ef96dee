//! What `response_format` holds answers to.

use serde::Deserialize;
use serde_json::value::RawValue;
use tilth_client::infer::schema::compile;
use tilth_protocol::infer::Form;

use super::ApiError;

const FIELD: &str = "response_format";

/// `response_format` as it was written. The schema stays in the body until it is known to be wanted.
#[derive(Deserialize)]
pub(super) struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    json_schema: Option<&'a RawValue>,
}

/// A schema with its name and how strictly it is followed; here it always is.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

pub(super) fn form(format: Option<ResponseFormat<'_>>) -> Result<Form, ApiError> {
    let Some(format) = format else { return Ok(Form::Text) };
    match format.kind.as_str() {
        "text" => Ok(Form::Text),
        "json_object" => Ok(Form::JsonObject),
        "json_schema" => held(format.json_schema),
        _ => {
            let text = "`response_format` must be `text`, `json_object` or `json_schema`.";
            Err(ApiError::field(FIELD, text))
        }
    }
}

fn held(json_schema: Option<&RawValue>) -> Result<Form, ApiError> {
    let named = json_schema.map(|raw| serde_json::from_str::<Named<'_>>(raw.get())).transpose();
    let named = named.map_err(|error| {
        let text = format!("`response_format.json_schema` is not as it must be: {error}.");
        ApiError::field(FIELD, text)
    })?;
    let Some(schema) = named.and_then(|named| named.schema) else {
        let text = "`response_format.json_schema.schema` is missing. For any object the type is `json_object`.";
        return Err(ApiError::field(FIELD, text));
    };
    let schema = compile(schema.get()).map_err(|error| {
        let text = format!("`response_format.json_schema.{}`: {}.", error.path, error.why);
        ApiError::field(FIELD, text)
    })?;
    Ok(Form::Schema(Box::new(schema)))
}
