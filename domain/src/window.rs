//! Maintenance windows: when devices of a campaign may be released and may begin to install.
//!
//! Each window opens at a local time on certain days, and closes at a local time or after a duration. [`calendar`] turns that into
//! instants.

mod calendar;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use calendar::Opening;

/// Most windows of one campaign.
pub const WINDOWS_MAX: usize = 16;
/// Minutes of a day without a change of the clock: the longest window.
pub const MINUTES_PER_DAY: u16 = 24 * 60;
/// The zone of windows and devices that name none.
pub const ZONE_DEFAULT: &str = "UTC";
/// Instead of a zone: the device's own.
pub const ZONE_OF_DEVICE: &str = "device";

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A time on a clock: `HH:MM`, to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(u16);

impl ClockTime {
    /// Minutes since midnight: 0 to 1,440.
    pub fn minutes(self) -> u16 {
        self.0
    }

    pub fn of_minutes(minutes: u16) -> Option<Self> {
        (minutes <= MINUTES_PER_DAY).then_some(Self(minutes))
    }
}

impl FromStr for ClockTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok());
        let (hours, minutes) = text.split_once(':').unwrap_or_default();
        let minutes: Option<(u16, u16)> = two(hours).flatten().zip(two(minutes).flatten());
        let time = minutes.filter(|(_, minutes)| *minutes < 60).map(|(hours, minutes)| hours * 60 + minutes);
        time.and_then(Self::of_minutes).ok_or_else(|| format!("{text:?} is no time of day: HH:MM, 00:00 to 24:00"))
    }
}

impl TryFrom<String> for ClockTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        format!("{:02}:{:02}", time.0 / 60, time.0 % 60)
    }
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// The days on which it opens.
    pub days: Vec<Day>,
    /// When it opens.
    pub start: ClockTime,
    /// When it closes: on the next day if that is earlier than the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ClockTime>,
    /// How long it is open, instead of an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_minutes: Option<u16>,
    /// An IANA name, or [`ZONE_OF_DEVICE`].
    #[serde(default = "zone_default")]
    pub timezone: String,
    /// With [`ZONE_OF_DEVICE`]: the zone of devices that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_timezone: Option<String>,
}

fn zone_default() -> String {
    ZONE_DEFAULT.to_owned()
}

impl MaintenanceWindow {
    /// Whether its times are those of each device's own zone.
    pub fn follows_device(&self) -> bool {
        self.timezone == ZONE_OF_DEVICE
    }

    /// The zone in which its times are meant for a device.
    fn zone(&self, of_device: Option<&str>) -> Tz {
        let named = if self.follows_device() {
            of_device.and_then(zone).or_else(|| self.default_timezone.as_deref().and_then(zone))
        } else {
            zone(&self.timezone)
        };
        named.unwrap_or(Tz::UTC)
    }

    /// All violations, with the reason.
    fn violations(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let is_repeated = self.days.iter().enumerate().any(|(index, day)| self.days[..index].contains(day));
        if self.days.is_empty() || is_repeated {
            found.push(("days", "1 to 7 different days".to_owned()));
        }
        if self.start.minutes() == MINUTES_PER_DAY {
            found.push(("start", "00:00 to 23:59".to_owned()));
        }
        match (self.end, self.duration_minutes) {
            (None, None) => found.push(("end", "give end or duration_minutes".to_owned())),
            (Some(_), Some(_)) => found.push(("end", "give end or duration_minutes, not both".to_owned())),
            (Some(end), None) if end == self.start => {
                let reason = format!("equals start: for a whole day give duration_minutes {MINUTES_PER_DAY}");
                found.push(("end", reason));
            }
            (None, Some(minutes)) if !(1..=MINUTES_PER_DAY).contains(&minutes) => {
                found.push(("duration_minutes", format!("1 to {MINUTES_PER_DAY}")));
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        if !self.follows_device() && zone(&self.timezone).is_none() {
            let reason = format!("an IANA name such as Europe/Berlin, or {ZONE_OF_DEVICE:?}");
            found.push(("timezone", reason));
        }
        match &self.default_timezone {
            Some(_) if !self.follows_device() => {
                found.push(("default_timezone", format!("belongs to timezone {ZONE_OF_DEVICE:?}")));
            }
            Some(name) if zone(name).is_none() => {
                found.push(("default_timezone", "an IANA name such as Europe/Berlin".to_owned()));
            }
            Some(_) | None => {}
        }
        found
    }
}

fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The windows of a campaign for one device.
#[derive(Debug, Clone, Copy)]
pub struct DeviceWindows<'a> {
    pub windows: &'a MaintenanceWindows,
    /// The device's own zone.
    pub zone: Option<&'a str>,
}

/// The windows of a campaign: it may work while any of them is open. Without windows it always may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaintenanceWindows(pub Vec<MaintenanceWindow>);

impl MaintenanceWindows {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they open at different times for devices in different zones.
    pub fn follow_devices(&self) -> bool {
        self.0.iter().any(MaintenanceWindow::follows_device)
    }

    /// All violations: the field within the list, and the reason.
    pub fn violations(&self) -> Vec<(String, String)> {
        if self.0.len() > WINDOWS_MAX {
            return vec![(String::new(), format!("at most {WINDOWS_MAX} windows"))];
        }
        let of_window = |(index, window): (usize, &MaintenanceWindow)| {
            window.violations().into_iter().map(move |(field, reason)| (format!("[{index}].{field}"), reason))
        };
        self.0.iter().enumerate().flat_map(of_window).collect()
    }
}
