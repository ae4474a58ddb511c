//! Firmware that speaks Waybill's compact codec (docs/lorawan.md), played by every device of the double.
//!
//! A device joins and says that it runs 1.0.0. Told to install, it says that it has understood, waits for the image by a FUOTA deployment,
//! installs it, restarts and says what it runs. Written from the description of the codec alone, so that it tests the other side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::radio::{self, Downlink, DownlinkFate, Uplink};
use crate::shared::Shared;

/// The port of the codec.
const F_PORT: u32 = 20;
/// Version that a device runs at first.
const FIRST_VERSION: [u8; 3] = [1, 0, 0];
/// No progress in a report.
const NO_PROGRESS: u8 = 0xff;

const RECEIVED: u8 = 1;
const INSTALLING: u8 = 5;
const STAGED: u8 = 6;
const REBOOTING: u8 = 7;
const CANCELLED: u8 = 11;

/// First four bytes of an image's SHA-256.
type Short = [u8; 4];

/// The update that a device works at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Update {
    ordinal: [u8; 2],
    attempt: u8,
    image: Short,
    activates: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    WaitsForImage(Update),
    Staged(Update),
    Installs(Update),
    Restarts(Update),
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Player {
    boot: u8,
    phase: Phase,
}

impl Player {
    fn new() -> Self {
        Self { boot: 1, phase: Phase::Idle }
    }

    /// What the device says when it was just switched on.
    fn first_message(&self) -> Vec<u8> {
        [&[0x82, self.boot][..], &FIRST_VERSION].concat()
    }

    /// What the device answers to a downlink.
    fn hear(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        match *data {
            [0x01, o1, o2, attempt, s1, s2, s3, s4, activate, ..] => {
                let update = Update { ordinal: [o1, o2], attempt, image: [s1, s2, s3, s4], activates: activate != 0 };
                let is_repeated = matches!(self.phase, Phase::WaitsForImage(current) if current == update);
                if !is_repeated {
                    self.phase = Phase::WaitsForImage(update);
                }
                Some(report(update, RECEIVED))
            }
            [0x02, o1, o2, ..] => match self.phase {
                Phase::WaitsForImage(update) | Phase::Staged(update) if update.ordinal == [o1, o2] => {
                    self.phase = Phase::Idle;
                    Some(report(update, CANCELLED))
                }
                _ => None,
            },
            [0x03, o1, o2, ..] => match self.phase {
                Phase::Staged(update) if update.ordinal == [o1, o2] => {
                    self.phase = Phase::Installs(update);
                    Some(report(update, INSTALLING))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The next step of the device, and what it says of it.
    fn step(&mut self, received: Option<Short>) -> Option<Vec<u8>> {
        match self.phase {
            Phase::WaitsForImage(update) if received == Some(update.image) => {
                let (phase, status) = match update.activates {
                    true => (Phase::Installs(update), INSTALLING),
                    false => (Phase::Staged(update), STAGED),
                };
                self.phase = phase;
                Some(report(update, status))
            }
            Phase::Installs(update) => {
                self.phase = Phase::Restarts(update);
                Some(report(update, REBOOTING))
            }
            Phase::Restarts(update) => {
                self.boot = self.boot.wrapping_add(1);
                self.phase = Phase::Idle;
                Some([&[0x83, self.boot][..], &update.image].concat())
            }
            Phase::Idle | Phase::WaitsForImage(_) | Phase::Staged(_) => None,
        }
    }
}

fn report(update: Update, status: u8) -> Vec<u8> {
    [&[0x81][..], &update.ordinal, &[update.attempt, status, NO_PROGRESS]].concat()
}

/// Plays all devices, those that come later too: a step of each per `pause`, until cancelled.
pub(crate) async fn play(
    shared: Arc<Shared>,
    mut downlinks: broadcast::Receiver<Downlink>,
    pause: Duration,
    stopping: CancellationToken,
) {
    let mut players: BTreeMap<String, Player> = BTreeMap::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            downlink = downlinks.recv() => match downlink {
                Ok(downlink) if downlink.f_port == F_PORT => {
                    let said = players.get_mut(&downlink.dev_eui).and_then(|player| player.hear(&downlink.data));
                    say(&shared, &downlink.dev_eui, said);
                }
                // What is missed is sent again.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            },
            () = tokio::time::sleep(pause) => step_all(&shared, &mut players),
        }
    }
}

fn step_all(shared: &Shared, players: &mut BTreeMap<String, Player>) {
    let devices: Vec<(String, Option<Short>)> = shared.with_store(|store, _| {
        store.devices.iter().map(|(dev_eui, entry)| (dev_eui.clone(), entry.received)).collect()
    });
    players.retain(|dev_eui, _| devices.iter().any(|(known, _)| known == dev_eui));
    for (dev_eui, received) in devices {
        match players.get_mut(&dev_eui) {
            Some(player) => say(shared, &dev_eui, player.step(received)),
            None => {
                let player = Player::new();
                shared.with_store(|store, outgoing| radio::join(store, outgoing, &dev_eui));
                say(shared, &dev_eui, Some(player.first_message()));
                players.insert(dev_eui, player);
            }
        }
    }
}

fn say(shared: &Shared, dev_eui: &str, data: Option<Vec<u8>>) {
    if let Some(data) = data {
        let uplink = Uplink::new(dev_eui, F_PORT, &data);
        shared.with_store(|store, outgoing| radio::uplink(store, outgoing, &uplink, DownlinkFate::Sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Short = [0xaa, 0xbb, 0xcc, 0xdd];
    const INSTALL: [u8; 9] = [0x01, 0, 7, 1, 0xaa, 0xbb, 0xcc, 0xdd, 1];

    #[test]
    fn a_device_installs_what_it_was_told_of_once_it_has_arrived() {
        let mut player = Player::new();
        assert_eq!(player.first_message(), [0x82, 1, 1, 0, 0]);
        assert_eq!(player.hear(&INSTALL), Some(vec![0x81, 0, 7, 1, RECEIVED, NO_PROGRESS]));
        assert_eq!(player.hear(&INSTALL), Some(vec![0x81, 0, 7, 1, RECEIVED, NO_PROGRESS]));
        assert_eq!(player.step(None), None);
        assert_eq!(player.step(Some([0; 4])), None);
        assert_eq!(player.step(Some(IMAGE)), Some(vec![0x81, 0, 7, 1, INSTALLING, NO_PROGRESS]));
        assert_eq!(player.step(Some(IMAGE)), Some(vec![0x81, 0, 7, 1, REBOOTING, NO_PROGRESS]));
        assert_eq!(player.step(Some(IMAGE)), Some(vec![0x83, 2, 0xaa, 0xbb, 0xcc, 0xdd]));
        assert_eq!(player.step(Some(IMAGE)), None);
    }

    #[test]
    fn an_update_may_be_staged_activated_or_cancelled() {
        let mut staged = INSTALL;
        staged[8] = 0;
        let mut player = Player::new();
        player.hear(&staged);
        assert_eq!(player.step(Some(IMAGE)), Some(vec![0x81, 0, 7, 1, STAGED, NO_PROGRESS]));
        assert_eq!(player.hear(&[0x03, 0, 6]), None);
        assert_eq!(player.hear(&[0x03, 0, 7]), Some(vec![0x81, 0, 7, 1, INSTALLING, NO_PROGRESS]));
        player.hear(&INSTALL);
        assert_eq!(player.hear(&[0x02, 0, 7]), Some(vec![0x81, 0, 7, 1, CANCELLED, NO_PROGRESS]));
        assert_eq!((player.hear(&[0x02, 0, 7]), player.hear(&[])), (None, None));
    }
}
