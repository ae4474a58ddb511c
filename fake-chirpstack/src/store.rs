//! What the server knows, in memory and bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use chirpstack::grpc::application::Application;
use chirpstack::grpc::device::{Device, DeviceClass, DeviceStatus};
use chirpstack::grpc::device_keys::DeviceKeys;
use chirpstack::grpc::device_profile::{AppLayerParams, DeviceProfile, MacVersion, PackageVersion, Region};
use chirpstack::grpc::device_queue::DeviceQueueItem;
use chirpstack::grpc::fuota::{Deployment, DeploymentDevice, DeploymentJob};
use chirpstack::grpc::gateway::{GatewayListItem, GatewayState};
use chirpstack::grpc::multicast_group::MulticastGroupListItem;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids;
use crate::keys::Keys;
use crate::times::now;

/// Devices at most.
pub(crate) const DEVICES_MAX: usize = 100_000;
/// Items of a device's queue at most.
pub(crate) const QUEUE_MAX: usize = 1_000;
/// Deployments at most.
pub(crate) const DEPLOYMENTS_MAX: usize = 1_000;
/// Applications and profiles at most, each.
pub(crate) const CATALOGUE_MAX: usize = 1_000;

/// Everything that the server knows.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) keys: Keys,
    pub(crate) applications: BTreeMap<String, Stored<Application>>,
    pub(crate) profiles: BTreeMap<String, Stored<DeviceProfile>>,
    pub(crate) devices: BTreeMap<String, DeviceEntry>,
    pub(crate) gateways: BTreeMap<String, GatewayListItem>,
    pub(crate) deployments: BTreeMap<String, DeploymentEntry>,
    pub(crate) multicast_groups: BTreeMap<String, MulticastGroupListItem>,
}

/// An object with its times.
#[derive(Debug, Clone)]
pub(crate) struct Stored<T> {
    pub(crate) object: T,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl<T> Stored<T> {
    pub(crate) fn new(object: T) -> Self {
        let now = now();
        Self { object, created_at: now, updated_at: now }
    }

    pub(crate) fn replace(&mut self, object: T) {
        self.object = object;
        self.updated_at = now();
    }
}

/// A device with all that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct DeviceEntry {
    pub(crate) stored: Stored<Device>,
    /// Fields of the device that only a newer server would know.
    pub(crate) unknown_fields: Bytes,
    pub(crate) last_seen_at: Option<Timestamp>,
    pub(crate) status: Option<DeviceStatus>,
    /// The class in use.
    pub(crate) class: DeviceClass,
    pub(crate) keys: Option<Stored<DeviceKeys>>,
    pub(crate) queue: VecDeque<DeviceQueueItem>,
    pub(crate) session: Session,
    pub(crate) fuota: FuotaScript,
    /// The descriptor of the image that the device received last.
    pub(crate) received: Option<[u8; 4]>,
}

impl DeviceEntry {
    pub(crate) fn new(device: Device, unknown_fields: Bytes) -> Self {
        Self {
            stored: Stored::new(device),
            unknown_fields,
            last_seen_at: None,
            status: None,
            class: DeviceClass::ClassA,
            keys: None,
            queue: VecDeque::new(),
            session: Session::default(),
            fuota: FuotaScript::default(),
            received: None,
        }
    }
}

/// Counters of a device's session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    /// 8 hexadecimal digits.
    pub(crate) dev_addr: String,
    pub(crate) f_cnt_up: u32,
    pub(crate) f_cnt_down: u32,
}

/// How a device takes part in FUOTA deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FuotaScript {
    #[default]
    Completes,
    NoGroupSetup,
    NoFragmentationSetup,
    NoSession,
    NoStatus,
    MissesFragments,
}

/// A deployment with its devices and jobs.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentEntry {
    pub(crate) stored: Stored<Deployment>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) completed_at: Option<Timestamp>,
    pub(crate) devices: BTreeMap<String, DeploymentDevice>,
    pub(crate) gateways: Vec<String>,
    pub(crate) jobs: Vec<DeploymentJob>,
}

impl Store {
    /// One tenant with two profiles, an application and a gateway, and an application of another tenant.
    pub(crate) fn new() -> Self {
        let mut store = Self {
            keys: Keys::new(),
            applications: BTreeMap::new(),
            profiles: BTreeMap::new(),
            devices: BTreeMap::new(),
            gateways: BTreeMap::new(),
            deployments: BTreeMap::new(),
            multicast_groups: BTreeMap::new(),
        };
        store.add_application(application(ids::APPLICATION_ID, "application", ids::TENANT_ID));
        store.add_application(application(ids::OTHER_APPLICATION_ID, "other", "0a1b2c3d-0000-4000-8000-000000000000"));
        store.add_profile(DeviceProfile {
            id: ids::CLASS_A_PROFILE_ID.to_owned(),
            name: "otaa-class-a".to_owned(),
            uplink_interval: 3_600,
            ..profile()
        });
        store.add_profile(DeviceProfile {
            id: ids::CLASS_C_PROFILE_ID.to_owned(),
            name: "otaa-class-c-fuota".to_owned(),
            uplink_interval: 10,
            supports_class_c: true,
            class_c_timeout: 5,
            app_layer_params: Some(fuota_packages()),
            ..profile()
        });
        store.gateways.insert(ids::GATEWAY_ID.to_owned(), gateway());
        store
    }

    pub(crate) fn add_application(&mut self, application: Application) {
        if self.applications.len() < CATALOGUE_MAX {
            self.applications.insert(application.id.clone(), Stored::new(application));
        }
    }

    pub(crate) fn add_profile(&mut self, profile: DeviceProfile) {
        if self.profiles.len() < CATALOGUE_MAX {
            self.profiles.insert(profile.id.clone(), Stored::new(profile));
        }
    }
}

/// The packages of a device that takes part in FUOTA deployments.
pub(crate) fn fuota_packages() -> AppLayerParams {
    AppLayerParams {
        ts003_version: PackageVersion::V100.into(),
        ts003_f_port: 202,
        ts004_version: PackageVersion::V100.into(),
        ts004_f_port: 201,
        ts005_version: PackageVersion::V100.into(),
        ts005_f_port: 200,
    }
}

fn application(id: &str, name: &str, tenant_id: &str) -> Application {
    Application { id: id.to_owned(), name: name.to_owned(), tenant_id: tenant_id.to_owned(), ..Application::default() }
}

fn profile() -> DeviceProfile {
    DeviceProfile {
        tenant_id: ids::TENANT_ID.to_owned(),
        region: Region::Eu868.into(),
        mac_version: MacVersion::Lorawan103.into(),
        flush_queue_on_activate: true,
        supports_otaa: true,
        ..DeviceProfile::default()
    }
}

fn gateway() -> GatewayListItem {
    let now = Some(now());
    GatewayListItem {
        tenant_id: ids::TENANT_ID.to_owned(),
        gateway_id: ids::GATEWAY_ID.to_owned(),
        name: "gateway".to_owned(),
        created_at: now,
        updated_at: now,
        last_seen_at: now,
        state: GatewayState::Online.into(),
        ..GatewayListItem::default()
    }
}
