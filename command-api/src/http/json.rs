//! Reads JSON strictly: a struct only from an object, never from a list, and an enum only from a text.
//!
//! A body is read into [`Json`] first, which distinguishes a body that isn't JSON from one of the wrong shape; then types are read from it.
//! Fields that are given twice stay in it and are refused when it is read, at any depth, also in maps.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserialize, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde_json::{Error, Number};

/// JSON with the fields of objects as they were sent.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What `null` means in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// The same as an absent field.
    Absent,
    /// The field's type decides: in a merge-patch it clears.
    Kept,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

/// Reads a type from [`Json`].
pub(super) struct Reader(pub(super) Json, pub(super) Nulls);

impl<'de> IntoDeserializer<'de, Error> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Reader {
    fn wrong(&self, expected: &str) -> Error {
        let found = match &self.0 {
            Json::Null => Unexpected::Unit,
            Json::Bool(value) => Unexpected::Bool(*value),
            Json::Number(_) => Unexpected::Other("number"),
            Json::Text(value) => Unexpected::Str(value),
            Json::List(_) => Unexpected::Seq,
            Json::Object(_) => Unexpected::Map,
        };
        Error::invalid_type(found, &expected)
    }
}

/// PostgreSQL can't store NUL, and it has no meaning in a text.
fn without_nul(text: String) -> Result<String, Error> {
    if text.contains('\0') { Err(Error::custom("has a NUL character")) } else { Ok(text) }
}

/// Refuses a field that is given twice, since it is not known which value is meant.
fn refuse_doubled(fields: &[(String, Json)]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(fields.len());
    match fields.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        Some((name, _)) => Err(Error::custom(format!("duplicate field `{name}`"))),
        None => Ok(()),
    }
}

fn visit_fields<'de, V: Visitor<'de>>(
    fields: Vec<(String, Json)>,
    nulls: Nulls,
    visitor: V,
) -> Result<V::Value, Error> {
    refuse_doubled(&fields)?;
    let read = |(name, value)| Ok((without_nul(name)?, Reader(value, nulls)));
    let fields: Vec<(String, Reader)> = fields.into_iter().map(read).collect::<Result<_, Error>>()?;
    visitor.visit_map(MapDeserializer::new(fields.into_iter()))
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self(json, nulls) = self;
        match json {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(value),
            Json::Number(value) => value.deserialize_any(visitor),
            Json::Text(value) => visitor.visit_string(without_nul(value)?),
            Json::List(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(|item| Self(item, nulls))))
            }
            Json::Object(fields) => visit_fields(fields, nulls, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.0, Json::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Self(Json::Object(mut fields), nulls) = self else { return Err(self.wrong("an object")) };
        refuse_doubled(&fields)?;
        if nulls == Nulls::Absent {
            fields.retain(|(name, value)| !matches!(value, Json::Null) || !known.contains(&name.as_str()));
        }
        visit_fields(fields, nulls, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self(Json::Text(word), _) => visitor.visit_enum(word.into_deserializer()),
            other => Err(other.wrong("a text")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map identifier ignored_any
    }
}
