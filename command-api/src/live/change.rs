//! What a record changed, as far as streams tell it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::api_key::ApiKey;
use domain::campaign::Campaign;
use domain::device::Device;
use domain::firmware::Firmware;
use domain::group::Group;
use domain::ledger::Ledger;
use domain::member::Member;
use domain::plan::PlanChunk;
use domain::registration_token::RegistrationToken;
use domain::tenant::Tenant;
use domain::{Decider, TenantId};
use event_store::{RawRecord, Record};
use serde::Deserialize;

fn type_of<A: Decider>() -> &'static str {
    A::TYPE
}

/// A kind of resource that changes are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Campaign,
    Device,
    Firmware,
    Group,
    Tenant,
    ApiKey,
    Member,
    RegistrationToken,
}

impl Kind {
    /// The kind of an aggregate's type. Claims are nobody's resource. A campaign's plan and slots are parts of it.
    fn of(aggregate: &str) -> Option<Self> {
        let kinds = [
            (type_of::<Device>(), Self::Device),
            (type_of::<Campaign>(), Self::Campaign),
            (type_of::<Ledger>(), Self::Campaign),
            (type_of::<PlanChunk>(), Self::Campaign),
            (type_of::<Firmware>(), Self::Firmware),
            (type_of::<Group>(), Self::Group),
            (type_of::<Tenant>(), Self::Tenant),
            (type_of::<ApiKey>(), Self::ApiKey),
            (type_of::<Member>(), Self::Member),
            (type_of::<RegistrationToken>(), Self::RegistrationToken),
        ];
        kinds.into_iter().find(|(known, _)| *known == aggregate).map(|(_, kind)| kind)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Device => "device",
            Self::Firmware => "firmware",
            Self::Group => "group",
            Self::Tenant => "tenant",
            Self::ApiKey => "api_key",
            Self::Member => "member",
            Self::RegistrationToken => "registration_token",
        }
    }

    /// Whether only those hear of it who see the audit.
    pub(super) fn is_restricted(self) -> bool {
        matches!(self, Self::ApiKey | Self::Member | Self::RegistrationToken)
    }
}

/// Events of one record that are about the same resource, and about the same campaign if they are about any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) position: u64,
    /// By the clock of the log.
    pub(super) time: DateTime<Utc>,
    pub(super) tenant: TenantId,
    pub(super) kind: Kind,
    pub(super) id: Arc<str>,
    /// The campaign that it belongs to.
    pub(super) campaign: Option<Arc<str>>,
    /// Of each event, in order.
    pub(super) types: Vec<Arc<str>>,
}

/// The parts of an event that are looked at.
#[derive(Deserialize)]
struct Glimpse {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    update: Option<UpdateGlimpse>,
    /// Of parts of plans.
    #[serde(default)]
    campaign: Option<String>,
}

#[derive(Deserialize)]
struct UpdateGlimpse {
    #[serde(default)]
    campaign: Option<String>,
}

/// What a record changed. A record or an event that can't be read changes nothing that anybody could read.
pub(super) fn changes_of(record: &RawRecord) -> Vec<Change> {
    let Some(kind) = Kind::of(&record.key.kind) else { return vec![] };
    let Ok(read) = Record::decode(record.position, &record.body) else { return vec![] };
    let glimpses = read.events.iter().filter_map(|stored| serde_json::from_str::<Glimpse>(stored.event.get()).ok());
    let mut by_campaign: BTreeMap<Option<String>, Vec<Arc<str>>> = BTreeMap::new();
    for glimpse in glimpses {
        let campaign = match kind {
            Kind::Device => glimpse.update.and_then(|update| update.campaign),
            Kind::Campaign if record.key.kind == type_of::<PlanChunk>() => glimpse.campaign,
            Kind::Campaign => Some(record.key.id.to_string()),
            _ => None,
        };
        by_campaign.entry(campaign).or_default().push(glimpse.name.into());
    }
    let changes = by_campaign.into_iter().filter_map(|(campaign, types)| {
        let campaign: Option<Arc<str>> = campaign.map(Into::into);
        let id = match kind {
            Kind::Campaign => campaign.clone()?,
            _ => record.key.id.as_str().into(),
        };
        let (position, time, tenant) = (record.position, record.stored_at, record.key.tenant.clone());
        Some(Change { position, time, tenant, kind, id, campaign, types })
    });
    changes.collect()
}

#[cfg(test)]
mod tests {
    use domain::AggregateKey;
    use serde_json::{Value, json};

    use super::*;

    const CAMPAIGN: &str = "018f4e2a-7f00-7000-8000-000000000001";

    fn told(kind: &str, id: &str, events: &[Value]) -> Vec<(Kind, String, Option<String>, String)> {
        let events: Vec<_> = events.iter().map(|event| json!({"schema": 1, "event": event})).collect();
        let meta = json!({"actor": "user:1", "correlation_id": CAMPAIGN, "recorded_at": "2026-01-01T00:00:00Z"});
        let body =
            json!({"v": 1, "version": 1, "command_id": CAMPAIGN, "command_hash": "", "meta": meta, "events": events});
        let key = AggregateKey { tenant: TenantId::new("acme").unwrap(), kind: kind.into(), id: id.into() };
        let record = RawRecord {
            position: 7,
            stored_at: DateTime::UNIX_EPOCH,
            subject: String::new(),
            key,
            headers: BTreeMap::new(),
            body: body.to_string().into(),
        };
        let changes = changes_of(&record).into_iter();
        let text = |one: Option<Arc<str>>| one.map(|one| one.to_string());
        changes.map(|one| (one.kind, one.id.to_string(), text(one.campaign), one.types.join(" "))).collect()
    }

    #[test]
    fn an_update_of_a_campaign_changes_its_device_and_names_the_campaign() {
        let update = json!({"ordinal": 1, "attempt": 1, "campaign": CAMPAIGN});
        let events = [
            json!({"type": "device.came_online"}),
            json!({"type": "update.accepted", "update": update}),
            json!({"type": "update.downloading", "update": update}),
            json!({"type": "update.queued", "update": {"ordinal": 2, "attempt": 0}}),
        ];
        let d1 = || "d-1".to_owned();
        let expected = [
            (Kind::Device, d1(), None, "device.came_online update.queued".to_owned()),
            (Kind::Device, d1(), Some(CAMPAIGN.to_owned()), "update.accepted update.downloading".to_owned()),
        ];
        assert_eq!(told("device", "d-1", &events), expected);
    }

    #[test]
    fn plans_and_slots_are_parts_of_their_campaign_and_claims_are_told_to_nobody() {
        let of_campaign =
            |name: &str| vec![(Kind::Campaign, CAMPAIGN.to_owned(), Some(CAMPAIGN.to_owned()), name.to_owned())];
        let chunk = json!({"type": "plan.chunk_written", "campaign": CAMPAIGN});
        assert_eq!(told("campaign_plan", "p-0", &[chunk]), of_campaign("plan.chunk_written"));
        let granted = json!({"type": "ledger.granted"});
        assert_eq!(told("rollout_ledger", CAMPAIGN, &[granted]), of_campaign("ledger.granted"));
        assert_eq!(told("claim", "x", &[json!({"type": "claim.taken"})]), []);
        assert_eq!(told("group", "g", &[]), [], "a record without events can't be read");
    }
}
