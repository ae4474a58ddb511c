//! What holds after every event and after every step of the simulation.

use super::view::Logged;
use super::world::{BURST, FLEET, Rollout, SLOTS, World};
use super::*;
use crate::campaign::{CampaignEvent, CampaignStatus};
use crate::device::{Device, DeviceEvent, Exclusion, Outcome, Phase};
use crate::ledger::LedgerEvent;

/// No period up to the latest grant has more grants than a burst and the rate allow.
pub(super) fn check_rate(granted: &[(DateTime<Utc>, usize)], rate: u32, burst: u32) {
    let Some((now, _)) = granted.last() else { return };
    let mut devices = 0;
    for (since, count) in granted.iter().rev() {
        devices += *count as i64;
        let allowed_us = i64::from(burst) * 60_000_000 + (*now - *since).num_microseconds().unwrap() * i64::from(rate);
        assert!(devices * 60_000_000 <= allowed_us, "{devices} devices since {since} at {now}");
    }
}

impl Rollout {
    /// What an event may follow: the truth hasn't applied it yet, its device has.
    pub(super) fn check_before(&mut self, now: DateTime<Utc>, logged: &Logged, devices: &[Device]) {
        let truth = &self.truth;
        match logged {
            Logged::Ledger(of, LedgerEvent::Granted { grants, .. }) if *of == truth.of => {
                let members = grants.iter().map(|slot| slot.rank as usize);
                let is_early = |place: &usize| truth.members[*place].is_new() && truth.is_delayed(*place, now);
                let early: Vec<usize> = members.filter(is_early).collect();
                assert!(early.is_empty(), "devices {early:?} begin before their delay is over");
                let rollout = truth.rollout(now);
                let (in_use, max) = (rollout.total().in_use as usize, rollout.spec.max_concurrent_updates as usize);
                let too_many = self.setting.reads_before_granting && in_use + grants.len() > max;
                assert!(!too_many, "{} slots granted with {in_use} of {max} in use", grants.len());
                assert!(!self.gate_is_closed, "slots were granted past a failed gate");
                let is_open = truth.is_open(now) || truth.is_rolling_back();
                assert!(is_open, "slots were granted past a closed window");
            }
            Logged::Device(
                place,
                event @ (DeviceEvent::UpdateDispatched { .. } | DeviceEvent::UpdateActivating { .. }),
            ) => {
                let of_it = event.update().filter(|update| update.campaign == Some(truth.campaign));
                if let Some(update) = of_it {
                    self.check_begin(now, *place, update.ordinal, &devices[*place]);
                }
            }
            Logged::Device(place, DeviceEvent::UpdateSuperseded { update, reason })
                if update.campaign == Some(truth.campaign) && reason == Exclusion::ChangedSince.word() =>
            {
                assert_ne!(devices[*place].versions["firmware"], truth.version, "device {place} could go back");
            }
            _ => {}
        }
    }

    /// A device begins: with the campaign's update while it runs, or goes back while it is rolled back.
    fn check_begin(&self, now: DateTime<Utc>, place: usize, ordinal: u32, device: &Device) {
        let (truth, member) = (&self.truth, &self.truth.members[place]);
        assert!(!self.gate_is_closed, "device {place} begins past a failed gate");
        let Some(rollback) = member.rollback.as_ref().filter(|rollback| rollback.ordinal == ordinal) else {
            assert_eq!(truth.status, CampaignStatus::Running, "device {place} begins");
            assert!(truth.is_open(now), "device {place} begins past a closed window");
            return;
        };
        assert_eq!(truth.status, CampaignStatus::RollingBack, "device {place} goes back");
        let update = device.update(ordinal).unwrap();
        let running = &device.versions["firmware"];
        let goes_on = rollback.state.attempt > 0 || update.told_before;
        assert!(goes_on || running == truth.version, "device {place} is rolled back from {running}");
        assert_ne!(update.spec.firmware.version, truth.version, "device {place} goes back to what it leaves");
    }

    pub(super) fn check_after(&mut self, now: DateTime<Utc>, logged: &Logged) {
        let truth = &self.truth;
        match logged {
            Logged::Campaign(of, event) if *of == truth.of => match event {
                CampaignEvent::GateClosed { .. } => self.gate_is_closed = true,
                CampaignEvent::Resumed { .. } | CampaignEvent::RollingBack { .. } => self.gate_is_closed = false,
                CampaignEvent::WaveOpened { .. } => {
                    assert!(!self.gate_is_closed, "a wave opened past a failed gate");
                    assert!(truth.wave == 1 || truth.is_open(now), "a wave opened past a closed window");
                }
                _ => {}
            },
            Logged::Ledger(of, LedgerEvent::Granted { grants, .. }) if *of == truth.of => {
                self.granted.push((now, grants.len()));
                if let Some(rate) = self.setting.rate_per_minute {
                    check_rate(&self.granted, rate, BURST);
                }
            }
            Logged::Device(place, DeviceEvent::UpdateActivating { update, .. })
                if update.campaign == Some(truth.campaign) =>
            {
                let wave = truth.members[*place].wave;
                assert!(wave <= truth.wave, "a device of wave {wave} activates in wave {}", truth.wave);
            }
            _ => {}
        }
    }

    /// The slots that are really in use, by the log and by the devices. Only devices that answer late may exceed the limit.
    fn check_slots(&self, devices: &[Device]) {
        let by_log = self.truth.members.iter().filter(|member| member.holds_slot).count();
        let allowed = SLOTS as usize + self.truth.members.iter().filter(|member| member.is_late).count();
        let at_work = |device: &&Device| {
            device.live().is_some_and(|live| {
                let is_told = matches!(live.phase, Phase::Dispatched | Phase::Activating);
                let is_own = live.spec.campaign.is_some_and(|campaign| campaign.id == self.truth.campaign);
                is_own && (live.phase.is_working() || is_told)
            })
        };
        let by_devices = devices.iter().filter(at_work).count();
        assert!(by_log <= allowed, "{by_log} slots in use by the log, {allowed} allowed");
        assert!(by_devices <= by_log, "{by_devices} devices at work with {by_log} slots");
    }

    /// After a rollback no device runs the version because of the campaign, unless it couldn't go back or tried in vain.
    fn check_rolled_back(&self, devices: &[Device]) {
        for (place, device) in devices.iter().enumerate() {
            let member = &self.truth.members[place];
            let confirmed = device.confirmed.get("firmware").filter(|confirmed| {
                let brought = member.update.as_ref().is_some_and(|update| update.ordinal == confirmed.update.ordinal);
                let runs = device.versions["firmware"] == self.truth.version;
                runs && brought && confirmed.update.campaign == Some(self.truth.campaign)
            });
            let can_go_back = member.back_to().is_some_and(|version| version != self.truth.version);
            let outcome = member.rollback.as_ref().and_then(|rollback| rollback.outcome());
            let in_vain = matches!(
                outcome,
                Some(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected | Outcome::Expired | Outcome::Cancelled)
            );
            assert!(confirmed.is_none() || !can_go_back || in_vain, "device {place} was left: {outcome:?}");
        }
    }
}

impl World {
    pub(super) fn check(&self) {
        for (place, device) in self.devices.iter().enumerate() {
            let live = device.updates.values().filter(|update| update.phase.is_live()).count();
            assert!(live <= 1, "device {place} has {live} live updates");
        }
        self.rollouts.iter().for_each(|rollout| rollout.check_slots(&self.devices));
    }

    /// Whether all campaigns and all updates have ended.
    pub(super) fn is_over(&self) -> bool {
        let campaigns = || self.rollouts.iter().all(|rollout| rollout.campaign.status.is_terminal());
        campaigns() && !self.devices.iter().any(Device::has_unfinished_update)
    }

    /// What holds when it is over: no device is left in between.
    pub(super) fn check_end(&self) {
        for rollout in &self.rollouts {
            let held: Vec<usize> = (0..FLEET).filter(|place| rollout.truth.members[*place].holds_slot).collect();
            assert!(held.is_empty(), "devices {held:?} hold slots of a campaign that is {:?}", rollout.campaign.status);
            if rollout.campaign.status == CampaignStatus::RolledBack {
                rollout.check_rolled_back(&self.devices);
            }
        }
    }
}
