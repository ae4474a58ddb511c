//! Folding events into the rollout read model.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{CampaignStatus, ENDS_AFTER_DAYS};
use domain::device::DeviceEvent;
use domain::events::{CampaignEvent, FirmwareEvent, LedgerEvent, PlanEvent};
use event_store::RecordRef;
use sqlx::{PgConnection, Row as _};

use super::member::{apply_to_device, apply_to_member};
use super::row_keys::RowKeys;
use super::rows::{CampaignRow, DeviceRow, MemberRow, ProgressRow};
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::models::campaigns::status_of;
use crate::row::Row as _;
use crate::table::Rows;

/// The rows that a batch touches.
pub(super) struct Fold {
    campaigns: Rows<CampaignRow>,
    progress: Rows<ProgressRow>,
    members: Rows<MemberRow>,
    devices: Rows<DeviceRow>,
}

impl Fold {
    pub(super) async fn load(connection: &mut PgConnection, batch: &[Decoded]) -> Result<Self, DbError> {
        let device_keys = batch
            .iter()
            .filter(|record| !record.device_events().is_empty())
            .map(|record| vec![record.tenant(), record.id()]);
        let device_keys: Vec<Vec<String>> = device_keys.collect();
        // What happens to a device decides for each campaign that waits for it whether it may begin.
        let waiting = Self::open_members(connection, &device_keys).await?;
        let mut devices = Rows::<DeviceRow>::load(connection, device_keys).await?;
        let touched = RowKeys::by(batch, |device| devices.get(device));
        let of_waiting = waiting.iter().map(|member| vec![member.tenant.clone(), member.campaign_id.clone()]);
        let campaign_keys: BTreeSet<_> = touched.campaigns.iter().cloned().chain(of_waiting).collect();
        let campaigns = Rows::<CampaignRow>::load(connection, campaign_keys.into_iter().collect()).await?;
        let member_keys = touched.members(|campaign| campaigns.get(campaign).and_then(|row| row.plan.clone()));
        let mut members = Rows::<MemberRow>::load(connection, member_keys).await?;
        waiting.into_iter().for_each(|member| members.know(member));
        devices.load_more(connection, touched.device_keys()).await?;
        let progress_keys = Self::progress_keys(connection, &touched.campaigns).await?;
        Ok(Self { progress: Rows::load(connection, progress_keys).await?, members, devices, campaigns })
    }

    /// Members of these devices that haven't ended, in all campaigns and plans.
    async fn open_members(connection: &mut PgConnection, devices: &[Vec<String>]) -> Result<Vec<MemberRow>, DbError> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let column = |index: usize| devices.iter().map(|key| key[index].clone()).collect::<Vec<_>>();
        let sql = format!(
            "SELECT {} FROM (SELECT DISTINCT * FROM UNNEST($1::text[], $2::text[]) AS k (tenant, device_id)) k
             JOIN rollout_members m ON m.tenant = k.tenant AND m.device_id = k.device_id
             WHERE m.ended_at IS NULL AND m.excluded IS NULL",
            MemberRow::COLUMNS.iter().map(|column| format!("m.{column}")).collect::<Vec<_>>().join(", ")
        );
        let rows = sqlx::query(&sql).bind(column(0)).bind(column(1)).fetch_all(connection).await?;
        rows.iter().map(MemberRow::read).collect()
    }

    async fn progress_keys(
        connection: &mut PgConnection,
        campaigns: &BTreeSet<Vec<String>>,
    ) -> Result<Vec<Vec<String>>, DbError> {
        let column = |index: usize| campaigns.iter().map(|key| key[index].clone()).collect::<Vec<_>>();
        let rows = sqlx::query(
            "SELECT p.tenant, p.campaign_id, p.wave FROM campaign_progress p
             JOIN UNNEST($1::text[], $2::text[]) AS k (tenant, campaign_id) ON k.tenant = p.tenant AND k.campaign_id = p.campaign_id",
        )
        .bind(column(0))
        .bind(column(1))
        .fetch_all(connection)
        .await?;
        rows.iter()
            .map(|row| Ok(vec![row.try_get(0)?, row.try_get(1)?, row.try_get::<i64, _>(2)?.to_string()]))
            .collect()
    }

    pub(super) async fn save(mut self, connection: &mut PgConnection) -> Result<(), DbError> {
        let (campaigns, devices) = (&self.campaigns, &self.devices);
        for member in self.members.all_mut() {
            let campaign = campaigns.get(&[member.tenant.clone(), member.campaign_id.clone()]);
            let device = devices.get(&[member.tenant.clone(), member.device_id.clone()]);
            member.set_readiness(device, campaign.is_some_and(CampaignRow::is_urgent));
        }
        self.campaigns.save(connection).await?;
        self.progress.save(connection).await?;
        self.members.save(connection).await?;
        self.devices.save(connection).await
    }

    pub(super) fn record(&mut self, record: &Decoded) -> Result<(), DbError> {
        match &record.events {
            Events::Campaign(events) => events.iter().try_for_each(|event| self.campaign(record, event)),
            Events::Plan(events) => {
                events.iter().for_each(|event| self.chunk(record, event));
                Ok(())
            }
            Events::Ledger(events) => {
                events.iter().for_each(|event| self.grant(record, event));
                Ok(())
            }
            Events::Device(events) => {
                events.iter().for_each(|event| self.device(record, event));
                Ok(())
            }
            Events::Firmware(events) => {
                events.iter().for_each(|event| self.firmware(record, event));
                Ok(())
            }
            Events::Claim => Ok(()),
        }
    }

    fn campaign(&mut self, record: &Decoded, event: &CampaignEvent) -> Result<(), DbError> {
        use CampaignEvent as E;
        let key = vec![record.tenant(), record.id()];
        let at = record.at();
        if let E::Created { spec, .. } = event {
            self.campaigns.put(CampaignRow {
                tenant: record.tenant(),
                campaign_id: record.id(),
                status: CampaignStatus::Draft.word().to_owned(),
                before_pause: None,
                at_work: false,
                spec: (**spec).clone(),
                firmware: None,
                plan: None,
                planning_position: 0,
                pinned: false,
                wave: 0,
                wave_completed: false,
                soaking_since: None,
                paused_at: None,
                accepted: false,
                ledger_version: 0,
                granted_total: 0,
                paced_until: None,
                ends_at: None,
                retry_round: 0,
                version: 0,
                position: record.raw.position,
            });
        }
        let row = self
            .campaigns
            .get_mut(&key)
            .ok_or_else(|| DbError::Invalid(format!("{} was never created", record.raw.key)))?;
        row.position = record.raw.position;
        row.version = record.record.last_version();
        match event {
            E::Created { .. } => {}
            E::Amended { spec } => row.spec = (**spec).clone(),
            E::Adjusted { changes, sample } => {
                let spec = row.spec.adjusted(changes);
                row.paced_until = row.spec.paced_anew(&spec, row.paced_until, at);
                row.spec = spec;
                if !changes.ends_at.is_keep() {
                    row.ends_at = row.spec.ends_at.or(row.ends_at);
                }
                // The last wave has new devices: it is judged anew.
                if sample.is_some() && usize::from(row.wave) == row.spec.waves.len() {
                    (row.wave_completed, row.soaking_since) = (false, None);
                }
                for (index, enrolled) in sample.iter().flat_map(|sample| &sample.waves).enumerate() {
                    if let Some(progress) = self.progress.get_mut(&wave_key(&key, index as u16 + 1)) {
                        progress.enrolled = i64::from(*enrolled);
                    }
                }
            }
            E::Retried { round, ends_at } => {
                row.retry_round = *round;
                row.ends_at = ends_at.or(row.ends_at);
                if !row.at_work {
                    set_status(row, CampaignStatus::Running);
                }
                // Those who begin again wait from here.
                for wave in 1..=row.wave {
                    if let Some(progress) = self.progress.get_mut(&wave_key(&key, wave)) {
                        progress.waits_from = Some(at);
                    }
                }
            }
            E::Deleted {} => set_status(row, CampaignStatus::Deleted),
            E::PlanningStarted { firmware, ends_at, .. } => {
                set_status(row, CampaignStatus::Planning);
                row.firmware = Some((**firmware).clone());
                row.planning_position = record.raw.position;
                row.ends_at = ends_at.or(row.spec.ends_at).or(Some(at + TimeDelta::days(ENDS_AFTER_DAYS)));
            }
            E::Planned { summary } => {
                row.plan = Some(summary.plan.to_string());
                for (index, enrolled) in summary.waves.iter().enumerate() {
                    self.progress.put(ProgressRow {
                        tenant: record.tenant(),
                        campaign_id: record.id(),
                        wave: index as u16 + 1,
                        enrolled: i64::from(*enrolled),
                        ..ProgressRow::default()
                    });
                }
            }
            E::Started {} => set_status(row, CampaignStatus::Running),
            E::WaveOpened { wave, .. } => {
                row.wave = *wave;
                (row.wave_completed, row.accepted, row.soaking_since) = (false, false, None);
                if let Some(progress) = self.progress.get_mut(&wave_key(&key, *wave)) {
                    (progress.opened_at, progress.waits_from) = (Some(at), Some(at));
                }
            }
            E::GatePassed { .. } => row.soaking_since = Some(at),
            E::SoakBroken { .. } | E::GateClosed { .. } => row.soaking_since = None,
            E::WaveCompleted { wave, .. } => {
                row.wave_completed = true;
                if let Some(progress) = self.progress.get_mut(&wave_key(&key, *wave)) {
                    progress.completed_at = Some(at);
                }
            }
            E::Paused { .. } => {
                row.before_pause = Some(row.status.clone());
                set_status(row, CampaignStatus::Paused);
                row.paused_at = Some(at);
            }
            E::Resumed { accept_failures } => self.resume(&key, at, *accept_failures),
            E::Cancelling {} => set_status(row, CampaignStatus::Cancelling),
            E::Cancelled {} => set_status(row, CampaignStatus::Cancelled),
            E::Finished { result, .. } => {
                set_status(row, status_of(*result));
                (row.before_pause, row.paused_at) = (None, None);
            }
        }
        Ok(())
    }

    /// Soak and waiting clocks stood still while paused; accepted failures don't count again.
    fn resume(&mut self, key: &[String], at: DateTime<Utc>, accept_failures: bool) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        let before = row.before_pause.take().and_then(|word| CampaignStatus::from_word(&word));
        set_status(row, before.unwrap_or(CampaignStatus::Running));
        let paused = row.paused_at.take().map_or(TimeDelta::zero(), |since| at - since);
        row.soaking_since = row.soaking_since.map(|since| since + paused);
        row.accepted |= accept_failures;
        for wave in 1..=row.spec.waves.len() as u16 {
            let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) else { continue };
            progress.waits_from = progress.waits_from.map(|since| since + paused);
            if accept_failures {
                progress.accepted_failed = progress.gate_failed;
                progress.accepted_settled = progress.gate_settled;
                progress.accepted_ended = progress.failed;
            }
        }
    }

    fn chunk(&mut self, record: &Decoded, event: &PlanEvent) {
        let PlanEvent::ChunkWritten { campaign, plan, entries, .. } = event;
        for entry in entries {
            self.members.put(MemberRow {
                tenant: record.tenant(),
                campaign_id: campaign.to_string(),
                plan: plan.to_string(),
                device_id: entry.device.to_string(),
                rank: entry.rank,
                wave: entry.wave,
                excluded: entry.excluded.map(|reason| reason.word().to_owned()),
                from_version: entry.from_version.clone(),
                phase: "planned".to_owned(),
                wait_reason: None,
                before_cancel: None,
                cancel_refused: false,
                ordinal: None,
                retry_of: None,
                attempt: 0,
                holds_slot: false,
                grant_number: 0,
                grant_seen: false,
                reached_at: None,
                ended_at: None,
                not_before: None,
                gate_failed: false,
                gate_accepted: false,
                failure_accepted: false,
                confirmed_ever: false,
                regressed_at: None,
                late_confirmed: false,
                code: None,
                before_retry: None,
                ready: false,
                ready_at: None,
            });
        }
    }

    fn grant(&mut self, record: &Decoded, event: &LedgerEvent) {
        let LedgerEvent::Granted { number, grants, granted_total, .. } = event;
        let campaign = vec![record.tenant(), record.id()];
        if let Some(row) = self.campaigns.get_mut(&campaign) {
            row.ledger_version = *number;
            row.granted_total = *granted_total;
            row.paced_until = row.spec.paced_until(row.paced_until, record.at(), grants.len());
        }
        for slot in grants {
            self.member(&campaign, slot.device.as_str(), record.reference(), |member| {
                member.holds_slot = !member.is_ended();
                member.grant_number = *number;
                member.grant_seen = member.is_ended();
            });
        }
    }

    fn firmware(&mut self, record: &Decoded, event: &FirmwareEvent) {
        let (campaign, pinned) = match event {
            FirmwareEvent::Pinned { campaign } => (campaign, true),
            FirmwareEvent::Unpinned { campaign } => (campaign, false),
            _ => return,
        };
        if let Some(row) = self.campaigns.get_mut(&[record.tenant(), campaign.to_string()]) {
            row.pinned = pinned;
        }
    }

    fn device(&mut self, record: &Decoded, event: &DeviceEvent) {
        let key = vec![record.tenant(), record.id()];
        let mut device = self.devices.get(&key).cloned().unwrap_or_else(|| DeviceRow {
            tenant: record.tenant(),
            device_id: record.id(),
            online: false,
            held: false,
            hold_until: None,
            decommissioned: false,
            live_ordinal: None,
            between_attempts: None,
            sent: BTreeMap::new(),
        });
        apply_to_device(&mut device, event);
        let findings = device.apply_versions(event);
        self.devices.put(device);
        for (campaign, ordinal, runs) in findings {
            self.member(&[record.tenant(), campaign], &record.id(), record.reference(), |member| {
                member.record_late_confirmation(ordinal, runs);
            });
        }
        let Some(update) = event.update() else { return };
        let Some(campaign) = update.campaign else { return };
        let campaign = vec![record.tenant(), campaign.to_string()];
        // After its end a campaign's verdict stands.
        let closed = self.campaigns.get(&campaign).is_none_or(|row| !row.at_work);
        if closed && matches!(event, DeviceEvent::VersionRegressed { .. }) {
            return;
        }
        let (ordinal, attempt, at) = (update.ordinal, update.attempt, record.at());
        self.member(&campaign, &record.id(), record.reference(), |member| {
            let is_known = member.ordinal == Some(ordinal);
            // Another one has taken its place, by a retry or because it was overtaken.
            let is_replaced = member.retry_of.is_some_and(|old| ordinal <= old);
            if is_replaced || member.ordinal.is_some_and(|newer| ordinal < newer) {
                return;
            }
            // It was granted its retry while it turned out to be there.
            if matches!(event, DeviceEvent::UpdateQueued { .. }) && member.is_ended() && member.phase != "superseded" {
                member.reset_for_retry();
            }
            (member.ordinal, member.before_retry) = (Some(ordinal), None);
            member.attempt = if is_known { member.attempt.max(attempt) } else { attempt };
            apply_to_member(member, event, at);
        });
    }

    /// Changes a member of the campaign's plan, and the counts with it.
    fn member(&mut self, campaign: &[String], device: &str, by: RecordRef, change: impl FnOnce(&mut MemberRow)) {
        let Some(plan) = self.campaigns.get(campaign).and_then(|row| row.plan.clone()) else { return };
        let key = vec![campaign[0].clone(), campaign[1].clone(), plan, device.to_owned()];
        let Some(member) = self.members.get_mut(&key) else { return };
        let before = member.clone();
        change(member);
        if let Some(progress) = self.progress.get_mut(&wave_key(campaign, member.wave)) {
            progress.change(&before, member);
            progress.changed_by(by, &before, member);
        }
    }
}

fn wave_key(campaign: &[String], wave: u16) -> Vec<String> {
    vec![campaign[0].clone(), campaign[1].clone(), wave.to_string()]
}

fn set_status(row: &mut CampaignRow, status: CampaignStatus) {
    row.status = status.word().to_owned();
    row.at_work = status.is_live();
}
