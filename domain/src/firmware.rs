//! The Firmware aggregate: one version for one device model and component. Its bytes live in the object store under their SHA-256.

mod document;
mod encryption;
mod metadata;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use document::{
    DOCUMENTS_MAX, DocumentFormat, DocumentKind, DocumentPolicy, FirmwareDocument, FirmwarePolicy, Lack,
    document_object_name,
};
pub use encryption::{ENCRYPTION_KEY_ID_MAX_BYTES, ENCRYPTION_SCHEME_MAX_BYTES, ImageEncryption, is_encryption_name};
pub use metadata::{FirmwareBytes, FirmwareMetadata, UpdateType};
pub use signature::{FirmwareSignature, KeyFingerprint, SIGNATURES_MAX, SignaturePolicy, SignatureScheme};

use crate::decider::Decider;
use crate::device::{FirmwareSnapshot, Update};
use crate::ids::{CampaignId, DocumentId, FirmwareId, TenantId};
use crate::rejection::Rejection;
use crate::thread::{Point, Thread};
use crate::values::Sha256Digest;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum FirmwareEvent {
    #[serde(rename = "firmware.registered")]
    Registered { metadata: Box<FirmwareMetadata>, bytes: FirmwareBytes },
    /// The same bytes were uploaded again after deletion.
    #[serde(rename = "firmware.restored")]
    Restored { metadata: Box<FirmwareMetadata>, bytes: FirmwareBytes },
    /// A key signed it. Whether the key is trusted is decided when the firmware is to go out.
    #[serde(rename = "firmware.signed")]
    Signed { signature: FirmwareSignature },
    /// Its bytes were read, and are in the store of objects.
    #[serde(rename = "firmware.document_added")]
    DocumentAdded {
        document: Box<FirmwareDocument>,
        /// The document in whose place it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<DocumentId>,
    },
    #[serde(rename = "firmware.document_removed")]
    DocumentRemoved { document: DocumentId },
    #[serde(rename = "firmware.deprecated")]
    Deprecated {},
    #[serde(rename = "firmware.withdrawn")]
    Withdrawn {},
    #[serde(rename = "firmware.pinned")]
    Pinned { campaign: CampaignId },
    #[serde(rename = "firmware.unpinned")]
    Unpinned { campaign: CampaignId },
    #[serde(rename = "firmware.deleted")]
    Deleted {
        /// The operator deleted it with `force`: devices could still go back to it, or it was not checked whether they could.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
        /// Devices that could have gone back to it. Only of a forced deletion, and unknown if they could not be counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollbacks_given_up: Option<u32>,
    },
}

crate::event_types!(FirmwareEvent {
    Registered => "firmware.registered" v 1,
    Restored => "firmware.restored" v 1,
    Signed => "firmware.signed" v 1,
    DocumentAdded => "firmware.document_added" v 1,
    DocumentRemoved => "firmware.document_removed" v 1,
    Deprecated => "firmware.deprecated" v 1,
    Withdrawn => "firmware.withdrawn" v 1,
    Pinned => "firmware.pinned" v 1,
    Unpinned => "firmware.unpinned" v 1,
    Deleted => "firmware.deleted" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum FirmwareCommand {
    Register {
        metadata: Box<FirmwareMetadata>,
        bytes: FirmwareBytes,
        /// Checked by the sender, as in `Sign`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        signatures: Vec<FirmwareSignature>,
    },
    /// The sender has checked each signature with its key.
    Sign {
        signatures: Vec<FirmwareSignature>,
    },
    /// The sender has read it, and checked the signature of a provenance.
    AddDocument {
        document: Box<FirmwareDocument>,
        /// The document in whose place it is to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<DocumentId>,
    },
    RemoveDocument {
        document: DocumentId,
    },
    Deprecate,
    Withdraw,
    Pin {
        campaign: CampaignId,
    },
    Unpin {
        campaign: CampaignId,
    },
    Delete(Deletion),
}

/// How a firmware is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletion {
    /// Also if devices could still go back to it.
    pub forced: bool,
    /// Those devices; none if they could not be counted.
    pub rollback_need: Option<RollbackNeed>,
}

/// The devices that could go back to a firmware.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackNeed {
    pub devices: u32,
    /// There are more: they were counted up to here.
    pub more: bool,
    /// Campaigns whose rollback would need it, some of them.
    pub campaigns: Vec<CampaignId>,
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FirmwareStatus {
    #[default]
    Absent,
    Active,
    Deprecated,
    Withdrawn,
    Deleted,
}

impl FirmwareStatus {
    /// Whether its bytes may be downloaded, for an update of a device or without one. The bytes of a withdrawn firmware are available only
    /// to updates that can no longer be taken back.
    pub fn is_given_out(self, update: Option<&Update>) -> bool {
        match self {
            Self::Active | Self::Deprecated => true,
            Self::Withdrawn => update.is_some_and(Update::is_past_return),
            Self::Absent | Self::Deleted => false,
        }
    }
}

/// State of a firmware.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Firmware {
    pub status: FirmwareStatus,
    pub content: Option<(FirmwareMetadata, FirmwareBytes)>,
    pub pinned_by: BTreeSet<CampaignId>,
    /// It was withdrawn. A deletion does not revoke that.
    pub withdrawn: bool,
    /// In the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<FirmwareSignature>,
    /// In the order in which they came. They stay when the firmware is deleted, because devices may still run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<FirmwareDocument>,
}

/// The firmware itself.
pub const FIRMWARE: Thread = Thread(0);
/// It was withdrawn, or deleted without being withdrawn: all updates that wait for it end.
pub const TAKEN_AWAY: Point = Point(0);

crate::aggregate!(Firmware, "firmware", FirmwareCommand, FirmwareEvent);

/// Name of the bytes in the store of objects: by tenant and content.
pub fn object_name(tenant: &TenantId, id: FirmwareId, sha256: &Sha256Digest) -> String {
    format!("{tenant}/{id}/{sha256}")
}

impl Firmware {
    pub fn apply(&mut self, event: &FirmwareEvent) {
        match event {
            FirmwareEvent::Registered { metadata, bytes } | FirmwareEvent::Restored { metadata, bytes } => {
                self.status = FirmwareStatus::Active;
                self.withdrawn = false;
                self.content = Some(((**metadata).clone(), bytes.clone()));
            }
            FirmwareEvent::Signed { signature } => self.signatures.push(signature.clone()),
            FirmwareEvent::DocumentAdded { document, replaces } => {
                self.documents.retain(|known| Some(known.id) != *replaces);
                self.documents.push((**document).clone());
            }
            FirmwareEvent::DocumentRemoved { document } => self.documents.retain(|known| known.id != *document),
            FirmwareEvent::Deprecated {} => self.status = FirmwareStatus::Deprecated,
            FirmwareEvent::Withdrawn {} => {
                self.status = FirmwareStatus::Withdrawn;
                self.withdrawn = true;
            }
            FirmwareEvent::Pinned { campaign } => drop(self.pinned_by.insert(*campaign)),
            FirmwareEvent::Unpinned { campaign } => drop(self.pinned_by.remove(campaign)),
            FirmwareEvent::Deleted { .. } => self.status = FirmwareStatus::Deleted,
        }
    }

    /// The snapshot for a new update of a tenant with this policy, or why the firmware may not be used for one.
    pub fn snapshot_for_new_work(
        &self,
        id: FirmwareId,
        policy: &FirmwarePolicy,
    ) -> Result<FirmwareSnapshot, Rejection> {
        match (self.status, &self.content) {
            (FirmwareStatus::Active | FirmwareStatus::Deprecated, Some((metadata, bytes))) => {
                Ok(FirmwareSnapshot { lack: self.lack(policy), ..metadata.snapshot(id, bytes) })
            }
            (FirmwareStatus::Withdrawn, _) => Err(Rejection::FirmwareWithdrawn),
            (FirmwareStatus::Deleted, _) => Err(Rejection::FirmwareDeleted),
            (FirmwareStatus::Absent | FirmwareStatus::Active | FirmwareStatus::Deprecated, _) => {
                Err(Rejection::FirmwareUnknown)
            }
        }
    }

    /// Why it may not go out in a tenant with this policy.
    pub fn lack(&self, policy: &FirmwarePolicy) -> Option<Lack> {
        policy.lack(&self.signatures, &self.documents)
    }

    /// Force is for the way back of devices. What a live campaign needs stays: the campaign can be cancelled.
    fn delete(&self, Deletion { forced, rollback_need }: &Deletion) -> Result<Vec<FirmwareEvent>, Rejection> {
        if !self.pinned_by.is_empty() {
            return Err(Rejection::FirmwarePinned { campaigns: self.pinned_by.iter().copied().collect() });
        }
        match rollback_need {
            // Nobody has looked. A withdrawn firmware is no way back.
            None if !forced && self.status != FirmwareStatus::Withdrawn => Err(Rejection::FirmwareRollbackNeedUnknown),
            Some(RollbackNeed { devices, more, campaigns }) if !forced && (*devices > 0 || *more) => {
                let campaigns = campaigns.clone();
                Err(Rejection::FirmwareNeededForRollback { devices: *devices, more: *more, campaigns })
            }
            _ => {
                let given_up = rollback_need.as_ref().filter(|_| *forced).map(|rollback_need| rollback_need.devices);
                Ok(vec![FirmwareEvent::Deleted { forced: *forced, rollbacks_given_up: given_up }])
            }
        }
    }

    fn register(
        &self,
        metadata: &FirmwareMetadata,
        bytes: &FirmwareBytes,
        signatures: &[FirmwareSignature],
    ) -> Result<Vec<FirmwareEvent>, Rejection> {
        let mut events = self.register_bytes(metadata, bytes)?;
        events.extend(self.sign(signatures)?);
        Ok(events)
    }

    fn register_bytes(
        &self,
        metadata: &FirmwareMetadata,
        bytes: &FirmwareBytes,
    ) -> Result<Vec<FirmwareEvent>, Rejection> {
        let Some((_, known)) = &self.content else {
            return Ok(vec![FirmwareEvent::Registered { metadata: Box::new(metadata.clone()), bytes: bytes.clone() }]);
        };
        if known.sha256 != bytes.sha256 {
            return Err(Rejection::FirmwareExists { sha256: known.sha256 });
        }
        if self.status == FirmwareStatus::Deleted && self.withdrawn {
            return Err(Rejection::FirmwareWithdrawn);
        }
        if self.status == FirmwareStatus::Deleted {
            return Ok(vec![FirmwareEvent::Restored { metadata: Box::new(metadata.clone()), bytes: bytes.clone() }]);
        }
        Ok(vec![])
    }
}

impl Firmware {
    /// Signatures that it doesn't have yet. One key signs once in a scheme.
    fn sign(&self, signatures: &[FirmwareSignature]) -> Result<Vec<FirmwareEvent>, Rejection> {
        let mut known: BTreeSet<_> = self.signatures.iter().map(|one| (one.scheme.word(), one.key)).collect();
        let new: Vec<_> = signatures.iter().filter(|one| known.insert((one.scheme.word(), one.key))).collect();
        if known.len() > SIGNATURES_MAX {
            return Err(Rejection::TooManySignatures);
        }
        Ok(new.into_iter().map(|one| FirmwareEvent::Signed { signature: one.clone() }).collect())
    }

    /// The same document again changes nothing.
    fn add_document(
        &self,
        document: &FirmwareDocument,
        replaces: Option<DocumentId>,
    ) -> Result<Vec<FirmwareEvent>, Rejection> {
        if self.has_document(document.id) {
            return Ok(vec![]);
        }
        let known = self.documents.iter().find(|known| known.is_same(document));
        if known.is_some_and(|known| replaces.is_none_or(|replaces| replaces == known.id)) {
            return Ok(vec![]);
        }
        match replaces {
            Some(replaces) if !self.has_document(replaces) => return Err(Rejection::DocumentUnknown),
            Some(_) => {}
            None if self.documents.len() >= DOCUMENTS_MAX => return Err(Rejection::TooManyDocuments),
            None => {}
        }
        Ok(vec![FirmwareEvent::DocumentAdded { document: Box::new(document.clone()), replaces }])
    }

    fn remove_document(&self, document: DocumentId) -> Result<Vec<FirmwareEvent>, Rejection> {
        if !self.has_document(document) {
            return Err(Rejection::DocumentUnknown);
        }
        Ok(vec![FirmwareEvent::DocumentRemoved { document }])
    }

    pub fn has_document(&self, id: DocumentId) -> bool {
        self.documents.iter().any(|known| known.id == id)
    }
}

impl Decider for Firmware {
    type Command = FirmwareCommand;
    type Id = FirmwareId;

    fn wants_reason(command: &FirmwareCommand) -> bool {
        matches!(
            command,
            FirmwareCommand::Deprecate
                | FirmwareCommand::Withdraw
                | FirmwareCommand::Delete(_)
                | FirmwareCommand::RemoveDocument { .. }
        )
    }

    fn decide(&self, _now: DateTime<Utc>, command: &FirmwareCommand) -> Result<Vec<FirmwareEvent>, Rejection> {
        use FirmwareCommand as C;
        use FirmwareStatus as S;
        match (self.status, command) {
            (_, C::Register { metadata, bytes, signatures }) => self.register(metadata, bytes, signatures),
            (S::Absent, _) => Err(Rejection::FirmwareUnknown),
            // Of a firmware that is taken away, too: devices may still run it.
            (_, C::AddDocument { document, replaces }) => self.add_document(document, *replaces),
            (_, C::RemoveDocument { document }) => self.remove_document(*document),
            (_, C::Unpin { campaign }) if self.pinned_by.contains(campaign) => {
                Ok(vec![FirmwareEvent::Unpinned { campaign: *campaign }])
            }
            (_, C::Unpin { .. }) => Ok(vec![]),
            (S::Deleted, C::Delete(_)) => Ok(vec![]),
            (S::Deleted, C::Sign { .. } | C::Deprecate | C::Withdraw | C::Pin { .. }) => {
                Err(Rejection::FirmwareDeleted)
            }
            (S::Active | S::Deprecated | S::Withdrawn, C::Sign { signatures }) => self.sign(signatures),
            (S::Active, C::Deprecate) => Ok(vec![FirmwareEvent::Deprecated {}]),
            (S::Deprecated, C::Deprecate) | (S::Withdrawn, C::Withdraw) => Ok(vec![]),
            (S::Withdrawn, C::Deprecate | C::Pin { .. }) => Err(Rejection::FirmwareWithdrawn),
            (S::Active | S::Deprecated, C::Withdraw) => Ok(vec![FirmwareEvent::Withdrawn {}]),
            (S::Active | S::Deprecated, C::Pin { campaign }) if self.pinned_by.contains(campaign) => Ok(vec![]),
            (S::Active | S::Deprecated, C::Pin { campaign }) => Ok(vec![FirmwareEvent::Pinned { campaign: *campaign }]),
            (S::Active | S::Deprecated | S::Withdrawn, C::Delete(deletion)) => self.delete(deletion),
        }
    }

    fn exists(&self) -> bool {
        self.status != FirmwareStatus::Absent
    }

    fn points_of(&self, event: &FirmwareEvent) -> Vec<(Thread, Point)> {
        match event {
            FirmwareEvent::Withdrawn {} => vec![(FIRMWARE, TAKEN_AWAY)],
            FirmwareEvent::Deleted { .. } if !self.withdrawn => vec![(FIRMWARE, TAKEN_AWAY)],
            _ => vec![],
        }
    }
}
