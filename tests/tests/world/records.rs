//! The whole log of a test, and the rule that each record names its cause.

use std::collections::BTreeMap;

use event_store::{Delivery, Metadata, RawRecord, Record};
use futures::StreamExt;

use super::World;

/// Actors whose records may have no cause: people, devices on their own initiative, also with a registration token, and who adopts tenants
/// that nobody has created, and who tell what they found in a network server.
const OF_THEIR_OWN_ACCORD: [&str; 7] = [
    "user:",
    "device",
    "registration-token:",
    "service:api",
    "process-manager:adoption",
    "process-manager:network",
    "process-manager:profiles",
];
/// The clock of silence has no cause, because it follows from missing messages.
const SILENCE: &str = "process-manager:presence";

pub(crate) struct Records(pub(crate) BTreeMap<u64, (RawRecord, Record)>);

impl Records {
    pub(crate) async fn read(world: &World) -> Self {
        let mut subscription = world.log().await.subscribe(1);
        let mut records = BTreeMap::new();
        while let Some(Ok(Delivery::Record(raw))) = subscription.next().await {
            let record = Record::decode(raw.position, &raw.body).unwrap();
            records.insert(raw.position, (raw, record));
        }
        Self(records)
    }

    /// Each event names an earlier record, by id and position, or was started by a person or a device.
    pub(crate) fn say_where_they_come_from(&self) {
        for (position, (_, record)) in &self.0 {
            for stored in &record.events {
                self.check(*position, stored.event.get(), &stored.metadata(&record.meta));
            }
        }
    }

    fn check(&self, position: u64, event: &str, meta: &Metadata) {
        let actor = meta.actor.to_string();
        let Some(cause) = meta.causation_position else {
            assert_eq!(meta.causation_id, None, "{position} names a record without its position: {event}");
            let may_name_none = OF_THEIR_OWN_ACCORD.iter().any(|who| actor.starts_with(who)) || actor == SILENCE;
            assert!(may_name_none, "{position} by {actor} names no cause: {event}");
            return;
        };
        assert!(cause < position, "{position}: its cause must be earlier, not at {cause}: {event}");
        let (_, record) = self.0.get(&cause).unwrap_or_else(|| panic!("{position} names {cause}, where nothing is"));
        assert_eq!(meta.causation_id, Some(record.command_id.0), "{position}: id and position name one record");
    }
}
