//! The device of an EUI, and the version of a firmware that it names by the first bytes of its digest.

use std::sync::Arc;

use domain::claim::{Claim, ClaimId, ClaimKind};
use domain::device::{Device, Lifecycle};
use domain::firmware::Firmware;
use domain::{DeviceId, Key, TenantId};
use event_store::{EventStore, StoreError};

use crate::lorawan::codec::firmware_short;

/// The device in service that has this EUI, by the EUI's claim.
pub(super) async fn find(
    store: &EventStore,
    tenant: &TenantId,
    eui: &str,
) -> Result<Option<(DeviceId, Arc<Device>)>, StoreError> {
    let claim = Key::<Claim>::new(tenant, &ClaimId::new(ClaimKind::LorawanDevEui, eui));
    let claim = store.load_fresh(&claim).await?;
    let Some(Ok(id)) = claim.aggregate.owner().map(DeviceId::new) else { return Ok(None) };
    let key = Key::<Device>::new(tenant, &id);
    let has_eui = |device: &Device| {
        device.lifecycle == Lifecycle::Active && device.profile.lorawan_dev_eui.as_deref() == Some(eui)
    };
    let mut device = Arc::clone(&store.load(&key).await?.aggregate);
    if !has_eui(&device) {
        // Another process may just have written it.
        device = Arc::clone(&store.load_fresh(&key).await?.aggregate);
    }
    Ok(has_eui(&device).then_some((id, device)))
}

/// Component and version of the firmware with these first bytes of the SHA-256: the firmware of an update of the device, or the one before its
/// live update. For an unknown firmware the version is made of these bytes, so that it differs from every known one.
pub(super) async fn running(
    store: &EventStore,
    tenant: &TenantId,
    device: &Device,
    short: u32,
) -> Result<(String, String), StoreError> {
    if let Some(known) = of_updates(device, short) {
        return Ok(known);
    }
    let live = device.live();
    if let Some(from) = live.and_then(|update| update.spec.from_firmware_id) {
        let firmware = store.load(&Key::<Firmware>::new(tenant, &from)).await?;
        if let Some((metadata, bytes)) = &firmware.aggregate.content
            && firmware_short(&bytes.sha256) == short
        {
            let version = metadata.reported_version.as_ref().unwrap_or(&metadata.version);
            return Ok((metadata.component.clone(), version.clone()));
        }
    }
    let component = live.map_or("firmware", |update| update.spec.firmware.component.as_str());
    Ok((component.to_owned(), format!("sha256:{short:08x}")))
}

/// Among the updates that the device remembers, the one under way first.
fn of_updates(device: &Device, short: u32) -> Option<(String, String)> {
    let mut updates: Vec<_> = device.updates.values().collect();
    updates.sort_by_key(|update| (!update.phase.is_live(), std::cmp::Reverse(update.ordinal)));
    let firmware = updates.into_iter().map(|update| &update.spec.firmware);
    let firmware = firmware.into_iter().find(|firmware| firmware_short(&firmware.sha256) == short)?;
    let version = firmware.reported_version.as_ref().unwrap_or(&firmware.version);
    Some((firmware.component.clone(), version.clone()))
}

#[cfg(test)]
mod tests {
    use domain::claim::ClaimCommand;
    use domain::device::{DeviceCommand, Profile};
    use domain::{Actor, CommandId};
    use event_store::{MemoryLog, Request};
    use runtime::clock;

    use super::*;

    const EUI: &str = "0102030405060708";

    fn request<C>(command: C) -> Request<C> {
        Request::new(CommandId(clock::new_id()), Actor::new("user:1").unwrap(), command)
    }

    #[tokio::test]
    async fn an_eui_has_a_device_if_claim_and_device_name_each_other() {
        let store = EventStore::new(Arc::new(MemoryLog::new()));
        let tenant = TenantId::new("acme").unwrap();
        let found = async || find(&store, &tenant, EUI).await.unwrap().map(|(id, _)| id.to_string());
        assert_eq!(found().await, None);
        let claim = Key::<Claim>::new(&tenant, &ClaimId::new(ClaimKind::LorawanDevEui, EUI));
        store.execute(&claim, request(ClaimCommand::Make { owner: "d-1".to_owned() })).await.unwrap();
        assert_eq!(found().await, None, "the device isn't there");
        let profile = Profile { lorawan_dev_eui: Some(EUI.to_owned()), ..Profile::default() };
        let key = Key::<Device>::new(&tenant, &DeviceId::new("d-1").unwrap());
        let register = DeviceCommand::Register { profile, versions: Default::default() };
        store.execute(&key, request(register)).await.unwrap();
        assert_eq!(found().await.as_deref(), Some("d-1"));
        let rival = TenantId::new("rival").unwrap();
        assert!(find(&store, &rival, EUI).await.unwrap().is_none());
        let device = Arc::clone(&store.load(&key).await.unwrap().aggregate);
        let unknown = running(&store, &tenant, &device, 0x89ab_cdef).await.unwrap();
        assert_eq!(unknown, ("firmware".to_owned(), "sha256:89abcdef".to_owned()));
    }
}
