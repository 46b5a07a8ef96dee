//! JSON schemas as people and their programs write them, made into what answers are held to.
//!
//! What would constrain an answer and cannot be followed is refused by its path, so that nobody believes an answer to
//! keep to what it does not. References are put in where they stand, so one that leads to itself has no end and is
//! refused.

use tilth_protocol::infer::schema::{Bounds, Field, Kind, MAX_CHOICES, MAX_NODES, Node, Schema};

use super::json::Json;

/// Most bytes of a schema as it is written.
pub const MAX_WRITTEN_BYTES: usize = 64 << 10;
/// Most references and choices between a value and null in a row.
const MAX_HOPS: usize = 16;
/// What says something about a value and does not change what it may be, as far as it stands in the schema itself.
const REMARKS: &[&str] = &[
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
];

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct SchemaError {
    /// Where in it, from `schema` on.
    pub path: String,
    /// What is wrong there.
    pub why: String,
}

fn wrong<T>(path: impl Into<String>, why: impl Into<String>) -> Result<T, SchemaError> {
    Err(SchemaError { path: path.into(), why: why.into() })
}

/// The fields of an object.
type Fields = [(String, Json)];

fn get<'a>(fields: &'a Fields, key: &str) -> Option<&'a Json> {
    fields.iter().find(|(other, _)| other == key).map(|(_, value)| value)
}

/// Nothing else than remarks and these may be there.
fn only(fields: &Fields, path: &str, known: &[&str]) -> Result<(), SchemaError> {
    let strange = |key: &&str| !REMARKS.contains(key) && !known.contains(key);
    match fields.iter().map(|(key, _)| key.as_str()).find(strange) {
        Some(key) => wrong(format!("{path}.{key}"), "this cannot be followed here"),
        None => Ok(()),
    }
}

/// Whether it is the value null, and nothing else.
fn is_null(json: &Json) -> bool {
    let Json::Map(fields) = json else { return false };
    let is_it = matches!(get(fields, "type"), Some(Json::Text(kind)) if kind == "null");
    is_it && only(fields, "", &["type"]).is_ok()
}

/// Makes of a schema what answers are held to. Objects are closed, and their fields come in the order in which they are
/// written.
///
/// # Errors
/// It is no JSON, or says what cannot be followed, or is too large.
pub fn compile(text: &str) -> Result<Schema, SchemaError> {
    if text.len() > MAX_WRITTEN_BYTES {
        let why = format!("it has {} bytes, it may have {MAX_WRITTEN_BYTES}", text.len());
        return wrong("schema", why);
    }
    let json: Json = match serde_json::from_str(text) {
        Ok(json) => json,
        Err(error) => return wrong("schema", error.to_string()),
    };
    let Json::Map(whole) = &json else { return wrong("schema", "it must be an object") };
    let mut reading = Reading { whole, nodes: Vec::new() };
    reading.add(&json, "schema")?;
    Schema::new(reading.nodes).or_else(|error| wrong("schema", error.to_string()))
}

/// A schema that is being read.
struct Reading<'a> {
    whole: &'a Fields,
    nodes: Vec<Node>,
}

/// A value as it is written: its fields, where they are, and whether it may be null instead.
struct Written<'a> {
    fields: &'a Fields,
    path: String,
    or_null: bool,
}

impl<'a> Reading<'a> {
    /// Adds a value, and behind it those inside it. Returns its number.
    fn add(&mut self, json: &'a Json, path: &str) -> Result<u8, SchemaError> {
        let number = self.nodes.len();
        let place = u8::try_from(number).ok().filter(|_| number < MAX_NODES);
        let Some(place) = place else {
            let why = format!("there are more than {MAX_NODES} values; is one inside itself?");
            return wrong(path, why);
        };
        self.nodes.push(Node { kind: Kind::Null, or_null: false });
        let Written { fields, path, or_null } = self.resolve(json, path)?;
        let node = self.node(fields, &path)?;
        self.nodes[number] = Node { or_null: node.or_null || or_null, ..node };
        Ok(place)
    }

    /// Follows references, and takes null out of a choice between it and another.
    fn resolve(&self, mut json: &'a Json, path: &str) -> Result<Written<'a>, SchemaError> {
        let (mut path, mut or_null) = (path.to_owned(), false);
        for _ in 0..MAX_HOPS {
            let Json::Map(fields) = json else { return wrong(path, "it must be an object") };
            if let Some(name) = get(fields, "$ref") {
                only(fields, &path, &["$ref"])?;
                (json, path) = self.definition(name, &path)?;
            } else if let Some(choice) = get(fields, "anyOf") {
                only(fields, &path, &["anyOf"])?;
                let place = match choice {
                    Json::List(two) if two.len() == 2 => two.iter().position(is_null),
                    _ => None,
                };
                let (Some(place), Json::List(two)) = (place, choice) else {
                    return wrong(
                        path + ".anyOf",
                        "only a choice between one value and null is followed",
                    );
                };
                let other = 1 - place;
                (json, path, or_null) = (&two[other], format!("{path}.anyOf[{other}]"), true);
            } else {
                return Ok(Written { fields, path, or_null });
            }
        }
        wrong(path, "the reference leads nowhere")
    }

    /// What a reference names.
    fn definition(&self, name: &Json, path: &str) -> Result<(&'a Json, String), SchemaError> {
        for section in ["$defs", "definitions"] {
            let Json::Text(name) = name else { break };
            let Some(name) = name.strip_prefix(&format!("#/{section}/")) else { continue };
            let Some(Json::Map(all)) = get(self.whole, section) else { continue };
            if let Some(found) = get(all, name) {
                return Ok((found, format!("schema.{section}.{name}")));
            }
        }
        let why = "only definitions of the schema itself are followed, as `#/$defs/NAME`";
        wrong(format!("{path}.$ref"), why)
    }

    fn node(&mut self, fields: &'a Fields, path: &str) -> Result<Node, SchemaError> {
        let (kind, or_null) = kind(fields, path)?;
        let plain = |kind| -> Result<Node, SchemaError> {
            only(fields, path, &["type"])?;
            Ok(Node { kind, or_null })
        };
        match kind {
            Some("string") | None if get(fields, "const").is_some() => {
                only(fields, path, &["type", "const", "enum"])?;
                constant(fields, path)
            }
            Some("string") | None if get(fields, "enum").is_some() => {
                only(fields, path, &["type", "enum"])?;
                choice(fields, path, or_null || kind.is_none())
            }
            Some("object") => Ok(Node { kind: self.object(fields, path)?, or_null }),
            Some("array") => Ok(Node { kind: self.array(fields, path)?, or_null }),
            Some("string") => plain(Kind::String),
            Some("number") => plain(Kind::Number),
            Some("integer") => Ok(Node { kind: integer(fields, path)?, or_null }),
            Some("boolean") => plain(Kind::Boolean),
            Some("null") => plain(Kind::Null),
            Some(other) => wrong(format!("{path}.type"), format!("there is no type {other:?}")),
            None => {
                // What is there tells more than that something is missing.
                only(fields, path, &[])?;
                wrong(path, "it must say its `type`")
            }
        }
    }

    fn object(&mut self, fields: &'a Fields, path: &str) -> Result<Kind, SchemaError> {
        only(fields, path, &["type", "properties", "required", "additionalProperties"])?;
        if !matches!(get(fields, "additionalProperties"), None | Some(Json::Bool(false))) {
            return wrong(format!("{path}.additionalProperties"), "it must be false");
        }
        let known = match get(fields, "properties") {
            Some(Json::Map(known)) if known.len() < MAX_NODES => known,
            Some(Json::Map(known)) => {
                let why = format!("{} of them, where a schema has {MAX_NODES} values", known.len());
                return wrong(format!("{path}.properties"), why);
            }
            _ => return wrong(format!("{path}.properties"), "it must say which, as an object"),
        };
        let required = match get(fields, "required") {
            None => Vec::new(),
            Some(list) => texts(list, &format!("{path}.required"))?,
        };
        if let Some(name) = required.iter().find(|name| get(known, name).is_none()) {
            let why = format!("there is no {name:?} among the properties");
            return wrong(format!("{path}.required"), why);
        }
        let mut all = Vec::new();
        for (key, value) in known {
            let node = self.add(value, &format!("{path}.properties.{key}"))?;
            let required = required.contains(&key.as_str());
            all.push(Field { key: key.clone(), node, required });
        }
        Ok(Kind::Object(all))
    }

    fn array(&mut self, fields: &'a Fields, path: &str) -> Result<Kind, SchemaError> {
        only(fields, path, &["type", "items"])?;
        match get(fields, "items") {
            Some(items) => Ok(Kind::Array(self.add(items, &format!("{path}.items"))?)),
            None => wrong(format!("{path}.items"), "it must say of what"),
        }
    }
}

/// What `type` says, without null, and whether that is among it.
fn kind<'a>(fields: &'a Fields, path: &str) -> Result<(Option<&'a str>, bool), SchemaError> {
    let path = format!("{path}.type");
    match get(fields, "type") {
        None => Ok((None, false)),
        Some(Json::Text(kind)) => Ok((Some(kind.as_str()), false)),
        Some(list) => match texts(list, &path)?[..] {
            [kind] => Ok((Some(kind), false)),
            [kind, "null"] | ["null", kind] if kind != "null" => Ok((Some(kind), true)),
            _ => wrong(path, "it must be one type, or one and null"),
        },
    }
}

/// A list of texts.
fn texts<'a>(list: &'a Json, path: &str) -> Result<Vec<&'a str>, SchemaError> {
    let Json::List(list) = list else { return wrong(path, "it must be a list of texts") };
    let text = |one: &'a Json| match one {
        Json::Text(text) => Ok(text.as_str()),
        _ => wrong(path, "it must be a list of texts"),
    };
    list.iter().map(text).collect()
}

/// What bounds an integer. The last two are not among the numbers, the others are.
const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

/// A whole number, maybe within bounds: of several the narrowest count.
fn integer(fields: &Fields, path: &str) -> Result<Kind, SchemaError> {
    let [minimum, maximum, above, below] = BOUNDS;
    only(fields, path, &["type", minimum, maximum, above, below])?;
    let bound = |name: &str, beside: i64| match get(fields, name) {
        None => Ok(None),
        Some(Json::Whole(bound)) => match bound.checked_add(beside) {
            Some(bound) => Ok(Some(bound)),
            None => wrong(format!("{path}.{name}"), "no number of 64 bits is beyond it"),
        },
        Some(_) => {
            let why = "it must be a whole number of 64 bits, without point and exponent";
            wrong(format!("{path}.{name}"), why)
        }
    };
    let least = [bound(minimum, 0)?, bound(above, 1)?].into_iter().flatten().max();
    let most = [bound(maximum, 0)?, bound(below, -1)?].into_iter().flatten().min();
    match (least, most) {
        (None, None) => Ok(Kind::Integer),
        (Some(least), Some(most)) if least > most => {
            wrong(path, format!("no whole number is at least {least} and at most {most}"))
        }
        (least, most) => Ok(Kind::Bounded(Bounds { least, most })),
    }
}

/// One text. Some programs write the same once more, as a choice of one.
fn constant(fields: &Fields, path: &str) -> Result<Node, SchemaError> {
    let Some(Json::Text(text)) = get(fields, "const") else {
        return wrong(format!("{path}.const"), "only a text is followed");
    };
    let is_other = |list: &Json| match list {
        Json::List(list) => !matches!(&list[..], [Json::Text(one)] if one == text),
        _ => true,
    };
    if get(fields, "enum").is_some_and(is_other) {
        return wrong(
            format!("{path}.enum"),
            "beside `const` it must be a list of that text alone",
        );
    }
    Ok(Node { kind: Kind::Enum(vec![text.clone()]), or_null: false })
}

/// One of some texts; null among them counts if the value's type has it, too.
fn choice(fields: &Fields, path: &str, may_be_null: bool) -> Result<Node, SchemaError> {
    let path = format!("{path}.enum");
    let Some(Json::List(list)) = get(fields, "enum") else {
        return wrong(path, "it must be a list of texts");
    };
    // Before they are copied: a definition may be put in many times. One more may be there, null.
    if list.len() > MAX_CHOICES + 1 {
        let why = format!("{} of them, there may be {MAX_CHOICES} and null", list.len());
        return wrong(path, why);
    }
    let (mut texts, mut has_null) = (Vec::new(), false);
    for one in list {
        match one {
            Json::Text(text) => texts.push(text.clone()),
            Json::Null => has_null = true,
            _ => return wrong(path, "only texts, and null, are followed"),
        }
    }
    Ok(Node { kind: Kind::Enum(texts), or_null: has_null && may_be_null })
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
