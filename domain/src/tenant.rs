//! The Tenant aggregate: whether a tenant exists, what it may use, and whether anything may go out to its devices.
//!
//! Who enforces it: the API ([`Tenant::admits_callers`], [`Quotas`], [`TenantRules`]), what advances campaigns and what publishes commands
//! ([`Tenant::lets_dispatch`]), and what lets devices in ([`Tenant::lets_devices_in`]).

mod chirpstack;
mod retention;
mod spec;
#[cfg(test)]
mod tests;
mod trusted_keys;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use chirpstack::{
    AUTO_IMPORT_MAX, CA_MAX_BYTES, ChirpStackConnection, ChirpStackMqtt, EVENT_TOPIC_DEFAULT, WEBHOOK_HEADER_DEFAULT,
    is_application_id,
};
pub use retention::{
    DEAD_LETTERS_MAX_DAYS, DEVICE_DOWNLOADS_DEFAULT_DAYS, DEVICE_DOWNLOADS_MAX_DAYS, Kept, RETENTION_MIN_DAYS,
    Retention, RetentionPatch, TELEMETRY_MAX_DAYS, UPDATE_LOGS_DEFAULT_DAYS, UPDATE_LOGS_MAX_DAYS,
};
pub use spec::{
    BYTES_QUOTA_MAX, COUNT_QUOTA_MAX, Quotas, QuotasPatch, TenantPatch, TenantRules, TenantRulesPatch, TenantSpec,
};
pub use trusted_keys::{REQUIRED_SIGNATURES_MAX, TRUSTED_KEYS_MAX, TrustedKey, TrustedKeys};

use crate::campaign::Violation;
use crate::decider::Decider;
use crate::firmware::{DocumentPolicy, FirmwarePolicy, KeyFingerprint};
use crate::ids::TenantId;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::values::{SHORT_TEXT_MAX_CHARS, is_short_text};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum TenantEvent {
    #[serde(rename = "tenant.created")]
    Created {
        #[serde(default)]
        spec: TenantSpec,
        /// The log had records of the tenant before tenants were known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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
    /// Signatures of firmware by this key count from now on.
    #[serde(rename = "tenant.key_trusted")]
    KeyTrusted {
        fingerprint: KeyFingerprint,
        #[serde(flatten)]
        key: TrustedKey,
    },
    /// They count no longer.
    #[serde(rename = "tenant.key_distrusted")]
    KeyDistrusted { fingerprint: KeyFingerprint },
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
    KeyTrusted => "tenant.key_trusted" v 1,
    KeyDistrusted => "tenant.key_distrusted" v 1,
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
    /// The sender has checked that the fingerprint is the key's.
    TrustKey {
        fingerprint: KeyFingerprint,
        key: TrustedKey,
    },
    /// What it alone has signed no longer goes out, where the tenant asks for signatures.
    DistrustKey {
        fingerprint: KeyFingerprint,
    },
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
    /// Signatures by others don't count.
    #[serde(default, skip_serializing_if = "TrustedKeys::is_empty")]
    pub trusted_keys: TrustedKeys,
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
            TenantEvent::KeyTrusted { fingerprint, key } => {
                self.trusted_keys.0.insert(*fingerprint, key.clone());
            }
            TenantEvent::KeyDistrusted { fingerprint } => drop(self.trusted_keys.0.remove(fingerprint)),
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

    /// What a firmware needs before it goes out.
    pub fn firmware_policy(&self) -> FirmwarePolicy {
        let rules = self.spec.rules;
        let signatures = self.trusted_keys.policy(rules.require_signatures);
        let trusted = signatures.trusted.clone();
        let documents = DocumentPolicy { sbom: rules.require_sbom, provenance: rules.require_provenance, trusted };
        FirmwarePolicy { signatures, documents }
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
            C::Suspend | C::Freeze | C::Unfreeze | C::Close | C::DistrustKey { .. } => true,
            C::Create { .. }
            | C::Adopt
            | C::Amend { .. }
            | C::Reinstate
            | C::ConnectChirpStack { .. }
            | C::DisconnectChirpStack
            | C::TrustKey { .. } => false,
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
                self.can_be_signed(spec)?;
                Ok(vec![E::Created { spec: spec.clone(), found: false }])
            }
            C::Adopt => once(self.exists, E::Created { spec: TenantSpec::default(), found: true }),
            _ if !self.exists => Err(Rejection::TenantUnknown),
            C::Close => once(self.closed, E::Closed {}),
            _ if self.closed => Err(Rejection::TenantClosed),
            C::Amend { patch } => {
                let next = self.spec.patched(patch);
                checked(&next)?;
                let (now, rules) = (&self.spec.rules, &next.rules);
                let asks_more = rules.require_signatures > now.require_signatures
                    || (rules.require_provenance && !now.require_provenance);
                if asks_more {
                    self.can_be_signed(&next)?;
                }
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
            C::TrustKey { fingerprint, key } => self.trust(*fingerprint, key),
            C::DistrustKey { fingerprint } => {
                once(!self.trusted_keys.0.contains_key(fingerprint), E::KeyDistrusted { fingerprint: *fingerprint })
            }
        }
    }

    fn exists(&self) -> bool {
        self.exists
    }
}

impl Tenant {
    fn trust(&self, fingerprint: KeyFingerprint, key: &TrustedKey) -> Result<Vec<TenantEvent>, Rejection> {
        let name = key.name.as_ref().and_then(Sealed::plain);
        if name.is_some_and(|name| !is_short_text(name)) {
            let reason = format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters");
            return Err(Rejection::Invalid { field: "name".to_owned(), reason });
        }
        match self.trusted_keys.0.get(&fingerprint) {
            Some(known) if known == key => Ok(vec![]),
            None if self.trusted_keys.0.len() >= TRUSTED_KEYS_MAX => Err(Rejection::TooManyTrustedKeys),
            _ => Ok(vec![TenantEvent::KeyTrusted { fingerprint, key: key.clone() }]),
        }
    }

    /// More signatures than there are trusted keys would keep everything back.
    fn can_be_signed(&self, spec: &TenantSpec) -> Result<(), Rejection> {
        let required = spec.rules.require_signatures.max(u8::from(spec.rules.require_provenance));
        let trusted = self.trusted_keys.0.len();
        if usize::from(required) > trusted { Err(Rejection::TooFewTrustedKeys { required, trusted }) } else { Ok(()) }
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
