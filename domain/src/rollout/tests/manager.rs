//! The process managers of the simulation: they carry out the decisions on their view, and crash between any two commands.

use super::view::{CancelScope, UnansweredGrant, View};
use super::world::{World, request, slot_device};
use super::*;
use crate::campaign::CampaignCommand as C;
use crate::device::{CampaignRef, DeviceCommand as D, Grant, UpdateKind, UpdateRequest};
use crate::ledger::{LedgerCommand, SlotGrant};

/// The time that a campaign gives a device.
const WAIT_MINUTES: i64 = 10_080;

impl World {
    /// One round of a process manager over its view of a campaign. It crashes when its commands are used up.
    pub(super) fn tick(&mut self, number: usize, manager: usize, commands_max: usize) {
        let view = self.rollouts[number].managers[manager].clone();
        let mut budget = commands_max;
        // Grants that weren't carried before the window closed wait for the next one.
        let may_begin = view.status == CampaignStatus::Running && view.is_open(self.now);
        if may_begin || view.status == CampaignStatus::RollingBack {
            self.carry(&view, &view.unseen(), &mut budget);
        }
        let seen = view.rollout(self.now);
        let decisions = decide(&seen, self.now);
        if decisions.is_empty() && seen.status == CampaignStatus::Running {
            assert!(!waits(&seen, None, self.now).is_empty(), "nothing moves, and the campaign has no wait: {seen:#?}");
        }
        for decision in decisions {
            match decision {
                RolloutStep::Grant { .. } if !self.rollouts[number].setting.reads_before_granting => {
                    self.carry_out(&view, decision, &mut budget);
                }
                RolloutStep::Grant { .. } | RolloutStep::FinishRollback { .. } => {
                    self.read_and_carry_out(number, manager, &decision, &mut budget);
                }
                decision => self.carry_out(&view, decision, &mut budget),
            }
        }
    }

    /// Since the view was read devices may have taken slots, or have been found to run the version and been granted slots to go back.
    fn read_and_carry_out(&mut self, number: usize, manager: usize, decision: &RolloutStep, budget: &mut usize) {
        self.read(number, manager, usize::MAX);
        let view = self.rollouts[number].managers[manager].clone();
        let is_same = |other: &RolloutStep| std::mem::discriminant(other) == std::mem::discriminant(decision);
        if let Some(again) = decide(&view.rollout(self.now), self.now).into_iter().find(is_same) {
            self.carry_out(&view, again, budget);
        }
    }

    /// Whether the campaign is still as in a view.
    fn is_seen(&self, view: &View) -> bool {
        view.campaign_version == self.rollouts[view.of].truth.campaign_version
    }

    /// Sends grants. Those of updates from before a rollback are taken back instead.
    fn carry(&mut self, view: &View, grants: &[UnansweredGrant], budget: &mut usize) {
        for unseen in grants.iter().filter(|unseen| unseen.back_to.is_some() == view.is_rolling_back()) {
            if !self.is_seen(view) || spent(budget) {
                return;
            }
            let (request, grant) = (request_for(view, unseen), self.grant_for(view, unseen));
            self.tell_device(unseen.place, &D::GrantSlot { request, grant });
            self.check();
        }
    }

    /// A rollback is a later round, and waits from its grant.
    fn grant_for(&self, view: &View, unseen: &UnansweredGrant) -> Grant {
        let wave = view.members[unseen.place].wave;
        let opened = view.opened[usize::from(wave) - 1].unwrap_or(at(0));
        let (round, waits_from) = match unseen.back_to {
            Some(_) => (view.round, self.now),
            None => (view.update_round(), opened),
        };
        let campaign = CampaignRef { id: view.campaign, wave, rank: unseen.place as u32, round };
        Grant { campaign, number: unseen.number, wait_until: waits_from + TimeDelta::minutes(WAIT_MINUTES) }
    }

    fn grant(&mut self, view: &View, devices_max: u32, budget: &mut usize) {
        // The choice among ready devices is open: two managers may choose different ones.
        let mut places = view.next_devices(self.now);
        if view.position % 2 == 1 {
            places.reverse();
        }
        places.truncate(devices_max as usize);
        if !self.is_seen(view) || spent(budget) {
            return;
        }
        let slot = |place: &usize| SlotGrant {
            device: slot_device(*place),
            wave: view.members[*place].wave,
            rank: *place as u32,
            lorawan: false,
        };
        let rollout = view.rollout(self.now);
        let command = LedgerCommand::Grant {
            seen_version: view.ledger_version,
            slots: rollout.slots(),
            grants: places.iter().map(slot).collect(),
        };
        if !self.tell_ledger(view.of, &command) {
            return;
        }
        self.check();
        let number = view.ledger_version + 1;
        let grants: Vec<UnansweredGrant> = places.into_iter().map(|place| view.slot(place, number)).collect();
        self.carry(view, &grants, budget);
    }

    fn carry_out(&mut self, view: &View, decision: RolloutStep, budget: &mut usize) {
        let command = match decision {
            RolloutStep::Grant { devices_max } => return self.grant(view, devices_max.sum(), budget),
            RolloutStep::WithdrawUnanswered => return self.withdraw(view, budget),
            RolloutStep::CancelUpdates => return self.take_back(view, budget),
            RolloutStep::CancelStaged => return self.cancel(view, CancelScope::Staged, budget),
            RolloutStep::FinishCancel if !view.cancellable(CancelScope::Everything).is_empty() => return,
            RolloutStep::FinishRollback { .. } if !view.cancellable(CancelScope::AllButRollbacks).is_empty() => return,
            RolloutStep::FinishCancel => C::FinishCancel,
            RolloutStep::FinishRollback { evidence } => C::FinishRollback { evidence },
            RolloutStep::CompleteStaging { evidence } => C::CompleteStaging { evidence },
            RolloutStep::PassGate { wave, evidence } => C::PassGate { wave, evidence },
            RolloutStep::BreakSoak { wave, evidence } => C::BreakSoak { wave, evidence },
            RolloutStep::CompleteWave { wave, evidence } => C::CompleteWave { wave, evidence },
            RolloutStep::CloseGate { gate, wave, threshold_percent, evidence } => {
                assert_eq!(evidence.devices.len(), evidence.failed as usize, "it names the devices that it counts");
                C::CloseGate { gate, wave, threshold_percent, evidence }
            }
            RolloutStep::Finish { result, evidence } => C::Finish { result, evidence },
        };
        if !spent(budget) && self.is_seen(view) {
            self.tell_campaign(view.of, &command);
        }
    }

    fn withdraw(&mut self, view: &View, budget: &mut usize) {
        let members = view.members.iter().enumerate();
        let unanswered = members.filter(|(_, member)| {
            let both = [&member.update, &member.rollback];
            both.into_iter().flatten().any(|update| update.is_unanswered())
        });
        let unanswered: Vec<usize> = unanswered.map(|(place, _)| place).collect();
        self.tell_all(&unanswered, &D::Withdraw { campaign: view.campaign }, budget);
        for unseen in view.unseen().iter().filter(|unseen| unseen.back_to.is_some() == view.is_rolling_back()) {
            if !self.is_seen(view) {
                return;
            }
            let (request, grant) = (request_for(view, unseen), self.grant_for(view, unseen));
            self.tell_all(&[unseen.place], &D::WithdrawGranted { request, grant }, budget);
        }
    }

    /// A rollback takes back updates and goes on with rollbacks.
    fn take_back(&mut self, view: &View, budget: &mut usize) {
        let what = if view.is_rolling_back() { CancelScope::AllButRollbacks } else { CancelScope::Everything };
        self.cancel(view, what, budget);
        let taken = |unseen: &UnansweredGrant| what == CancelScope::Everything || unseen.back_to.is_none();
        for unseen in view.unseen().into_iter().filter(taken) {
            let (request, grant) = (request_for(view, &unseen), self.grant_for(view, &unseen));
            self.tell_all(&[unseen.place], &D::CancelGranted { request, grant }, budget);
        }
    }

    fn cancel(&mut self, view: &View, what: CancelScope, budget: &mut usize) {
        let round = if what == CancelScope::AllButRollbacks { view.update_round() } else { view.round };
        let command = D::CancelForCampaign { campaign: view.campaign, before_round: Some(round + 1) };
        self.tell_all(&view.cancellable(what), &command, budget);
    }

    fn tell_all(&mut self, places: &[usize], command: &D, budget: &mut usize) {
        for place in places {
            if spent(budget) {
                return;
            }
            self.tell_device(*place, command);
            self.check();
        }
    }
}

fn spent(budget: &mut usize) -> bool {
    let none = *budget == 0;
    *budget = budget.saturating_sub(1);
    none
}

/// What a slot is for.
fn request_for(view: &View, unseen: &UnansweredGrant) -> Box<UpdateRequest> {
    let activate = view.activates(view.members[unseen.place].wave);
    Box::new(match &unseen.back_to {
        Some(version) => request(version, UpdateKind::Rollback),
        None => UpdateRequest { activate, ..request(view.version, UpdateKind::Update) },
    })
}
