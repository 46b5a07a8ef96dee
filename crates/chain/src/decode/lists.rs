//! Lists and maps of which no more is kept than may be used.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use alloy_primitives::{Address, B256};
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{DecodeError, Parameter, fixed_text, kind};

/// Keeps the first `keep` elements of an array and counts the others.
struct Elements<'a> {
    keep: usize,
    lifetime: PhantomData<&'a ()>,
}

impl<'de> Visitor<'de> for Elements<'de> {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.keep {
            match list.next_element()? {
                Some(element) => kept.push(element),
                None => {
                    let count = kept.len();
                    return Ok((kept, count));
                }
            }
        }
        let mut count = kept.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((kept, count))
    }
}

/// The first `keep` elements of a JSON array, and how many there are in all.
fn elements(json: &str, keep: usize) -> Result<(Vec<&RawValue>, usize), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(Elements { keep, lifetime: PhantomData })
}

/// The positional arguments of a call, of which a method takes at most `most`.
///
/// # Errors
/// Not an array, or too many.
pub fn arguments(params: &str, most: usize) -> Result<Vec<&RawValue>, DecodeError> {
    match kind(params) {
        "null" => return Ok(Vec::new()),
        "array" => {}
        _ => return Err(DecodeError::other("non-array args")),
    }
    let (kept, count) = elements(params, most).map_err(|_| DecodeError::other("non-array args"))?;
    if count > most {
        return Err(DecodeError::Other(format!("too many arguments, want at most {most}")));
    }
    Ok(kept)
}

/// An array of which the first `MAX` elements count; whoever takes it refuses longer ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded<T, const MAX: usize> {
    /// At most `MAX` of them.
    pub items: Vec<T>,
    /// How many were given.
    pub given: usize,
}

/// An element's Go type as it stands in an array's.
trait Element: Parameter {
    const LIST: &'static str;
}

impl Element for f64 {
    const LIST: &'static str = "[]float64";
}

impl Element for String {
    const LIST: &'static str = "[]string";
}

impl<T: Element, const MAX: usize> Parameter for Bounded<T, MAX> {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        match kind(json) {
            "null" => return Ok(Self { items: Vec::new(), given: 0 }),
            "array" => {}
            other => return Err(DecodeError::form(other, T::LIST)),
        }
        let (kept, given) = elements(json, MAX).map_err(|_| DecodeError::form("array", T::LIST))?;
        let items = kept.iter().map(|raw| T::decode(raw.get())).collect::<Result<_, _>>()?;
        Ok(Self { items, given })
    }
}

/// Storage slots by account, for one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotRequest {
    /// The slots of each account, in the order asked for.
    pub slots: BTreeMap<Address, Vec<B256>>,
    /// Whether more than [`SlotRequest::MAX`] slots were asked for; `slots` is not complete then.
    pub too_many: bool,
}

impl SlotRequest {
    /// Slots one request may ask for (geth's).
    pub const MAX: usize = 1024;
    const WANTED: &'static str = "map[common.Address][]common.Hash";
}

impl Parameter for SlotRequest {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        match kind(json) {
            "null" => return Ok(Self::default()),
            "object" => {}
            other => return Err(DecodeError::form(other, Self::WANTED)),
        }
        let mut refused = None;
        let mut reader = serde_json::Deserializer::from_str(json);
        let read = reader.deserialize_map(Slots { refused: &mut refused });
        match (refused, read) {
            (Some(refused), _) => Err(refused),
            (None, Ok(request)) => Ok(request),
            (None, Err(_)) => Err(DecodeError::form("object", Self::WANTED)),
        }
    }
}

struct Slots<'a> {
    refused: &'a mut Option<DecodeError>,
}

impl<'de> Visitor<'de> for Slots<'_> {
    type Value = SlotRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SlotRequest, A::Error> {
        let mut request = SlotRequest::default();
        let mut total = 0_usize;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let room = SlotRequest::MAX.saturating_sub(total);
            let (kept, given) = map.next_value_seed(Keep(room))?;
            total = total.saturating_add(given);
            request.too_many |= total > SlotRequest::MAX || request.slots.len() >= SlotRequest::MAX;
            if request.too_many {
                continue;
            }
            let decoded = fixed_text::<20>(&name, "Address").and_then(|address| {
                let slots = kept.iter().map(|raw| B256::decode(raw.get()));
                Ok((address.into(), slots.collect::<Result<_, _>>()?))
            });
            match decoded {
                Ok((address, slots)) => {
                    request.slots.insert(address, slots);
                }
                Err(error) => {
                    self.refused.get_or_insert(error);
                }
            }
        }
        Ok(request)
    }
}

/// Reads an array and keeps so many of its elements; null is an empty array.
struct Keep(usize);

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = (Vec<&'de RawValue>, usize);

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        struct OrNull<'a>(Elements<'a>);
        impl<'de> Visitor<'de> for OrNull<'de> {
            type Value = (Vec<&'de RawValue>, usize);
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok((Vec::new(), 0))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                self.0.visit_seq(list)
            }
        }
        deserializer.deserialize_any(OrNull(Elements { keep: self.0, lifetime: PhantomData }))
    }
}
