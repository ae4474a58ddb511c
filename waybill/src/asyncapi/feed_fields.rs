//! What an example of FEED can't say: what a field means, which fields are never absent, and which objects are maps.

/// Fields that are there in every message whose example has them. The others may be absent.
pub(super) const ALWAYS: [&str; 3] = ["device_id", "update_id", "attempt"];

/// Objects with names that are data.
pub(super) const MAPS: [&str; 4] = ["attributes", "excluded", "tags", "versions"];

/// What a field means wherever it stands.
pub(super) fn meaning(name: &str) -> Option<&'static str> {
    FIELDS.iter().find(|(field, _)| *field == name).map(|(_, meaning)| *meaning)
}

const FIELDS: &[(&str, &str)] = &[
    ("accept_failures", "Whether an operator took the failures so far upon himself; they don't count again."),
    ("algorithm", "How devices were ranked."),
    ("at_position", "Place in the log at which the devices were read."),
    ("attempt", "The try within the update; 0 before the first dispatch."),
    ("attributes", "As the device reports them."),
    ("campaign_id", "The campaign; absent for an update of its own."),
    ("cause", "Who or what brought it about."),
    ("changed", "The fields that were changed; null for one that was cleared."),
    ("changes", "What was changed while the campaign is under way; null for a limit that was taken away."),
    ("class", "What follows from the code: defer, transfer, image or final."),
    ("code", "Why: one of the device protocol's codes, or `x_` and the maker's own."),
    ("component", "What the firmware replaces on the device."),
    ("confirmed", "Devices that proved that they run the version."),
    ("contact_interval_s", "How long the device may be silent, in seconds."),
    ("devices", "How many; in evidence, some of the devices that failed."),
    ("ends_at", "When the campaign ends in any case."),
    ("enrolled", "Devices of the wave or campaign."),
    ("evidence", "The counts on which the decision rests."),
    ("excluded", "Devices that were left out, counted by reason."),
    ("failed", "Devices whose update failed, as the gates count."),
    ("failure_threshold_percent", "Failed of settled devices above which the campaign stops."),
    ("from_version", "What the device ran before."),
    ("gate", "Which gate it was."),
    ("kind", "Update, rollback or activate."),
    ("manual", "Whether an operator opened the wave."),
    ("max_concurrent_updates", "Most devices at work at the same time."),
    ("phase", "Where the update stood."),
    ("plan_hash", "Digest of the plan's devices, ranks and waves."),
    ("position", "Place in the log up to which the counts are complete."),
    ("priority", "Low, normal, high or critical."),
    ("reached", "Devices that answered."),
    ("reason", "Why the update waits or no longer fits."),
    ("result", "How the campaign ended."),
    ("retry_at", "When the next try begins at the earliest."),
    ("rollback", "What becomes of devices that have the version."),
    ("rollout_percentage", "The sample: per cent of the eligible devices."),
    ("round", "How often the campaign was retried."),
    ("sample", "The devices under the new sample, in all and by wave."),
    ("settled", "Devices with an outcome that counts: confirmed and failed."),
    ("size", "Bytes."),
    ("slots", "Boot slots."),
    ("soak_minutes", "How long the gate must hold before the wave is completed."),
    ("status", "What the device reported."),
    ("strategy", "How the campaign goes through its devices."),
    ("threshold_percent", "The threshold that was passed."),
    ("transport", "How the device is reached."),
    ("trial", "Whether the running version isn't marked good yet."),
    ("until", "To then; absent without an end."),
    ("update_id", "`{device_id}~{ordinal}`."),
    ("versions", "Version by component."),
    ("wave", "Number of the wave, from 1; absent for an update of its own."),
    ("wave_devices", "Devices by wave."),
    ("wave_percentages", "Cumulative share of the devices by wave."),
];
