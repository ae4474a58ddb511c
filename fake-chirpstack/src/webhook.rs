//! Webhooks: the HTTP integrations of the double.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::events::Event;

/// How events are encoded for a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[default]
    Json,
    Protobuf,
}

/// An HTTP integration: gets each event by POST, with `event=` appended to its query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub encoding: Encoding,
    /// Only events of this application; absent: of all.
    #[serde(default)]
    pub application_id: Option<String>,
}

impl Webhook {
    /// Gets events of all applications as JSON.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), headers: BTreeMap::new(), encoding: Encoding::Json, application_id: None }
    }

    pub(crate) fn url_of(&self, event: &Event) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}event={}", self.url, event.kind.name())
    }
}
