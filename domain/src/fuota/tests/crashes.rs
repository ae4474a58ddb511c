//! Two process managers, crashes between any two steps, lost replies and lists that are out of date: a device's attempt is never started twice,
//! and nothing is stuck.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const DEVICES: [&str; 3] = ["d-1", "d-2", "d-3"];

/// A deployment over there.
#[derive(Debug, Clone)]
struct There {
    id: String,
    name: String,
    devices: BTreeSet<String>,
    started: bool,
}

/// ChirpStack, the log and the claims, as far as deployments need them.
#[derive(Default)]
struct World {
    deployments: BTreeMap<FuotaDeploymentId, FuotaDeployment>,
    claims: BTreeMap<String, FuotaDeploymentId>,
    there: Vec<There>,
    created: usize,
    /// How often each device was started with an attempt.
    starts: BTreeMap<(String, FuotaDeploymentId), usize>,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy)]
struct Fault {
    /// The run stops after this number of effects. The last one took place, but its reply was lost.
    effects: usize,
    /// The list was read before what others did since.
    stale_list: bool,
    /// Which of the deployments is looked at.
    deployment: usize,
    /// Which devices a new plan has, as bits.
    members: u8,
}

fn faults() -> impl Strategy<Value = Fault> {
    (0..6_usize, any::<bool>(), 0..4_usize, 1..8_u8).prop_map(|(effects, stale_list, deployment, members)| Fault {
        effects,
        stale_list,
        deployment,
        members,
    })
}

impl World {
    fn send(&mut self, id: FuotaDeploymentId, command: &FuotaCommand) {
        let state = self.deployments.entry(id).or_default();
        let Ok(events) = state.decide(DateTime::UNIX_EPOCH, command) else { return };
        events.iter().for_each(|event| state.apply(event));
    }

    fn list(&self, id: FuotaDeploymentId) -> Vec<Remote> {
        let name = name_over_there(id);
        let ours = self.there.iter().filter(|there| there.name == name);
        ours.map(|there| Remote { id: there.id.clone(), started: there.started }).collect()
    }

    /// Plans some devices, whether or not others have planned them.
    fn plan(&mut self, members: u8) {
        let names: Vec<&str> =
            DEVICES.iter().enumerate().filter(|(n, _)| members & (1 << n) > 0).map(|(_, name)| *name).collect();
        let plan = plan(&names);
        let tenant = TenantId::new("acme").unwrap();
        let is_open = |world: &Self, round| {
            world.deployments.get(&plan.id(&tenant, round)).is_none_or(|known| !known.phase.is_ended())
        };
        let Some(round) = (0..8).find(|round| is_open(self, *round)) else { return };
        self.send(plan.id(&tenant, round), &FuotaCommand::Plan { plan: Box::new(plan.clone()) });
    }

    /// Claims the devices that are left; those that another live deployment has are taken out.
    fn claim(&mut self, id: FuotaDeploymentId) {
        for open in self.deployments[&id].open_devices().cloned().collect::<Vec<_>>() {
            let owner = self.claims.get(&open.dev_eui).copied();
            match owner.filter(|owner| *owner != id && !self.deployments[owner].is_gone()) {
                Some(_) => {
                    let end = DeviceEnd::new(open.device, TransferOutcome::Withdrawn, Some(REASON_OTHER_DEPLOYMENT));
                    self.send(id, &FuotaCommand::EndDevices { ends: vec![end] });
                }
                None => drop(self.claims.insert(open.dev_eui, id)),
            }
        }
    }

    /// One run over one deployment. Each effect uses up one of `effects`; then the process is gone.
    fn run(&mut self, id: FuotaDeploymentId, remotes: &[Remote], effects: usize) {
        let mut left = effects;
        let mut lives = || {
            left = left.saturating_sub(1);
            left > 0
        };
        match next_step(&self.deployments[&id].clone(), remotes) {
            Step::Create => {
                self.claim(id);
                if !lives() || self.deployments[&id].phase.is_ended() {
                    return;
                }
                self.created += 1;
                let new = format!("{:03}", self.created);
                let name = name_over_there(id);
                self.there.push(There { id: new.clone(), name, devices: BTreeSet::new(), started: false });
                if lives() {
                    self.send(id, &FuotaCommand::RecordCreated { chirpstack_id: new });
                }
            }
            Step::RecordCreated { chirpstack_id } => self.send(id, &FuotaCommand::RecordCreated { chirpstack_id }),
            Step::DeleteCopies { ids } | Step::Remove { ids } => {
                for copy in ids {
                    self.there.retain(|there| there.id != copy);
                    if !lives() {
                        return;
                    }
                }
            }
            Step::Start { chirpstack_id } => {
                let open: Vec<_> = self.deployments[&id].open_devices().map(|open| open.dev_eui.clone()).collect();
                let Some(there) = self.there.iter_mut().find(|there| there.id == chirpstack_id) else { return };
                // ChirpStack takes no devices after the start, and starts once.
                if there.started {
                    return;
                }
                there.devices.extend(open);
                if !lives() {
                    return;
                }
                there.started = true;
                for device in there.devices.clone() {
                    *self.starts.entry((device, id)).or_default() += 1;
                }
                if lives() {
                    self.send(id, &FuotaCommand::RecordStarted);
                }
            }
            Step::RecordStarted => self.send(id, &FuotaCommand::RecordStarted),
            Step::Poll { .. } => {
                let open = self.deployments[&id].open_devices().next().cloned();
                let ends = open.map(|open| DeviceEnd::new(open.device, TransferOutcome::Delivered, None));
                self.send(id, &FuotaCommand::EndDevices { ends: ends.into_iter().collect() });
            }
            Step::AbortRemoved => {
                let reason = REASON_REMOVED_THERE.to_owned();
                self.send(id, &FuotaCommand::Abort { reason, outcome: TransferOutcome::Failed });
            }
            Step::RecordRemoved => {
                self.claims.retain(|_, owner| *owner != id);
                if lives() {
                    self.send(id, &FuotaCommand::RecordRemoved);
                }
            }
            Step::Nothing => {}
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (started, count) in &self.starts {
            prop_assert!(*count == 1, "{started:?} was started {count} times");
        }
        let mut live = BTreeSet::new();
        for there in self.there.iter().filter(|there| there.started) {
            for device in &there.devices {
                prop_assert!(live.insert(device), "{device} is in two started deployments");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(512)))]

    #[test]
    fn no_device_is_ever_in_two_started_deployments_and_nothing_is_stuck(
        faults in prop::collection::vec(faults(), 1..60)
    ) {
        let mut world = World::default();
        let mut before: BTreeMap<FuotaDeploymentId, Vec<Remote>> = BTreeMap::new();
        for fault in faults {
            if fault.deployment == 0 {
                world.plan(fault.members);
            }
            let ids: Vec<_> = world.deployments.keys().copied().collect();
            let Some(id) = ids.get(fault.deployment % ids.len().max(1)).copied() else { continue };
            let now = world.list(id);
            let stale = before.insert(id, now.clone());
            let remotes = stale.filter(|_| fault.stale_list).unwrap_or(now);
            world.run(id, &remotes, fault.effects + 1);
            world.check()?;
        }
        // From here on nothing goes wrong.
        for _ in 0..40 {
            for id in world.deployments.keys().copied().collect::<Vec<_>>() {
                let now = world.list(id);
                world.run(id, &now, usize::MAX);
                world.check()?;
            }
        }
        prop_assert!(world.there.is_empty(), "left over there: {:?}", world.there);
        prop_assert!(world.claims.is_empty());
        for deployment in world.deployments.values() {
            prop_assert!(deployment.phase.is_ended() && deployment.removed, "{deployment:?}");
        }
    }
}
