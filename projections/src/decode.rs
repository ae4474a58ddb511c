//! Records with their events decoded, as models apply them.

use chrono::{DateTime, Utc};
use domain::decider::EventTypes;
use domain::events::{
    ApiKeyEvent, CampaignEvent, ClaimEvent, DeviceEvent, FirmwareEvent, FuotaEvent, GroupEvent, LedgerEvent,
    LorawanProfileEvent, MemberEvent, PlanEvent, RegistrationTokenEvent, TenantEvent,
};
use event_store::{RawRecord, Record, RecordRef, StoreError};

use crate::db::DbError;

/// The events of one record.
pub(crate) enum Events {
    Device(Vec<DeviceEvent>),
    Firmware(Vec<FirmwareEvent>),
    Campaign(Vec<CampaignEvent>),
    Plan(Vec<PlanEvent>),
    Ledger(Vec<LedgerEvent>),
    Group(Vec<GroupEvent>),
    Tenant(Vec<TenantEvent>),
    RegistrationToken(Vec<RegistrationTokenEvent>),
    Fuota(Vec<FuotaEvent>),
    LorawanProfile(Vec<LorawanProfileEvent>),
    /// Of an aggregate that no read model shows. They are decoded to find events that this program doesn't know.
    Unshown,
    /// Not decoded.
    Unread,
}

/// A record that this program can't decode, and why.
pub(crate) struct Unreadable {
    pub(crate) raw: RawRecord,
    pub(crate) error: StoreError,
}

impl From<Box<Unreadable>> for DbError {
    fn from(unreadable: Box<Unreadable>) -> Self {
        Self::Invalid(unreadable.error.to_string())
    }
}

/// One record, decoded.
pub(crate) struct Decoded {
    pub(crate) raw: RawRecord,
    pub(crate) record: Record,
    pub(crate) events: Events,
}

fn unshown<E: EventTypes>(raw: &RawRecord, record: &Record) -> Result<Events, StoreError> {
    record.decode_events::<E>(raw.position)?;
    Ok(Events::Unshown)
}

impl Decoded {
    pub(crate) fn decode(raw: RawRecord) -> Result<Self, Box<Unreadable>> {
        match Record::decode(raw.position, &raw.body).and_then(|record| Ok((Self::events_of(&raw, &record)?, record))) {
            Ok((events, record)) => Ok(Self { raw, record, events }),
            Err(error) => Err(Box::new(Unreadable { raw, error })),
        }
    }

    /// The same for a model that doesn't read events: they may be unknown.
    pub(crate) fn envelope(raw: RawRecord) -> Result<Self, Box<Unreadable>> {
        match Record::decode(raw.position, &raw.body) {
            Ok(record) => Ok(Self { raw, record, events: Events::Unread }),
            Err(error) => Err(Box::new(Unreadable { raw, error })),
        }
    }

    fn events_of(raw: &RawRecord, record: &Record) -> Result<Events, StoreError> {
        Ok(match raw.key.kind.as_str() {
            "device" => Events::Device(record.decode_events(raw.position)?),
            "firmware" => Events::Firmware(record.decode_events(raw.position)?),
            "campaign" => Events::Campaign(record.decode_events(raw.position)?),
            "campaign_plan" => Events::Plan(record.decode_events(raw.position)?),
            "rollout_ledger" => Events::Ledger(record.decode_events(raw.position)?),
            "group" => Events::Group(record.decode_events(raw.position)?),
            "tenant" => Events::Tenant(record.decode_events(raw.position)?),
            "registration_token" => Events::RegistrationToken(record.decode_events(raw.position)?),
            "fuota_deployment" => Events::Fuota(record.decode_events(raw.position)?),
            "lorawan_profile" => Events::LorawanProfile(record.decode_events(raw.position)?),
            "claim" => unshown::<ClaimEvent>(raw, record)?,
            "member" => unshown::<MemberEvent>(raw, record)?,
            "api_key" => unshown::<ApiKeyEvent>(raw, record)?,
            other => {
                let event_type = format!("aggregate {other}");
                return Err(StoreError::UnknownEvent { event_type, schema: 0, position: raw.position });
            }
        })
    }

    /// Whether a text in it has a NUL, which PostgreSQL can't store.
    pub(crate) fn has_nul(&self) -> bool {
        std::str::from_utf8(&self.raw.body).is_ok_and(|body| body.contains("\\u0000"))
    }

    pub(crate) fn tenant(&self) -> String {
        self.raw.key.tenant.to_string()
    }

    pub(crate) fn id(&self) -> String {
        self.raw.key.id.clone()
    }

    /// When the command was decided. Read models use no other clock.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.record.meta.recorded_at
    }

    pub(crate) fn reference(&self) -> RecordRef {
        RecordRef { command_id: self.record.command_id, position: self.raw.position }
    }

    pub(crate) fn device_events(&self) -> &[DeviceEvent] {
        if let Events::Device(events) = &self.events { events } else { &[] }
    }

    /// The aggregate, as parked records name it.
    pub(crate) fn aggregate(&self) -> String {
        self.raw.key.to_string()
    }
}
