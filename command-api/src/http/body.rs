//! The JSON body of a command. An absent body is `{}`. Errors name the field by its path.
//!
//! [`Body`] reads `null` as an absent field; only in a [`Patch`] it has a meaning of its own.

use std::fmt;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Json, Nulls, Reader};
use super::problem::Problem;

/// A body that was read.
pub(crate) struct Body<T>(pub(crate) T);

/// A merge-patch that was read.
pub(crate) struct Patch<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse_as(&json_of(request, state).await?, Nulls::Absent).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Patch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        parse_as(&json_of(request, state).await?, Nulls::Kept).map(Self)
    }
}

async fn json_of<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let json = is_json(request.headers());
    let bytes = read(request, state).await?;
    if bytes.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if !json {
        let detail = "the body must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    Ok(bytes)
}

/// The whole body, within the limit of its route.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => too_large(),
        other => Problem::bad_request(other.body_text()),
    })
}

pub(crate) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than this request may have")
}

/// Whether the media type is JSON, also as a subtype (`application/merge-patch+json`).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON: 400 if it is not JSON, 422 with the field if it has the wrong shape.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    parse_as(bytes, Nulls::Absent)
}

/// An object's field as text, even if other fields are wrong.
pub(crate) fn text_of(bytes: &[u8], field: &str) -> Option<String> {
    let Ok(Json::Object(fields)) = serde_json::from_slice(bytes) else { return None };
    fields.into_iter().find(|(name, _)| name == field).and_then(|(_, value)| match value {
        Json::Text(text) => Some(text),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(_) | Json::Null | Json::List(_) | Json::Object(_) => None,
    })
}

/// The items of a list as sent, not yet parsed; none if the list has more than `max`.
pub(crate) fn items(bytes: &[u8], max: usize) -> Result<Option<Vec<Box<RawValue>>>, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let items = AtMost(max).deserialize(&mut reader).and_then(|items| reader.end().map(|()| items));
    items.map_err(|error| if error.is_data() { Problem::invalid("body", "is not a list") } else { no_json(&error) })
}

/// Reads a list, and keeps its items only if there are not more of them.
struct AtMost(usize);

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = Option<Vec<Box<RawValue>>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = Option<Vec<Box<RawValue>>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.0 {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Some(items)),
            }
        }
        let mut is_longer = false;
        while let Some(IgnoredAny) = list.next_element()? {
            is_longer = true;
        }
        Ok((!is_longer).then_some(items))
    }
}

fn parse_as<T: DeserializeOwned>(bytes: &[u8], nulls: Nulls) -> Result<T, Problem> {
    let json: Json = serde_json::from_slice(bytes).map_err(|error| no_json(&error))?;
    serde_path_to_error::deserialize(Reader(json, nulls)).map_err(|error| {
        let field = error.path().to_string();
        wrong_shape(&field, &error.into_inner().to_string())
    })
}

fn no_json(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("not JSON: {error}"))
}

fn wrong_shape(path: &str, reason: &str) -> Problem {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| reason.strip_prefix(start)?.split_once('`').map(|(name, _)| name));
    let field = match (path, named) {
        (".", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    Problem::invalid(field, in_words_of_json(reason))
}

/// serde's message in terms of JSON instead of Rust types.
fn in_words_of_json(reason: &str) -> String {
    let Some((found, expected)) = reason.strip_prefix("invalid ").and_then(|text| text.rsplit_once(", expected "))
    else {
        return reason.replace("unknown variant", "unknown word");
    };
    let found = found.split_once(": ").map_or(found, |(_, found)| found);
    let found = match found {
        "sequence" => "a list",
        "map" => "an object",
        "unit value" => "null",
        other => other,
    };
    let whole = |max: u64| format!("a whole number from 0 to {max}");
    let expected = match expected {
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => whole(u64::MAX),
        "a string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other => other.to_owned(),
    };
    format!("expected {expected}, found {found}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::change::Change;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its type matters")]
        number: u32,
        #[serde(default)]
        #[expect(dead_code, reason = "only its type matters")]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters")]
        percentage: u8,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Low,
        High,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Loose {
        word: Option<Word>,
        list: Vec<String>,
        minutes: u32,
        inner: BTreeMap<String, String>,
        change: Change<u32>,
    }

    fn problem(text: &str) -> (u16, String) {
        let problem = parse::<Sample>(text.as_bytes()).unwrap_err();
        (problem.status().as_u16(), problem.errors().first().map(|error| error.field.clone()).unwrap_or_default())
    }

    #[test]
    fn wrong_bodies_name_their_field() {
        assert_eq!(problem("{\"number\":"), (400, String::new()));
        assert_eq!(problem("{\"number\":1} x"), (400, String::new()));
        assert_eq!(problem("{\"number\":\"1\"}"), (422, "number".into()));
        assert_eq!(problem("{}"), (422, "number".into()));
        assert_eq!(problem("{\"number\":1,\"colour\":2}"), (422, "colour".into()));
        assert_eq!(problem("{\"number\":1,\"list\":[{\"percentage\":300}]}"), (422, "list[0].percentage".into()));
        assert_eq!(problem("{\"number\":1,\"list\":[[1]]}"), (422, "list[0]".into()));
        assert_eq!(problem("{\"number\":1,\"number\":1}"), (422, "number".into()));
        assert_eq!(problem("{\"number\":1e999}"), (400, String::new()));
        assert_eq!(problem(&"[".repeat(1_000)), (400, String::new()));
        for text in ["[]", "[1]", "[1,[]]", "7", "null", "\"\""] {
            assert_eq!(problem(text), (422, "body".into()), "{text}");
        }
    }

    #[test]
    fn a_list_is_read_up_to_its_bound() {
        let read = |text: &str| match items(text.as_bytes(), 2) {
            Ok(items) => Ok(items.map(|items| items.iter().map(|item| item.get().to_owned()).collect::<Vec<_>>())),
            Err(problem) => Err(problem.status().as_u16()),
        };
        assert_eq!(read("[]"), Ok(Some(vec![])));
        assert_eq!(read("[1, {\"a\" : 2}]"), Ok(Some(vec!["1".to_owned(), "{\"a\" : 2}".to_owned()])));
        assert_eq!(read("[1,2,3]"), Ok(None));
        assert_eq!(
            [read("{}"), read("7"), read("[1,2,3"), read("[1,2,3] x")],
            [Err(422), Err(422), Err(400), Err(400)]
        );
    }

    #[test]
    fn words_are_texts_and_texts_have_no_nul() {
        let read = |text: &str| parse::<Loose>(text.as_bytes());
        assert_eq!(read("{\"word\":\"high\"}").unwrap().word, Some(Word::High));
        for text in ["1", "true", "[]", "[\"low\"]", "{\"low\":null}", "\"else\"", "{}"] {
            let problem = read(&format!("{{\"word\":{text}}}")).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.errors()[0].field.as_str()), (422, "word"), "{text}");
        }
        for (text, field) in [("{\"list\":[\"\\u0000\"]}", "list[0]"), ("{\"inner\":{\"a\":\"b\\u0000\"}}", "inner.a")]
        {
            assert_eq!(read(text).unwrap_err().errors()[0].field, field);
        }
        assert!(read("{\"inner\":{\"\\u0000\":\"a\"}}").is_err());
    }

    #[test]
    fn a_field_given_twice_is_refused_by_name_at_any_depth() {
        let field = |text: &str| {
            let problem = parse::<Loose>(text.as_bytes()).unwrap_err();
            (problem.status().as_u16(), problem.errors()[0].field.clone())
        };
        assert_eq!(field("{\"inner\":{\"a\":\"b\",\"c\":\"d\",\"a\":\"b\"}}"), (422, "inner.a".into()));
        assert_eq!(field("{\"minutes\":null,\"minutes\":1}"), (422, "minutes".into()));
        assert_eq!(field("{\"inner\":{},\"inner\":{}}"), (422, "inner".into()));
        let free = |text: &str| {
            parse::<serde_json::Value>(text.as_bytes()).map_err(|problem| problem.errors()[0].field.clone())
        };
        assert_eq!(free("{\"a\":[{\"b\":1,\"b\":2}]}"), Err("a[0].b".into()));
        assert!(free("{\"a\":{\"b\":1},\"b\":2}").is_ok());
    }

    #[test]
    fn null_is_absent_but_in_a_patch() {
        let text = b"{\"word\":null,\"list\":null,\"minutes\":null,\"inner\":null,\"change\":null}";
        assert_eq!(parse::<Loose>(text).unwrap(), Loose::default());
        let patch: Loose = parse_as(b"{\"change\":null}", Nulls::Kept).unwrap();
        assert_eq!(patch.change, Change::Clear);
        assert_eq!(parse::<Sample>(b"{\"number\":null}").unwrap_err().errors()[0].field, "number");
        assert_eq!(parse::<Loose>(b"{\"colour\":null}").unwrap_err().errors()[0].field, "colour");
    }

    #[test]
    fn reasons_speak_of_json() {
        let reason = |text: &str| parse::<Loose>(text.as_bytes()).unwrap_err().errors()[0].reason.clone();
        assert_eq!(reason("[]"), "expected an object, found a list");
        assert_eq!(reason("{\"minutes\":-1}"), "expected a whole number from 0 to 4294967295, found integer `-1`");
        assert_eq!(reason("{\"list\":{}}"), "expected a list, found an object");
        assert_eq!(reason("{\"word\":7}"), "expected a text, found number");
    }
}
