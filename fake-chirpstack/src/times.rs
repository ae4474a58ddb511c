//! Times as protobuf has them.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

pub(crate) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0) }
}

pub(crate) fn now() -> Timestamp {
    timestamp(runtime::clock::now())
}

pub(crate) fn time(timestamp: &Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).unwrap_or(0)).unwrap_or_default()
}
