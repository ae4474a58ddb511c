//! A device's threads: one for each update, named by its ordinal.

use super::commands::{Clock, DeviceCommand};
use super::events::DeviceEvent;
use super::{Device, Update};
use crate::ids::{CampaignId, ORDINAL_MAX};
use crate::thread::{Aim, Point, Step, StepKind, Thread};

/// Ordinals begin at 1: no update has this thread.
const PRESENCE: Thread = Thread(0);
/// A message of the device arrived: its silence is measured from here.
const CAME_ONLINE: Point = Point(0);
/// The update was queued: its waiting clock runs.
const QUEUED: Point = Point(1);
/// The device answered for the first time: the working clock runs.
const REACHED: Point = Point(2);
/// Threads from here on belong to commands, by their numbers. Ordinals and numbers are smaller.
const COMMANDS: u32 = 1 << 31;
const _: () = assert!(ORDINAL_MAX < COMMANDS);

fn of_command(n: u32) -> Thread {
    Thread(COMMANDS | n)
}

pub(super) fn step(event: &DeviceEvent) -> Option<Step> {
    if let Some(n) = event.remote_command() {
        return Some(Step::goes_on(of_command(n)));
    }
    let thread = Thread(event.update()?.ordinal);
    let taken_over = match event {
        DeviceEvent::UpdateQueued { spec, .. } => spec.retry_of,
        _ => None,
    };
    let kind = taken_over.map_or(StepKind::GoesOn, |old| StepKind::TakesOver(Thread(old)));
    Some(Step { thread, kind })
}

impl Device {
    pub(super) fn points(&self, event: &DeviceEvent) -> Vec<(Thread, Point)> {
        match event {
            DeviceEvent::CameOnline { .. } => vec![(PRESENCE, CAME_ONLINE)],
            DeviceEvent::UpdateQueued { update, .. } => vec![(Thread(update.ordinal), QUEUED)],
            DeviceEvent::UpdateAccepted { update, .. } => {
                let first = self.updates.get(&update.ordinal).is_some_and(|known| !known.reached);
                first.then_some((Thread(update.ordinal), REACHED)).into_iter().collect()
            }
            _ => vec![],
        }
    }

    pub(super) fn aim(&self, command: &DeviceCommand) -> Aim {
        use DeviceCommand as C;
        match command {
            C::Register { .. }
            | C::SelfRegister { .. }
            | C::Amend { .. }
            | C::Decommission
            | C::Hold { .. }
            | C::Release
            | C::IssueCredential { .. }
            | C::RequestCommand { .. }
            | C::Network { .. }
            | C::RevokeCredential { .. } => Aim::whole(),
            C::CancelCommand { n } | C::ExpireCommand { n } => Aim::at(vec![of_command(*n)]),
            C::RequestUpdate { request } => Aim::at(request.retry_of.map(Thread).into_iter().collect()),
            C::GrantSlot { grant, .. } | C::CancelGranted { grant, .. } | C::WithdrawGranted { grant, .. } => {
                self.update_of(grant.campaign.id)
            }
            C::Withdraw { campaign } | C::CancelForCampaign { campaign, .. } => self.update_of(*campaign),
            C::CancelUpdate { ordinal } | C::Proceed { ordinal, .. } => Aim::at(vec![Thread(*ordinal)]),
            C::WithdrawFirmware { firmware_id } => {
                let with_it = |update: &&Update| update.spec.firmware.firmware_id == *firmware_id;
                Aim::at(self.updates.values().filter(with_it).map(|update| Thread(update.ordinal)).collect())
            }
            C::Expire { ordinal, clock, .. } => {
                let thread = Thread(*ordinal);
                let aim = Aim::at(vec![thread]);
                match clock {
                    Clock::Wait => aim.from(thread, &[QUEUED]),
                    Clock::Total => aim.from(thread, &[REACHED]),
                    Clock::Phase => aim,
                }
            }
            C::MarkOffline { .. } => Aim::any().from(PRESENCE, &[CAME_ONLINE]),
            C::ReportTransfer { report } => Aim::at(vec![Thread(report.ordinal)]),
            C::Report { .. }
            | C::ReportCommand { .. }
            | C::ReportPresence { .. }
            | C::ReportOffline { .. }
            | C::ReportInfo { .. }
            | C::SeenOnline => Aim::any(),
        }
    }

    fn update_of(&self, campaign: CampaignId) -> Aim {
        Aim::at(self.campaigns.get(&campaign).map(|known| Thread(known.ordinal)).into_iter().collect())
    }

    /// The thread of a confirmed update is kept longer than others: its version may regress later.
    pub(super) fn knows(&self, thread: Thread) -> bool {
        let Thread(ordinal) = thread;
        thread == PRESENCE
            || (ordinal >= COMMANDS && self.commands.get(ordinal - COMMANDS).is_some())
            || self.updates.contains_key(&ordinal)
            || self.confirmed.values().any(|confirmed| confirmed.update.ordinal == ordinal)
    }
}
