//! Commands beside updates.

use super::*;

impl Bench {
    fn runs(&mut self, n: u64, name: &str) {
        let command = RunCommand { n, name: name.to_owned(), params: serde_json::Map::new() };
        let actions = self.firmware.on_run(Run::Command(command));
        self.perform(actions);
    }
}

#[test]
fn a_reboot_happens_once_and_is_done_at_the_next_boot() {
    let mut device = good();
    let boots = device.boots;
    device.runs(1, "reboot");
    assert_eq!((device.boots - boots, &device.runs[..]), (1, &[(1, RunStatus::Accepted), (1, RunStatus::Done)][..]));
    device.runs(1, "reboot");
    assert_eq!((device.boots - boots, device.runs.last()), (1, Some(&(1, RunStatus::Done))));
    device.boot();
    assert_eq!(device.runs.len(), 3, "a boot that was not asked for answers nothing");
}

#[test]
fn other_commands_are_run_once_and_unknown_ones_are_refused() {
    let mut device = good();
    device.gets(command(1, 1, 1));
    for n in [1, 1, 2] {
        device.runs(n, "collect_logs");
    }
    device.runs(1, "collect_logs");
    assert_eq!((device.logs, device.runs.len()), (2, 3), "an earlier number isn't answered");
    device.runs(3, "dance");
    assert_eq!(device.runs.last(), Some(&(3, RunStatus::Refused)));
}
