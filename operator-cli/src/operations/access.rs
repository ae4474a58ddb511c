//! Who may do what, tenants, and programs.

use super::Operation;

const HISTORY: &[&str] = &["stored_at", "type", "actor", "reason", "position"];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("key", "list", "list_api_keys")
        .list("key_id", &["key_id", "prefix", "label", "roles", "status", "expires_at", "last_used_at"])
        .wide(&["created_by", "created_at"]),
    Operation::new("key", "get", "get_api_key").named("key_id"),
    Operation::new("key", "create", "issue_api_key").named("key_id"),
    Operation::new("key", "delete", "revoke_api_key")
        .alias("revoke")
        .asks("Revoke the API key: programs with it are refused")
        .named("key_id"),
    Operation::new("key", "verify", "verify_api_key"),
    Operation::new("trusted-key", "list", "list_trusted_keys")
        .list("fingerprint", &["key", "name", "algorithm", "fingerprint"])
        .wide(&["public_key"]),
    Operation::new("trusted-key", "create", "trust_key").named("fingerprint"),
    Operation::new("trusted-key", "delete", "distrust_key").asks("Trust the key no longer").named("fingerprint"),
    Operation::new("member", "list", "list_members").list("member", &["member", "grants"]),
    Operation::new("member", "get", "get_member").named("member"),
    Operation::new("member", "grant", "grant_member").alias("edit").named("member"),
    Operation::new("member", "delete", "remove_member")
        .asks("Remove the member and end their sessions")
        .named("member"),
    Operation::new("member", "history", "member_history").list("position", HISTORY),
    Operation::new("registration-token", "list", "list_registration_tokens").list(
        "token_id",
        &["token_id", "status", "devices_used", "devices_max", "device_model", "id_prefix", "expires_at"],
    ),
    Operation::new("registration-token", "get", "get_registration_token").named("token_id"),
    Operation::new("registration-token", "create", "issue_registration_token").named("token_id"),
    Operation::new("registration-token", "delete", "revoke_registration_token")
        .alias("revoke")
        .asks("Revoke the registration token")
        .named("token_id"),
    Operation::new("session", "list", "list_sessions")
        .list("session_id", &["session_id", "roles", "current", "created_at", "used_at", "expires_at"]),
    Operation::new("session", "end", "end_session").asks("End the session"),
    Operation::new("session", "end-all", "end_sessions").asks("End all of these sessions"),
    Operation::new("session", "verify-token", "verify_token"),
    Operation::new("feed-consumer", "list", "list_consumers")
        .list("name", &["name", "subject", "pending", "ack_pending", "created_at"]),
    Operation::new("feed-consumer", "get", "get_consumer").named("name"),
    Operation::new("feed-consumer", "create", "create_consumer").named("name"),
    Operation::new("feed-consumer", "delete", "delete_consumer")
        .asks("Delete the consumer and its place in the feed")
        .named("name"),
    Operation::new("tenant", "list", "list_tenants")
        .list("tenant_id", &["tenant_id", "name", "status", "frozen", "created_at"]),
    Operation::new("tenant", "get", "get_tenant").named("tenant_id"),
    Operation::new("tenant", "create", "create_tenant").named("tenant_id"),
    Operation::new("tenant", "edit", "amend_tenant").named("tenant_id"),
    Operation::new("tenant", "delete", "close_tenant")
        .alias("close")
        .asks("Close the tenant for good")
        .named("tenant_id"),
    Operation::new("tenant", "suspend", "suspend_tenant")
        .asks("Suspend the tenant: nobody of it gets in")
        .named("tenant_id"),
    Operation::new("tenant", "reinstate", "reinstate_tenant").named("tenant_id"),
    Operation::new("tenant", "freeze", "freeze")
        .asks("Freeze the tenant: nothing more goes out to devices")
        .named("tenant_id"),
    Operation::new("tenant", "unfreeze", "unfreeze").asks("Let updates go out again").named("tenant_id"),
    Operation::new("tenant", "history", "tenant_history").list("position", HISTORY),
    Operation::new("tenant", "chirpstack", "get_chirpstack"),
    Operation::new("tenant", "connect-chirpstack", "connect_chirpstack"),
    Operation::new("tenant", "disconnect-chirpstack", "disconnect_chirpstack")
        .asks("Disconnect the tenant's ChirpStack"),
];
