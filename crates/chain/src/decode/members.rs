//! Objects of optional members.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{DecodeError, Parameter, kind, strict};

/// What was given for each of some names. They are matched as Go matches them, without regard to
/// case; of a member that comes twice the last one counts, null is none, and unknown ones are skipped.
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
        let members = Self { names, given: [None; N] };
        match kind(json) {
            "null" => return Ok(members),
            "object" => {}
            other => return Err(DecodeError::form(other, wanted)),
        }
        let mut reader = serde_json::Deserializer::from_str(json);
        reader.deserialize_map(members).map_err(|error| DecodeError::other(error.to_string()))
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
        strict::from_str(raw).map(Some).map_err(|error| {
            let text = error.to_string();
            // Where in its own text a value is wrong says nothing to the caller.
            let reason = text.rfind(" at line ").map_or(&*text, |end| &text[..end]);
            DecodeError::Other(format!("{name}: {reason}"))
        })
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'de, N> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value::<&RawValue>()?;
            if let Some(place) = self.names.iter().position(|n| name.eq_ignore_ascii_case(n)) {
                self.given[place] = (value.get() != "null").then_some(value);
            }
        }
        Ok(self)
    }
}
