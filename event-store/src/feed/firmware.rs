//! Public form of firmware. Changelogs are not public.

use domain::firmware::{FirmwareBytes, FirmwareEvent, FirmwareMetadata};
use serde_json::{Value, json};

use super::Public;
use super::data::{V1, object};

impl Public for FirmwareEvent {
    fn public(&self, id: &str) -> Option<(u16, Value)> {
        let mut data = match self {
            Self::Registered { metadata, bytes } | Self::Restored { metadata, bytes } => description(metadata, bytes),
            Self::Signed { signature } => json!({ "scheme": signature.scheme.word(), "key": signature.key }),
            Self::DocumentAdded { document, replaces } => object(json!({
                "document_id": document.id,
                "format": document.format.word(),
                "size": document.size,
                "sha256": document.sha256.to_string(),
                "key": document.key,
                "replaces": replaces,
            })),
            Self::DocumentRemoved { document } => json!({ "document_id": document }),
            Self::Deprecated {} | Self::Withdrawn {} | Self::Deleted { .. } => json!({}),
            Self::Pinned { campaign } | Self::Unpinned { campaign } => json!({ "campaign_id": campaign }),
        };
        data["firmware_id"] = id.into();
        Some((V1, data))
    }
}

fn description(metadata: &FirmwareMetadata, bytes: &FirmwareBytes) -> Value {
    object(json!({
        "device_model": metadata.device_model,
        "component": metadata.component,
        "version": metadata.version,
        "update_type": metadata.update_type.word(),
        "manufacturer": metadata.manufacturer,
        "is_beta": metadata.is_beta,
        "is_security_update": metadata.is_security_update,
        "tags": metadata.tags,
        "size": bytes.size,
        "sha256": bytes.sha256.to_string(),
    }))
}
