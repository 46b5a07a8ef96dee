//! Structures are read from JSON objects alone, as Go reads them.
//!
//! What serde derives for a structure takes an array of its fields' values just as well, and so does every
//! structure inside of another. This reader is put around another one: it hands everything through, to any depth,
//! but refuses an array where a structure is wanted. And as in Go, members of objects are known by their names
//! without regard to case, of one that comes twice the last counts (an alias is another name), null is none, and unknown ones are skipped, whatever the
//! structure itself thinks of them. It does not reach where serde reads ahead into a buffer of its own: below
//! `flatten` and in enums without an outer tag.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess,
        VariantAccess, Visitor,
    },
};
use serde_json::value::RawValue;

use super::members::Name;

/// Reads a JSON text.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(json: &'de str) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = T::deserialize(Strict(&mut reader))?;
    reader.end()?;
    Ok(value)
}

/// What was wrong with a text. Where in an argument's own text that is says nothing to the caller.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" at line ") {
        text.truncate(end);
    }
    text
}

/// The Go type that geth reads where a structure of this name is wanted here; clients see it.
fn go_type(structure: &'static str) -> &'static str {
    match structure {
        "Request" => "ethapi.simOpts",
        "BlockCalls" => "ethapi.simBlock",
        "AccessListItem" => "types.AccessTuple",
        "Withdrawal" => "types.Withdrawal",
        "ReceiptsQuery" => "filters.TransactionReceiptsQuery",
        other => other,
    }
}

/// A reader, or a part of one, whose structures are strict.
struct Strict<T>(T);

/// Reads what a structure is made of.
struct Structure<V> {
    visitor: V,
    name: &'static str,
    fields: &'static [&'static str],
}

/// The members of an object that are fields of a structure, under the names of the fields, each once. They are
/// read from their text when all of them are known.
struct Known<'a, E> {
    members: std::vec::IntoIter<(&'static str, &'a RawValue)>,
    value: Option<&'a RawValue>,
    error: PhantomData<E>,
}

macro_rules! forward {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method(Strict(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forward!(
        deserialize_any,
        deserialize_bool,
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_i128,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_u128,
        deserialize_f32,
        deserialize_f64,
        deserialize_char,
        deserialize_str,
        deserialize_string,
        deserialize_bytes,
        deserialize_byte_buf,
        deserialize_option,
        deserialize_unit,
        deserialize_seq,
        deserialize_map,
        deserialize_identifier,
        deserialize_ignored_any
    );

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Strict(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Strict(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Strict(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Strict(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Structure { visitor, name, fields })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, Strict(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Structure<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let mut members: Vec<(&'static str, &'de RawValue)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            let exact = self.fields.iter().find(|field| **field == name);
            let similar = || self.fields.iter().find(|field| field.eq_ignore_ascii_case(&name));
            let Some(&field) = exact.or_else(similar) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &'de RawValue = map.next_value()?;
            members.retain(|(known, _)| *known != field);
            // Null is none.
            if value.get() != "null" {
                members.push((field, value));
            }
        }
        self.visitor.visit_map(Known {
            members: members.into_iter(),
            value: None,
            error: PhantomData,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        let wanted = go_type(self.name);
        Err(A::Error::custom(format_args!(
            "json: cannot unmarshal array into Go value of type {wanted}"
        )))
    }
}

impl<'de, E: Error> MapAccess<'de> for Known<'de, E> {
    type Error = E;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, E> {
        let Some((field, value)) = self.members.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, E> {
        let value = self.value.take().ok_or_else(|| E::custom("a value without a name"))?;
        let mut reader = serde_json::Deserializer::from_str(value.get());
        seed.deserialize(Strict(&mut reader)).map_err(|error| E::custom(reason(&error)))
    }
}

macro_rules! visit {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit!(
        visit_bool: bool,
        visit_i64: i64,
        visit_i128: i128,
        visit_u64: u64,
        visit_u128: u128,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>
    );

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, choice: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Strict(choice))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(reader))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Strict(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Strict(seed))?;
        Ok((value, Strict(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Strict(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Strict(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        a: u64,
        pair: (u8, u8),
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Outer {
        one: Option<Inner>,
        many: Vec<Inner>,
        named: BTreeMap<String, Inner>,
        any: Value,
        choice: Option<Choice>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Plain,
        With(Inner),
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, rename_all = "camelCase", deny_unknown_fields)]
    struct Picky {
        #[serde(alias = "otherName")]
        some_name: u64,
        inner: Option<Inner>,
    }

    #[test]
    fn members_are_known_without_regard_to_case_and_others_are_skipped() {
        let inner = Some(Inner { a: 7, ..Inner::default() });
        let wanted = Picky { some_name: 5, inner };
        for text in [
            r#"{"someName":5,"inner":{"a":7}}"#,
            r#"{"SOMENAME":5,"Inner":{"A":7,"b":[{}]},"more":{"someName":6}}"#,
            r#"{"othername":5,"in\u006eer":{"a":7},"":null}"#,
        ] {
            assert_eq!(from_str::<Picky>(text).unwrap(), wanted, "{text}");
        }
        // Names of other maps are as they come.
        let named: BTreeMap<String, u64> = from_str(r#"{"A":1,"a":2}"#).unwrap();
        assert_eq!(named.len(), 2);
        assert!(from_str::<Picky>(r#"{"someName":"5","inner":null}"#).is_err());
    }

    #[test]
    fn of_members_that_come_twice_the_last_one_counts() {
        let inner = Some(Inner { a: 7, ..Inner::default() });
        let wanted = Picky { some_name: 5, inner };
        for text in [
            r#"{"someName":4,"someName":5,"inner":{"a":7}}"#,
            r#"{"someName":4,"SOMENAME":5,"inner":{"a":6},"inner":{"a":8,"A":7}}"#,
            r#"{"SOMENAME":4,"someName":5,"inner":{"a":6},"Inner":{"A":8,"a":7}}"#,
        ] {
            assert_eq!(from_str::<Picky>(text).unwrap(), wanted, "{text}");
        }
        let named: BTreeMap<String, Inner> = from_str(r#"{"x":{"a":1},"x":{"a":2}}"#).unwrap();
        assert_eq!(named["x"].a, 2);
        // What is wrong inside is told once, and without a place.
        let error = from_str::<Picky>(r#"{"inner":{"a":true}}"#).unwrap_err();
        let text = "invalid type: boolean `true`, expected u64";
        assert_eq!(reason(&error), text);
    }

    #[test]
    fn structures_are_read_from_objects_alone_at_any_depth() {
        let inner = json!({"a": 1, "pair": [2, 3]});
        let whole = json!({
            "one": inner, "many": [inner, {}], "named": {"x": inner}, "any": [1, {"y": []}],
            "choice": {"with": inner},
        });
        let read: Outer = from_str(&whole.to_string()).unwrap();
        assert_eq!(read, serde_json::from_value(whole).unwrap());
        assert_eq!(read.many[0], Inner { a: 1, pair: (2, 3) });
        let plain: Outer = from_str(r#"{"choice":"plain"}"#).unwrap();
        assert_eq!(plain.choice, Some(Choice::Plain));
        let array = json!([1, [2, 3]]);
        for wrong in [
            json!([array]),
            json!({"one": array}),
            json!({"many": [array]}),
            json!({"named": {"x": array}}),
            json!({"choice": {"with": array}}),
        ] {
            // Derived readers alone would take it.
            serde_json::from_value::<Outer>(wrong.clone()).unwrap();
            let error = from_str::<Outer>(&wrong.to_string()).unwrap_err().to_string();
            assert!(error.starts_with("json: cannot unmarshal array into Go value"), "{error}");
        }
        assert!(from_str::<Inner>("{} {}").is_err());
    }
}
