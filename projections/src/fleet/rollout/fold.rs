//! The rows that a batch touches, and how a change of one member reaches the counts of its wave.

use std::collections::{BTreeSet, HashMap};

use domain::device::DeviceEvent;
use event_store::RecordRef;
use sqlx::PgConnection;

use super::member_state::{Contribution, MemberState};
use super::row_keys::RowKeys;
use super::rows::{CampaignRow, MemberRow, ProgressRow};
use crate::db::DbError;
use crate::decode::Decoded;
use crate::fleet::device_row::DeviceRow;
use crate::fleet::statistics::Tally;
use crate::fleet::statistics::failures::FailureChanges;
use crate::fleet::updates::{self, UpdateRow};
use crate::memory::Memory;
use crate::row::Row as _;
use crate::table::Rows;

/// Rows of campaigns, and the rows of devices and updates that they depend on.
pub(super) struct Fold<'d> {
    pub(super) campaigns: Rows<CampaignRow>,
    pub(super) progress: Rows<ProgressRow>,
    pub(super) members: Rows<MemberRow>,
    pub(super) updates: Rows<UpdateRow>,
    pub(super) devices: &'d mut Rows<DeviceRow>,
    pub(super) failures: FailureChanges,
    pub(super) tally: &'d mut Tally,
    /// Devices that have moved to another zone in the batch.
    pub(super) zones: HashMap<[String; 2], Option<String>>,
}

impl<'d> Fold<'d> {
    /// `devices` has the rows of all devices with an event in the batch.
    pub(super) async fn load(
        connection: &mut PgConnection,
        memory: &mut Memory,
        batch: &[Decoded],
        devices: &'d mut Rows<DeviceRow>,
        tally: &'d mut Tally,
    ) -> Result<Self, DbError> {
        // What occupies a device decides whether its members of other campaigns may begin.
        let occupied = batch.iter().filter(|record| {
            let before = devices.before(&[record.tenant(), record.id()]);
            record.device_events().iter().any(|event| may_change_availability(before, event))
        });
        let device_keys: Vec<Vec<String>> = occupied.map(|record| vec![record.tenant(), record.id()]).collect();
        let waiting = open_members(connection, &device_keys).await?;
        let touched = RowKeys::by(batch, |device| devices.get(device));
        let of_waiting = waiting.iter().map(|member| vec![member.tenant.clone(), member.campaign_id.clone()]);
        let campaign_keys: BTreeSet<_> = touched.campaigns.iter().cloned().chain(of_waiting).collect();
        let campaigns = Rows::<CampaignRow>::recall(connection, memory, campaign_keys.into_iter().collect()).await?;
        let member_keys = touched.members(|campaign| campaigns.get(campaign).and_then(|row| row.plan.clone()));
        let mut members = Rows::<MemberRow>::recall(connection, memory, member_keys).await?;
        waiting.into_iter().for_each(|member| members.know(member));
        devices.recall_more(connection, memory, touched.device_keys()).await?;
        let mut updates = updates::load(connection, memory, batch).await?;
        updates.recall_more(connection, memory, members.all().filter_map(MemberRow::latest_update).collect()).await?;
        let planned = touched.campaigns.iter().filter_map(|key| campaigns.get(key));
        let progress_keys = planned.filter(|row| row.plan.is_some()).flat_map(CampaignRow::wave_keys);
        let progress = Rows::recall(connection, memory, progress_keys.collect()).await?;
        let failures = FailureChanges::default();
        Ok(Self { progress, members, updates, devices, failures, tally, campaigns, zones: HashMap::new() })
    }

    /// Writes all rows but those of the devices.
    pub(super) async fn save(mut self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), DbError> {
        for member in self.members.all_mut() {
            let campaign = self.campaigns.get(&member.campaign_key());
            let update = member.update_key().and_then(|key| self.updates.get(&key));
            let device = self.devices.get(&member.device_key()).map(DeviceRow::occupancy);
            member.set_readiness(device, update, campaign);
        }
        self.failures.save(connection).await?;
        self.campaigns.keep(connection, memory).await?;
        self.progress.keep(connection, memory).await?;
        self.members.keep(connection, memory).await?;
        self.updates.keep(connection, memory).await
    }

    /// Key of a device's member in the campaign's plan.
    pub(super) fn member_key(&self, campaign: &[String], device: &str) -> Option<Vec<String>> {
        let plan = self.campaigns.get(campaign)?.plan.clone()?;
        Some(vec![campaign[0].clone(), plan, device.to_owned()])
    }

    pub(super) fn contribution(&self, member: &[String]) -> Option<Contribution> {
        let member = self.members.get(member)?;
        let planned_outcome = self.campaigns.get(&member.campaign_key()).and_then(|row| row.planned_outcome);
        Some(MemberState::find(member, &self.updates, planned_outcome).contribution())
    }

    /// Changes a member and the counts of its wave.
    pub(super) fn change_member(&mut self, key: &[String], by: RecordRef, change: impl FnOnce(&mut MemberRow)) {
        let Some(before) = self.contribution(key) else { return };
        if let Some(member) = self.members.get_mut(key) {
            change(member);
        }
        self.count(key, by, &before);
    }

    /// Changes the counts by what has changed in a member since it contributed `before`.
    pub(super) fn count(&mut self, key: &[String], by: RecordRef, before: &Contribution) {
        let Some(after) = self.contribution(key) else { return };
        let Some(wave_key) = self.members.get(key).map(MemberRow::wave_key) else { return };
        self.failures.add(&wave_key, before.failure.as_ref(), after.failure.as_ref());
        if let Some(progress) = self.progress.get_mut(&wave_key) {
            progress.change(before, &after);
            progress.changed_by(by, before, &after);
        }
    }
}

/// Whether an event may change whether its device can begin an update. `before`: the device before the batch.
fn may_change_availability(before: Option<&DeviceRow>, event: &DeviceEvent) -> bool {
    match (event.update(), event.phase()) {
        (Some(update), Some(phase)) => {
            !phase.is_live() || before.is_none_or(|device| device.live_ordinal != Some(update.ordinal))
        }
        (Some(_), None) => false,
        (None, _) => !matches!(
            event,
            DeviceEvent::VersionsReported { .. }
                | DeviceEvent::InfoReported { .. }
                | DeviceEvent::ReportedLate { .. }
                | DeviceEvent::CredentialIssued { .. }
                | DeviceEvent::CredentialRevoked { .. }
        ),
    }
}

/// Members of these devices that haven't ended, in all plans of campaigns at work; in other campaigns those with an open update. A retry
/// looks at the other members of a campaign that has ended.
async fn open_members(connection: &mut PgConnection, devices: &[Vec<String>]) -> Result<Vec<MemberRow>, DbError> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let column = |index: usize| devices.iter().map(|key| key[index].clone()).collect::<Vec<_>>();
    let sql = format!(
        "SELECT {} FROM (SELECT DISTINCT * FROM UNNEST($1::text[], $2::text[]) AS k (tenant, device_id)) k
         JOIN rollout_members m ON m.tenant = k.tenant AND m.device_id = k.device_id
         JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id
         WHERE m.outcome IS NULL AND m.excluded IS NULL
           AND (c.at_work OR (m.ordinal IS NOT NULL AND m.before_retry IS NULL))",
        MemberRow::columns_of("m")
    );
    let rows = sqlx::query(&sql).bind(column(0)).bind(column(1)).fetch_all(connection).await?;
    rows.iter().map(MemberRow::read).collect()
}
