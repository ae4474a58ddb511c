//! What a stream is about. Streams of the same topic get the same messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::TenantId;

use super::change::{Change, Kind};

/// The changes that a stream tells of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    pub(super) tenant: TenantId,
    pub(super) scope: Scope,
    /// Only events of these types; all if there are none.
    pub(super) types: BTreeSet<String>,
    /// Whether keys, members and registration tokens are among them.
    pub(super) with_restricted: bool,
}

/// Whose changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All of the tenant.
    Tenant,
    /// A campaign and its devices' updates, told as changes of the campaign.
    Campaign(Arc<str>),
    /// A device; only its updates in the campaign if one is named.
    Device { id: Arc<str>, campaign: Option<Arc<str>> },
}

/// Where the hub finds a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Tenant(TenantId),
    Campaign(TenantId, Arc<str>),
    Device(TenantId, Arc<str>),
}

impl Place {
    /// The places whose topics a change may belong to.
    pub(super) fn of(change: &Change) -> impl Iterator<Item = Self> {
        let tenant = &change.tenant;
        let campaign = change.campaign.as_ref().map(|id| Self::Campaign(tenant.clone(), Arc::clone(id)));
        let device = (change.kind == Kind::Device).then(|| Self::Device(tenant.clone(), Arc::clone(&change.id)));
        [Self::Tenant(tenant.clone())].into_iter().chain(campaign).chain(device)
    }
}

/// A change as a topic tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) kind: Kind,
    pub(super) id: &'a Arc<str>,
    pub(super) types: Vec<&'a Arc<str>>,
}

impl Topic {
    pub(super) fn place(&self) -> Place {
        let tenant = self.tenant.clone();
        match &self.scope {
            Scope::Tenant => Place::Tenant(tenant),
            Scope::Campaign(id) => Place::Campaign(tenant, Arc::clone(id)),
            Scope::Device { id, .. } => Place::Device(tenant, Arc::clone(id)),
        }
    }

    /// What the topic tells of a change: nothing if the change is none of its own. In the tenant's topic, an update of a campaign is a change of
    /// its device and of the campaign.
    pub(super) fn tells<'a>(&self, change: &'a Change) -> Vec<Told<'a>> {
        if change.tenant != self.tenant || (change.kind.is_restricted() && !self.with_restricted) {
            return vec![];
        }
        let wanted = |name: &&Arc<str>| self.types.is_empty() || self.types.contains(&***name);
        let types: Vec<&Arc<str>> = change.types.iter().filter(wanted).collect();
        if types.is_empty() {
            return vec![];
        }
        let own = |types| Told { kind: change.kind, id: &change.id, types };
        let of_campaign = |types| change.campaign.as_ref().map(|id| Told { kind: Kind::Campaign, id, types });
        match &self.scope {
            Scope::Tenant if change.kind == Kind::Campaign => vec![own(types)],
            Scope::Tenant => [Some(own(types.clone())), of_campaign(types)].into_iter().flatten().collect(),
            Scope::Campaign(id) if change.campaign.as_ref() == Some(id) => of_campaign(types).into_iter().collect(),
            Scope::Device { id, campaign } => {
                let is_of_campaign = campaign.is_none() || *campaign == change.campaign;
                let is_own = change.kind == Kind::Device && change.id == *id && is_of_campaign;
                is_own.then(|| own(types)).into_iter().collect()
            }
            Scope::Campaign(_) => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn change(kind: Kind, id: &str, campaign: Option<&str>, types: &[&str]) -> Change {
        Change {
            position: 1,
            time: DateTime::UNIX_EPOCH,
            tenant: TenantId::new("acme").unwrap(),
            kind,
            id: id.into(),
            campaign: campaign.map(Into::into),
            types: types.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    fn topic(scope: Scope) -> Topic {
        Topic { tenant: TenantId::new("acme").unwrap(), scope, types: BTreeSet::new(), with_restricted: false }
    }

    fn told(topic: &Topic, change: &Change) -> Vec<String> {
        let is_found = Place::of(change).any(|place| place == topic.place());
        let told = topic.tells(change);
        assert!(told.is_empty() || is_found, "the hub would not find {topic:?}");
        told.iter().map(|one| format!("{} {} {}", one.kind.word(), one.id, one.types.len())).collect()
    }

    #[test]
    fn each_scope_tells_its_own() {
        let update = change(Kind::Device, "d-1", Some("c-1"), &["update.accepted", "update.failed"]);
        let online = change(Kind::Device, "d-1", None, &["device.came_online"]);
        let paused = change(Kind::Campaign, "c-1", Some("c-1"), &["campaign.paused"]);
        let device = |campaign: Option<&str>| Scope::Device { id: "d-1".into(), campaign: campaign.map(Into::into) };
        for (scope, expected) in [
            (Scope::Tenant, [vec!["device d-1 2", "campaign c-1 2"], vec!["device d-1 1"], vec!["campaign c-1 1"]]),
            (Scope::Campaign("c-1".into()), [vec!["campaign c-1 2"], vec![], vec!["campaign c-1 1"]]),
            (Scope::Campaign("c-2".into()), [vec![], vec![], vec![]]),
            (device(None), [vec!["device d-1 2"], vec!["device d-1 1"], vec![]]),
            (device(Some("c-1")), [vec!["device d-1 2"], vec![], vec![]]),
            (device(Some("c-2")), [vec![], vec![], vec![]]),
        ] {
            let topic = topic(scope);
            assert_eq!([&update, &online, &paused].map(|change| told(&topic, change)), expected, "{topic:?}");
        }
    }

    #[test]
    fn types_and_rights_leave_out_the_rest() {
        let update = change(Kind::Device, "d-1", None, &["update.accepted", "update.failed"]);
        let failed = Topic { types: ["update.failed".to_owned()].into(), ..topic(Scope::Tenant) };
        assert_eq!(told(&failed, &update), ["device d-1 1"]);
        let key = change(Kind::ApiKey, "k-1", None, &["api_key.revoked"]);
        assert!(told(&topic(Scope::Tenant), &key).is_empty());
        assert_eq!(told(&Topic { with_restricted: true, ..topic(Scope::Tenant) }, &key), ["api_key k-1 1"]);
        let foreign = Change { tenant: TenantId::new("rival").unwrap(), ..update };
        assert!(topic(Scope::Tenant).tells(&foreign).is_empty());
    }
}
