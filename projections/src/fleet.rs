//! Read model `fleet`: devices, what they run and ran, firmware, campaigns with their members and counts, updates.
//!
//! One projector with one checkpoint: each record is decoded once, and all tables reflect the same prefix of the log. So all queries
//! agree, and gates judge the rows that operators see.

pub mod campaigns;
pub mod deadlines;
pub mod device_commands;
mod device_now;
mod device_queries;
mod device_reads;
mod device_row;
pub mod devices;
pub mod firmware;
pub mod firmware_catalog;
pub mod fuota;
pub mod groups;
pub mod history;
pub mod lorawan_profiles;
pub mod network;
pub mod past;
mod pauses;
pub mod preconditions;
pub mod reach;
pub mod registration_tokens;
pub mod rollback_need;
pub mod rollbacks;
pub mod rollout;
pub mod schedule;
pub mod search;
pub mod selection;
mod signatures;
pub mod statistics;
mod sweep;
pub mod tenants;
mod timed_update;
mod update_clocks;
pub mod updates;
mod versions;
pub mod withdrawals;

use async_trait::async_trait;
use domain::events::{FirmwareEvent, PlanEvent};
use sqlx::PgConnection;

use self::statistics::Standing;
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::memory::Memory;
use crate::read_model::{ReadModel, SweepPlace};
use crate::table::Rows;

const TABLE_GROUPS: [&[&str]; 15] = [
    tenants::TABLES,
    registration_tokens::TABLES,
    devices::TABLES,
    device_commands::TABLES,
    history::TABLES,
    firmware::TABLES,
    groups::TABLES,
    updates::TABLES,
    campaigns::TABLES,
    rollout::TABLES,
    versions::TABLES,
    rollbacks::TABLES,
    statistics::TABLES,
    lorawan_profiles::TABLES,
    fuota::TABLES,
];

pub(crate) struct FleetModel;

#[async_trait]
impl ReadModel for FleetModel {
    fn name(&self) -> &'static str {
        crate::FLEET
    }

    fn version(&self) -> i32 {
        13
    }

    fn tables(&self) -> Vec<&'static str> {
        TABLE_GROUPS.concat()
    }

    /// Events of a campaign change its members and counts, or the clocks of their updates.
    fn concerns_others(&self, record: &Decoded) -> bool {
        match &record.events {
            Events::Device(events) => {
                events.iter().any(|event| event.update().is_some_and(|update| update.campaign.is_some()))
            }
            Events::Firmware(events) => events
                .iter()
                .any(|event| matches!(event, FirmwareEvent::Pinned { .. } | FirmwareEvent::Unpinned { .. })),
            Events::Campaign(_) | Events::Plan(_) | Events::Ledger(_) => true,
            Events::Group(_)
            | Events::Tenant(_)
            | Events::RegistrationToken(_)
            | Events::Fuota(_)
            | Events::LorawanProfile(_)
            | Events::Unshown
            | Events::Unread => false,
        }
    }

    /// A campaign names the plan whose members a chunk has.
    fn needed_by(&self, record: &Decoded) -> Option<String> {
        let Events::Plan(events) = &record.events else { return None };
        let PlanEvent::ChunkWritten { campaign, .. } = events.first()?;
        Some(rollout::campaign_key(&record.raw.key.tenant, campaign))
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        batch: &[Decoded],
        memory: &mut Memory,
    ) -> Result<(), DbError> {
        // The members of a plan depend on rows as they are just before it.
        let is_plan = |record: &Decoded| matches!(record.events, Events::Plan(_));
        for part in batch.chunk_by(|one, other| !is_plan(one) && !is_plan(other)) {
            match part {
                [record] if is_plan(record) => rollout::write_plan(connection, record).await?,
                records => apply_together(connection, records, memory).await?,
            }
        }
        Ok(())
    }

    fn sweeps(&self, record: &Decoded) -> bool {
        sweep::has_steps(record)
    }

    async fn sweep(
        &self,
        connection: &mut PgConnection,
        record: &Decoded,
        from: &SweepPlace,
    ) -> Result<Option<SweepPlace>, DbError> {
        sweep::page(connection, record, from).await
    }
}

async fn apply_together(connection: &mut PgConnection, batch: &[Decoded], memory: &mut Memory) -> Result<(), DbError> {
    let mut devices = devices::load(connection, memory, batch).await?;
    let mut tally = statistics::Tally::default();
    apply_to_devices(connection, memory, batch, &mut devices, &mut tally).await?;
    device_commands::apply_all(connection, batch).await?;
    firmware::apply_all(connection, batch).await?;
    groups::apply_all(connection, batch).await?;
    tenants::apply_all(connection, batch).await?;
    registration_tokens::apply_all(connection, batch).await?;
    lorawan_profiles::apply_all(connection, batch).await?;
    fuota::apply_all(connection, batch).await?;
    campaigns::apply_all(connection, batch).await?;
    rollout::apply(connection, memory, batch, &mut devices, &mut tally).await?;
    tally.save(connection, memory).await?;
    versions::apply(connection, memory, &devices).await?;
    devices.keep(connection, memory).await?;
    rollbacks::apply(connection, batch).await?;
    pauses::apply(connection, batch).await
}

/// What runs on devices with its history, their other fields, and where they count.
async fn apply_to_devices(
    connection: &mut PgConnection,
    memory: &mut Memory,
    batch: &[Decoded],
    devices: &mut Rows<devices::DeviceRow>,
    tally: &mut statistics::Tally,
) -> Result<(), DbError> {
    let mut history = history::load(connection, memory, batch, devices).await?;
    for record in batch.iter().filter(|record| !record.device_events().is_empty()) {
        let Some(device) = devices.get_mut(&[record.tenant(), record.id()]) else { continue };
        let may_count_otherwise = Standing::may_change(record);
        let before = may_count_otherwise.then(|| Standing::of(device)).flatten();
        history::apply(record, device, &mut history);
        devices::apply(record, device);
        tally.failed_on(record, device.hardware_version.as_ref());
        if may_count_otherwise {
            tally.device(record, before, Standing::of(device));
        }
    }
    history.keep(connection, memory).await
}
