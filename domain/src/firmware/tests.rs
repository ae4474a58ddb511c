//! What may be done with a firmware that was withdrawn, deleted or is needed.

use std::collections::BTreeMap;

use super::*;
use crate::values::Sha256Digest;

fn registered() -> FirmwareEvent {
    let metadata = FirmwareMetadata {
        name: "F".into(),
        version: "2.0.0".into(),
        reported_version: None,
        device_model: "M".into(),
        component: "firmware".into(),
        update_type: UpdateType::Firmware,
        manufacturer: None,
        changelog: None,
        hardware_versions: vec![],
        min_hardware_version: None,
        max_hardware_version: None,
        requires_version: None,
        rollback_allowed: true,
        requires_reboot: true,
        is_beta: false,
        is_security_update: false,
        tags: BTreeMap::new(),
        encryption: None,
    };
    let bytes = FirmwareBytes {
        size: 3,
        md5: String::new(),
        sha1: String::new(),
        sha256: Sha256Digest::of(b"one"),
        filename: None,
    };
    FirmwareEvent::Registered { metadata: Box::new(metadata), bytes }
}

const DELETED: FirmwareEvent = FirmwareEvent::Deleted { forced: false, rollbacks_given_up: None };

fn uploaded_again_after(events: &[FirmwareEvent]) -> Result<Vec<FirmwareEvent>, Rejection> {
    let mut firmware = Firmware::default();
    let FirmwareEvent::Registered { metadata, bytes } = registered() else { unreachable!() };
    firmware.apply(&registered());
    events.iter().for_each(|event| firmware.apply(event));
    firmware.decide(DateTime::UNIX_EPOCH, &FirmwareCommand::Register { metadata, bytes, signatures: vec![] })
}

#[test]
fn a_deleted_firmware_is_restored_by_the_same_bytes_unless_it_was_withdrawn() {
    use FirmwareEvent as E;
    assert!(matches!(uploaded_again_after(&[DELETED]).as_deref(), Ok([E::Restored { .. }])));
    assert_eq!(uploaded_again_after(&[E::Withdrawn {}]), Ok(vec![]));
    assert_eq!(uploaded_again_after(&[E::Withdrawn {}, DELETED]), Err(Rejection::FirmwareWithdrawn));
    let deprecated = [E::Deprecated {}, DELETED];
    assert!(matches!(uploaded_again_after(&deprecated).as_deref(), Ok([E::Restored { .. }])));
}

#[test]
fn a_firmware_that_devices_could_go_back_to_is_deleted_only_by_force() {
    let campaign = CampaignId(uuid::Uuid::from_u128(7));
    let needed = RollbackNeed { devices: 12, more: false, campaigns: vec![campaign] };
    let delete = |events: &[FirmwareEvent], forced: bool, rollback_need: Option<&RollbackNeed>| {
        let mut firmware = Firmware::default();
        std::iter::once(&registered()).chain(events).for_each(|event| firmware.apply(event));
        let command = FirmwareCommand::Delete(Deletion { forced, rollback_need: rollback_need.cloned() });
        firmware.decide(DateTime::UNIX_EPOCH, &command)
    };
    let forced =
        |given_up: Option<u32>| Ok(vec![FirmwareEvent::Deleted { forced: true, rollbacks_given_up: given_up }]);
    let refused = Rejection::FirmwareNeededForRollback { devices: 12, more: false, campaigns: vec![campaign] };
    assert_eq!(delete(&[], false, Some(&needed)), Err(refused));
    assert_eq!(delete(&[], true, Some(&needed)), forced(Some(12)));
    assert_eq!(delete(&[], true, None), forced(None), "nobody could count them");
    assert_eq!(delete(&[], false, None), Err(Rejection::FirmwareRollbackNeedUnknown));
    let some = RollbackNeed { more: true, ..RollbackNeed::default() };
    assert!(delete(&[], false, Some(&some)).is_err(), "there may be some");
    assert_eq!(delete(&[], false, Some(&RollbackNeed::default())), Ok(vec![DELETED]));
    let pinned = [FirmwareEvent::Pinned { campaign }];
    let in_use = Err(Rejection::FirmwarePinned { campaigns: vec![campaign] });
    assert_eq!(delete(&pinned, true, Some(&needed)), in_use, "a live campaign installs it");
    let mut firmware = Firmware::default();
    firmware.apply(&registered());
    let withdrawn = firmware.decide(DateTime::UNIX_EPOCH, &FirmwareCommand::Withdraw);
    assert_eq!(withdrawn, Ok(vec![FirmwareEvent::Withdrawn {}]), "nothing prevents it");
}

fn signature(key: &str, scheme: SignatureScheme) -> FirmwareSignature {
    FirmwareSignature { scheme, key: KeyFingerprint(Sha256Digest::of(key.as_bytes())), signature: "AA==".to_owned() }
}

#[test]
fn a_key_signs_a_firmware_once_in_each_scheme() {
    use SignatureScheme::{CosignBundle, Manifest};
    let sign = |firmware: &Firmware, signatures: &[FirmwareSignature]| {
        let command = FirmwareCommand::Sign { signatures: signatures.to_vec() };
        firmware.decide(DateTime::UNIX_EPOCH, &command)
    };
    let (one, two) = (signature("one", Manifest), signature("one", CosignBundle));
    assert_eq!(sign(&Firmware::default(), std::slice::from_ref(&one)), Err(Rejection::FirmwareUnknown));
    let mut firmware = Firmware::default();
    firmware.apply(&registered());
    let events = sign(&firmware, &[one.clone(), one.clone(), two.clone()]).unwrap();
    let signed = |signature: &FirmwareSignature| FirmwareEvent::Signed { signature: signature.clone() };
    assert_eq!(events, [signed(&one), signed(&two)]);
    events.iter().for_each(|event| firmware.apply(event));
    assert_eq!(sign(&firmware, std::slice::from_ref(&two)), Ok(vec![]));
    for n in firmware.signatures.len()..SIGNATURES_MAX {
        let more = sign(&firmware, &[signature(&n.to_string(), Manifest)]).unwrap();
        more.iter().for_each(|event| firmware.apply(event));
    }
    assert_eq!(sign(&firmware, &[signature("surplus", Manifest)]), Err(Rejection::TooManySignatures));
    assert_eq!(sign(&firmware, &[one]), Ok(vec![]));
    firmware.apply(&DELETED);
    assert_eq!(sign(&firmware, &[two]), Err(Rejection::FirmwareDeleted));
}

#[test]
fn signatures_come_with_the_upload_or_later() {
    let FirmwareEvent::Registered { metadata, bytes } = registered() else { unreachable!() };
    let signatures = vec![signature("one", SignatureScheme::Manifest)];
    let command = FirmwareCommand::Register { metadata, bytes, signatures: signatures.clone() };
    let events = Firmware::default().decide(DateTime::UNIX_EPOCH, &command).unwrap();
    assert_eq!(events, [registered(), FirmwareEvent::Signed { signature: signatures[0].clone() }]);
    let mut firmware = Firmware::default();
    firmware.apply(&registered());
    assert_eq!(firmware.decide(DateTime::UNIX_EPOCH, &command).unwrap(), events[1..], "the same bytes, signed now");
    events[1..].iter().for_each(|event| firmware.apply(event));
    let id = FirmwareId(uuid::Uuid::from_u128(7));
    let trusting = |key: &str| FirmwarePolicy {
        signatures: SignaturePolicy { required: 1, trusted: [KeyFingerprint(Sha256Digest::of(key.as_bytes()))].into() },
        ..FirmwarePolicy::default()
    };
    let unsigned = |policy: &FirmwarePolicy| firmware.snapshot_for_new_work(id, policy).unwrap().lack.is_some();
    assert!(!unsigned(&FirmwarePolicy::default()) && !unsigned(&trusting("one")) && unsigned(&trusting("two")));
}

#[test]
fn documents_are_added_replaced_and_removed_also_after_deletion() {
    let document = |id: u128, text: &str| FirmwareDocument {
        id: DocumentId(uuid::Uuid::from_u128(id)),
        format: DocumentFormat::CycloneDx16,
        size: 2,
        sha256: Sha256Digest::of(text.as_bytes()),
        filename: None,
        product: None,
        key: None,
    };
    let add = |firmware: &Firmware, document: &FirmwareDocument, replaces: Option<DocumentId>| {
        let command = FirmwareCommand::AddDocument { document: Box::new(document.clone()), replaces };
        firmware.decide(DateTime::UNIX_EPOCH, &command)
    };
    let remove = |firmware: &Firmware, document: DocumentId| {
        firmware.decide(DateTime::UNIX_EPOCH, &FirmwareCommand::RemoveDocument { document })
    };
    let one = document(1, "one");
    assert_eq!(add(&Firmware::default(), &one, None), Err(Rejection::FirmwareUnknown));
    let mut firmware = Firmware::default();
    [registered(), DELETED].iter().for_each(|event| firmware.apply(event));
    add(&firmware, &one, None).unwrap().iter().for_each(|event| firmware.apply(event));
    assert_eq!(add(&firmware, &document(2, "one"), None), Ok(vec![]), "the same bytes again");
    let other = document(3, "other");
    assert_eq!(add(&firmware, &other, Some(other.id)), Err(Rejection::DocumentUnknown));
    add(&firmware, &other, Some(one.id)).unwrap().iter().for_each(|event| firmware.apply(event));
    assert_eq!(firmware.documents, std::slice::from_ref(&other));
    for n in 1..DOCUMENTS_MAX as u128 {
        let more = add(&firmware, &document(100 + n, &n.to_string()), None).unwrap();
        more.iter().for_each(|event| firmware.apply(event));
    }
    assert_eq!(add(&firmware, &one, None), Err(Rejection::TooManyDocuments));
    assert!(add(&firmware, &one, Some(other.id)).is_ok(), "in the place of another");
    remove(&firmware, other.id).unwrap().iter().for_each(|event| firmware.apply(event));
    assert_eq!(remove(&firmware, other.id), Err(Rejection::DocumentUnknown));
    assert_eq!(firmware.documents.len(), DOCUMENTS_MAX - 1);
}
