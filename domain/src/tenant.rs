//! The Tenant aggregate: whether a tenant exists, what it may use, and whether anything may go out to its devices.
//!
//! Who enforces it: the API ([`Tenant::admits_callers`], [`Quotas`], [`TenantRules`]), what advances campaigns and what publishes commands
//! ([`Tenant::lets_dispatch`]), and what lets devices in ([`Tenant::lets_devices_in`]).

mod chirpstack;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use chirpstack::{
    AUTO_IMPORT_MAX, CA_MAX_BYTES, ChirpStackConnection, ChirpStackMqtt, EVENT_TOPIC_DEFAULT, WEBHOOK_HEADER_DEFAULT,
    is_application_id,
};

use crate::campaign::Violation;
use crate::change::Change;
use crate::decider::Decider;
use crate::ids::TenantId;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::values::{SHORT_TEXT_MAX_CHARS, is_short_text};

/// Largest quota of devices and of campaigns.
pub const COUNT_QUOTA_MAX: u64 = 100_000_000;
/// Largest quota of bytes: 1 PiB.
pub const BYTES_QUOTA_MAX: u64 = 1 << 50;

/// The most that a tenant may use; absent: no limit of its own. A lowered quota takes nothing away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotas {
    /// Devices in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Bytes of all firmware that is not deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_bytes: Option<u64>,
    /// Campaigns that have been started and have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaigns: Option<u64>,
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
}

/// A change of [`Quotas`]; `null` removes a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuotasPatch {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub devices: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub firmware_bytes: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub campaigns: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub requests_per_minute: Change<u64>,
}

/// What a tenant asks of everything that its callers do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantRules {
    /// Commands that change the work of others need a reason.
    #[serde(skip_serializing_if = "is_default")]
    pub require_reason: bool,
    /// Every campaign needs an approval before it starts.
    #[serde(skip_serializing_if = "is_default")]
    pub require_approval: bool,
    /// Every update needs the device's own report of the SHA-256 of what it received.
    #[serde(skip_serializing_if = "is_default")]
    pub require_digest_report: bool,
}

/// A change of [`TenantRules`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantRulesPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_reason: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_approval: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_digest_report: Option<bool>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is said of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub quotas: Quotas,
    #[serde(skip_serializing_if = "is_default")]
    pub rules: TenantRules,
}

/// A change of [`TenantSpec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantPatch {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub name: Change<Sealed<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub quotas: QuotasPatch,
    #[serde(skip_serializing_if = "is_default")]
    pub rules: TenantRulesPatch,
}

impl TenantSpec {
    #[must_use]
    pub fn patched(&self, patch: &TenantPatch) -> Self {
        let mut next = self.clone();
        patch.name.apply_to(&mut next.name);
        let QuotasPatch { devices, firmware_bytes, campaigns, requests_per_minute } = &patch.quotas;
        devices.apply_to(&mut next.quotas.devices);
        firmware_bytes.apply_to(&mut next.quotas.firmware_bytes);
        campaigns.apply_to(&mut next.quotas.campaigns);
        requests_per_minute.apply_to(&mut next.quotas.requests_per_minute);
        let TenantRulesPatch { require_reason, require_approval, require_digest_report } = patch.rules;
        let rules = &mut next.rules;
        rules.require_reason = require_reason.unwrap_or(rules.require_reason);
        rules.require_approval = require_approval.unwrap_or(rules.require_approval);
        rules.require_digest_report = require_digest_report.unwrap_or(rules.require_digest_report);
        next
    }

    /// All violations, in the order of the fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add = |field: &str, reason: String| found.push((field.to_owned(), reason));
        if self.name.as_ref().and_then(Sealed::plain).is_some_and(|name| !is_short_text(name)) {
            add("name", format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters"));
        }
        let Quotas { devices, firmware_bytes, campaigns, requests_per_minute } = self.quotas;
        for (field, quota, max) in [
            ("quotas.devices", devices, COUNT_QUOTA_MAX),
            ("quotas.firmware_bytes", firmware_bytes, BYTES_QUOTA_MAX),
            ("quotas.campaigns", campaigns, COUNT_QUOTA_MAX),
            ("quotas.requests_per_minute", requests_per_minute, COUNT_QUOTA_MAX),
        ] {
            if quota.is_some_and(|quota| quota > max) {
                add(field, format!("at most {max}"));
            }
        }
        // With none, nobody could raise it again.
        if requests_per_minute == Some(0) {
            add("quotas.requests_per_minute", "at least 1".to_owned());
        }
        found
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum TenantEvent {
    #[serde(rename = "tenant.created")]
    Created {
        #[serde(default)]
        spec: TenantSpec,
        /// The log had records of the tenant before tenants were known.
        #[serde(default, skip_serializing_if = "is_default")]
        found: bool,
    },
    #[serde(rename = "tenant.amended")]
    Amended { patch: TenantPatch },
    #[serde(rename = "tenant.suspended")]
    Suspended {},
    #[serde(rename = "tenant.reinstated")]
    Reinstated {},
    #[serde(rename = "tenant.frozen")]
    Frozen {},
    #[serde(rename = "tenant.unfrozen")]
    Unfrozen {},
    #[serde(rename = "tenant.closed")]
    Closed {},
    /// Its LoRaWAN devices are synced to this ChirpStack from now on.
    #[serde(rename = "tenant.chirpstack_connected")]
    ChirpStackConnected { connection: Box<ChirpStackConnection> },
    #[serde(rename = "tenant.chirpstack_disconnected")]
    ChirpStackDisconnected {},
}

crate::event_types!(TenantEvent {
    Created => "tenant.created" v 1,
    Amended => "tenant.amended" v 1,
    Suspended => "tenant.suspended" v 1,
    Reinstated => "tenant.reinstated" v 1,
    Frozen => "tenant.frozen" v 1,
    Unfrozen => "tenant.unfrozen" v 1,
    Closed => "tenant.closed" v 1,
    ChirpStackConnected => "tenant.chirpstack_connected" v 1,
    ChirpStackDisconnected => "tenant.chirpstack_disconnected" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum TenantCommand {
    Create {
        spec: TenantSpec,
    },
    /// For a tenant that the log has records of. Nothing happens if it is known.
    Adopt,
    Amend {
        patch: TenantPatch,
    },
    /// Callers are refused and nothing is dispatched, until it is reinstated.
    Suspend,
    Reinstate,
    /// Nothing is dispatched until it is unfrozen.
    Freeze,
    Unfreeze,
    /// For ever. The history stays.
    Close,
    /// In place of the connection that it has.
    ConnectChirpStack {
        connection: Box<ChirpStackConnection>,
    },
    /// What is over there stays.
    DisconnectChirpStack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TenantStatus {
    Active,
    Suspended,
    Closed,
}

/// Why a tenant's callers are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// There is no such tenant.
    Unknown,
    Suspended,
    Closed,
}

/// State of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    exists: bool,
    pub spec: TenantSpec,
    suspended: bool,
    frozen: bool,
    closed: bool,
    /// How often it was suspended.
    #[serde(default)]
    suspensions: u64,
    /// None: its LoRaWAN devices wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chirpstack: Option<Box<ChirpStackConnection>>,
    /// How often a connection was set.
    #[serde(default)]
    chirpstack_revision: u64,
}

crate::aggregate!(Tenant, "tenant", TenantCommand, TenantEvent);

impl Tenant {
    pub fn apply(&mut self, event: &TenantEvent) {
        match event {
            TenantEvent::Created { spec, found: _ } => {
                *self = Self { exists: true, spec: spec.clone(), ..Self::default() }
            }
            TenantEvent::Amended { patch } => self.spec = self.spec.patched(patch),
            TenantEvent::Suspended {} => {
                self.suspended = true;
                self.suspensions += 1;
            }
            TenantEvent::Reinstated {} => self.suspended = false,
            TenantEvent::Frozen {} => self.frozen = true,
            TenantEvent::Unfrozen {} => self.frozen = false,
            TenantEvent::Closed {} => self.closed = true,
            TenantEvent::ChirpStackConnected { connection } => {
                self.chirpstack = Some(connection.clone());
                self.chirpstack_revision += 1;
            }
            TenantEvent::ChirpStackDisconnected {} => self.chirpstack = None,
        }
    }

    pub fn status(&self) -> TenantStatus {
        match self {
            Self { closed: true, .. } => TenantStatus::Closed,
            Self { suspended: true, .. } => TenantStatus::Suspended,
            _ => TenantStatus::Active,
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// How often it was suspended so far. What people have begun before another suspension is over.
    pub fn suspensions(&self) -> u64 {
        self.suspensions
    }

    /// How often a ChirpStack connection was set so far. What one connection has refused is tried again with another.
    pub fn chirpstack_revision(&self) -> u64 {
        self.chirpstack_revision
    }

    /// The connection to use now, and its revision. None while the tenant is suspended or closed.
    pub fn chirpstack_in_use(&self) -> Option<(&ChirpStackConnection, u64)> {
        let connection = self.chirpstack.as_deref().filter(|_| self.status() == TenantStatus::Active)?;
        Some((connection, self.chirpstack_revision))
    }

    /// Whether its callers may use the API.
    pub fn admits_callers(&self) -> Result<(), Shut> {
        match self.status() {
            _ if !self.exists => Err(Shut::Unknown),
            TenantStatus::Closed => Err(Shut::Closed),
            TenantStatus::Suspended => Err(Shut::Suspended),
            TenantStatus::Active => Ok(()),
        }
    }

    /// Whether devices may be told to begin an update or a rollback. What they have begun goes on. A tenant that isn't known lets them: it is
    /// one of an older log that hasn't been adopted yet.
    pub fn lets_dispatch(&self) -> bool {
        !self.frozen && self.status() == TenantStatus::Active
    }

    /// Whether its devices may log in. Those of a suspended tenant may: what they report is proof.
    pub fn lets_devices_in(&self) -> bool {
        !self.closed
    }
}

impl Decider for Tenant {
    type Command = TenantCommand;
    type Id = TenantId;

    fn wants_reason(command: &TenantCommand) -> bool {
        use TenantCommand as C;
        match command {
            C::Suspend | C::Freeze | C::Unfreeze | C::Close => true,
            C::Create { .. }
            | C::Adopt
            | C::Amend { .. }
            | C::Reinstate
            | C::ConnectChirpStack { .. }
            | C::DisconnectChirpStack => false,
        }
    }

    fn decide(&self, _now: DateTime<Utc>, command: &TenantCommand) -> Result<Vec<TenantEvent>, Rejection> {
        use TenantCommand as C;
        use TenantEvent as E;
        let once = |is_so: bool, event: TenantEvent| Ok(if is_so { vec![] } else { vec![event] });
        match command {
            C::Create { .. } if self.closed => Err(Rejection::TenantClosed),
            C::Create { .. } if self.exists => Err(Rejection::TenantExists),
            C::Create { spec } => {
                checked(spec)?;
                Ok(vec![E::Created { spec: spec.clone(), found: false }])
            }
            C::Adopt => once(self.exists, E::Created { spec: TenantSpec::default(), found: true }),
            _ if !self.exists => Err(Rejection::TenantUnknown),
            C::Close => once(self.closed, E::Closed {}),
            _ if self.closed => Err(Rejection::TenantClosed),
            C::Amend { patch } => {
                let next = self.spec.patched(patch);
                checked(&next)?;
                once(next == self.spec, E::Amended { patch: patch.clone() })
            }
            C::Suspend => once(self.suspended, E::Suspended {}),
            C::Reinstate => once(!self.suspended, E::Reinstated {}),
            C::Freeze => once(self.frozen, E::Frozen {}),
            C::Unfreeze => once(!self.frozen, E::Unfrozen {}),
            C::ConnectChirpStack { connection } => {
                first_violation(connection.violations())?;
                let connected = E::ChirpStackConnected { connection: connection.clone() };
                once(self.chirpstack.as_ref() == Some(connection), connected)
            }
            C::DisconnectChirpStack => once(self.chirpstack.is_none(), E::ChirpStackDisconnected {}),
        }
    }

    fn exists(&self) -> bool {
        self.exists
    }
}

fn checked(spec: &TenantSpec) -> Result<(), Rejection> {
    first_violation(spec.violations())
}

fn first_violation(violations: Vec<Violation>) -> Result<(), Rejection> {
    match violations.into_iter().next() {
        None => Ok(()),
        Some((field, reason)) => Err(Rejection::Invalid { field, reason }),
    }
}
