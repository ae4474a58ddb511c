//! What one event changes in the row of a device and of a campaign's member. Pure.

use chrono::{DateTime, Utc};
use domain::device::{CodeClass, DeviceEvent, WaitReason};

use super::rows::{DeviceRow, MemberRow};
use crate::models::devices::{Place, place_of};
use crate::models::updates::timed_out_code;
use crate::row::word;

/// Whether a device could begin something.
pub(super) fn apply_to_device(device: &mut DeviceRow, event: &DeviceEvent) {
    match event {
        DeviceEvent::CameOnline { .. } => device.online = true,
        DeviceEvent::WentOffline { .. } => device.online = false,
        DeviceEvent::Decommissioned {} => (device.online, device.decommissioned) = (false, true),
        DeviceEvent::Held { until } => (device.held, device.hold_until) = (true, *until),
        DeviceEvent::Released {} => (device.held, device.hold_until) = (false, None),
        DeviceEvent::Recommissioned { .. } => {
            (device.held, device.hold_until, device.decommissioned) = (false, None, false);
        }
        _ => {}
    }
    if let Some((ordinal, place)) = place_of(event) {
        match place {
            Place::Live => device.live_ordinal = Some(ordinal),
            Place::Waiting | Place::Ended if device.live_ordinal == Some(ordinal) => device.live_ordinal = None,
            Place::Waiting | Place::Ended => {}
        }
        match event {
            DeviceEvent::UpdateAttemptFailed { .. } => device.between_attempts = Some(ordinal),
            _ if device.between_attempts == Some(ordinal) => device.between_attempts = None,
            _ => {}
        }
    }
}

/// The campaign's view of a device's update after an event.
pub(super) fn apply_to_member(member: &mut MemberRow, event: &DeviceEvent, at: DateTime<Utc>) {
    let is_unanswered = member.holds_slot && !member.grant_seen;
    follow(member, event, at);
    if member.is_ended() {
        member.grant_seen = true;
    } else if is_unanswered {
        // Whatever else is heard of the device: the grant is still under way to it, and it may begin with it.
        member.grant_seen = event.grant().is_some_and(|number| number >= member.grant_number);
        member.holds_slot |= !member.grant_seen;
    }
}

fn follow(member: &mut MemberRow, event: &DeviceEvent, at: DateTime<Utc>) {
    use DeviceEvent as E;
    let enter = |member: &mut MemberRow, phase: &str, holds_slot: bool| {
        member.phase = phase.to_owned();
        member.holds_slot = holds_slot;
        member.wait_reason = None;
    };
    let end = |member: &mut MemberRow, phase: &str| {
        enter(member, phase, false);
        member.ended_at = Some(at);
        member.not_before = None;
    };
    let image_or_final = |class: &CodeClass| matches!(class, CodeClass::Image | CodeClass::Final);
    match event {
        E::UpdateQueued { .. } => {
            let holds_slot = member.holds_slot;
            enter(member, "queued", holds_slot);
            // The update before it was superseded by it.
            (member.ended_at, member.reached_at) = (None, None);
        }
        E::UpdateWaiting { reason, retry_at, .. } => {
            enter(member, "waiting", false);
            member.wait_reason = Some(word(reason));
            member.cancel_refused = false;
            match reason {
                WaitReason::Slot => member.not_before = None,
                WaitReason::Unresponsive => member.not_before = *retry_at,
                _ => {}
            }
        }
        E::UpdateDispatched { .. } => {
            enter(member, "dispatched", true);
            (member.not_before, member.cancel_refused) = (None, false);
        }
        E::UpdateAccepted { .. } => {
            enter(member, "accepted", true);
            member.reached_at = member.reached_at.or(Some(at));
            member.not_before = None;
        }
        E::UpdateDeferred { until, .. } => {
            enter(member, "deferred", false);
            member.not_before = Some(*until);
        }
        E::UpdateDownloading { .. } => enter(member, "downloading", true),
        E::UpdateVerifying { .. } => enter(member, "verifying", true),
        E::UpdateInstalling { .. } => enter(member, "installing", true),
        E::UpdateStaged { .. } => enter(member, "staged", false),
        E::UpdateRebooting { .. } => enter(member, "rebooting", true),
        E::UpdateAttemptFailed { code, class, retry_at, .. } => {
            enter(member, "waiting", false);
            member.wait_reason = Some("backoff".to_owned());
            member.not_before = Some(*retry_at);
            member.code = Some(code.clone());
            member.gate_failed |= image_or_final(class);
        }
        E::UpdateConfirmed { .. } => {
            end(member, "confirmed");
            (member.confirmed_ever, member.failure_accepted) = (true, false);
        }
        E::UpdateFailed { code, .. } => {
            end(member, "failed");
            member.code = Some(code.clone());
            member.gate_failed = true;
        }
        E::UpdateTimedOut { code, .. } => {
            end(member, "timed_out");
            member.code = Some(timed_out_code(code));
            member.gate_failed = true;
        }
        E::UpdateRejected { code, .. } => {
            end(member, "rejected");
            member.code = Some(code.clone());
            member.gate_failed = true;
        }
        E::UpdateExpired { .. } => end(member, "expired"),
        E::UpdateSuperseded { .. } => end(member, "superseded"),
        E::UpdateCancelling { .. } => {
            let holds_slot = member.holds_slot;
            member.before_cancel = Some(member.phase.clone());
            enter(member, "cancelling", holds_slot);
        }
        E::UpdateCancelRefused { .. } => {
            let holds_slot = member.holds_slot;
            let before = member.before_cancel.take().unwrap_or_else(|| "accepted".to_owned());
            enter(member, &before, holds_slot);
            member.cancel_refused = true;
        }
        E::UpdateCancelled { .. } => end(member, "cancelled"),
        E::VersionRegressed { .. } => {
            member.regressed_at = Some(at);
            member.gate_failed = true;
            member.code = Some("version_regressed".to_owned());
        }
        _ => {}
    }
}
