//! What a copy should be over there, whose it is, and how it differs. Pure.

use chirpstack::grpc::device::Device as ServerDevice;
use chirpstack::import::DEVICE_VARIABLE;
use domain::DeviceId;
use domain::device::NetworkIdentity;

/// Variable of a copy that Waybill has created. It is over there, so that a crash between two steps doesn't lose it.
const CREATED_VARIABLE: &str = "waybill_created";
const YES: &str = "true";

/// Longest name over there, in characters.
const NAME_MAX_CHARS: usize = 100;

/// An id as the server spells it: UUIDs have several spellings.
pub(super) fn canonical(id: &str) -> String {
    uuid::Uuid::parse_str(id).map_or_else(|_| id.to_owned(), |uuid| uuid.to_string())
}

/// A name as it fits over there.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(NAME_MAX_CHARS).collect()
}

/// Whose a device over there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This device's copy.
    Ours { created: bool },
    /// Another device of Waybill has it, or had it.
    Other { device: String, created: bool },
    /// Waybill has not written it.
    Nobody,
}

pub(super) fn owner(found: &ServerDevice, device: &DeviceId) -> Owner {
    let created = found.variables.get(CREATED_VARIABLE).is_some_and(|value| value == YES);
    match found.variables.get(DEVICE_VARIABLE) {
        Some(id) if id == device.as_str() => Owner::Ours { created },
        Some(id) => Owner::Other { device: id.clone(), created },
        None => Owner::Nobody,
    }
}

/// A copy that doesn't exist yet.
pub(super) fn new(device: &DeviceId, identity: &NetworkIdentity<'_>, device_profile_id: &str) -> ServerDevice {
    let variables = [(DEVICE_VARIABLE, device.as_str()), (CREATED_VARIABLE, YES)];
    ServerDevice {
        dev_eui: identity.dev_eui.to_owned(),
        name: shortened(identity.name.unwrap_or(device.as_str())),
        application_id: canonical(identity.application_id),
        device_profile_id: canonical(device_profile_id),
        join_eui: identity.join_eui.unwrap_or_default().to_owned(),
        variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..ServerDevice::default()
    }
}

/// What is over there, with what Waybill has to say of it. Everything else stays: descriptions, tags, other variables. Of a device that was
/// there before, name and profile stay, too, where the device in Waybill has none.
pub(super) fn updated(
    found: &ServerDevice,
    device: &DeviceId,
    identity: &NetworkIdentity<'_>,
    created: bool,
    default_profile: Option<&str>,
) -> ServerDevice {
    let mut next = found.clone();
    next.application_id = canonical(identity.application_id);
    match identity.name {
        Some(name) => next.name = shortened(name),
        None if created => next.name = device.to_string(),
        None => {}
    }
    let default_profile = default_profile.filter(|_| created);
    if let Some(profile) = identity.device_profile_id.or(default_profile) {
        next.device_profile_id = canonical(profile);
    }
    if let Some(join_eui) = identity.join_eui {
        next.join_eui = join_eui.to_owned();
    }
    next.variables.insert(DEVICE_VARIABLE.to_owned(), device.to_string());
    if created {
        next.variables.insert(CREATED_VARIABLE.to_owned(), YES.to_owned());
    }
    next
}

/// Names of the fields that differ from what was written. The join EUI is left aside: the server sets it when the device joins.
pub(super) fn edited(
    found: &ServerDevice,
    device: &DeviceId,
    application_id: &str,
    name: Option<&str>,
    device_profile_id: &str,
) -> Vec<String> {
    let differs = [
        ("application_id", found.application_id != canonical(application_id)),
        ("device_profile_id", found.device_profile_id != device_profile_id),
        ("name", name.is_some_and(|name| found.name != shortened(name))),
        ("variables", found.variables.get(DEVICE_VARIABLE).is_none_or(|id| id != device.as_str())),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        DeviceId::new("d-1").unwrap()
    }

    fn identity() -> NetworkIdentity<'static> {
        NetworkIdentity {
            dev_eui: "0102030405060708",
            application_id: "app-1",
            join_eui: None,
            device_profile_id: None,
            name: None,
        }
    }

    #[test]
    fn a_created_copy_is_recognised_and_as_written() {
        let copy = new(&device(), &identity(), "dp-1");
        assert_eq!(owner(&copy, &device()), Owner::Ours { created: true });
        assert_eq!(owner(&copy, &DeviceId::new("d-2").unwrap()), Owner::Other { device: "d-1".into(), created: true });
        assert_eq!(edited(&copy, &device(), "app-1", Some("d-1"), "dp-1"), [""; 0]);
        assert_eq!(updated(&copy, &device(), &identity(), true, Some("dp-1")), copy);
    }

    #[test]
    fn an_update_keeps_what_others_have_written() {
        let found = ServerDevice {
            dev_eui: "0102030405060708".into(),
            name: "Boiler".into(),
            description: "cellar".into(),
            application_id: "app-1".into(),
            device_profile_id: "dp-9".into(),
            tags: [("site".to_owned(), "north".to_owned())].into(),
            variables: [("ThingsBoardAccessToken".to_owned(), "x".to_owned())].into(),
            is_disabled: true,
            ..ServerDevice::default()
        };
        assert_eq!(owner(&found, &device()), Owner::Nobody);
        let next = updated(&found, &device(), &identity(), false, Some("dp-1"));
        let mut expected = found.clone();
        expected.variables.insert(DEVICE_VARIABLE.into(), "d-1".into());
        assert_eq!(next, expected);
        assert_eq!(owner(&next, &device()), Owner::Ours { created: false });
        assert_eq!(edited(&next, &device(), "app-1", None, "dp-9"), [""; 0]);
        let named = NetworkIdentity { name: Some("Pump"), device_profile_id: Some("dp-2"), ..identity() };
        let next = updated(&found, &device(), &named, false, None);
        assert_eq!((next.name.as_str(), next.device_profile_id.as_str()), ("Pump", "dp-2"));
    }

    #[test]
    fn spellings_of_ids_and_long_names_are_no_edits() {
        let (long, id) = ("é".repeat(128), "FE0631BAF18B42EF99F5C9A37521A4B8");
        let identity = NetworkIdentity { name: Some(&long), application_id: id, ..identity() };
        let copy = new(&device(), &identity, id);
        assert_eq!(copy.application_id, "fe0631ba-f18b-42ef-99f5-c9a37521a4b8");
        assert_eq!((copy.name.chars().count(), &copy.device_profile_id), (NAME_MAX_CHARS, &copy.application_id));
        assert_eq!(edited(&copy, &device(), id, Some(&long), &copy.device_profile_id), [""; 0]);
    }

    #[test]
    fn what_somebody_edits_is_named() {
        let mut copy = new(&device(), &identity(), "dp-1");
        copy.name = "other".into();
        copy.variables.clear();
        copy.device_profile_id = "dp-2".into();
        assert_eq!(edited(&copy, &device(), "app-1", Some("d-1"), "dp-1"), ["device_profile_id", "name", "variables"]);
    }
}
