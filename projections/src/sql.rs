//! Conditions that several queries share.

/// Whether the device in `d` is held at `now`.
pub(crate) fn is_held(now: &str) -> String {
    format!("(d.held AND (d.hold_until IS NULL OR d.hold_until > {now}))")
}

/// Whether a row of `updates` has begun and not ended.
pub(crate) const HAS_BEGUN: &str = "(open AND phase NOT IN ('queued', 'waiting'))";
