//! The latest value of each measurement of a device, by its name.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::DeviceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;

use crate::db::{DbError, ReadTx};
use crate::row::from_json;

/// Most names that are kept of a device: those that came last.
const NAMES_MAX: usize = 64;
/// Longest value that is kept here, as JSON, in bytes. Longer ones are only in the messages.
const VALUE_MAX_BYTES: usize = 1_024;

/// A measurement and when it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub value: Value,
    pub at: DateTime<Utc>,
}

/// Latest measurements by name.
pub type Readings = BTreeMap<String, Reading>;

/// Adds the measurements of a message.
pub(super) fn note(readings: &mut Readings, data: &Value, at: DateTime<Utc>) {
    for (name, value) in data.as_object().into_iter().flatten() {
        let is_short = name.len() + value.to_string().len() <= VALUE_MAX_BYTES;
        if is_short && readings.get(name).is_none_or(|known| known.at <= at) {
            readings.insert(name.clone(), Reading { value: value.clone(), at });
        }
    }
    let Some(too_many) = readings.len().checked_sub(NAMES_MAX).filter(|count| *count > 0) else { return };
    // A message may have thousands of names, so they are put in order once.
    let mut by_age: Vec<_> = readings.iter().map(|(name, reading)| (reading.at, name.clone())).collect();
    by_age.sort();
    for (_, name) in &by_age[..too_many] {
        readings.remove(name);
    }
}

/// The latest measurements of a device of the transaction's tenant, without those that came before `since`; none before its first.
pub async fn latest(tx: &mut ReadTx, device: &DeviceId, since: Option<DateTime<Utc>>) -> Result<Readings, DbError> {
    let query = sqlx::query("SELECT readings FROM telemetry_latest WHERE device_id = $1").bind(device.as_str());
    match query.fetch_optional(&mut *tx.0).await? {
        Some(row) => {
            let mut readings: Readings = from_json(row.try_get(0)?)?;
            readings.retain(|_, reading| since.is_none_or(|since| reading.at >= since));
            Ok(readings)
        }
        None => Ok(Readings::new()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_of_each_name_is_kept_and_no_more_than_the_bound() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut readings = Readings::new();
        note(&mut readings, &json!({"temperature": 20, "battery": 90}), at(2));
        note(&mut readings, &json!({"temperature": 21}), at(3));
        note(&mut readings, &json!({"temperature": 19, "battery": 91}), at(1));
        let value = |readings: &Readings, name: &str| readings.get(name).map(|reading| reading.value.clone());
        assert_eq!(value(&readings, "temperature"), Some(json!(21)));
        assert_eq!(value(&readings, "battery"), Some(json!(90)));
        note(&mut readings, &json!({"long": "x".repeat(VALUE_MAX_BYTES)}), at(4));
        assert_eq!(value(&readings, "long"), None);
        for n in 0..NAMES_MAX as i64 {
            note(&mut readings, &json!({ format!("n{n}"): n }), at(10 + n));
        }
        assert_eq!(readings.len(), NAMES_MAX);
        assert_eq!((value(&readings, "battery"), value(&readings, "n0")), (None, Some(json!(0))));
        let many: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("m{n}"), json!(n))).collect();
        note(&mut readings, &Value::Object(many), at(90));
        assert_eq!((readings.len(), value(&readings, "n0")), (NAMES_MAX, None));
        note(&mut readings, &json!([1, 2]), at(100));
        assert_eq!(readings.len(), NAMES_MAX, "no object");
    }
}
