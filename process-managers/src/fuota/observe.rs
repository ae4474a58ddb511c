//! Reads device profiles from ChirpStack and records what they say: those of waiting devices at once, all others from time to time.

use std::collections::BTreeSet;

use chirpstack::grpc::device_profile::{DeviceProfile, PackageVersion};
use domain::lorawan::Region;
use domain::lorawan_profile::{LorawanProfile, LorawanProfileCommand, ProfileFacts};
use domain::{CommandId, DeviceProfileId, Key};
use event_store::Request;
use projections::lorawan_profiles;
use runtime::clock;

use super::worker::{Stop, Worker};
use crate::network::ServerError;
use crate::reconciler::{self, ReconcileError};

/// Sender of what was found: it follows from no record.
const OBSERVER: &str = "profiles";
/// Most profiles of a tenant that are read at once.
const PROFILES_MAX: usize = 200;

/// Reads the profiles that are due.
pub(super) async fn profiles(worker: &Worker<'_>, unknown: BTreeSet<String>) -> Result<(), Stop> {
    let Worker { tools, tenant, .. } = worker;
    let mut wanted = unknown;
    wanted.retain(|id| !tools.workers.was_asked(tenant, id));
    let all_are_due = tools.workers.profiles_are_due(tenant);
    if all_are_due {
        let in_use = lorawan_profiles::in_use(&tools.db, tenant, PROFILES_MAX).await.map_err(ReconcileError::from)?;
        wanted.extend(in_use);
    }
    for id in wanted.into_iter().take(PROFILES_MAX) {
        observe(worker, &id).await?;
        tools.workers.asked(tenant, &id);
    }
    if all_are_due {
        tools.workers.profiles_observed(tenant);
    }
    Ok(())
}

/// Records what a profile says. That there is none over there changes nothing.
async fn observe(worker: &Worker<'_>, id: &str) -> Result<(), Stop> {
    let Ok(profile_id) = DeviceProfileId::new(id) else { return Ok(()) };
    let profile = match worker.server.client.get_device_profile(id).await {
        Ok(profile) => profile,
        Err(error) => match worker.server.confirm_unknown(error).await {
            Ok(()) | Err(ServerError::Refused { .. } | ServerError::Broken(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        },
    };
    let facts = facts_of(&profile);
    let key = Key::<LorawanProfile>::new(worker.tenant, &profile_id);
    let observe = LorawanProfileCommand::Observe { facts };
    let request = Request::new(CommandId(clock::new_id()), reconciler::actor(OBSERVER), observe);
    Ok(reconciler::log_and_continue(worker.tools.store.execute(&key, request).await, key.raw())?)
}

fn facts_of(profile: &DeviceProfile) -> ProfileFacts {
    let has = |version: PackageVersion| version != PackageVersion::NotImplemented;
    let packages = profile.app_layer_params.unwrap_or_default();
    ProfileFacts {
        region: Region::from_word(profile.region().name()),
        uplink_interval_s: profile.uplink_interval,
        fragmentation: has(packages.ts004_version()),
        multicast: has(packages.ts005_version()),
    }
}

#[cfg(test)]
mod tests {
    use chirpstack::grpc::device_profile::AppLayerParams;

    use super::*;

    #[test]
    fn every_region_of_chirpstack_is_known() {
        for number in 0..=14 {
            let Ok(region) = chirpstack::grpc::device_profile::Region::try_from(number) else { continue };
            assert!(Region::from_word(region.name()).is_some(), "{}", region.name());
        }
    }

    #[test]
    fn packages_decide_whether_images_can_be_sent() {
        let packages = AppLayerParams { ts004_version: 1, ts005_version: 2, ..AppLayerParams::default() };
        let profile =
            DeviceProfile { app_layer_params: Some(packages), uplink_interval: 60, ..DeviceProfile::default() };
        assert!(facts_of(&profile).takes_images());
        assert!(!facts_of(&DeviceProfile { app_layer_params: None, ..profile }).takes_images());
    }
}
