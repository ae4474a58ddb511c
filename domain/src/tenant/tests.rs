use super::*;
use TenantCommand as C;
use TenantEvent as E;

fn after(commands: &[C]) -> Tenant {
    let mut tenant = Tenant::default();
    for command in commands {
        let events = decided(&tenant, command).unwrap_or_else(|no| panic!("{command:?}: {no}"));
        events.iter().for_each(|event| tenant.apply(event));
    }
    tenant
}

fn decided(tenant: &Tenant, command: &C) -> Result<Vec<E>, Rejection> {
    tenant.decide(DateTime::UNIX_EPOCH, command)
}

fn refused(tenant: &Tenant, command: &C) -> &'static str {
    decided(tenant, command).expect_err("refused").code()
}

fn create() -> C {
    C::Create { spec: TenantSpec::default() }
}

fn amend(json: &str) -> C {
    C::Amend { patch: serde_json::from_str(json).unwrap() }
}

#[test]
fn an_unknown_tenant_takes_no_callers_and_no_commands() {
    let nobody = Tenant::default();
    assert_eq!(nobody.admits_callers(), Err(Shut::Unknown));
    for command in [amend("{}"), C::Suspend, C::Reinstate, C::Freeze, C::Unfreeze, C::Close] {
        assert_eq!(refused(&nobody, &command), "tenant_unknown");
    }
}

#[test]
fn a_tenant_is_created_once() {
    let tenant = after(&[create()]);
    assert_eq!(tenant.admits_callers(), Ok(()));
    assert_eq!(refused(&tenant, &create()), "tenant_exists");
    assert_eq!(decided(&tenant, &C::Adopt), Ok(vec![]));
}

#[test]
fn a_tenant_of_an_older_log_is_adopted_once() {
    let adopted = E::Created { spec: TenantSpec::default(), found: true };
    assert_eq!(decided(&Tenant::default(), &C::Adopt), Ok(vec![adopted]));
    assert_eq!(refused(&after(&[C::Adopt]), &create()), "tenant_exists");
}

#[test]
fn a_suspended_tenant_takes_no_callers_and_dispatches_nothing_but_its_devices_report() {
    let tenant = after(&[create(), C::Suspend]);
    assert_eq!(tenant.admits_callers(), Err(Shut::Suspended));
    assert!(!tenant.lets_dispatch() && tenant.lets_devices_in());
    assert_eq!(decided(&tenant, &C::Suspend), Ok(vec![]));
    let again = after(&[create(), C::Suspend, C::Reinstate]);
    assert!(again.admits_callers().is_ok() && again.lets_dispatch());
}

#[test]
fn a_freeze_stops_dispatch_alone_and_outlives_a_suspension() {
    let tenant = after(&[create(), C::Freeze]);
    assert!(tenant.admits_callers().is_ok() && !tenant.lets_dispatch() && tenant.is_frozen());
    assert_eq!(decided(&tenant, &C::Freeze), Ok(vec![]));
    let reinstated = after(&[create(), C::Freeze, C::Suspend, C::Reinstate]);
    assert!(!reinstated.lets_dispatch());
    assert!(after(&[create(), C::Freeze, C::Unfreeze]).lets_dispatch());
}

#[test]
fn a_closed_tenant_stays_closed() {
    let tenant = after(&[create(), C::Close]);
    assert_eq!(tenant.admits_callers(), Err(Shut::Closed));
    assert!(!tenant.lets_dispatch() && !tenant.lets_devices_in());
    assert_eq!(decided(&tenant, &C::Close), Ok(vec![]));
    for command in [create(), amend("{}"), C::Suspend, C::Reinstate, C::Freeze, C::Unfreeze] {
        assert_eq!(refused(&tenant, &command), "tenant_closed", "{command:?}");
    }
    assert_eq!(decided(&tenant, &C::Adopt), Ok(vec![]));
}

#[test]
fn an_amendment_changes_what_it_names() {
    let mut tenant =
        after(&[create(), amend(r#"{"name":"Acme","quotas":{"devices":10},"rules":{"require_reason":true}}"#)]);
    let events = decided(&tenant, &amend(r#"{"quotas":{"campaigns":2}}"#)).unwrap();
    events.iter().for_each(|event| tenant.apply(event));
    let quotas = Quotas { devices: Some(10), campaigns: Some(2), ..Quotas::default() };
    assert_eq!((tenant.spec.quotas, tenant.spec.rules.require_reason), (quotas, true));
    assert_eq!(decided(&tenant, &amend(r#"{"quotas":{"devices":10}}"#)), Ok(vec![]));
    let cleared = tenant.spec.patched(&serde_json::from_str(r#"{"name":null,"quotas":{"devices":null}}"#).unwrap());
    assert_eq!((cleared.name, cleared.quotas.devices), (None, None));
}

#[test]
fn each_kind_of_retention_is_set_by_itself_and_null_goes_back_to_the_default() {
    let mut tenant = after(&[create(), amend(r#"{"retention":{"telemetry_days":1,"update_log_days":365}}"#)]);
    let events = decided(&tenant, &amend(r#"{"retention":{"telemetry_days":null,"dead_letter_days":30}}"#)).unwrap();
    events.iter().for_each(|event| tenant.apply(event));
    let set = Kept::VARIANTS.iter().map(|kept| tenant.spec.retention.set(*kept));
    assert_eq!(set.collect::<Vec<_>>(), [None, Some(365), None, Some(30)]);
    for kept in Kept::VARIANTS {
        assert!((RETENTION_MIN_DAYS..=kept.max_days()).contains(&kept.default_days()), "{kept:?}");
        let json = serde_json::json!({"retention": {kept.field(): RETENTION_MIN_DAYS}});
        assert!(decided(&tenant, &amend(&json.to_string())).is_ok(), "{json}");
    }
}

#[test]
fn quotas_and_names_have_limits() {
    let tenant = after(&[create()]);
    for (json, field) in [
        (r#"{"name":""}"#, "name"),
        (r#"{"quotas":{"devices":100000001}}"#, "quotas.devices"),
        (r#"{"quotas":{"firmware_bytes":1125899906842625}}"#, "quotas.firmware_bytes"),
        (r#"{"quotas":{"campaigns":100000001}}"#, "quotas.campaigns"),
        (r#"{"quotas":{"requests_per_minute":0}}"#, "quotas.requests_per_minute"),
        (r#"{"retention":{"telemetry_days":8}}"#, "retention.telemetry_days"),
        (r#"{"retention":{"update_log_days":366}}"#, "retention.update_log_days"),
        (r#"{"retention":{"device_download_days":1101}}"#, "retention.device_download_days"),
        (r#"{"retention":{"dead_letter_days":0}}"#, "retention.dead_letter_days"),
    ] {
        let Err(Rejection::Invalid { field: found, .. }) = decided(&tenant, &amend(json)) else { panic!("{json}") };
        assert_eq!(found, field);
    }
    assert!(decided(&tenant, &amend(r#"{"quotas":{"devices":0}}"#)).is_ok());
}

fn connect(url: &str) -> C {
    let json = serde_json::json!({
        "url": url, "chirpstack_tenant_id": "60538e7d-0000-4000-8000-000000000001", "api_key": "secret:chirpstack-key",
    });
    C::ConnectChirpStack { connection: serde_json::from_value(json).unwrap() }
}

#[test]
fn a_connection_has_a_revision_and_is_used_while_the_tenant_is_active() {
    let mut tenant = after(&[create(), connect("http://lns:8080")]);
    assert_eq!(
        tenant.chirpstack_in_use().map(|(connection, revision)| (connection.url.as_str(), revision)),
        Some(("http://lns:8080", 1))
    );
    assert_eq!(decided(&tenant, &connect("http://lns:8080")), Ok(vec![]));
    assert_eq!(refused(&tenant, &connect("http://user:key@lns")), "invalid");
    for command in [connect("http://lns:8081"), C::Suspend, C::DisconnectChirpStack] {
        decided(&tenant, &command).unwrap().iter().for_each(|event| tenant.apply(event));
        assert_eq!(tenant.chirpstack_in_use().is_some(), command == connect("http://lns:8081"), "{command:?}");
    }
    assert_eq!(tenant.chirpstack_revision(), 2);
    assert_eq!(decided(&tenant, &C::DisconnectChirpStack), Ok(vec![]));
}

fn key(name: &str) -> (KeyFingerprint, TrustedKey) {
    let fingerprint = KeyFingerprint(crate::values::Sha256Digest::of(name.as_bytes()));
    (fingerprint, TrustedKey { public_key: name.to_owned(), name: Some(Sealed::Plain(name.to_owned())) })
}

fn trust(name: &str) -> C {
    let (fingerprint, key) = key(name);
    C::TrustKey { fingerprint, key }
}

#[test]
fn signatures_are_asked_for_once_there_are_keys() {
    let asks = |count: u8| amend(&format!(r#"{{"rules":{{"require_signatures":{count}}}}}"#));
    assert_eq!(refused(&after(&[create()]), &asks(1)), "too_few_trusted_keys");
    let tenant = after(&[create(), trust("one"), trust("two")]);
    assert_eq!(refused(&tenant, &asks(3)), "too_few_trusted_keys");
    assert_eq!(refused(&tenant, &asks(9)), "invalid");
    assert_eq!(tenant.firmware_policy().signatures.required, 0);
    let tenant = after(&[create(), trust("one"), trust("two"), asks(2), C::DistrustKey { fingerprint: key("one").0 }]);
    let policy = tenant.firmware_policy().signatures;
    assert_eq!((policy.required, policy.trusted), (2, [key("two").0].into()), "a key that leaked goes at once");
    assert!(decided(&tenant, &amend(r#"{"name":"Acme"}"#)).is_ok(), "other changes are possible");
    assert!(decided(&tenant, &asks(1)).is_ok());
}

#[test]
fn keys_are_trusted_once_and_their_number_is_bounded() {
    let mut commands = vec![create()];
    commands.extend((0..TRUSTED_KEYS_MAX).map(|n| trust(&n.to_string())));
    let tenant = after(&commands);
    assert_eq!(refused(&tenant, &trust("surplus")), "too_many_trusted_keys");
    assert_eq!(decided(&tenant, &trust("0")), Ok(vec![]));
    let (fingerprint, renamed) = (key("0").0, TrustedKey { name: None, ..key("0").1 });
    assert_eq!(decided(&tenant, &C::TrustKey { fingerprint, key: renamed }).unwrap().len(), 1);
    assert_eq!(decided(&tenant, &C::DistrustKey { fingerprint: key("surplus").0 }), Ok(vec![]));
    let unnamed = TrustedKey { name: Some(Sealed::Plain("\n".to_owned())), ..key("x").1 };
    assert_eq!(refused(&after(&[create()]), &C::TrustKey { fingerprint: key("x").0, key: unnamed }), "invalid");
}
