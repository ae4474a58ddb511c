//! What tenants keep for a time is removed in steps when the time of each is over, and isn't shown in between.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TenantId;
use event_store::telemetry::TelemetryKind;
use projections::presence::readings::latest;
use projections::retention::remove_old;
use runtime::clock;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fleet::device;
use crate::telemetry::Hearing;
use crate::until::PATIENCE;

async fn tenant(admin: &PgPool, id: &str, status: &str, retention: Value) {
    let state = json!({"exists": true, "spec": {"retention": retention}});
    let row =
        "INSERT INTO tenants (tenant, status, frozen, state, version, created_by, created_at, updated_at, position)
               VALUES ($1, $2, false, $3, 1, 'test', now(), now(), 1)
               ON CONFLICT (tenant) DO UPDATE SET status = EXCLUDED.status, state = EXCLUDED.state";
    sqlx::query(row).bind(id).bind(status).bind(state).execute(admin).await.unwrap();
}

/// Tenant and age in days of each row.
async fn ages(admin: &PgPool, table: &str, age: &str) -> Vec<(String, i32)> {
    let sql = format!("SELECT tenant, ({age})::int FROM {table} ORDER BY 1, 2");
    sqlx::query_as(&sql).fetch_all(admin).await.unwrap()
}

fn of(expected: &[(&str, &[i32])]) -> Vec<(String, i32)> {
    expected.iter().flat_map(|(id, days)| days.iter().map(|days| ((*id).to_owned(), *days))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_keeps_logs_and_downloads_of_devices_as_long_as_it_has_set() {
    let hearing = Hearing::start().await;
    let (world, admin) = (&hearing.world, hearing.world.admin().await);
    tenant(&admin, "brief", "active", json!({"update_log_days": 2, "device_download_days": 10})).await;
    tenant(&admin, "long", "active", json!({"update_log_days": 365, "device_download_days": 1_100})).await;
    tenant(&admin, "usual", "active", json!({})).await;
    tenant(&admin, "gone", "closed", json!({"update_log_days": 365})).await;
    // `older` has no row of its own yet.
    for id in ["brief", "gone", "long", "older", "usual"] {
        for days in [0, 1, 9, 29, 31, 364, 366, 399, 401, 1_099, 1_101] {
            let log = "INSERT INTO update_logs (tenant, device_id, ordinal, broker_ms, delivery, received_at, text)
                       VALUES ($1, 'd-1', 1, 1, $2, now() - make_interval(days => $2, mins => -1), 'x')";
            sqlx::query(log).bind(id).bind(days).execute(&admin).await.unwrap();
            let download =
                "INSERT INTO download_devices (tenant, firmware_id, device_id, day, started, completed, bytes)
                            VALUES ($1, 'f-1', 'd-1', (now() AT TIME ZONE 'UTC')::date - $2, 1, 1, 1)";
            sqlx::query(download).bind(id).bind(days).execute(&admin).await.unwrap();
        }
    }
    let mut steps = 0;
    while remove_old(&world.db, 7).await.unwrap() {
        steps += 1;
    }
    assert!(steps >= 5, "{steps} steps of 7 rows");
    let usual: &[i32] = &[0, 1, 9, 29];
    let logs: [(&str, &[i32]); 4] =
        [("brief", &[0, 1]), ("long", &[0, 1, 9, 29, 31, 364]), ("older", usual), ("usual", usual)];
    let age = "justify_hours(now() - received_at + interval '2 minutes')";
    assert_eq!(ages(&admin, "update_logs", &format!("extract(day FROM {age})")).await, of(&logs));
    let usual: &[i32] = &[0, 1, 9, 29, 31, 364, 366, 399];
    let downloads: [(&str, &[i32]); 4] = [
        ("brief", &[0, 1, 9]),
        ("long", &[0, 1, 9, 29, 31, 364, 366, 399, 401, 1_099]),
        ("older", usual),
        ("usual", usual),
    ];
    assert_eq!(ages(&admin, "download_devices", "(now() AT TIME ZONE 'UTC')::date - day").await, of(&downloads));
    // A longer time brings nothing back, a shorter one takes more.
    tenant(&admin, "brief", "active", json!({"update_log_days": 365})).await;
    tenant(&admin, "long", "active", json!({"update_log_days": 1})).await;
    assert!(!remove_old(&world.db, 100).await.unwrap());
    let logs: [(&str, &[i32]); 2] = [("brief", &[0, 1]), ("long", &[0, 1])];
    let kept = ages(&admin, "update_logs", &format!("extract(day FROM {age})")).await;
    assert_eq!(kept.into_iter().filter(|(id, _)| id == "brief" || id == "long").collect::<Vec<_>>(), of(&logs));
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

async fn names(hearing: &Hearing, id: &str, since: Option<DateTime<Utc>>) -> Vec<String> {
    let mut tx = hearing.world.db.read(&hearing.world.tenant).await.unwrap();
    latest(&mut tx, &device(id), since).await.unwrap().into_keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_stay_where_no_time_is_set_and_go_where_it_has_passed() {
    let hearing = Hearing::start().await;
    let (world, admin) = (&hearing.world, hearing.world.admin().await);
    let id: TenantId = world.tenant.clone();
    hearing.hears("d-1", TelemetryKind::Measurements, r#"{"old":1,"new":1}"#).await;
    hearing.hears("d-2", TelemetryKind::Measurements, r#"{"old":1}"#).await;
    let three_days_ago = json!((clock::now() - TimeDelta::days(3)).to_rfc3339());
    // `d-2` is as an earlier version has written it.
    let age = "UPDATE telemetry_latest SET readings = jsonb_set(readings, '{old,at}', $1),
               at = CASE device_id WHEN 'd-2' THEN now() - interval '3 days' ELSE at END,
               oldest_at = CASE device_id WHEN 'd-1' THEN now() - interval '3 days' END";
    sqlx::query(age).bind(&three_days_ago).execute(&admin).await.unwrap();
    let two_days = Some(clock::now() - TimeDelta::days(2));
    assert_eq!(
        (names(&hearing, "d-1", None).await, names(&hearing, "d-1", two_days).await.len()),
        (vec!["new".to_owned(), "old".to_owned()], 1)
    );

    let stored = async || -> Vec<(String, Value, Value)> {
        let sql = "SELECT device_id, readings, data FROM telemetry_latest ORDER BY 1";
        sqlx::query_as(sql).fetch_all(&admin).await.unwrap()
    };
    for unset in [json!({}), json!({"telemetry_days": 4})] {
        tenant(&admin, id.as_str(), "active", unset).await;
        assert!(!remove_old(&world.db, 10).await.unwrap());
        assert_eq!(stored().await[0].1.as_object().unwrap().len(), 2);
    }
    tenant(&admin, id.as_str(), "active", json!({"telemetry_days": 2})).await;
    assert!(remove_old(&world.db, 1).await.unwrap(), "there is more");
    while remove_old(&world.db, 1).await.unwrap() {}
    let kept = stored().await;
    assert_eq!(kept[0].1.as_object().unwrap().keys().collect::<Vec<_>>(), ["new"]);
    assert_eq!((&kept[0].2, &kept[1].1, &kept[1].2), (&json!({"old": 1, "new": 1}), &json!({}), &json!({})));
    // The row still says which message was the latest, and takes the next one.
    hearing.hears("d-2", TelemetryKind::Measurements, r#"{"next":1}"#).await;
    assert_eq!(names(&hearing, "d-2", two_days).await, ["next"]);
    tenant(&admin, id.as_str(), "closed", json!({})).await;
    while remove_old(&world.db, 10).await.unwrap() {}
    assert!(stored().await.iter().all(|(_, readings, data)| (readings, data) == (&json!({}), &json!({}))));
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}
