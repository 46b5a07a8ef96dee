//! Objects and their members, in the one way in which all of them are read: as Go's `encoding/json` does.
//! Of a member that comes twice the last one counts. Members of structures are known without regard to
//! case, null is none, and unknown ones are skipped; keys of maps are as they come.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{DecodeError, Parameter, kind, strict};

/// A member's name, or another text, borrowed if it has no escapes.
#[derive(Deserialize)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Calls `visit` with the name and the text of each member of an object, in their order; null has none.
/// `wanted` is the Go type; clients see it.
fn each<'a>(
    json: &'a str,
    wanted: &'static str,
    visit: impl FnMut(Cow<'a, str>, &'a RawValue),
) -> Result<(), DecodeError> {
    match kind(json) {
        "null" => return Ok(()),
        "object" => {}
        other => return Err(DecodeError::form(other, wanted)),
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Each(visit)).map_err(|error| DecodeError::other(error.to_string()))
}

struct Each<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

/// Keys and values of a map in their order; of null none. Of a key that comes twice the last value is to
/// count.
pub(super) fn pairs<'a>(
    json: &'a str,
    wanted: &'static str,
) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, DecodeError> {
    let mut pairs = Vec::new();
    each(json, wanted, |name, value| pairs.push((name, value)))?;
    Ok(pairs)
}

/// What was given for each of some names; see the module's description.
pub(crate) struct Members<'a, const N: usize> {
    names: &'static [&'static str; N],
    given: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads an object, or null as an empty one. `wanted` is the Go type; clients see it.
    pub(crate) fn read(
        json: &'a str,
        names: &'static [&'static str; N],
        wanted: &'static str,
    ) -> Result<Self, DecodeError> {
        let mut given = [None; N];
        each(json, wanted, |name, value| {
            if let Some(place) = names.iter().position(|n| name.eq_ignore_ascii_case(n)) {
                given[place] = (value.get() != "null").then_some(value);
            }
        })?;
        Ok(Self { names, given })
    }

    /// The text of the member with this one of the names.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let place = self.names.iter().position(|known| *known == name)?;
        self.given[place].map(RawValue::get)
    }

    /// Decodes a member; complaints name it as a field of the Go type `structure`.
    pub(crate) fn take<T: Parameter>(
        &self,
        structure: &str,
        name: &str,
    ) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        let decoded = T::decode(raw).map(Some);
        decoded.map_err(|error| error.in_field(&format!("{structure}.{name}")))
    }

    /// The same for types that read themselves.
    pub(crate) fn own<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some(raw) = self.get(name) else { return Ok(None) };
        strict::from_str(raw)
            .map(Some)
            .map_err(|error| DecodeError::Other(format!("{name}: {}", strict::reason(&error))))
    }
}
