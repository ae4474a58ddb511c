//! Columns of a record for queries, beside its bytes.
//!
//! A record has them only if PostgreSQL can read its body: the view `events` opens the body of each record that has a version.

use chrono::{DateTime, Utc};
use event_store::{RawRecord, Record};
use serde_json::Value;
use uuid::Uuid;

/// A body with no more opening brackets isn't nested too deeply for PostgreSQL. With more of them a parser measures the depth.
const BRACKETS_MAX: usize = 100;

/// Columns from the body of a record.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    /// Version of the aggregate after the first event.
    pub(super) version: i64,
    pub(super) event_count: i32,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) actor: &'a str,
    pub(super) correlation_id: Uuid,
    pub(super) causation_id: Option<Uuid>,
    pub(super) causation_position: Option<i64>,
}

impl<'a> Columns<'a> {
    /// Columns of a record, whether or not this program knows its events. Each event must have a type. The error says what PostgreSQL can't
    /// read.
    pub(super) fn of(raw: &RawRecord, record: &'a Record) -> Result<Self, String> {
        for stored in &record.events {
            let name = event_store::upcast::type_of(stored, raw.position).map_err(|error| error.to_string())?;
            if name.contains('\0') {
                return Err("the type of an event has a NUL in it".to_owned());
            }
        }
        if !opens_in_postgresql(&raw.body) {
            return Err("its JSON can't be read".to_owned());
        }
        let last_version = record.version.saturating_add(record.events.len() as u64);
        bigint("version", last_version)?;
        for meta in record.events.iter().filter_map(|stored| stored.meta.as_ref()) {
            meta.causation_position.map(|position| bigint("position", position)).transpose()?;
        }
        let meta = &record.meta;
        Ok(Self {
            version: bigint("version", record.version)?,
            event_count: i32::try_from(record.events.len()).map_err(|error| error.to_string())?,
            recorded_at: meta.recorded_at,
            actor: meta.actor.as_str(),
            correlation_id: meta.correlation_id,
            causation_id: meta.causation_id,
            causation_position: meta.causation_position.map(|position| bigint("position", position)).transpose()?,
        })
    }
}

fn bigint(what: &str, number: u64) -> Result<i64, String> {
    i64::try_from(number).map_err(|_| format!("the {what} {number} is too large"))
}

/// Whether PostgreSQL can read the JSON of a body that serde has read. Serde doesn't check texts and depth of fields that it skips.
fn opens_in_postgresql(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    let is_plain = brackets <= BRACKETS_MAX && !text.contains("\\u");
    // Reading a whole `Value` finds half surrogate pairs and more than 128 levels.
    is_plain || serde_json::from_str::<Value>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_serde_skips_must_be_readable_too() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for bad in [&b"{\"x\":\"\x80\"}"[..], br#"{"x":"\ud800"}"#, deep.as_bytes()] {
            assert!(!opens_in_postgresql(bad), "{}", String::from_utf8_lossy(bad));
        }
        let wide = format!(r#"{{"x":[{}1]}}"#, "[],".repeat(200));
        for good in [&br#"{"x":"\u0000 \ud83d\ude00"}"#[..], wide.as_bytes(), "{\"x\":\"é\"}".as_bytes()] {
            assert!(opens_in_postgresql(good), "{}", String::from_utf8_lossy(good));
        }
    }
}
