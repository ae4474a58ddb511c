//! Conditions that several queries share.

/// Whether the device in `d` is held at `now`.
pub(crate) fn is_held(now: &str) -> String {
    format!("(d.held AND (d.hold_until IS NULL OR d.hold_until > {now}))")
}

/// Whether a row of `updates` has begun and not ended.
pub(crate) const HAS_BEGUN: &str = "(open AND phase NOT IN ('queued', 'waiting'))";

/// A column of the latest event of the updates of the device that a query calls `device`: `seq`, the version of the device, or `position`.
/// Events that change an update alone are kept in its row.
pub(crate) fn latest_of_updates(device: &str, column: &str) -> String {
    format!(
        "(SELECT coalesce(max(u.{column}), 0) FROM updates u
          WHERE u.tenant = {device}.tenant AND u.device_id = {device}.device_id)"
    )
}
