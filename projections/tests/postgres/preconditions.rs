//! Preconditions are checked in SQL where many updates wait, and by the domain where a reply explains one. Both must agree.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::*;
use domain::preconditions::{LatestTelemetry, Preconditions};
use projections::preconditions;
use runtime::clock;
use serde_json::json;

use crate::fleet::{World, device, request};

fn all_preconditions() -> Vec<Preconditions> {
    let wanted = [
        json!({"min_battery_percent": 50}),
        json!({"external_power": true}),
        json!({"max_silence_minutes": 30}),
        json!({"min_battery_percent": 50, "external_power": true, "max_silence_minutes": 30}),
    ];
    wanted.into_iter().map(|wanted| serde_json::from_value(wanted).unwrap()).collect()
}

/// No telemetry, and each value below, at and above the bounds of [`all_preconditions`].
fn all_telemetry(now: DateTime<Utc>) -> Vec<Option<LatestTelemetry>> {
    let mut all = vec![None];
    for last_seen in [now, now - TimeDelta::minutes(30), now - TimeDelta::minutes(31)] {
        for battery_percent in [None, Some(49), Some(50)] {
            for external_power in [None, Some(false), Some(true)] {
                all.push(Some(LatestTelemetry { last_seen, battery_percent, external_power }));
            }
        }
    }
    all
}

async fn store(world: &World, id: &str, telemetry: LatestTelemetry) {
    let sql = "INSERT INTO device_presence (tenant, device_id, last_seen, battery_level, external_power, delivery)
               VALUES ('acme', $1, $2, $3, $4, 0)";
    let row = sqlx::query(sql)
        .bind(id)
        .bind(telemetry.last_seen)
        .bind(telemetry.battery_percent)
        .bind(telemetry.external_power);
    row.execute(&world.admin().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_and_domain_agree_on_preconditions() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let now = clock::now();
    let mut expected = BTreeSet::new();
    for (number, wanted) in all_preconditions().into_iter().enumerate() {
        for (other, telemetry) in all_telemetry(now).into_iter().enumerate() {
            let id = format!("d-{number}-{other}");
            world.register(&id).await;
            world.boots(&id, "b1", "1.0.0").await;
            let wanted_update = UpdateRequest { preconditions: Some(wanted), ..request(&firmware) };
            let command = DeviceCommand::RequestUpdate { request: Box::new(wanted_update) };
            world.tell::<Device>(&device(&id), command).await.unwrap();
            if let Some(telemetry) = telemetry {
                store(&world, &id, telemetry).await;
            }
            if wanted.are_met(telemetry, now) {
                expected.insert(id);
            }
        }
    }
    world.settles().await;
    let cleared = preconditions::cleared(&world.db, None, now, 1_000).await.unwrap();
    let cleared: BTreeSet<String> = cleared.into_iter().map(|update| update.device.to_string()).collect();
    assert_eq!(cleared, expected);
    assert!(expected.len() > 10 && expected.len() < 100, "{}", expected.len());
}
