//! Checks of single fields, collected so that a reply names all errors at once.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::campaign::Violation;
use domain::ids::{RESERVED_DEVICE_IDS, RESERVED_GROUP_IDS};
use domain::preconditions::Preconditions;
use domain::values::{
    FIRMWARE_COMPONENT, LONG_TEXT_MAX_CHARS, TAGS_MAX, YEARS, is_component, is_short_text, is_usable_time,
    is_version_text,
};
use domain::{Actor, ActorKind, DeviceId, GroupId};

use crate::http::{FieldError, Problem};

/// Longest LoRaWAN application id, in bytes.
const APPLICATION_ID_MAX_BYTES: usize = 100;
/// Hex digits of a device EUI.
const DEV_EUI_DIGITS: usize = 16;
/// Longest contact interval: 31 days, in seconds.
const CONTACT_INTERVAL_MAX_S: u32 = 31 * 24 * 3_600;

const SHORT_RULE: &str = "1 to 128 characters without control characters";
const VERSION_RULE: &str = "1 to 64 printable ASCII characters without blanks, quotes and backslashes";
const COMPONENT_RULE: &str = "a component is [a-z0-9][a-z0-9_-]{0,31}";

/// The errors found so far.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    pub(crate) fn fail(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(FieldError::new(field, reason));
    }

    /// Adds errors of the domain's rules.
    pub(crate) fn violations(&mut self, found: Vec<Violation>) {
        self.0.extend(found.into_iter().map(|(field, reason)| FieldError::new(field, reason)));
    }

    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(self.0)) }
    }

    pub(crate) fn short(&mut self, field: &str, value: Option<&str>) {
        if value.is_some_and(|value| !is_short_text(value)) {
            self.fail(field, SHORT_RULE);
        }
    }

    pub(crate) fn long(&mut self, field: &str, value: Option<&str>) {
        if value.is_some_and(|value| value.chars().count() > LONG_TEXT_MAX_CHARS) {
            self.fail(field, format!("at most {LONG_TEXT_MAX_CHARS} characters"));
        }
    }

    /// A time in the range that all stores support.
    pub(crate) fn time(&mut self, field: &str, value: Option<DateTime<Utc>>) {
        if value.is_some_and(|time| !is_usable_time(time)) {
            self.fail(field, format!("a year from {} to {}", YEARS.start(), YEARS.end()));
        }
    }

    pub(crate) fn version(&mut self, field: &str, value: &str) {
        if !is_version_text(value) {
            self.fail(field, VERSION_RULE);
        }
    }

    pub(crate) fn component(&mut self, field: &str, value: &str) {
        if !is_component(value) {
            self.fail(field, COMPONENT_RULE);
        }
    }

    pub(crate) fn tags<'a>(&mut self, field: &str, tags: impl IntoIterator<Item = (&'a String, Option<&'a String>)>) {
        for (count, (key, value)) in tags.into_iter().enumerate() {
            if count == TAGS_MAX {
                return self.fail(field, format!("at most {TAGS_MAX}"));
            }
            if !is_short_text(key) || key.contains(':') {
                self.fail(format!("{field}.{key}"), format!("a key is {SHORT_RULE}, without a colon"));
            }
            self.short(&format!("{field}.{key}"), value.map(String::as_str));
        }
    }

    /// Empty preconditions count as none.
    pub(crate) fn preconditions(&mut self, given: Option<Preconditions>) -> Option<Preconditions> {
        let wanted = given.filter(|given| !given.is_empty())?;
        for (field, reason) in wanted.violations() {
            self.fail(format!("preconditions.{field}"), reason);
        }
        Some(wanted)
    }

    pub(crate) fn contact_interval(&mut self, value: Option<u32>) {
        if value.is_some_and(|seconds| seconds > CONTACT_INTERVAL_MAX_S) {
            self.fail("contact_interval_s", format!("at most {CONTACT_INTERVAL_MAX_S}"));
        }
    }

    pub(crate) fn application_id(&mut self, field: &str, value: Option<&str>) {
        let fits = |value: &str| !value.is_empty() && value.len() <= APPLICATION_ID_MAX_BYTES && is_short_text(value);
        if value.is_some_and(|value| !fits(value)) {
            self.fail(field, format!("1 to {APPLICATION_ID_MAX_BYTES} characters"));
        }
    }

    /// The id of an actor, without its kind.
    pub(crate) fn owner(&mut self, field: &str, value: Option<&str>) {
        if value.is_some_and(|value| value.is_empty() || Actor::of(ActorKind::Person, value).is_err()) {
            self.fail(field, "an opaque id without blanks, 1 to 123 characters");
        }
    }

    /// The EUI in lower case.
    pub(crate) fn dev_eui(&mut self, value: &str) -> String {
        self.eui("lorawan_dev_eui", value)
    }

    /// An EUI in lower case.
    pub(crate) fn eui(&mut self, field: &str, value: &str) -> String {
        let digits = value.len() == DEV_EUI_DIGITS && value.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits {
            self.fail(field, "16 hexadecimal digits");
        }
        value.to_ascii_lowercase()
    }

    /// A name in the IANA database.
    pub(crate) fn timezone(&mut self, value: Option<&str>) {
        if value.is_some_and(|name| name.parse::<Tz>().is_err()) {
            self.fail("timezone", "an IANA name such as Europe/Berlin");
        }
    }
}

/// Checks a device id.
pub(crate) fn device_id(text: String) -> Result<DeviceId, Problem> {
    if RESERVED_DEVICE_IDS.contains(&text.as_str()) {
        return Err(Problem::invalid("device_id", format!("{text:?} is reserved")));
    }
    DeviceId::new(text).map_err(|error| Problem::invalid("device_id", error.to_string()))
}

/// A device as a request names it.
pub(crate) type NamedDevice = (String, Result<DeviceId, Problem>);

/// The devices of the field `device_ids`. Each id that is invalid, or that occurs before, is refused alone.
pub(crate) fn named_devices(ids: Vec<String>) -> Vec<NamedDevice> {
    let mut first = HashMap::new();
    let named = ids.into_iter().enumerate().map(|(index, id)| {
        let field = format!("device_ids[{index}]");
        let device = match *first.entry(id.clone()).or_insert(index) {
            before if before != index => Err(Problem::invalid(field, format!("is also device_ids[{before}]"))),
            _ => device_id(id.clone()).map_err(|problem| problem.renaming(|_| field.clone())),
        };
        (id, device)
    });
    named.collect()
}

/// Checks a group id.
pub(crate) fn group_id(text: String) -> Result<GroupId, Problem> {
    if RESERVED_GROUP_IDS.contains(&text.as_str()) {
        return Err(Problem::invalid("group_id", format!("{text:?} is reserved")));
    }
    GroupId::new(text).map_err(|error| Problem::invalid("group_id", error.to_string()))
}

/// `firmware_version` is another name for `versions.firmware`; both may be given if they agree.
pub(crate) fn merge_versions(
    mut versions: BTreeMap<String, String>,
    firmware_version: Option<String>,
    checks: &mut Checks,
) -> BTreeMap<String, String> {
    if versions.len() > TAGS_MAX {
        checks.fail("versions", format!("at most {TAGS_MAX} components"));
    }
    for (component, version) in &versions {
        checks.component(&format!("versions.{component}"), component);
        checks.version(&format!("versions.{component}"), version);
    }
    if let Some(version) = firmware_version {
        checks.version("firmware_version", &version);
        let named = versions.insert(FIRMWARE_COMPONENT.to_owned(), version.clone());
        if named.is_some_and(|named| named != version) {
            checks.fail("firmware_version", "differs from versions.firmware");
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(check: impl FnOnce(&mut Checks)) -> bool {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.finish().is_err()
    }

    #[test]
    fn ids_of_devices_are_neither_reserved_nor_malformed() {
        for bad in ["bulk", "import", "export", "sync", "preview", "search", "a.b", "", "-a"] {
            assert_eq!(device_id(bad.to_owned()).unwrap_err().status().as_u16(), 422, "{bad}");
        }
        assert!(device_id("AA:BB-1".to_owned()).is_ok());
    }

    #[test]
    fn an_eui_is_sixteen_hex_digits_in_lower_case() {
        let mut checks = Checks::default();
        assert_eq!(checks.dev_eui("0A0B0C0D0E0F0102"), "0a0b0c0d0e0f0102");
        assert!(checks.finish().is_ok());
        assert!(failing(|checks| drop(checks.dev_eui("xyz"))));
    }

    #[test]
    fn both_spellings_of_the_firmware_version_must_agree() {
        let versions = |text: &str| BTreeMap::from([("firmware".to_owned(), text.to_owned())]);
        let merged = merge_versions(versions("1.0.0"), Some("1.0.0".into()), &mut Checks::default());
        assert_eq!(merged, versions("1.0.0"));
        assert!(failing(|checks| drop(merge_versions(versions("1.0.0"), Some("2.0.0".into()), checks))));
        assert!(failing(|checks| drop(merge_versions(BTreeMap::new(), Some("\"".into()), checks))));
    }

    #[test]
    fn odd_texts_are_refused() {
        assert!(failing(|checks| checks.short("name", Some(""))));
        assert!(failing(|checks| checks.short("name", Some("a\u{0}"))));
        for known in ["America/Argentina/Buenos_Aires", "Europe/Berlin", "UTC", "Etc/GMT+5"] {
            assert!(!failing(|checks| checks.timezone(Some(known))), "{known}");
        }
        for unknown in ["Mars/X", "Europe/", "europe", "", "UTC+1"] {
            assert!(failing(|checks| checks.timezone(Some(unknown))), "{unknown}");
        }
        let time = |text: &str| Some(text.parse().unwrap());
        assert!(failing(|checks| checks.time("until", time("0000-01-01T00:00:00Z"))));
        assert!(!failing(|checks| checks.time("until", time("2030-01-01T00:00:00+14:00"))));
        assert!(failing(|checks| checks.tags("tags", [(&"a:b".to_owned(), None)])));
    }
}
