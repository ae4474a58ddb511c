//! Writes JSON objects field by field.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_types::{Duration, Timestamp};
use serde::Serialize;

use crate::times;

/// A JSON object whose fields keep their order.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    pub(super) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a String can't fail.
        let _ = write!(self.0, "\"{name}\":{json}");
        self
    }

    /// Always there.
    pub(super) fn field(&mut self, name: &str, value: impl Serialize) -> &mut Self {
        let json = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
        self.raw(name, &json)
    }

    /// There when it has another value than its default.
    pub(super) fn non_default<T: Serialize + Default + PartialEq>(&mut self, name: &str, value: T) -> &mut Self {
        if value == T::default() { self } else { self.field(name, value) }
    }

    pub(super) fn time(&mut self, name: &str, time: Option<&Timestamp>) -> &mut Self {
        match time {
            Some(time) => self.field(name, times::time(time).to_rfc3339()),
            None => self,
        }
    }

    pub(super) fn message(&mut self, name: &str, json: Option<String>) -> &mut Self {
        match json {
            Some(json) => self.raw(name, &json),
            None => self,
        }
    }

    pub(super) fn end(&self) -> String {
        format!("{}}}", self.0)
    }
}

pub(super) fn bytes(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn duration(duration: &Duration) -> String {
    match duration.nanos {
        0 => format!("{}s", duration.seconds),
        nanos if nanos % 1_000_000 == 0 => format!("{}.{:03}s", duration.seconds, nanos / 1_000_000),
        nanos => format!("{}.{nanos:09}s", duration.seconds),
    }
}
