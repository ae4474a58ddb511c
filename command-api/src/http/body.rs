//! The JSON body of a command. An absent body is `{}`; what is wrong with it is named by its field's path.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body that has been read.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = is_json(request.headers());
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !json {
            let detail = "the body must be application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        parse(&bytes).map(Self)
    }
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

/// Whether the media type is JSON, also under another name (`application/merge-patch+json`).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON: 400 when it is none, 422 with the field when it has the wrong shape.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() { wrong_shape(field, &inner) } else { Problem::bad_request(format!("no JSON: {inner}")) }
    })?;
    deserializer.end().map_err(|error| Problem::bad_request(format!("no JSON: {error}")))?;
    Ok(value)
}

fn wrong_shape(path: String, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(front, _)| front);
    let named = ["missing field `", "unknown field `"]
        .iter()
        .find_map(|start| reason.strip_prefix(start)?.split_once('`').map(|(name, _)| name));
    let field = match (path.as_str(), named) {
        (".", Some(name)) => name.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    Problem::invalid(field, reason)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(problem("[]").0, 422);
    }
}
