//! The arithmetic of a transfer by multicast: fragments, how long they take, and which images fit.
//!
//! ChirpStack sends one multicast frame per margin of its scheduler and closes the session of class C after at most 2^15 seconds. Both
//! together bound an image; see [`image_max_bytes`].

use serde::{Deserialize, Serialize};

use super::region::{Channel, Region};

/// Seconds between two multicast frames: ChirpStack's default `multicast_class_c_margin`, a setting of the server.
pub const FRAME_INTERVAL_S: u32 = 5;
/// Longest multicast session of class C, in seconds: its exponent has four bits.
pub const SESSION_MAX_S: u32 = 1 << 15;
/// Fragments sent beyond those of the image, in percent: a device may lose that many and still put the image together.
pub const REDUNDANCY_PERCENT: u8 = 20;
/// How often a device is asked again for each step of the set-up.
pub const UNICAST_RETRIES_MAX: u8 = 3;
/// Steps of the set-up that wait for the answers of the devices: multicast group, fragmentation session, multicast session.
const SETUP_STEPS: u64 = 3;
/// Interval of uplinks of a device profile that names none, in seconds. ChirpStack's default.
pub const UPLINK_INTERVAL_DEFAULT_S: u32 = 3_600;
/// Longest image that ChirpStack's gRPC interface takes: 4 MiB per message, less what stands beside the image, in bytes.
const MESSAGE_IMAGE_MAX_BYTES: u64 = 4 * 1024 * 1024 - 64 * 1024;

/// How an image is sent to the devices of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    pub data_rate: u8,
    /// Hz.
    pub frequency_hz: u32,
    /// Bytes of a fragment.
    pub fragment_bytes: u16,
    /// Fragments of the image.
    pub fragments: u32,
    /// Fragments beyond them.
    pub redundant: u32,
    pub redundancy_percent: u8,
    pub unicast_retries_max: u8,
    /// Seconds between two uplinks of the devices: their profile paces each step with it.
    pub uplink_interval_s: u32,
}

/// How many fragments an image of this size has.
pub fn fragments(size: u64, fragment_bytes: u16) -> u32 {
    u32::try_from(size.div_ceil(fragment_bytes.max(1).into())).unwrap_or(u32::MAX)
}

/// How many are sent beyond them.
pub fn redundant(fragments: u32, percent: u8) -> u32 {
    u32::try_from((u64::from(fragments) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
}

/// Largest image that one session can carry on a channel, in bytes.
fn channel_image_max_bytes(channel: Channel) -> u64 {
    let frames = u64::from(SESSION_MAX_S / FRAME_INTERVAL_S);
    let fragments = frames * 100 / (100 + u64::from(REDUNDANCY_PERCENT));
    (fragments * u64::from(channel.fragment_bytes())).min(MESSAGE_IMAGE_MAX_BYTES)
}

/// Largest image that devices of a region can be sent, in bytes; of an unknown region: the largest of any.
pub fn image_max_bytes(region: Option<Region>) -> u64 {
    let of = |region: Region| channel_image_max_bytes(region.channel());
    region.map_or_else(|| Region::all().map(of).max().unwrap_or(0), of)
}

impl Parameters {
    /// For an image of this size and devices with this interval of uplinks (0: unknown) in a region. None if it doesn't fit.
    pub fn plan(size: u64, region: Region, uplink_interval_s: u32) -> Option<Self> {
        if size == 0 || size > image_max_bytes(Some(region)) {
            return None;
        }
        let channel = region.channel();
        let fragment_bytes = channel.fragment_bytes();
        let fragments = fragments(size, fragment_bytes);
        Some(Self {
            data_rate: channel.data_rate,
            frequency_hz: channel.frequency_hz,
            fragment_bytes,
            fragments,
            redundant: redundant(fragments, REDUNDANCY_PERCENT),
            redundancy_percent: REDUNDANCY_PERCENT,
            unicast_retries_max: UNICAST_RETRIES_MAX,
            uplink_interval_s: if uplink_interval_s == 0 { UPLINK_INTERVAL_DEFAULT_S } else { uplink_interval_s },
        })
    }

    /// How long the deployment takes at most, in seconds, if ChirpStack is up: each step of the set-up with all its repetitions, one frame
    /// per interval, and the devices' answers at the end.
    pub fn duration_s(&self) -> u64 {
        self.duration_at_s(FRAME_INTERVAL_S)
    }

    fn duration_at_s(&self, frame_interval_s: u32) -> u64 {
        let interval = u64::from(self.uplink_interval_s);
        let setup = SETUP_STEPS * (1 + u64::from(self.unicast_retries_max)) * interval;
        let frames = u64::from(self.fragments) + u64::from(self.redundant);
        setup + frames * u64::from(frame_interval_s) + interval
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_image_of_eu868_is_cut_into_frames_of_data_rate_5() {
        let plan = Parameters::plan(100 * 1024, Region::Eu868, 60).unwrap();
        assert_eq!((plan.data_rate, plan.frequency_hz, plan.fragment_bytes), (5, 869_525_000, 239));
        assert_eq!((plan.fragments, plan.redundant), (429, 86));
        assert_eq!(plan.duration_s(), 3 * 4 * 60 + 515 * 5 + 60);
        assert_eq!(Parameters::plan(1, Region::Us915, 0).unwrap().uplink_interval_s, UPLINK_INTERVAL_DEFAULT_S);
    }

    /// 395 bytes in fragments of 40 with 20 % redundancy, uplinks each 10 s, one repetition, one frame each second: a real server took 76 s.
    #[test]
    fn the_forecast_of_a_measured_deployment_is_a_close_upper_bound() {
        let fragments = fragments(395, 40);
        let plan = Parameters {
            fragments,
            redundant: redundant(fragments, 20),
            fragment_bytes: 40,
            unicast_retries_max: 1,
            uplink_interval_s: 10,
            ..Parameters::plan(395, Region::Eu868, 10).unwrap()
        };
        assert_eq!((plan.fragments, plan.redundant), (10, 2));
        let forecast = plan.duration_at_s(1);
        assert!((76..=90).contains(&forecast), "{forecast}");
    }

    #[test]
    fn an_image_above_the_session_does_not_fit() {
        let max = image_max_bytes(Some(Region::Eu868));
        assert!((1_300_000..1_500_000).contains(&max), "{max}");
        assert!(Parameters::plan(max, Region::Eu868, 60).is_some());
        assert!(Parameters::plan(max + 1, Region::Eu868, 60).is_none());
        assert!(Parameters::plan(0, Region::Eu868, 60).is_none());
        assert!(image_max_bytes(None) >= max);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::cases(256)))]

        #[test]
        fn what_fits_is_sent_within_a_session(size in 1..2_000_000_u64, region in 0..Region::all().count()) {
            let region = Region::all().nth(region).unwrap();
            let Some(plan) = Parameters::plan(size, region, 60) else { return Ok(()) };
            prop_assert!((plan.fragments + plan.redundant) * FRAME_INTERVAL_S <= SESSION_MAX_S);
            prop_assert!(u64::from(plan.fragments) * u64::from(plan.fragment_bytes) >= size);
            prop_assert!(u64::from(plan.fragments - 1) * u64::from(plan.fragment_bytes) < size);
        }
    }
}
