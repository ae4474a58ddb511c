//! Takes a deployment one step further: what is recorded and what ChirpStack lists decide which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chirpstack::grpc::fuota::{DeploymentDevice, DeploymentJob, DeviceOutcome};
use chrono::TimeDelta;
use domain::device::Device;
use domain::firmware::object_name;
use domain::fuota::{
    DeploymentPlan, DeviceEnd, FuotaCommand, FuotaDeployment, PlannedDevice, REASON_OVERDUE, REASON_REMOVED_THERE,
    REASON_UPDATE_CHANGED, Remote, Step, TransferOutcome, awaits_image, next_step, poll_interval_s, time_limit_s,
};
use domain::values::Sha256Digest;
use domain::{FuotaDeploymentId, Key};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use projections::fuota::LiveDeployment;
use runtime::clock;

use super::calls::{self, Added};
use super::sessions;
use super::worker::{Stop, Worker, send};
use crate::reconciler::ReconcileError;

/// Steps of one deployment in one run.
const STEPS_MAX: usize = 12;
/// Devices that are loaded at the same time.
const LOADED_AT_ONCE: usize = 32;
/// The last job of a deployment.
const LAST_JOB: &str = "COMPLETE";
/// Reason of a device that is not in the deployment over there.
const REASON_NOT_THERE: &str = "not_in_deployment";
/// Reason of a device for which a deployment has completed without saying how.
const REASON_NO_OUTCOME: &str = "no_outcome";
/// Reason of a deployment whose image was deleted or is another one.
const REASON_NO_IMAGE: &str = "image_missing";

/// Takes steps until nothing is left to do now. Returns when to look again; none: soon.
pub(super) async fn advance(worker: &Worker<'_>, live: &LiveDeployment) -> Result<Option<Duration>, Stop> {
    let key = Key::<FuotaDeployment>::new(worker.tenant, &live.id);
    let mut deleted = BTreeSet::new();
    for _ in 0..STEPS_MAX {
        let loaded = worker.tools.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        let Some(plan) = loaded.aggregate.plan.as_deref() else { return Ok(None) };
        // Read after the state, so that what the list lacks was deleted.
        let listed = calls::list(worker.server, &plan.application_id, live.id).await?;
        let remotes: Vec<Remote> = listed.iter().map(|listed| listed.remote.clone()).collect();
        let step = next_step(&loaded.aggregate, &remotes);
        let one = One { worker, id: live.id, deployment: &loaded.aggregate, plan };
        match step {
            Step::Nothing => return Ok(None),
            Step::Poll { chirpstack_id } => {
                let is_completed = listed.iter().any(|one| one.remote.id == chirpstack_id && one.is_completed);
                if !one.poll(live, &chirpstack_id, is_completed).await? {
                    return Ok(Some(Duration::from_secs(poll_interval_s(&plan.parameters))));
                }
            }
            other => {
                if let Some(id) = delete_again(&other, &mut deleted) {
                    return Err(Stop::Broken(format!("ChirpStack still lists {id}: the API key may not delete it")));
                }
                one.take(other).await?;
            }
        }
    }
    Ok(None)
}

/// What a step deletes although it was deleted before. Everything that the step deletes is added to `deleted`.
fn delete_again(step: &Step, deleted: &mut BTreeSet<String>) -> Option<String> {
    let (Step::DeleteCopies { ids } | Step::Remove { ids }) = step else { return None };
    ids.iter().find(|id| !deleted.insert((*id).clone())).cloned()
}

/// Gives a deployment up: its devices have failed.
pub(super) async fn give_up(worker: &Worker<'_>, id: FuotaDeploymentId, reason: &str) -> Result<(), ReconcileError> {
    let key = Key::<FuotaDeployment>::new(worker.tenant, &id);
    let command = FuotaCommand::Abort { reason: reason.to_owned(), outcome: TransferOutcome::Failed };
    send(&worker.tools.store, &key, command).await
}

struct One<'a> {
    worker: &'a Worker<'a>,
    id: FuotaDeploymentId,
    deployment: &'a FuotaDeployment,
    plan: &'a DeploymentPlan,
}

impl One<'_> {
    async fn tell(&self, command: FuotaCommand) -> Result<(), Stop> {
        let key = Key::<FuotaDeployment>::new(self.worker.tenant, &self.id);
        Ok(send(&self.worker.tools.store, &key, command).await?)
    }

    async fn take(&self, step: Step) -> Result<(), Stop> {
        let server = self.worker.server;
        match step {
            Step::Create => self.create().await,
            Step::RecordCreated { chirpstack_id } => self.tell(FuotaCommand::RecordCreated { chirpstack_id }).await,
            Step::DeleteCopies { ids } | Step::Remove { ids } => {
                for id in ids {
                    calls::delete(server, &id).await?;
                }
                Ok(())
            }
            Step::Start { chirpstack_id } => self.start(&chirpstack_id).await,
            Step::RecordStarted => self.tell(FuotaCommand::RecordStarted).await,
            Step::AbortRemoved => Ok(give_up(self.worker, self.id, REASON_REMOVED_THERE).await?),
            Step::RecordRemoved => {
                sessions::release_all(self.worker, self.id, &self.plan.devices).await?;
                self.tell(FuotaCommand::RecordRemoved).await
            }
            Step::Poll { .. } | Step::Nothing => Ok(()),
        }
    }

    async fn create(&self) -> Result<(), Stop> {
        let open: Vec<PlannedDevice> = self.deployment.open_devices().cloned().collect();
        sessions::claim(self.worker, self.id, open).await?;
        self.end_those_that_left().await?;
        let key = Key::<FuotaDeployment>::new(self.worker.tenant, &self.id);
        let now = self.worker.tools.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        if now.aggregate.phase.is_ended() {
            return Ok(());
        }
        let Some(image) = self.image().await? else {
            return Ok(give_up(self.worker, self.id, REASON_NO_IMAGE).await?);
        };
        let chirpstack_id = calls::create(self.worker.server, self.id, self.plan, image).await?;
        self.tell(FuotaCommand::RecordCreated { chirpstack_id }).await
    }

    /// The image; none if it was deleted or has another digest.
    async fn image(&self) -> Result<Option<Vec<u8>>, Stop> {
        let DeploymentPlan { firmware_id, sha256, .. } = self.plan;
        let path = ObjectPath::from(object_name(self.worker.tenant, *firmware_id, sha256));
        let image = match self.worker.tools.objects.get(&path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok((Sha256Digest::of(&image) == *sha256).then(|| image.to_vec()))
    }

    /// Ends the deployment for devices that don't wait for the image any more; says whether there are any. Rows may not know it yet, so
    /// the log is asked.
    async fn end_those_that_left(&self) -> Result<bool, Stop> {
        let open: Vec<PlannedDevice> = self.deployment.open_devices().cloned().collect();
        let looks = futures::stream::iter(open).map(|planned| async move {
            let key = Key::<Device>::new(self.worker.tenant, &planned.device);
            let loaded = self.worker.tools.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
            let waits = awaits_image(self.plan, &planned, &loaded.aggregate);
            let end = || DeviceEnd::new(planned.device, TransferOutcome::Withdrawn, Some(REASON_UPDATE_CHANGED));
            Ok::<_, Stop>((!waits).then(end))
        });
        let ends: Vec<Option<DeviceEnd>> = looks.buffered(LOADED_AT_ONCE).try_collect().await?;
        let ends: Vec<DeviceEnd> = ends.into_iter().flatten().collect();
        let have_left = !ends.is_empty();
        if have_left {
            self.tell(FuotaCommand::EndDevices { ends }).await?;
        }
        Ok(have_left)
    }

    /// Whether nothing was recorded since the step was chosen.
    async fn is_unchanged(&self) -> Result<bool, Stop> {
        let key = Key::<FuotaDeployment>::new(self.worker.tenant, &self.id);
        let now = self.worker.tools.store.load_fresh(&key).await.map_err(ReconcileError::from)?;
        Ok(*now.aggregate == *self.deployment)
    }

    /// Adds the devices that are missing over there, takes out those whose update has ended meanwhile, and starts. The last thing before the
    /// start is a look whether any device has left: a started deployment can't be changed.
    async fn start(&self, chirpstack_id: &str) -> Result<(), Stop> {
        let server = self.worker.server;
        let there = calls::devices(server, chirpstack_id).await?;
        let withdrawn = self.withdrawn(&there);
        if !withdrawn.is_empty() {
            calls::remove(server, chirpstack_id, &withdrawn).await?;
        }
        let missing = self.missing(&there);
        let euis: Vec<String> = missing.into_iter().map(|device| device.dev_eui).collect();
        let are_added = euis.is_empty() || calls::add(server, chirpstack_id, &euis).await? == Added::All;
        if !are_added && self.add_singly(chirpstack_id).await? {
            // The next step depends on whether any device is left.
            return Ok(());
        }
        if self.end_those_that_left().await? || !self.is_unchanged().await? {
            return Ok(());
        }
        calls::start(server, chirpstack_id).await?;
        self.tell(FuotaCommand::RecordStarted).await
    }

    /// Adds the missing devices one by one. Those that ChirpStack refuses have failed; says whether there are any. If it breaks at one, the
    /// deployment is tried again later; at the last try that device has failed.
    async fn add_singly(&self, chirpstack_id: &str) -> Result<bool, Stop> {
        let is_last_try = self.worker.tools.workers.is_last_try(self.worker.tenant, self.id);
        let (mut ends, mut broken) = (Vec::new(), None);
        let there = calls::devices(self.worker.server, chirpstack_id).await?;
        for device in self.missing(&there) {
            let dev_eui = std::slice::from_ref(&device.dev_eui);
            match calls::add(self.worker.server, chirpstack_id, dev_eui).await? {
                Added::All => {}
                Added::Broken(reason) if !is_last_try => broken = Some(reason),
                Added::Refused(reason) | Added::Broken(reason) => {
                    ends.push(DeviceEnd::new(device.device, TransferOutcome::Failed, Some(&reason)));
                }
            }
        }
        let have_ended = !ends.is_empty();
        if have_ended {
            self.tell(FuotaCommand::EndDevices { ends }).await?;
        }
        broken.map_or(Ok(have_ended), |reason| Err(Stop::Broken(reason)))
    }

    fn missing(&self, there: &BTreeMap<String, DeploymentDevice>) -> Vec<PlannedDevice> {
        let is_missing = |device: &&PlannedDevice| !there.contains_key(&device.dev_eui);
        self.deployment.open_devices().filter(is_missing).cloned().collect()
    }

    /// Devices over there that no longer take part.
    fn withdrawn(&self, there: &BTreeMap<String, DeploymentDevice>) -> Vec<String> {
        let open: BTreeSet<&str> = self.deployment.open_devices().map(|device| device.dev_eui.as_str()).collect();
        there.keys().filter(|dev_eui| !open.contains(dev_eui.as_str())).cloned().collect()
    }

    /// Records what has ended over there; says whether anything has.
    async fn poll(&self, live: &LiveDeployment, chirpstack_id: &str, is_completed: bool) -> Result<bool, Stop> {
        let there = calls::devices(self.worker.server, chirpstack_id).await?;
        let ends = self.ended(&there, is_completed);
        if !ends.is_empty() {
            self.tell(FuotaCommand::EndDevices { ends }).await?;
            return Ok(true);
        }
        let limit = TimeDelta::seconds(i64::try_from(time_limit_s(&self.plan.parameters)).unwrap_or(i64::MAX / 1_000));
        if live.started_at.is_some_and(|started_at| clock::now() > started_at + limit) {
            give_up(self.worker, self.id, REASON_OVERDUE).await?;
            return Ok(true);
        }
        let jobs = calls::jobs(self.worker.server, chirpstack_id).await?;
        if let Some(reason) = stuck(&jobs) {
            give_up(self.worker, self.id, &reason).await?;
            return Ok(true);
        }
        Ok(false)
    }

    fn ended(&self, there: &BTreeMap<String, DeploymentDevice>, is_completed: bool) -> Vec<DeviceEnd> {
        let end = |open: &PlannedDevice| {
            let failed = |reason: &str| Some((TransferOutcome::Failed, Some(reason.to_owned())));
            let (outcome, reason) = match there.get(&open.dev_eui) {
                None => failed(REASON_NOT_THERE),
                Some(device) => match device.outcome() {
                    DeviceOutcome::Delivered => Some((TransferOutcome::Delivered, None)),
                    DeviceOutcome::Failed => failed(&device.error_msg),
                    DeviceOutcome::Running if is_completed => failed(REASON_NO_OUTCOME),
                    DeviceOutcome::Running => None,
                },
            }?;
            Some(DeviceEnd::new(open.device.clone(), outcome, reason.as_deref()))
        };
        self.deployment.open_devices().filter_map(end).collect()
    }
}

/// Why a chain of jobs has stopped early, if it has: a job gave up, and no other follows.
fn stuck(jobs: &[DeploymentJob]) -> Option<String> {
    let last = jobs.last()?;
    let gave_up = last.completed_at.is_some() && last.job != LAST_JOB;
    gave_up.then(|| format!("{}: {}", last.job, last.error_msg))
}

#[cfg(test)]
mod tests {
    use chirpstack::grpc::Timestamp;

    use super::*;

    fn job(name: &str, is_completed: bool) -> DeploymentJob {
        let completed_at = is_completed.then_some(Timestamp { seconds: 1, nanos: 0 });
        DeploymentJob { job: name.to_owned(), completed_at, error_msg: "broken".to_owned(), ..DeploymentJob::default() }
    }

    #[test]
    fn what_is_listed_after_it_was_deleted_is_not_deleted_again_at_once() {
        let mut deleted = BTreeSet::new();
        let remove = |id: &str| Step::Remove { ids: vec![id.to_owned()] };
        assert_eq!(delete_again(&remove("a"), &mut deleted), None);
        assert_eq!(delete_again(&Step::DeleteCopies { ids: vec!["b".to_owned()] }, &mut deleted), None);
        assert_eq!(delete_again(&Step::RecordStarted, &mut deleted), None);
        assert_eq!(delete_again(&remove("a"), &mut deleted).as_deref(), Some("a"));
    }

    #[test]
    fn a_chain_of_jobs_that_ends_early_is_stuck() {
        assert_eq!(stuck(&[]), None);
        assert_eq!(stuck(&[job("CREATE_MC_GROUP", true), job("ADD_DEVS_TO_MC_GROUP", false)]), None);
        assert_eq!(stuck(&[job("CREATE_MC_GROUP", true)]).as_deref(), Some("CREATE_MC_GROUP: broken"));
        assert_eq!(stuck(&[job("COMPLETE", true)]), None);
    }
}
