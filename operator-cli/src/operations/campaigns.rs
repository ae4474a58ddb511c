//! Campaigns.

use super::Operation;

const GATES: &[&str] = &["wave", "gate", "verdict", "measured_percent", "limit_percent", "sentence", "at"];
const DEPLOYMENT: &[&str] =
    &["deployment_id", "phase", "region", "devices", "delivered", "failed", "planned_at", "ended_at"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("campaign", "list", "list_campaigns")
        .list(
            "campaign_id",
            &["campaign_id", "name", "status", "deployment_strategy", "wave", "created_by", "started_at"],
        )
        .wide(&["firmware_id", "created_at", "ended_at", "waits_for"]),
    Operation::new("campaign", "get", "get_campaign").named("campaign_id"),
    Operation::new("campaign", "create", "create_campaign").named("campaign_id"),
    Operation::new("campaign", "edit", "adjust_campaign").alias("adjust").named("campaign_id"),
    Operation::new("campaign", "replace", "replace_campaign").named("campaign_id"),
    Operation::new("campaign", "delete", "delete_campaign").asks("Delete the campaign").named("id"),
    Operation::new("campaign", "clone", "clone_campaign").named("campaign_id"),
    Operation::new("campaign", "preview", "preview_campaign").rows("waves", "wave", PREVIEW),
    Operation::new("campaign", "preview-new", "preview_new_campaign").rows("waves", "wave", PREVIEW),
    Operation::new("campaign", "start", "start_campaign").named("campaign_id"),
    Operation::new("campaign", "approve", "approve_campaign").named("campaign_id"),
    Operation::new("campaign", "reject", "reject_campaign").named("campaign_id"),
    Operation::new("campaign", "pause", "pause_campaign").named("campaign_id"),
    Operation::new("campaign", "resume", "resume_campaign").named("campaign_id"),
    Operation::new("campaign", "open-wave", "open_wave").named("campaign_id"),
    Operation::new("campaign", "retry", "retry_campaign").named("campaign_id"),
    Operation::new("campaign", "cancel", "cancel_campaign").asks("Cancel the campaign").named("campaign_id"),
    Operation::new("campaign", "rollback", "roll_back_campaign")
        .asks("Take the campaign's devices back")
        .named("campaign_id"),
    Operation::new("campaign", "status", "campaign_status").named("campaign_id"),
    Operation::new("campaign", "gates", "campaign_gates")
        .rows("now items", "position", GATES)
        .wide(&["devices", "position"]),
    Operation::new("campaign", "what-if", "what_if").named("campaign_id"),
    Operation::new("campaign", "devices", "campaign_devices")
        .list(
            "device_id",
            &["device_id", "wave", "phase", "attempt", "from_version", "code", "excluded", "wait_reason"],
        )
        .wide(&["rank", "update_id", "holds_slot", "reached_at", "ended_at", "rollback_obstacle"]),
    Operation::new("campaign", "device", "campaign_device").named("device_id"),
    Operation::new("campaign", "failures", "campaign_failures").rows(
        "items",
        "code",
        &["code", "hardware_version", "from_version", "wave", "devices"],
    ),
    Operation::new("campaign", "history", "campaign_history")
        .list("position", &["stored_at", "type", "actor", "reason", "position"]),
    Operation::new("campaign", "lorawan-deployments", "campaign_lorawan_deployments").list("deployment_id", DEPLOYMENT),
    Operation::new("campaign", "lorawan-deployment", "campaign_lorawan_deployment").named("deployment_id"),
];

const PREVIEW: &[&str] = &["wave", "name", "devices", "expected_seconds", "soak_seconds", "limited_by"];
