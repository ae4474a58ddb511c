//! Firmware, updates, groups, records and numbers.

use super::{Operation, Shows};

const HISTORY: &[&str] = &["stored_at", "type", "actor", "reason", "position"];
const BULK: &[&str] = &["id", "status", "error.detail"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("firmware", "list", "list_firmware")
        .list(
            "firmware_id",
            &["firmware_id", "name", "version", "device_model", "component", "status", "file_size", "created_at"],
        )
        .wide(&["manufacturer", "update_type", "is_beta", "is_security_update", "checksum_sha256", "tags"]),
    Operation::new("firmware", "get", "get_firmware").named("firmware_id"),
    Operation::new("firmware", "upload", "upload_firmware").alias("create").named("firmware_id"),
    Operation::new("firmware", "download", "firmware_download"),
    Operation::new("firmware", "add-signatures", "sign_firmware").named("firmware_id"),
    Operation::new("firmware", "deprecate", "deprecate_firmware").named("firmware_id"),
    Operation::new("firmware", "withdraw", "withdraw_firmware")
        .asks("Withdraw the firmware: updates to it are taken back")
        .named("firmware_id"),
    Operation::new("firmware", "delete", "delete_firmware").asks("Delete the firmware").named("id"),
    Operation::new("firmware", "downloads", "firmware_downloads")
        .list("day", &["day", "device_id", "started", "completed", "bytes"]),
    Operation::new("firmware", "history", "firmware_events").list("position", HISTORY),
    Operation::new("firmware", "documents", "list_documents").rows(
        "items",
        "document_id",
        &["document_id", "kind", "format", "entries", "size", "key", "filename"],
    ),
    Operation::new("firmware", "add-document", "add_document").named("document_id"),
    Operation::new("firmware", "document", "get_document").shows(Shows::Text),
    Operation::new("firmware", "delete-document", "remove_document").asks("Delete the document").named("id"),
    Operation::new("exposure", "report", "exposure_report").rows(
        "firmware",
        "firmware_id",
        &["firmware_id", "version", "device_model", "exposure", "devices", "component", "vex_status", "justification"],
    ),
    Operation::new("exposure", "devices", "exposed_devices")
        .list("device_id", &["device_id", "device_model", "version", "component", "fix", "since"])
        .wide(&["firmware_id"]),
    Operation::new("update", "list", "list_updates")
        .list("update_id", &["update_id", "kind", "phase", "from_version", "version", "attempt", "code", "campaign_id"])
        .wide(&["device_id", "firmware_id", "wait_reason", "queued_at", "ended_at", "message"]),
    Operation::new("update", "get", "get_update").named("update_id"),
    Operation::new("update", "cancel", "cancel_update").asks("Cancel the update").named("update_id"),
    Operation::new("update", "retry", "retry_update").named("update_id"),
    Operation::new("update", "log", "update_log").list("received_at", &["received_at", "text"]),
    Operation::new("rollback", "list", "list_rollbacks").list(
        "update_id",
        &["update_id", "device_id", "mode", "from_version", "to_version", "outcome", "requested_by", "requested_at"],
    ),
    Operation::new("group", "list", "list_groups")
        .list("group_id", &["group_id", "name", "kind", "member_count", "filter"]),
    Operation::new("group", "get", "get_group").named("group_id"),
    Operation::new("group", "create", "create_group").named("group_id"),
    Operation::new("group", "edit", "amend_group").named("group_id"),
    Operation::new("group", "replace", "replace_group").named("group_id"),
    Operation::new("group", "delete", "delete_group").asks("Delete the group").named("id"),
    Operation::new("group", "history", "group_history").list("position", HISTORY),
    Operation::new("group", "members", "group_members").list("device_id", &["device_id", "lifecycle", "added_at"]),
    Operation::new("group", "add-members", "add_members").rows("items", "id", BULK),
    Operation::new("group", "remove-members", "remove_members").rows("items", "id", BULK),
    Operation::new("audit", "list", "list_audit")
        .list("position", &["stored_at", "type", "aggregate", "aggregate_id", "actor", "reason", "position"])
        .wide(&["correlation_id", "causation_position", "event"]),
    Operation::new("audit", "facets", "audit_facets").rows("types actors aggregates", "value", &["value", "events"]),
    Operation::new("audit", "types", "audit_types").rows("items", "aggregate", &["aggregate", "types"]),
    Operation::new("audit", "export", "export_audit").shows(Shows::Text),
    Operation::new("stats", "fleet", "tenant_stats"),
    Operation::new("stats", "versions", "version_stats").rows(
        "items",
        "version",
        &["version", "devices", "device_type", "device_model", "hardware_version"],
    ),
    Operation::new("stats", "version-series", "version_series").rows("series", "version", &["version", "devices"]),
    Operation::new("dead-letter", "list", "list_dead_letters")
        .list("id", &["id", "at", "device_id", "reason", "topic", "detail"])
        .wide(&["source", "payload_bytes", "payload"]),
    Operation::new("service", "stats", "service_stats"),
    Operation::new("service", "health", "detailed").rows(
        "components",
        "name",
        &["name", "up", "lag", "parked", "error"],
    ),
    Operation::new("service", "live", "live"),
    Operation::new("service", "ready", "ready"),
];
