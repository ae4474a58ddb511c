//! How commands are queued, sent one at a time, answered, expired and cancelled.
//!
//! A command is sent when the device is online and no other is under way. Reports are judged by the state of their command, so repeated,
//! late and reordered ones have no wrong effect.

use chrono::{DateTime, TimeDelta, Utc};

use super::{COMMANDS_OPEN_MAX, RemoteCommand};
use crate::device::codes::CODE_TIMED_OUT;
use crate::device::decision::Decision;
use crate::device::mark::Arrival;
use crate::device::remote_command::{
    COMMAND_REBOOT, COMMAND_WORK_S, CommandReport, CommandReportStatus, CommandState, WantedCommand,
};
use crate::device::{Device, DeviceEvent as E, Exclusion, Lifecycle, Presence, Reachability};
use crate::ids::ORDINAL_MAX;
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::values::Transport;

impl Device {
    /// The command that the device is told to run now, until it has ended.
    pub fn desired_command(&self) -> Option<&RemoteCommand> {
        self.commands.under_way().filter(|_| self.lifecycle == Lifecycle::Active)
    }

    pub(in crate::device) fn request_command(
        &self,
        now: DateTime<Utc>,
        wanted: &WantedCommand,
    ) -> Result<Vec<E>, Rejection> {
        wanted.check()?;
        if self.profile.transport != Transport::Mqtt {
            return Err(Rejection::CommandsNeedMqtt { transport: self.profile.transport.word().to_owned() });
        }
        if self.commands.open().count() >= COMMANDS_OPEN_MAX {
            return Err(Rejection::CommandQueueFull { open_max: COMMANDS_OPEN_MAX as u32 });
        }
        if self.commands.last_n >= ORDINAL_MAX {
            return Err(Rejection::CommandNumbersExhausted);
        }
        let mut decision = Decision::new(self, now);
        decision.push(E::CommandQueued {
            n: self.commands.last_n + 1,
            name: wanted.name.clone(),
            params: (!wanted.params.is_empty()).then(|| Sealed::Plain(wanted.params.clone())),
            expires_in_s: wanted.expires_in_s,
            expires_at: now + TimeDelta::seconds(wanted.expires_in_s.into()),
        });
        decision.send_next_command();
        Ok(decision.finish())
    }

    pub(in crate::device) fn cancel_command(&self, now: DateTime<Utc>, n: u32) -> Result<Vec<E>, Rejection> {
        let Some(command) = self.commands.get(n) else {
            // Only ended commands are forgotten.
            return Err(match (1..=self.commands.last_n).contains(&n) {
                true => Rejection::CommandEnded { state: "ended".to_owned() },
                false => Rejection::CommandUnknown,
            });
        };
        match command.state {
            CommandState::Cancelled => Ok(vec![]),
            CommandState::Accepted => Err(Rejection::CommandAccepted),
            CommandState::Done | CommandState::Failed | CommandState::Refused | CommandState::Expired => {
                Err(Rejection::CommandEnded { state: command.state.word().to_owned() })
            }
            CommandState::Queued | CommandState::Sent => {
                let mut decision = Decision::new(self, now);
                decision.push(E::CommandCancelled { n, reason: None });
                decision.send_next_command();
                Ok(decision.finish())
            }
        }
    }

    /// Ends a command whose time is over. The sender may know less than the state.
    pub(in crate::device) fn expire_command(&self, now: DateTime<Utc>, n: u32) -> Vec<E> {
        let mut decision = Decision::new(self, now);
        if let Some(end) = self.commands.get(n).and_then(|command| command.end_by_time(now)) {
            decision.push(end);
            decision.send_next_command();
        }
        decision.finish()
    }

    pub(in crate::device) fn report_command(
        &self,
        now: DateTime<Utc>,
        report: &CommandReport,
        arrival: Arrival,
    ) -> Vec<E> {
        let mut decision = Decision::of_message(self, now, arrival.mark);
        decision.contact(None);
        if let Some(command) = decision.device.commands.get(report.n).cloned() {
            decision.follow_command(&command, report);
        }
        decision.begin_next_own();
        decision.finish()
    }

    /// The ends of all open commands of a device that goes out of service.
    pub(in crate::device) fn commands_of_decommissioned(&self) -> impl Iterator<Item = E> {
        let reason = Some(Exclusion::Decommissioned.word().to_owned());
        self.commands.open().map(move |command| E::CommandCancelled { n: command.n, reason: reason.clone() })
    }
}

impl RemoteCommand {
    /// How its time ends it, if the time is over.
    fn end_by_time(&self, now: DateTime<Utc>) -> Option<E> {
        let n = self.n;
        match self.state {
            CommandState::Queued | CommandState::Sent => (self.expires_at <= now).then_some(E::CommandExpired { n }),
            CommandState::Accepted => {
                let is_over = self.work_until.is_some_and(|work_until| work_until <= now);
                let code = Some(CODE_TIMED_OUT.to_owned());
                is_over.then_some(E::CommandFailed { n, code, message: None, result: None })
            }
            CommandState::Done
            | CommandState::Failed
            | CommandState::Refused
            | CommandState::Expired
            | CommandState::Cancelled => None,
        }
    }
}

impl Decision {
    /// Tells an online device to run its next command, unless it has one already.
    pub(in crate::device) fn send_next_command(&mut self) {
        // Each turn sends a command or ends one.
        for _ in 0..=COMMANDS_OPEN_MAX {
            let Device { commands, reachability, lifecycle, .. } = &self.device;
            let is_there = *reachability == Reachability::Online && *lifecycle == Lifecycle::Active;
            if !is_there || commands.under_way().is_some() {
                return;
            }
            let Some(next) = commands.open().next() else { return };
            let event = next.end_by_time(self.now).unwrap_or(E::CommandSent { n: next.n });
            self.push(event);
        }
    }

    /// A `reboot` that was accepted is done when the device reports another boot, also if it says nothing else.
    pub(in crate::device) fn end_reboot(&mut self, presence: &Presence) {
        let Some(command) = self.device.commands.under_way() else { return };
        let has_rebooted =
            matches!((&command.accepted_boot, &presence.boot_id), (Some(then), Some(now)) if then != now);
        if command.name == COMMAND_REBOOT && command.state == CommandState::Accepted && has_rebooted {
            let boot_id = presence.boot_id.clone();
            self.push(E::CommandDone { n: command.n, message: None, result: None, boot_id });
            self.send_next_command();
        }
    }

    fn follow_command(&mut self, command: &RemoteCommand, report: &CommandReport) {
        let n = report.n;
        let CommandReport { code, message, result, .. } = report.clone();
        match (command.state, report.status) {
            // The device was never told.
            (CommandState::Queued, _) | (CommandState::Accepted, CommandReportStatus::Accepted) => return,
            (CommandState::Sent, CommandReportStatus::Accepted) => {
                let boot_id = self.device.boot().map(str::to_owned);
                let work_until = self.now + TimeDelta::seconds(COMMAND_WORK_S.into());
                self.push(E::CommandAccepted { n, boot_id, work_until });
            }
            (CommandState::Sent | CommandState::Accepted, CommandReportStatus::Done) => {
                self.push(E::CommandDone { n, message, result, boot_id: None });
            }
            (CommandState::Sent | CommandState::Accepted, CommandReportStatus::Failed) => {
                self.push(E::CommandFailed { n, code, message, result });
            }
            (CommandState::Sent | CommandState::Accepted, CommandReportStatus::Refused) => {
                self.push(E::CommandRefused { n, code, message });
            }
            (state, status) => {
                let contradicts = status != CommandReportStatus::Accepted && status.state() != state;
                if contradicts && !command.is_contradicted {
                    self.push(E::CommandReportedLate { n, status });
                }
                return;
            }
        }
        self.send_next_command();
    }
}
