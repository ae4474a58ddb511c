//! Upcasts events of older schemas when they are read.
//!
//! An upcaster is pure and turns one event of schema `n` into one of schema `n + 1`; several run one after the other. The log is never
//! rewritten. An event of today's schema goes straight to its type. To add one: raise the version in the `event_types!` table, keep the old
//! golden file, write the function, list it in [`UPCASTERS`].

use domain::decider::EventTypes;
use serde::Deserialize;
use serde_json::Value;

use crate::error::StoreError;
use crate::stored_event::StoredEvent;

/// Turns an event into its next schema.
pub type Upcaster = fn(Value) -> Value;

/// All upcasters: event type, schema that it reads, function.
pub const UPCASTERS: &[(&str, u16, Upcaster)] = &[];

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow, rename = "type")]
    name: std::borrow::Cow<'a, str>,
}

/// The stable name of a stored event.
pub fn type_of(stored: &StoredEvent, position: u64) -> Result<std::borrow::Cow<'_, str>, StoreError> {
    let tag: Tag<'_> = serde_json::from_str(stored.event.get()).map_err(|error| corrupt(position, &error))?;
    Ok(tag.name)
}

/// The event as it is stored, for readers that don't need its type. Its schema may be older than today's.
pub fn to_value(stored: &StoredEvent, position: u64) -> Result<Value, StoreError> {
    serde_json::from_str(stored.event.get()).map_err(|error| corrupt(position, &error))
}

/// The event in today's schema.
pub(crate) fn decode<E: EventTypes>(stored: &StoredEvent, position: u64) -> Result<E, StoreError> {
    decode_with(UPCASTERS, stored, position)
}

fn decode_with<E: EventTypes>(
    upcasters: &[(&str, u16, Upcaster)],
    stored: &StoredEvent,
    position: u64,
) -> Result<E, StoreError> {
    let name = type_of(stored, position)?;
    let today = E::TYPES.iter().find(|(known, _)| *known == name).map(|(_, schema)| *schema);
    match today {
        Some(today) if today == stored.schema => {
            serde_json::from_str(stored.event.get()).map_err(|error| corrupt(position, &error))
        }
        Some(today) if today > stored.schema => {
            let mut value: Value =
                serde_json::from_str(stored.event.get()).map_err(|error| corrupt(position, &error))?;
            for schema in stored.schema..today {
                let step = upcasters.iter().find(|(of, from, _)| *of == name && *from == schema);
                let (.., step) = step.ok_or_else(|| StoreError::Corrupt {
                    position,
                    reason: format!("no upcaster for {name:?} from schema {schema}"),
                })?;
                value = step(value);
            }
            serde_json::from_value(value).map_err(|error| corrupt(position, &error))
        }
        _ => Err(StoreError::UnknownEvent { event_type: name.into_owned(), schema: stored.schema, position }),
    }
}

fn corrupt(position: u64, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt { position, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cqrs_es::DomainEvent;
    use serde::Serialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Lamp {
        #[serde(rename = "lamp.lit")]
        Lit { lumens: u32, room: String },
    }
    impl DomainEvent for Lamp {
        fn event_type(&self) -> String {
            "lamp.lit".to_owned()
        }
        fn event_version(&self) -> String {
            "3".to_owned()
        }
    }
    impl EventTypes for Lamp {
        const TYPES: &'static [(&'static str, u16)] = &[("lamp.lit", 3)];
        fn schema_version(&self) -> u16 {
            3
        }
    }

    const STEPS: &[(&str, u16, Upcaster)] = &[
        ("lamp.lit", 1, |mut value| {
            value["lumens"] = value["brightness"].take();
            value
        }),
        ("lamp.lit", 2, |mut value| {
            value["room"] = "unknown".into();
            value
        }),
    ];

    fn stored(schema: u16, json: &str) -> StoredEvent {
        StoredEvent { schema, meta: None, event: serde_json::value::RawValue::from_string(json.to_owned()).unwrap() }
    }

    #[test]
    fn an_old_event_takes_every_step() {
        let old = stored(1, r#"{"type":"lamp.lit","brightness":7}"#);
        let event: Lamp = decode_with(STEPS, &old, 1).unwrap();
        assert_eq!(event, Lamp::Lit { lumens: 7, room: "unknown".into() });
    }

    #[test]
    fn newer_schemas_and_unknown_types_are_told_from_damage() {
        for newer in [stored(4, r#"{"type":"lamp.lit"}"#), stored(1, r#"{"type":"lamp.sold"}"#)] {
            assert!(matches!(decode_with::<Lamp>(STEPS, &newer, 9), Err(StoreError::UnknownEvent { position: 9, .. })));
        }
        let damaged = stored(3, r#"{"type":"lamp.lit"}"#);
        assert!(matches!(decode_with::<Lamp>(STEPS, &damaged, 9), Err(StoreError::Corrupt { position: 9, .. })));
    }

    #[test]
    fn a_missing_step_is_an_error() {
        let old = stored(1, r#"{"type":"lamp.lit","brightness":7}"#);
        assert!(matches!(decode_with::<Lamp>(&STEPS[1..], &old, 1), Err(StoreError::Corrupt { .. })));
    }
}
