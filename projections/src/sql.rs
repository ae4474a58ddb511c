//! Conditions that several queries share.

/// Whether the device in `d` is held at `now`.
pub(crate) fn is_held(now: &str) -> String {
    format!("(d.held AND (d.hold_until IS NULL OR d.hold_until > {now}))")
}
