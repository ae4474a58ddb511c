//! Which event made a device run what it runs. Pure: the events of the device, and nothing else.

use super::{Device, DeviceEvent as E};

/// How a component came to run its present version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginKind {
    /// The device was registered with this version, or an operator has stated it.
    Stated,
    /// The device reported it, and no update brought it.
    Reported,
    /// An update was confirmed.
    Confirmed,
    /// The device left a confirmed version by itself.
    Regressed,
}

/// The event that explains the present version of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its place among the events.
    pub event: usize,
    pub kind: OriginKind,
}

/// The present version of a component and the event that explains it; no version if none is known.
pub fn version_origin<'a>(
    events: impl IntoIterator<Item = &'a E>,
    component: &str,
) -> (Option<String>, Option<Origin>) {
    let (mut device, mut origin) = (Device::default(), None::<Origin>);
    let mut explained = None;
    for (index, event) in events.into_iter().enumerate() {
        let before = device.versions.get(component).cloned();
        device.apply(event);
        let now = device.versions.get(component);
        let kind = match event {
            E::UpdateConfirmed { component: of, reported, version, .. } if of == component => {
                explained = Some(reported.as_ref().unwrap_or(version).clone());
                Some(OriginKind::Confirmed)
            }
            E::VersionRegressed { component: of, to_version, .. } if of == component => {
                explained = Some(to_version.clone());
                Some(OriginKind::Regressed)
            }
            // The event before has said why.
            _ if now == before.as_ref() || (now.is_some() && now == explained.as_ref()) => None,
            E::VersionsReported { .. } => Some(OriginKind::Reported),
            _ => Some(OriginKind::Stated),
        };
        origin = kind.map(|kind| Origin { event: index, kind }).or(origin);
        if !matches!(kind, None | Some(OriginKind::Confirmed | OriginKind::Regressed)) {
            explained = None;
        }
    }
    let version = device.versions.get(component).cloned();
    let origin = origin.filter(|_| version.is_some());
    (version, origin)
}
