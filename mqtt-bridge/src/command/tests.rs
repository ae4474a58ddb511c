use std::collections::BTreeMap;

use domain::device::{
    COMMAND_NAME_MAX_BYTES, Device, DeviceEvent, FirmwareSnapshot, Limits, Profile, UpdateRef, UpdateSpec,
};
use domain::firmware::{ENCRYPTION_KEY_ID_MAX_BYTES, ENCRYPTION_SCHEME_MAX_BYTES, ImageEncryption};
use domain::ids::{DEVICE_ID_MAX_BYTES, ORDINAL_MAX, TENANT_ID_MAX_BYTES};
use domain::values::{COMPONENT_MAX_BYTES, Priority, Sha256Digest, Transport, VERSION_MAX_BYTES};
use domain::{FirmwareId, Sealed};
use serde_json::{Map, Value};

use super::*;

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_790_000_000_123_456_789);

fn spec(kind: UpdateKind, component: String, version: String) -> UpdateSpec {
    UpdateSpec {
        firmware: FirmwareSnapshot {
            firmware_id: FirmwareId(uuid::Uuid::from_u128(u128::MAX)),
            device_model: "m".into(),
            component,
            version,
            reported_version: None,
            size: u64::MAX,
            sha256: Sha256Digest::of(b"x"),
            hardware_versions: vec![],
            min_hardware_version: None,
            max_hardware_version: None,
            requires_version: None,
            requires_reboot: true,
            rollback_allowed: true,
            encryption: None,
            lack: None,
        },
        campaign: None,
        priority: Priority::Normal,
        kind,
        from_version: None,
        from_firmware_id: None,
        limits: Limits::default(),
        max_attempts: 3,
        transport: Transport::Mqtt,
        activate: false,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    }
}

fn device(spec: UpdateSpec, ordinal: u32, attempt: u16) -> Device {
    let update = |attempt| UpdateRef { ordinal, attempt, campaign: None };
    let mut device = Device::default();
    for event in [
        DeviceEvent::Registered { profile: Profile::default(), versions: [].into() },
        DeviceEvent::UpdateQueued { update: update(0), spec: Box::new(spec), wait_until: NOW },
        DeviceEvent::UpdateDispatched { update: update(attempt), grant: None },
    ] {
        device.apply(&event);
    }
    device
}

fn ids() -> (TenantId, DeviceId) {
    (TenantId::new("a".repeat(TENANT_ID_MAX_BYTES)).unwrap(), DeviceId::new("D".repeat(DEVICE_ID_MAX_BYTES)).unwrap())
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}

#[test]
fn every_command_fits_with_the_longest_ids() {
    let (tenant, id) = ids();
    let longest = |kind| {
        let mut device =
            device(spec(kind, "c".repeat(COMPONENT_MAX_BYTES), "v".repeat(VERSION_MAX_BYTES)), ORDINAL_MAX, u16::MAX);
        for update in device.updates.values_mut() {
            (update.command_seq, update.spec.require_digest_report) = (u64::MAX, true);
            let scheme = "s".repeat(ENCRYPTION_SCHEME_MAX_BYTES);
            let key_id = "k".repeat(ENCRYPTION_KEY_ID_MAX_BYTES);
            update.spec.firmware.encryption = Some(ImageEncryption { scheme, key_id });
        }
        device
    };
    let links = |_: LinkRequest<'_>| "u".repeat(URL_MAX_BYTES);
    for kind in [UpdateKind::Update, UpdateKind::Rollback] {
        let window = InstallWindow::Closed { opens_in_s: 14 * 24 * 3_600 };
        let command = desired((&tenant, &id), &longest(kind), &links, &[], window, NOW).unwrap();
        assert!((1..=COMMAND_MAX_BYTES).contains(&command.payload.len()), "{}", command.payload.len());
    }
    let reference = UpdateRef { ordinal: ORDINAL_MAX, attempt: u16::MAX, campaign: None };
    let mut activating = longest(UpdateKind::Update);
    activating.apply(&DeviceEvent::UpdateActivating { update: reference.clone(), grant: None });
    let command = desired((&tenant, &id), &activating, &links, &[], InstallWindow::Always, NOW).unwrap();
    assert_eq!((json(&command.payload)["command"].as_str(), command.expires_at), (Some("activate"), None));
    let mut cancelling = longest(UpdateKind::Update);
    cancelling.apply(&DeviceEvent::UpdateCancelling { reason: None, update: reference });
    let command = desired((&tenant, &id), &cancelling, &links, &[], InstallWindow::Always, NOW).unwrap();
    assert_eq!(json(&command.payload)["command"], "cancel");
    let too_long = |_: LinkRequest<'_>| "u".repeat(URL_MAX_BYTES + 1);
    let error =
        desired((&tenant, &id), &longest(UpdateKind::Update), &too_long, &[], InstallWindow::Always, NOW).unwrap_err();
    assert_eq!(error, CommandError::LinkTooLong { bytes: URL_MAX_BYTES + 1 });
}

#[test]
fn an_update_says_everything_a_device_needs() {
    let (tenant, id) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
    let device = device(spec(UpdateKind::Update, "firmware".into(), "2.1.0".into()), 17, 1);
    let links = |request: LinkRequest<'_>| format!("https://host/d/{}", request.expires_at.timestamp());
    let command = desired((&tenant, &id), &device, &links, &[], InstallWindow::Always, NOW).unwrap();
    let wanted = serde_json::json!({
        "v": 1, "command": "ota_update", "seq": 3, "update_id": "d-1~17", "ordinal": 17, "attempt": 1, "kind": "update",
        "component": "firmware", "firmware_id": "ffffffff-ffff-ffff-ffff-ffffffffffff", "version": "2.1.0", "size": u64::MAX,
        "sha256": Sha256Digest::of(b"x").to_string(), "url": "https://host/d/1790604800", "signatures": [], "activate": false,
        "time": "2026-09-21T14:13:20Z", "expires_at": "2026-09-28T14:13:20Z", "expires_in_s": 604_800,
    });
    assert_eq!(json(&command.payload), wanted);
    assert_eq!(command.fingerprint, Fingerprint::Install { seq: 3, attempt: 1, asks: false });
}

#[test]
fn a_command_says_whether_the_device_may_install() {
    let (tenant, id) = ids();
    let device = device(spec(UpdateKind::Update, "firmware".into(), "2.1.0".into()), 17, 1);
    let links = |_: LinkRequest<'_>| "u".to_owned();
    let said = |window| {
        let command = desired((&tenant, &id), &device, &links, &[], window, NOW).unwrap();
        let Fingerprint::Install { asks, .. } = command.fingerprint else { panic!("an install") };
        let json = json(&command.payload);
        (asks, json["install_within_s"].as_i64(), json["opens_in_s"].as_i64())
    };
    assert_eq!(said(InstallWindow::Always), (false, None, None));
    assert_eq!(said(InstallWindow::Ask), (true, Some(0), None));
    assert_eq!(said(InstallWindow::Open { seconds: 90 }), (true, Some(90), None));
    assert_eq!(said(InstallWindow::Closed { opens_in_s: 60 }), (true, Some(0), Some(60)));
}

#[test]
fn a_command_to_activate_says_when_the_device_may_and_a_cancel_always_counts() {
    let (tenant, id) = ids();
    let mut device = device(spec(UpdateKind::Update, "firmware".into(), "2.1.0".into()), 17, 1);
    let update = UpdateRef { ordinal: 17, attempt: 1, campaign: None };
    let links = |_: LinkRequest<'_>| "u".to_owned();
    let said = |device: &Device| {
        let command = desired((&tenant, &id), device, &links, &[], InstallWindow::Ask, NOW).unwrap();
        (command.fingerprint, json(&command.payload)["install_within_s"].as_i64())
    };
    device.apply(&DeviceEvent::UpdateActivating { update: update.clone(), grant: None });
    let seq = device.update(17).unwrap().command_seq;
    assert_eq!(said(&device), (Fingerprint::Activate { seq, attempt: 1, asks: true }, Some(0)));
    device.apply(&DeviceEvent::UpdateCancelling { reason: None, update });
    assert_eq!(said(&device).1, None);
}

#[test]
fn a_device_is_told_that_a_digest_is_required() {
    let (tenant, id) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
    let spec =
        UpdateSpec { require_digest_report: true, ..spec(UpdateKind::Update, "firmware".into(), "2.1.0".into()) };
    let command = desired(
        (&tenant, &id),
        &device(spec, 17, 1),
        &|_: LinkRequest<'_>| String::new(),
        &[],
        InstallWindow::Always,
        NOW,
    )
    .unwrap();
    assert_eq!(json(&command.payload)["report_digest"], true);
}

#[test]
fn a_device_is_told_how_its_image_is_encrypted() {
    let (tenant, id) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
    let mut spec = spec(UpdateKind::Update, "firmware".into(), "2.1.0".into());
    spec.firmware.encryption = Some(ImageEncryption { scheme: "aes-128-ctr".into(), key_id: "fleet-7".into() });
    let links = |_: LinkRequest<'_>| "u".to_owned();
    let command = desired((&tenant, &id), &device(spec, 17, 1), &links, &[], InstallWindow::Always, NOW).unwrap();
    let wanted = serde_json::json!({"scheme": "aes-128-ctr", "key_id": "fleet-7"});
    assert_eq!(json(&command.payload)["encryption"], wanted);
}

#[test]
fn a_renewed_link_is_the_same_command() {
    let (tenant, id) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
    let device = device(spec(UpdateKind::Update, "firmware".into(), "2.1.0".into()), 17, 1);
    let links = |request: LinkRequest<'_>| request.expires_at.to_string();
    let [first, second] = [NOW, NOW + TimeDelta::days(1)]
        .map(|now| desired((&tenant, &id), &device, &links, &[], InstallWindow::Always, now).unwrap());
    assert_ne!(first.payload, second.payload);
    assert_eq!(first.fingerprint, second.fingerprint);
}

#[test]
fn nothing_to_do_is_an_empty_payload_or_none_for_one_who_asks() {
    let (tenant, id) = ids();
    let command = desired(
        (&tenant, &id),
        &Device::default(),
        &|_: LinkRequest<'_>| String::new(),
        &[],
        InstallWindow::Always,
        NOW,
    )
    .unwrap();
    assert_eq!((command.payload.len(), command.fingerprint), (0, Fingerprint::Nothing));
    let wanted = serde_json::json!({"v": 1, "command": "none", "time": "2026-09-21T14:13:20Z"});
    assert_eq!(json(&none(NOW).unwrap()), wanted);
}

/// A device with one command under way.
fn told(params: &Value) -> Device {
    told_as_kept(params.as_object().cloned().map(Sealed::Plain))
}

fn told_as_kept(params: Option<Sealed<Map<String, Value>>>) -> Device {
    let mut device = Device::default();
    let expires_at = NOW + TimeDelta::days(7);
    let (n, name, expires_in_s) = (ORDINAL_MAX, "x".repeat(COMMAND_NAME_MAX_BYTES), 604_800);
    for event in [
        DeviceEvent::Registered { profile: Profile::default(), versions: BTreeMap::new() },
        DeviceEvent::CommandQueued { n, name, params, expires_in_s, expires_at },
        DeviceEvent::CommandSent { n },
    ] {
        device.apply(&event);
    }
    device
}

#[test]
fn the_largest_command_beside_updates_fits() {
    let text = "x".repeat(COMMAND_PARAMS_MAX_BYTES - r#"{"text":""}"#.len());
    let command = run(&told(&serde_json::json!({ "text": text })), NOW).unwrap();
    assert!(command.payload.len() <= RUN_MAX_BYTES, "{}", command.payload.len());
    assert_eq!(command.fingerprint, Fingerprint::Run { n: ORDINAL_MAX });
    let sent: Value = serde_json::from_slice(&command.payload).unwrap();
    assert_eq!(
        (&sent["v"], &sent["params"]["text"], &sent["expires_in_s"]),
        (&1.into(), &text.into(), &604_800.into())
    );
}

#[test]
fn a_command_with_unreadable_parameters_is_not_sent() {
    let device = told_as_kept(Some(Sealed::Sealed { sealed: "x".to_owned() }));
    assert_eq!(run(&device, NOW), Err(CommandError::SealedParams));
}

#[test]
fn a_command_beside_updates_is_there_until_it_has_ended() {
    let mut device = told(&Value::Null);
    assert_eq!(
        serde_json::from_slice::<Value>(&run(&device, NOW).unwrap().payload).unwrap()["params"],
        serde_json::json!({})
    );
    let accepted = DeviceEvent::CommandAccepted { n: ORDINAL_MAX, boot_id: None, work_until: NOW };
    device.apply(&accepted);
    assert_eq!(run_fingerprint(&device), Fingerprint::Run { n: ORDINAL_MAX });
    device.apply(&DeviceEvent::CommandExpired { n: ORDINAL_MAX });
    assert_eq!(run(&device, NOW), Ok(Command::nothing()));
    let mut gone = told(&Value::Null);
    gone.apply(&DeviceEvent::Decommissioned {});
    assert_eq!(run(&gone, NOW), Ok(Command::nothing()));
}
