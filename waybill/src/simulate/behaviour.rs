//! Faults of a device, and the mix of faults in a fleet.
//!
//! A device's behaviour depends only on the seed and its id: the same fleet has the same faults every time.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Faults of one device. All false: a correct device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Behaviour {
    /// Reports `failed` after installing, always for the first firmware that it gets.
    pub fail: bool,
    /// Goes silent half-way through its first download, and stays connected.
    pub stall: bool,
    /// Reports `completed`, and boots the old version.
    pub lie: bool,
    /// Disconnects to reboot, and comes back later with the old version.
    pub come_back_old: bool,
    /// Runs the new version for a while, then reports the old one again.
    pub fall_back: bool,
    /// Off until it is switched on.
    pub offline: bool,
    /// Loses power between `received` and `installing`, once per update.
    pub die_after_received: bool,
    /// Loses power half-way through the download, once per update.
    pub reboot_mid_download: bool,
    /// Loses its connection while installing, once per update: a new session of the same boot.
    pub reconnect_mid_install: bool,
    /// Sends every report twice.
    pub duplicate: bool,
    /// Swaps each pair of reports.
    pub reverse: bool,
    /// Ignores `cancel`.
    pub ignore_cancel: bool,
    /// Answers after a long while.
    pub late: bool,
    /// Reports have no time.
    pub no_clock: bool,
    /// Defers once per update, and continues when commanded again.
    pub defer: bool,
}

impl Behaviour {
    /// True if an update to the first firmware that it gets can't succeed.
    pub(super) fn spoils(self) -> bool {
        self.fail || self.lie || self.come_back_old
    }
}

/// Percentages (0 to 100) of a fleet. The first five exclude one another; the others are independent and combine.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct Mix {
    /// % that report `failed` after installing
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub fail: f64,
    /// % that go silent half-way through the download and stay connected
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub stall: f64,
    /// % that report `completed` and boot the old version
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub lie: f64,
    /// % that disconnect to reboot and come back later with the old version
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub come_back_old: f64,
    /// % that fall back to the old version some time after success
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub fall_back: f64,
    /// % that never connect
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub offline: f64,
    /// % that lose power between `received` and `installing`
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub die_after_received: f64,
    /// % that lose power half-way through the download
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub reboot_mid_download: f64,
    /// % that lose their connection while installing
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub reconnect_mid_install: f64,
    /// % that send every report twice
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub duplicate: f64,
    /// % that swap each pair of reports
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub reverse: f64,
    /// % that ignore `cancel`
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub ignore_cancel: f64,
    /// % that answer after a long while
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub late: f64,
    /// % whose reports have no time
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub no_clock: f64,
    /// % that defer first and continue when commanded again
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    pub defer: f64,
}

impl Mix {
    /// The faults of this device: always the same for one seed and id.
    pub fn behaviour(&self, seed: u64, device_id: &str) -> Behaviour {
        let drawn = |name: &str, percent: f64| roll(seed, device_id, name) < percent;
        let mut end = roll(seed, device_id, "end");
        let mut share = |percent: f64| {
            let hit = (0.0..percent).contains(&end);
            end -= percent;
            hit
        };
        Behaviour {
            fail: share(self.fail),
            stall: share(self.stall),
            lie: share(self.lie),
            come_back_old: share(self.come_back_old),
            fall_back: share(self.fall_back),
            offline: drawn("offline", self.offline),
            die_after_received: drawn("die", self.die_after_received),
            reboot_mid_download: drawn("reboot", self.reboot_mid_download),
            reconnect_mid_install: drawn("reconnect", self.reconnect_mid_install),
            duplicate: drawn("duplicate", self.duplicate),
            reverse: drawn("reverse", self.reverse),
            ignore_cancel: drawn("ignore_cancel", self.ignore_cancel),
            late: drawn("late", self.late),
            no_clock: drawn("no_clock", self.no_clock),
            defer: drawn("defer", self.defer),
        }
    }

    /// The error in these percentages, if any.
    pub fn problem(&self) -> Option<String> {
        let ends = [self.fail, self.stall, self.lie, self.come_back_old, self.fall_back];
        let others = [
            self.offline,
            self.die_after_received,
            self.reboot_mid_download,
            self.reconnect_mid_install,
            self.duplicate,
            self.reverse,
            self.ignore_cancel,
            self.late,
            self.no_clock,
            self.defer,
        ];
        if ends.iter().chain(&others).any(|percent| !(0.0..=100.0).contains(percent)) {
            return Some("a percentage is a number from 0 to 100".to_owned());
        }
        (ends.iter().sum::<f64>() > 100.0)
            .then(|| "fail, stall, lie, come-back-old and fall-back are more than 100 % together".to_owned())
    }
}

/// A number in 0..100 that depends only on its arguments.
pub(super) fn roll(seed: u64, device_id: &str, name: &str) -> f64 {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(device_id.as_bytes());
    hash.update([0]);
    hash.update(name.as_bytes());
    let digest = hash.finalize();
    let draw = digest.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    f64::from(draw) / (f64::from(u32::MAX) + 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix() -> Mix {
        Mix { fail: 40.0, lie: 10.0, offline: 30.0, ..Mix::default() }
    }

    #[test]
    fn the_same_seed_and_id_behave_the_same() {
        assert_eq!(mix().behaviour(1, "sim-1"), mix().behaviour(1, "sim-1"));
        let differs =
            |seed| (0..100).any(|n| mix().behaviour(seed, &format!("d{n}")) != mix().behaviour(1, &format!("d{n}")));
        assert!(differs(2));
    }

    #[test]
    fn shares_are_about_what_was_asked_and_exclude_one_another() {
        let fleet: Vec<_> = (0..10_000).map(|n| mix().behaviour(7, &format!("sim-{n}"))).collect();
        let count = |f: fn(&Behaviour) -> bool| fleet.iter().filter(|b| f(b)).count();
        assert!((3_800..4_200).contains(&count(|b| b.fail)));
        assert!((850..1_150).contains(&count(|b| b.lie)));
        assert!((2_800..3_200).contains(&count(|b| b.offline)));
        assert_eq!(count(|b| b.fail && b.lie), 0);
        assert!(count(|b| b.fail && b.offline) > 0);
        assert_eq!(count(|b| b.stall || b.late), 0);
    }

    #[test]
    fn impossible_percentages_are_named() {
        assert_eq!(mix().problem(), None);
        assert!(Mix { fail: 60.0, lie: 50.0, ..Mix::default() }.problem().is_some());
        assert!(Mix { late: -1.0, ..Mix::default() }.problem().is_some());
        assert!(Mix { late: f64::NAN, ..Mix::default() }.problem().is_some());
    }
}
