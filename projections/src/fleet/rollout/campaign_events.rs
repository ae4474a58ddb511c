//! What a campaign's own events change.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Adjustments, CampaignStatus, ENDS_AFTER_DAYS, PlanSummary, RollbackCause, Sample, WAVES_MAX};
use domain::device::Outcome;
use domain::events::CampaignEvent as E;

use super::fold::Fold;
use super::rows::{CampaignRollback, CampaignRow, ProgressRow};
use crate::db::DbError;
use crate::decode::Decoded;
use crate::fleet::campaigns::status_of;

impl Fold<'_> {
    pub(super) fn apply_campaign(&mut self, record: &Decoded, event: &E) -> Result<(), DbError> {
        let key = [record.tenant(), record.id()];
        let at = record.at();
        if let E::Created { spec, .. } = event {
            self.campaigns.put(CampaignRow::draft(record.tenant(), record.id(), (**spec).clone()));
        }
        let row = self
            .campaigns
            .get_mut(&key)
            .ok_or_else(|| DbError::Invalid(format!("{} was never created", record.raw.key)))?;
        row.position = record.raw.position;
        row.version = record.record.last_version();
        match event {
            E::Created { .. } => {}
            E::Amended { spec, .. } => {
                set_status(row, CampaignStatus::Draft);
                row.starts_at = None;
                row.spec = (**spec).clone();
            }
            E::ApprovalRequested { .. } => set_status(row, CampaignStatus::AwaitingApproval),
            E::Approved { .. } => set_status(row, CampaignStatus::Approved),
            E::Rejected { .. } => set_status(row, CampaignStatus::Rejected),
            E::Scheduled { at, .. } => {
                set_status(row, CampaignStatus::Scheduled);
                row.starts_at = Some(*at);
            }
            E::Deleted {} => set_status(row, CampaignStatus::Deleted),
            E::PlanningStarted { firmware, ends_at, .. } => {
                set_status(row, CampaignStatus::Planning);
                row.starts_at = None;
                row.firmware = Some((**firmware).clone());
                row.planning_position = record.raw.position;
                row.ends_at = ends_at.or(row.spec.ends_at).or(Some(at + TimeDelta::days(ENDS_AFTER_DAYS)));
            }
            E::Started {} => {
                set_status(row, CampaignStatus::Running);
                if row.spec.stages() {
                    self.begin_clocks(&key, at, WAVES_MAX as u16);
                }
            }
            E::Cancelling {} => {
                set_status(row, CampaignStatus::Cancelling);
                (row.before_pause, row.paused_at) = (None, None);
            }
            E::RollingBack { cause, round } => {
                set_status(row, CampaignStatus::RollingBack);
                (row.before_pause, row.paused_at, row.soaking_since) = (None, None, None);
                let update_round = row.rollback.as_ref().map_or(row.retry_round, |former| former.update_round);
                row.rollback = Some(begun(record, *cause, *round, update_round));
                row.retry_round = *round;
            }
            E::RolledBack { evidence } => {
                set_status(row, CampaignStatus::RolledBack);
                if let Some(rollback) = &mut row.rollback {
                    rollback.ended = Some(evidence.clone());
                }
                if row.planned_outcome.is_none() {
                    self.end_planned(&key, at, Outcome::Cancelled);
                }
            }
            E::Cancelled {} => {
                set_status(row, CampaignStatus::Cancelled);
                (row.before_pause, row.paused_at, row.starts_at) = (None, None, None);
                self.end_planned(&key, at, Outcome::Cancelled);
            }
            E::Finished { result, .. } => {
                set_status(row, status_of(*result));
                (row.before_pause, row.paused_at, row.starts_at) = (None, None, None);
                self.end_planned(&key, at, Outcome::Expired);
            }
            E::Paused { .. } => {
                row.before_pause = Some(row.status);
                set_status(row, CampaignStatus::Paused);
                row.paused_at = Some(at);
            }
            E::GatePassed { .. } => row.soaking_since = Some(at),
            E::SoakBroken { .. } | E::GateClosed { .. } => row.soaking_since = None,
            E::Planned { summary } => self.plan(&key, summary),
            E::PlanRefused { returns_to, .. } => {
                set_status(row, *returns_to);
                (row.firmware, row.planning_position, row.ends_at) = (None, 0, None);
            }
            E::Adjusted { changes, sample } => self.adjust(&key, at, changes, sample.as_ref()),
            E::Retried { round, ends_at } => self.retry(&key, at, *round, *ends_at),
            E::Staged { .. } => {
                row.wave_completed = true;
                self.accept_failures(&key);
            }
            E::WaveOpened { wave, forced, .. } => {
                // An operator has ended the staging.
                if *wave == 1 && *forced {
                    self.accept_failures(&key);
                }
                self.open_wave(&key, at, *wave);
            }
            E::WaveCompleted { wave, .. } => {
                row.wave_completed = true;
                if let Some(progress) = self.progress.get_mut(&wave_key(&key, *wave)) {
                    progress.completed_at = Some(at);
                }
            }
            E::Resumed { accept_failures } => self.resume(&key, at, *accept_failures),
        }
        Ok(())
    }

    /// Devices that never had their turn end with the campaign. It may have ended before and been retried.
    fn end_planned(&mut self, key: &[String; 2], at: DateTime<Utc>, outcome: Outcome) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        let before = row.planned_outcome.replace(outcome);
        row.planned_ended_at = Some(at);
        for wave in 1..=row.spec.waves.len() as u16 {
            if let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) {
                progress.move_planned(before, Some(outcome));
            }
        }
    }

    fn plan(&mut self, key: &[String; 2], summary: &PlanSummary) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        row.plan = Some(summary.plan.to_string());
        for (index, enrolled) in summary.waves.iter().enumerate() {
            let [tenant, campaign_id] = key.clone();
            let mut progress = ProgressRow { tenant, campaign_id, wave: index as u16 + 1, ..ProgressRow::default() };
            progress.enroll(*enrolled);
            self.progress.put(progress);
        }
    }

    fn adjust(&mut self, key: &[String; 2], at: DateTime<Utc>, changes: &Adjustments, sample: Option<&Sample>) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        let spec = row.spec.adjusted(changes);
        row.set_paced_until(row.spec.paced_again(&spec, row.paced_until(), at));
        row.spec = spec;
        if !changes.ends_at.is_keep() {
            row.ends_at = row.spec.ends_at.or(row.ends_at);
        }
        // The last wave has new devices, so it is judged again.
        if sample.is_some() && usize::from(row.wave) == row.spec.waves.len() {
            (row.wave_completed, row.soaking_since) = (false, None);
        }
        for (index, enrolled) in sample.into_iter().flat_map(|sample| &sample.waves).enumerate() {
            if let Some(progress) = self.progress.get_mut(&wave_key(key, index as u16 + 1)) {
                progress.counts.enrolled = *enrolled;
            }
        }
    }

    fn retry(&mut self, key: &[String; 2], at: DateTime<Utc>, round: u16, ends_at: Option<DateTime<Utc>>) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        row.retry_round = round;
        row.ends_at = ends_at.or(row.ends_at);
        if !row.at_work {
            set_status(row, CampaignStatus::Running);
        }
        row.planned_ended_at = None;
        let ended = row.planned_outcome.take();
        for wave in 1..=row.spec.waves.len() as u16 {
            if let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) {
                progress.move_planned(ended, None);
            }
        }
        let Some(row) = self.campaigns.get_mut(key) else { return };
        // The waiting clocks of retried members start here. In a pause they start with it: its end moves them forward.
        let from = row.paused_at.unwrap_or(at);
        let last_wave = if row.is_staging() { WAVES_MAX as u16 } else { row.wave };
        self.begin_clocks(key, from, last_wave);
    }

    /// The waiting clocks of all waves up to this one start.
    fn begin_clocks(&mut self, key: &[String; 2], at: DateTime<Utc>, last_wave: u16) {
        for wave in 1..=last_wave {
            let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) else { return };
            progress.waits_from = Some(at);
        }
    }

    /// The failures so far don't count again.
    fn accept_failures(&mut self, key: &[String; 2]) {
        for wave in 1..=WAVES_MAX as u16 {
            let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) else { return };
            let counts = &mut progress.counts;
            counts.accepted_failed = counts.gate_failed;
            counts.accepted_settled = counts.gate_settled;
            counts.accepted_ended = counts.failed;
        }
    }

    fn open_wave(&mut self, key: &[String; 2], at: DateTime<Utc>, wave: u16) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        row.wave = wave;
        (row.wave_completed, row.accepted, row.soaking_since) = (false, false, None);
        if let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) {
            (progress.opened_at, progress.waits_from) = (Some(at), Some(at));
        }
    }

    /// Soak and waiting clocks stood still in the pause; accepted failures don't count again.
    fn resume(&mut self, key: &[String; 2], at: DateTime<Utc>, accept_failures: bool) {
        let Some(row) = self.campaigns.get_mut(key) else { return };
        let status = row.before_pause.take().unwrap_or(CampaignStatus::Running);
        set_status(row, status);
        let paused = row.paused_at.take().map_or(TimeDelta::zero(), |since| at - since);
        row.soaking_since = row.soaking_since.map(|since| since + paused);
        row.accepted |= accept_failures;
        if let Some(rollback) = row.rollback.as_mut().filter(|_| status == CampaignStatus::RollingBack) {
            rollback.since += paused;
        }
        for wave in 1..=row.spec.waves.len() as u16 {
            let Some(progress) = self.progress.get_mut(&wave_key(key, wave)) else { continue };
            progress.waits_from = progress.waits_from.map(|since| since + paused);
        }
        if accept_failures {
            self.accept_failures(key);
        }
    }
}

fn wave_key(campaign: &[String; 2], wave: u16) -> Vec<String> {
    vec![campaign[0].clone(), campaign[1].clone(), wave.to_string()]
}

/// Who began a rollback: for a gate the manager that judged it.
fn begun(record: &Decoded, cause: RollbackCause, round: u16, update_round: u16) -> CampaignRollback {
    let meta = &record.record.meta;
    CampaignRollback {
        round,
        since: record.at(),
        automatic: cause == RollbackCause::Gate,
        requested_by: meta.actor.to_string(),
        reason: meta.reason.as_ref().and_then(|reason| reason.plain().cloned()),
        update_round,
        ended: None,
    }
}

fn set_status(row: &mut CampaignRow, status: CampaignStatus) {
    row.status = status;
    row.at_work = status.is_live();
}
