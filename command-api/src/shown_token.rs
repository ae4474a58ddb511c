//! A token in the one reply that shows it.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use serde_json::Value;
use trust::SecretText;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::Problem;

/// Keeps a reply with a token out of caches.
pub(crate) const NOT_CACHED: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// A token. JSON shows it, Debug doesn't.
#[derive(Debug)]
pub(crate) struct ShownToken(SecretText);

impl ShownToken {
    pub(crate) fn of(token: &impl AsRef<SecretText>) -> Self {
        Self(token.as_ref().clone())
    }
}

impl Serialize for ShownToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl PartialSchema for ShownToken {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.description(Some("Shown once, in this reply only.")).build().into()
    }
}

impl ToSchema for ShownToken {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Token")
    }
}

/// The reply to a request that was carried out before: its token is not stored, so nobody can show it again. `id` names what was issued.
pub(crate) fn shown_before(field: &str, id: impl ToString) -> Problem {
    let id = id.to_string();
    let detail = format!(
        "this request was carried out before, and a token is shown once: revoke what it issued ({field} {id}) and send another request"
    );
    let facts = Value::Object([(field.to_owned(), Value::String(id))].into_iter().collect());
    Problem::new(StatusCode::CONFLICT, "token_shown", detail).with_facts(facts)
}

#[cfg(test)]
mod tests {
    use trust::DeviceToken;

    use super::*;

    #[test]
    fn a_token_is_shown_in_json_alone() {
        let token = DeviceToken::generate();
        let shown = ShownToken::of(&token);
        assert_eq!(serde_json::to_value(&shown).unwrap(), token.as_ref().reveal());
        assert!(!format!("{shown:?}").contains("wbd_"));
    }
}
