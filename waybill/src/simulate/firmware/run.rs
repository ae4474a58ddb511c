//! How a device runs commands beside its updates: each once, and again the same answer.

use super::super::flash::Stage;
use super::super::run_message::{LastRun, Run, RunCommand, RunReport, RunStatus};
use super::{Action, BUSY, Firmware, UNSUPPORTED};

impl Firmware {
    /// Handles a message on the `run` topic. The number in flash tells a new command from one that was run.
    pub fn on_run(&mut self, run: Run) -> Vec<Action> {
        let mut out = Vec::new();
        if self.hung {
            return out;
        }
        match run {
            Run::Nothing => {}
            Run::Garbage => self.garbage += 1,
            Run::Command(command) => match self.flash.last_run.as_ref().map(|last| last.n) {
                Some(last) if command.n < last => {}
                Some(last) if command.n == last => self.answer_run_again(&mut out),
                _ => self.run(&command, &mut out),
            },
        }
        out
    }

    fn run(&mut self, command: &RunCommand, out: &mut Vec<Action>) {
        let installs = self.stage().is_some_and(Stage::is_uninterruptible);
        match command.name.as_str() {
            "reboot" if installs => self.end_run(command.n, RunStatus::Refused, Some(BUSY), out),
            "reboot" => {
                self.end_run(command.n, RunStatus::Accepted, None, out);
                out.push(Action::Reboot { down: self.pace.reboot, clean: true });
            }
            "report" => {
                out.extend([Action::PublishStatus, Action::PublishInfo]);
                self.end_run(command.n, RunStatus::Done, None, out);
            }
            "collect_logs" => {
                if let Some(target) = self.flash.target() {
                    let text = format!("boot {}\nstage {}\n", self.flash.boots, self.stage_name());
                    out.push(Action::Log { ordinal: target.ordinal, text });
                }
                self.end_run(command.n, RunStatus::Done, None, out);
            }
            _ => self.end_run(command.n, RunStatus::Refused, Some(UNSUPPORTED), out),
        }
    }

    /// A `reboot` is done at the next boot.
    pub(super) fn finish_run(&mut self, out: &mut Vec<Action>) {
        let accepted = self.flash.last_run.as_ref().filter(|last| last.report.status == RunStatus::Accepted);
        if let Some(n) = accepted.map(|last| last.n) {
            self.end_run(n, RunStatus::Done, None, out);
        }
    }

    fn end_run(&mut self, n: u64, status: RunStatus, code: Option<&'static str>, out: &mut Vec<Action>) {
        self.flash.last_run = Some(LastRun { n, report: RunReport { status, code } });
        self.answer_run_again(out);
    }

    fn answer_run_again(&self, out: &mut Vec<Action>) {
        if let Some(LastRun { n, report }) = self.flash.last_run.clone() {
            out.push(Action::RunReport { n, report });
        }
    }
}
