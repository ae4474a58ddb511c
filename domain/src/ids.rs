//! Every typed id, in one list.
//!
//! Ids are used in NATS subjects and MQTT topics, so each constructor accepts only characters that are a literal token in both. Code that
//! has an id does not check it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::version::without_v;

/// Longest tenant id, in bytes.
pub const TENANT_ID_MAX_BYTES: usize = 32;
/// Longest device id, in bytes.
pub const DEVICE_ID_MAX_BYTES: usize = 64;
/// Longest group id, in bytes.
pub const GROUP_ID_MAX_BYTES: usize = 64;
/// Longest name of a secret, in bytes.
pub const SECRET_NAME_MAX_BYTES: usize = 64;
/// Longest id of a device profile, in bytes.
pub const DEVICE_PROFILE_ID_MAX_BYTES: usize = 100;
/// Longest actor, in bytes.
pub const ACTOR_MAX_BYTES: usize = 128;
/// Device ids that name routes of the API and can't name devices.
pub const RESERVED_DEVICE_IDS: [&str; 6] = ["bulk", "import", "export", "sync", "preview", "search"];

/// Group ids that name routes of the API and can't name groups.
pub const RESERVED_GROUP_IDS: [&str; 6] = RESERVED_DEVICE_IDS;

/// A text that is not a valid id of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: {rule}")]
pub struct InvalidId {
    pub kind: &'static str,
    pub value: String,
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id, if the text obeys the rule of its kind.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let value = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) { Ok(Self(value)) } else { Err(InvalidId { kind: $kind, value, rule: $rule }) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse()
                    .map(Self)
                    .map_err(|_| InvalidId { kind: $kind, value: text.to_owned(), rule: "a UUID" })
            }
        }
    };
}

fn all_bytes(text: &str, max: usize, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty() && bytes.len() <= max && first(bytes[0]) && bytes[1..].iter().all(|b| rest(*b))
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

text_id!(
    /// A customer of the installation: `[a-z0-9][a-z0-9-]{0,31}`.
    TenantId,
    "tenant id",
    "[a-z0-9][a-z0-9-]{0,31}",
    |text| all_bytes(text, TENANT_ID_MAX_BYTES, lower_or_digit, |b| lower_or_digit(b) || b == b'-')
);
text_id!(
    /// A device, unique in its tenant: `[A-Za-z0-9][A-Za-z0-9_:-]{0,63}`, case-sensitive.
    DeviceId,
    "device id",
    "[A-Za-z0-9][A-Za-z0-9_:-]{0,63}",
    |text| all_bytes(
        text,
        DEVICE_ID_MAX_BYTES,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-')
    )
);
text_id!(
    /// A group of devices, unique in its tenant: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, case-sensitive.
    GroupId,
    "group id",
    "[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    |text| all_bytes(
        text,
        GROUP_ID_MAX_BYTES,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
    )
);
text_id!(
    /// A secret of a tenant, unique in its tenant: `[a-z0-9][a-z0-9_-]{0,63}`.
    SecretName,
    "name of a secret",
    "[a-z0-9][a-z0-9_-]{0,63}",
    |text| all_bytes(text, SECRET_NAME_MAX_BYTES, lower_or_digit, |b| lower_or_digit(b) || matches!(b, b'_' | b'-'))
);
text_id!(
    /// A device profile of a ChirpStack: `[A-Za-z0-9][A-Za-z0-9-]{0,99}`. They are UUIDs.
    DeviceProfileId,
    "device profile id",
    "[A-Za-z0-9][A-Za-z0-9-]{0,99}",
    |text| all_bytes(
        text,
        DEVICE_PROFILE_ID_MAX_BYTES,
        |b| b.is_ascii_alphanumeric(),
        |b| b.is_ascii_alphanumeric() || b == b'-'
    )
);
text_id!(
    /// Sender of a command: an opaque id such as `user:42`, `device`, `process-manager:rollout`. Never a person's name or address.
    Actor,
    "actor",
    "1 to 128 printable ASCII characters without blanks",
    |text| all_bytes(text, ACTOR_MAX_BYTES, |b| b.is_ascii_graphic(), |b| b.is_ascii_graphic())
);
uuid_id!(
    /// One version for one device model and component; see [`FirmwareId::derive`].
    FirmwareId,
    "firmware id"
);
uuid_id!(
    /// A document of a firmware. Each upload has its own.
    DocumentId,
    "document id"
);
uuid_id!(
    /// A campaign.
    CampaignId,
    "campaign id"
);
uuid_id!(
    /// A credential of a device, unique in its device.
    CredentialId,
    "credential id"
);
uuid_id!(
    /// A registration token.
    RegistrationTokenId,
    "registration token id"
);
uuid_id!(
    /// A member of a tenant; see [`MemberId::of`].
    MemberId,
    "member id"
);
uuid_id!(
    /// A deployment of an image to LoRaWAN devices; see [`DeploymentPlan::id`](crate::fuota::DeploymentPlan::id).
    FuotaDeploymentId,
    "FUOTA deployment id"
);
uuid_id!(
    /// An API key.
    ApiKeyId,
    "API key id"
);
uuid_id!(
    /// A command. The same command sent again has the same id.
    CommandId,
    "command id"
);

/// Namespace of every name-based id of Waybill.
const NAMESPACE: Uuid = Uuid::from_u128(0x7761_7962_696c_6c00_8000_0000_0000_0001);

/// A version-5 UUID over parts. Each part is preceded by its length, so that two different lists never give the same name.
pub fn name_based_uuid(parts: &[&str]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

impl MemberId {
    /// The id of an actor's membership: actors have characters that ids can't have.
    pub fn of(actor: &Actor) -> Self {
        Self(name_based_uuid(&["member", actor.as_str()]))
    }
}

impl FirmwareId {
    /// The id of a firmware. The same tenant, model, component and version (without a leading `v`) always give the same id.
    pub fn derive(tenant: &TenantId, device_model: &str, component: &str, version: &str) -> Self {
        Self(name_based_uuid(&["firmware", tenant.as_str(), device_model, component, without_v(version)]))
    }
}

impl CommandId {
    /// A command id derived from its parts. A command that is sent twice has the same id.
    pub fn derive(parts: &[&str]) -> Self {
        let mut all = vec!["command"];
        all.extend_from_slice(parts);
        Self(name_based_uuid(&all))
    }
}

/// `{device_id}~{ordinal}`: names a device's update, and so the device's aggregate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UpdateId {
    pub device: DeviceId,
    pub ordinal: u32,
}

/// Largest ordinal: ids of other protocols are signed 32-bit numbers.
pub const ORDINAL_MAX: u32 = i32::MAX as u32;

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.device, self.ordinal)
    }
}

impl FromStr for UpdateId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { kind: "update id", value: text.to_owned(), rule: "{device_id}~{ordinal}" };
        let (device, ordinal) = text.rsplit_once('~').ok_or_else(invalid)?;
        let canonical = ordinal.bytes().all(|b| b.is_ascii_digit()) && !ordinal.starts_with('0');
        match ordinal.parse() {
            Ok(number @ 1..=ORDINAL_MAX) if canonical => {
                Ok(Self { device: DeviceId::new(device).map_err(|_| invalid())?, ordinal: number })
            }
            _ => Err(invalid()),
        }
    }
}

impl TryFrom<String> for UpdateId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<UpdateId> for String {
    fn from(id: UpdateId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_admit_no_topic_or_subject_syntax() {
        for bad in ["", "a.b", "a/b", "a+b", "#", "*", ">", "a b", "-a", "é", "a\u{0}"] {
            assert!(DeviceId::new(bad).is_err(), "{bad:?}");
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
            assert!(GroupId::new(bad).is_err(), "{bad:?}");
            assert!(SecretName::new(bad).is_err(), "{bad:?}");
        }
        assert!(DeviceId::new("AA:BB:CC:00_1-2").is_ok());
        assert!(DeviceId::new("x".repeat(65)).is_err());
        assert!(TenantId::new("Acme").is_err());
    }

    #[test]
    fn an_update_id_has_one_spelling() {
        let id: UpdateId = "d-1~17".parse().unwrap();
        assert_eq!((id.device.as_str(), id.ordinal), ("d-1", 17));
        assert_eq!(id.to_string(), "d-1~17");
        for bad in ["d-1", "d-1~", "d-1~0", "d-1~017", "d-1~+7", "d-1~2147483648", "~1"] {
            assert!(bad.parse::<UpdateId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_of_a_name_do_not_run_together() {
        assert_ne!(name_based_uuid(&["ab", "c"]), name_based_uuid(&["a", "bc"]));
    }
}
