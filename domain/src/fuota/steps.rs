//! What to do next with a deployment, given its state and ChirpStack's list. Each step may be done twice, so a crash
//! between any two steps is harmless.

use uuid::Uuid;

use super::{DeploymentPhase, DeploymentPlan, FuotaDeployment, PlannedDevice, TransferOutcome};
use crate::device::{Device, Lifecycle, Phase, ReportStatus};
use crate::ids::FuotaDeploymentId;
use crate::lorawan::Parameters;

/// Beginning of the names of our deployments over there.
const NAME_PREFIX: &str = "waybill-";
/// Shortest and longest pause between two looks at a deployment over there, in seconds.
const POLL_RANGE_S: (u64, u64) = (1, 300);
/// A deployment may take this many times its forecast: ChirpStack may have been down meanwhile.
const TIME_LIMIT_FACTOR: u64 = 2;
/// Time added to that, in seconds.
const TIME_LIMIT_EXTRA_S: u64 = 3_600;

/// A deployment in ChirpStack's list that has our name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    pub id: String,
    pub started: bool,
}

/// The next step of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Claim the devices, then create it over there.
    Create,
    RecordCreated {
        chirpstack_id: String,
    },
    /// Copies of a Create whose reply was lost. They were never started.
    DeleteCopies {
        ids: Vec<String>,
    },
    /// Add the devices that are missing over there, take out those that have left, and start.
    Start {
        chirpstack_id: String,
    },
    RecordStarted,
    /// Look how far its devices are.
    Poll {
        chirpstack_id: String,
    },
    /// Somebody has deleted it over there.
    AbortRemoved,
    /// Delete what is over there.
    Remove {
        ids: Vec<String>,
    },
    /// Let go of the devices, and record that nothing is left over there.
    RecordRemoved,
    Nothing,
}

/// The name of a deployment over there.
pub fn name_over_there(id: FuotaDeploymentId) -> String {
    format!("{NAME_PREFIX}{id}")
}

/// The deployment that a name over there belongs to; none if the name isn't ours.
pub fn owner_of_name(name: &str) -> Option<FuotaDeploymentId> {
    let id: Uuid = name.strip_prefix(NAME_PREFIX)?.parse().ok()?;
    let id = FuotaDeploymentId(id);
    (name_over_there(id) == name).then_some(id)
}

/// The next step, given everything over there that has the deployment's name. The list must have been read after the state: what a state knows to
/// be over there and the list lacks counts as deleted.
pub fn next_step(deployment: &FuotaDeployment, remotes: &[Remote]) -> Step {
    let ids = |remotes: &mut dyn Iterator<Item = &Remote>| remotes.map(|remote| remote.id.clone()).collect::<Vec<_>>();
    if deployment.is_gone() {
        return match ids(&mut remotes.iter()) {
            none if none.is_empty() => Step::Nothing,
            ids => Step::Remove { ids },
        };
    }
    let recorded = deployment.chirpstack_id.clone();
    match (deployment.phase, recorded) {
        (DeploymentPhase::Completed | DeploymentPhase::Aborted, _) if remotes.is_empty() => Step::RecordRemoved,
        (DeploymentPhase::Completed | DeploymentPhase::Aborted, _) => Step::Remove { ids: ids(&mut remotes.iter()) },
        (DeploymentPhase::Planned, _) | (_, None) => match remotes.iter().map(|remote| &remote.id).min() {
            None => Step::Create,
            Some(id) => Step::RecordCreated { chirpstack_id: id.clone() },
        },
        (DeploymentPhase::Created | DeploymentPhase::Started, Some(recorded)) => {
            let Some(ours) = remotes.iter().find(|remote| remote.id == recorded) else { return Step::AbortRemoved };
            let copies = ids(&mut remotes.iter().filter(|remote| remote.id != recorded));
            if !copies.is_empty() {
                return Step::DeleteCopies { ids: copies };
            }
            match (deployment.phase, ours.started) {
                (DeploymentPhase::Started, _) => Step::Poll { chirpstack_id: recorded },
                (_, true) => Step::RecordStarted,
                (_, false) => Step::Start { chirpstack_id: recorded },
            }
        }
    }
}

/// Whether a device still waits for the image of its deployment: it is in service, as it was planned, and so is the attempt of its update.
pub fn awaits_image(plan: &DeploymentPlan, planned: &PlannedDevice, device: &Device) -> bool {
    let profile = &device.profile;
    let is_as_planned = device.lifecycle == Lifecycle::Active
        && profile.lorawan_dev_eui.as_deref() == Some(&planned.dev_eui)
        && profile.chirpstack_app_id.as_deref() == Some(&plan.application_id);
    is_as_planned
        && device.update(planned.ordinal).is_some_and(|update| {
            let waits = matches!(update.phase, Phase::Accepted | Phase::Downloading | Phase::Verifying);
            update.attempt == planned.attempt && waits
        })
}

/// Pause between two looks at a started deployment, in seconds: devices answer with their uplinks.
pub fn poll_interval_s(parameters: &Parameters) -> u64 {
    u64::from(parameters.uplink_interval_s / 2).clamp(POLL_RANGE_S.0, POLL_RANGE_S.1)
}

/// How long after its start a deployment may take, in seconds. Then it counts as failed for the devices that are left.
pub fn time_limit_s(parameters: &Parameters) -> u64 {
    parameters.duration_s() * TIME_LIMIT_FACTOR + TIME_LIMIT_EXTRA_S
}

/// What a deployment says of the device's update, if its update doesn't say so already. `phase` is that of the update, in the attempt of the
/// deployment.
pub fn report_due(started: bool, outcome: Option<TransferOutcome>, phase: Phase) -> Option<ReportStatus> {
    let before_verifying = matches!(phase, Phase::Accepted | Phase::Downloading);
    match outcome {
        None => (started && phase == Phase::Accepted).then_some(ReportStatus::Downloading),
        Some(TransferOutcome::Delivered) => before_verifying.then_some(ReportStatus::Verifying),
        Some(TransferOutcome::Failed) => before_verifying.then_some(ReportStatus::Failed),
        Some(TransferOutcome::Withdrawn) => None,
    }
}
