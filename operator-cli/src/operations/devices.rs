//! Devices.

use super::{Operation, Shows};

const HISTORY: &[&str] = &["stored_at", "type", "actor", "reason", "position"];
const BULK: &[&str] = &["id", "status", "update_id", "error.detail"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("device", "list", "list_devices")
        .list(
            "device_id",
            &[
                "device_id",
                "status",
                "firmware_version",
                "device_model",
                "held",
                "current_update.update_id",
                "last_seen",
            ],
        )
        .wide(&["name", "device_type", "hardware_version", "owner", "transport", "lifecycle", "tags", "groups"]),
    Operation::new("device", "get", "get_device").named("device_id"),
    Operation::new("device", "create", "register_device").alias("register").named("device_id"),
    Operation::new("device", "create-many", "register_devices").rows("items", "id", BULK),
    Operation::new("device", "edit", "amend_device").named("device_id"),
    Operation::new("device", "replace", "replace_device").named("device_id"),
    Operation::new("device", "delete", "decommission_device").asks("Decommission the device").named("id"),
    Operation::new("device", "why", "device_why").shows(Shows::Answer).named("device_id"),
    Operation::new("device", "why-not", "device_why_not").shows(Shows::Answer).named("device_id"),
    Operation::new("device", "history", "device_history").list("position", HISTORY),
    Operation::new("device", "firmware-history", "firmware_history")
        .list("position", &["at", "component", "from_version", "to_version", "cause", "outcome", "update_id"])
        .wide(&["campaign_id", "outcome_at", "position"]),
    Operation::new("device", "hold", "hold_device").named("device_id"),
    Operation::new("device", "release", "release_device").named("device_id"),
    Operation::new("device", "hold-many", "hold_devices").asks("Hold these devices").rows("items", "id", BULK),
    Operation::new("device", "release-many", "release_devices").asks("Release these devices").rows("items", "id", BULK),
    Operation::new("device", "update", "request_update").named("update_id"),
    Operation::new("device", "update-many", "update_devices").asks("Update these devices").rows("items", "id", BULK),
    Operation::new("device", "updates", "list_device_updates")
        .list("update_id", &["update_id", "kind", "phase", "from_version", "version", "attempt", "code", "campaign_id"])
        .wide(&["firmware_id", "wait_reason", "queued_at", "ended_at", "message"]),
    Operation::new("device", "ota-status", "ota_status"),
    Operation::new("device", "rollback", "roll_back_device").asks("Roll the device back").named("update_id"),
    Operation::new("device", "rollbacks", "list_device_rollbacks").list(
        "update_id",
        &["update_id", "mode", "from_version", "to_version", "outcome", "requested_by", "requested_at", "reason"],
    ),
    Operation::new("device", "run", "send_device_command").named("n"),
    Operation::new("device", "commands", "list_device_commands")
        .list("n", &["n", "name", "state", "code", "created_by", "queued_at", "ended_at"])
        .wide(&["params", "result", "message", "reason"]),
    Operation::new("device", "command", "get_device_command").named("n"),
    Operation::new("device", "cancel-command", "cancel_device_command").named("n"),
    Operation::new("device", "telemetry", "device_telemetry").list("at", &["at", "device_time", "data"]),
    Operation::new("device", "dead-letters", "device_dead_letters")
        .list("id", &["id", "at", "reason", "topic", "detail"]),
    Operation::new("device", "credentials", "list_credentials")
        .list("credential_id", &["credential_id", "by", "issued_at", "expires_at", "expired"]),
    Operation::new("device", "issue-credential", "issue_credential").named("credential_id"),
    Operation::new("device", "revoke-credential", "revoke_credential")
        .asks("Revoke the credential: the device is disconnected")
        .named("id"),
    Operation::new("device", "import", "import_devices").rows("items", "id", BULK),
    Operation::new("device", "import-chirpstack", "import_from_chirpstack").rows("items", "id", BULK),
    Operation::new("device", "sync", "sync_device").named("device_id"),
    Operation::new("device", "sync-many", "sync_devices"),
    Operation::new("device", "lorawan-keys", "get_lorawan_keys"),
    Operation::new("device", "set-lorawan-keys", "set_lorawan_keys"),
    Operation::new("device", "remove-lorawan-keys", "remove_lorawan_keys").asks("Remove the device's join keys"),
    Operation::new("device", "network-notices", "device_network_notices")
        .list("at", &["at", "level", "code", "description"])
        .wide(&["network_time", "context"]),
];
