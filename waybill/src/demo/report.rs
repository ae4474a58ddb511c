//! Output at the end of the demo: a summary, one device's history, and one line of JSON for scripts.

use serde_json::{Value, json};

use crate::out;

/// Totals of a demo.
pub(super) struct Totals {
    pub(super) devices: u64,
    pub(super) confirmed: u64,
    pub(super) failed: u64,
    pub(super) rolled_back: u64,
    pub(super) waves: u64,
    pub(super) events: u64,
    pub(super) duration_s: f64,
}

impl Totals {
    /// The last line.
    pub(super) fn line(&self) -> Value {
        json!({
            "devices": self.devices,
            "confirmed": self.confirmed,
            "failed": self.failed,
            "rolled_back": self.rolled_back,
            "waves": self.waves,
            "events": self.events,
            "duration_s": (self.duration_s * 10.0).round() / 10.0,
        })
    }
}

/// A table of the waves.
pub(super) fn print_summary(status: &Value, totals: &Totals) {
    out::tell(format_args!(
        "\n{:>6} {:>9} {:>8} {:>10} {:>7} {:>8}",
        "wave", "devices", "reached", "confirmed", "failed", "at work"
    ));
    for wave in status["waves"].as_array().into_iter().flatten() {
        let count = |name: &str| wave[name].as_u64().unwrap_or(0);
        out::tell(format_args!(
            "{:>6} {:>9} {:>8} {:>10} {:>7} {:>8}",
            count("wave"),
            count("enrolled"),
            count("reached"),
            count("confirmed"),
            count("gate_settled").saturating_sub(count("confirmed")),
            count("in_use")
        ));
    }
    out::tell(format_args!(
        "\ncampaign {}: {} of {} devices confirmed, {} failed, {} events, {:.1} s",
        status["status"].as_str().unwrap_or("?"),
        totals.confirmed,
        totals.devices,
        totals.failed,
        totals.events,
        totals.duration_s
    ));
}

/// One device's history, as in the audit.
pub(super) fn print_history(device: &str, history: &Value) {
    out::tell(format_args!("\nhistory of device {device}:"));
    for item in history["items"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or("").to_owned();
        let position = item["position"].as_str().map_or_else(|| item["position"].to_string(), str::to_owned);
        let (time, kind, actor) = (text("recorded_at"), text("type"), text("actor"));
        out::tell(format_args!("{position:>10}  {time}  {kind:<28} {actor}"));
    }
}
