//! ChirpStack's own Python classes drive the double. A field number that is wrong in the messages of the crate `chirpstack` would else be
//! wrong on both sides and go unnoticed: here what they write is compared by name, and they read what is set here.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chirpstack::grpc::application::Application;
use chirpstack::grpc::device::Device;
use chirpstack::grpc::device_keys::DeviceKeys;
use chirpstack::grpc::device_profile::{AppLayerParams, DeviceProfile, MacVersion, PackageVersion, Region};
use chirpstack::grpc::fuota::{Deployment, StatusRequest};
use chirpstack::grpc::multicast_group::{MulticastGroupType, SchedulingType};
use fake_chirpstack::{APPLICATION_ID, FakeChirpstack, Settings, TENANT_ID};

const PROFILE_ID: &str = "11111111-2222-4333-8444-555555555555";
const DEV_EUI: &str = "0101010101010101";

fn one(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn tools() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::var_os("WAYBILL_TOOLS_DIR").map_or_else(|| root.join(".waybill/tools"), |path| root.join(path))
}

/// What the official classes read.
fn prepare(fake: &FakeChirpstack) {
    fake.put_application(Application {
        id: APPLICATION_ID.to_owned(),
        name: "an application".to_owned(),
        description: "what it is for".to_owned(),
        tenant_id: TENANT_ID.to_owned(),
        tags: one("app_tag", "a"),
    });
    fake.put_device_profile(DeviceProfile {
        id: PROFILE_ID.to_owned(),
        tenant_id: TENANT_ID.to_owned(),
        name: "a profile".to_owned(),
        region: Region::As9232.into(),
        mac_version: MacVersion::Lorawan104.into(),
        flush_queue_on_activate: true,
        uplink_interval: 11,
        supports_otaa: true,
        supports_class_b: true,
        supports_class_c: false,
        class_b_timeout: 16,
        class_b_ping_slot_periodicity: 7,
        class_c_timeout: 20,
        tags: one("dp_tag", "d"),
        description: "what it describes".to_owned(),
        region_config_id: "as923_2".to_owned(),
        app_layer_params: Some(AppLayerParams {
            ts003_version: PackageVersion::V100.into(),
            ts003_f_port: 202,
            ts004_version: PackageVersion::V200.into(),
            ts004_f_port: 201,
            ts005_version: PackageVersion::V100.into(),
            ts005_f_port: 200,
        }),
        firmware_version: "fw-56".to_owned(),
    });
}

/// What the official classes have written.
fn compare(fake: &FakeChirpstack) {
    let device = Device {
        dev_eui: DEV_EUI.to_owned(),
        name: "a name".to_owned(),
        description: "changed".to_owned(),
        application_id: APPLICATION_ID.to_owned(),
        device_profile_id: PROFILE_ID.to_owned(),
        skip_fcnt_check: true,
        is_disabled: true,
        variables: one("waybill_device_id", "d-1"),
        tags: one("fw", "1.0.0"),
        join_eui: "0a".repeat(8),
    };
    assert_eq!(fake.device(DEV_EUI), Some(device));
    let keys = DeviceKeys {
        dev_eui: DEV_EUI.to_owned(),
        nwk_key: "01".repeat(16),
        app_key: "02".repeat(16),
        gen_app_key: "04".repeat(16),
    };
    assert!(fake.keys(DEV_EUI) == Some(keys), "the keys are others");
    let queue = fake.queue(DEV_EUI);
    let item = &queue[0];
    assert_eq!((queue.len(), item.dev_eui.as_str(), item.f_port, &item.data[..]), (1, DEV_EUI, 20, &[3_u8][..]));
    assert!(item.confirmed && item.is_encrypted && !item.is_pending);
    assert!(item.object.as_ref().is_some_and(|object| object.fields.contains_key("cmd")));
    assert_eq!(item.expires_at.map(|time| time.seconds), Some(4_004_308_800));
    let deployments = fake.deployments();
    let wanted = Deployment {
        id: deployments[0].id.clone(),
        application_id: APPLICATION_ID.to_owned(),
        device_profile_id: PROFILE_ID.to_owned(),
        name: "fw-1.1.0".to_owned(),
        multicast_group_type: MulticastGroupType::ClassB.into(),
        multicast_class_c_scheduling_type: SchedulingType::GpsTime.into(),
        multicast_dr: 7,
        multicast_class_b_ping_slot_periodicity: 8,
        multicast_frequency: 9,
        multicast_timeout: 10,
        calculate_multicast_timeout: true,
        unicast_max_retry_count: 12,
        fragmentation_fragment_size: 13,
        calculate_fragmentation_fragment_size: true,
        fragmentation_redundancy_percentage: 15,
        fragmentation_session_index: 16,
        fragmentation_matrix: 17,
        fragmentation_block_ack_delay: 18,
        fragmentation_descriptor: vec![1, 2, 3, 4],
        request_fragmentation_session_status: StatusRequest::AfterSessionTimeout.into(),
        payload: b"image".to_vec(),
        on_complete_set_device_tags: one("fw", "1.1.0"),
    };
    assert_eq!(deployments, [wanted]);
}

#[tokio::test]
async fn every_method_and_every_event_is_what_the_official_classes_mean() {
    let classes = tools().join("chirpstack-api");
    assert!(classes.exists(), "ChirpStack's classes aren't there: run scripts/setup-clients");
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let settings = Settings { control_listen: any, deployment_step: Duration::from_millis(100), ..Settings::default() };
    let fake = FakeChirpstack::start(settings).await.unwrap();
    prepare(&fake);
    let check = tokio::process::Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official/check.py"))
        .args([fake.url(), format!("http://{}", fake.control_address().unwrap())])
        .env("PYTHONPATH", classes)
        .env("no_proxy", "*")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), check).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare(&fake);
}
