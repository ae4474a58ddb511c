//! Changes of all members of a campaign, a page at a time, on saved rows: so memory stays bounded for any fleet.

use domain::campaign::Sample;
use domain::window::MaintenanceWindows;
use sqlx::PgConnection;

use super::member_state::MemberState;
use super::predicates::{NOT_BEGUN_AGAIN, PLANNED, retried};
use super::rows::{CampaignRow, MemberRow, ProgressRow};
use crate::db::DbError;
use crate::fleet::device_row::DeviceRow;
use crate::fleet::statistics::failures::FailureChanges;
use crate::fleet::updates::UpdateRow;
use crate::read_model::SWEEP_PAGE_ROWS;
use crate::row::Row as _;
use crate::table::Rows;

/// What happens to all members for which its condition holds.
pub(crate) enum MemberSweep<'a> {
    /// Failed members wait for their retry.
    ResetForRetry,
    /// Whether planned members may begin wasn't updated while the campaign was ended.
    RefreshPlanned,
    /// The devices that a larger sample adds join the last wave.
    JoinSample(&'a Sample),
    /// Failures that an operator accepted don't close the gate again.
    AcceptFailures,
    /// The failures of the staging have been counted: they don't close the gate again, and members whose update goes on count as not failed.
    BeginActivation,
    /// Windows that follow devices need the zone of each device.
    FollowZones(&'a MaintenanceWindows),
    /// Members whose retry hasn't begun get their former outcome back.
    RestoreOutcomes,
}

impl MemberSweep<'_> {
    fn condition(&self) -> String {
        match self {
            Self::ResetForRetry => retried(),
            Self::RefreshPlanned => PLANNED.to_owned(),
            Self::JoinSample(sample) => format!("m.excluded = 'not_sampled' AND m.rank < {}", sample.devices),
            Self::AcceptFailures => "(m.gate_failed OR m.rollback_outcome IS NOT NULL)".to_owned(),
            Self::BeginActivation => "m.gate_failed".to_owned(),
            Self::FollowZones(_) => "m.outcome IS NULL AND m.excluded IS NULL".to_owned(),
            Self::RestoreOutcomes => NOT_BEGUN_AGAIN.to_owned(),
        }
    }

    fn change(&self, member: &mut MemberRow) {
        match self {
            Self::ResetForRetry => member.reset_for_retry(),
            Self::RefreshPlanned | Self::FollowZones(_) => {}
            Self::JoinSample(sample) => (member.excluded, member.wave) = (None, sample.waves.len() as u16),
            Self::AcceptFailures => member.accept_failure(),
            Self::BeginActivation => member.begin_activation(),
            Self::RestoreOutcomes => member.restore_outcome(),
        }
    }
}

/// Changes a page of members, with ids after `after`. Returns the last id, none if there are no more.
pub(crate) async fn sweep(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    sweep: &MemberSweep<'_>,
    after: &str,
) -> Result<Option<String>, DbError> {
    let Some(mut row) = Rows::<CampaignRow>::load(connection, vec![campaign.to_vec()]).await?.get(campaign).cloned()
    else {
        return Ok(None);
    };
    if let MemberSweep::FollowZones(windows) = sweep {
        row.spec.maintenance_window = (*windows).clone();
    }
    let members = page(connection, &row, &sweep.condition(), after).await?;
    let last = members.last().map(|member| member.device_id.clone());
    if last.is_some() {
        change_page(connection, members, &row, |member| sweep.change(member)).await?;
    }
    Ok(last)
}

/// A page of the members of the campaign's plan for which a condition holds.
async fn page(
    connection: &mut PgConnection,
    campaign: &CampaignRow,
    condition: &str,
    after: &str,
) -> Result<Vec<MemberRow>, DbError> {
    let columns = MemberRow::columns_of("m");
    let sql = format!(
        "SELECT {columns} FROM rollout_members m
         WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND m.device_id > $4 AND {condition}
         ORDER BY m.device_id LIMIT {SWEEP_PAGE_ROWS}"
    );
    let query = sqlx::query(&sql).bind(&campaign.tenant).bind(&campaign.campaign_id).bind(&campaign.plan).bind(after);
    query.fetch_all(&mut *connection).await?.iter().map(MemberRow::read).collect()
}

async fn change_page(
    connection: &mut PgConnection,
    members: Vec<MemberRow>,
    campaign: &CampaignRow,
    change: impl Fn(&mut MemberRow),
) -> Result<(), DbError> {
    let changed = members.iter().cloned().map(|mut member| {
        change(&mut member);
        member
    });
    let mut changed: Vec<MemberRow> = changed.collect();
    let mut progress = Rows::<ProgressRow>::load(connection, changed.iter().map(MemberRow::wave_key).collect()).await?;
    let device_keys = members.iter().map(|member| member.device_key().to_vec()).collect();
    let devices = Rows::<DeviceRow>::load(connection, device_keys).await?;
    let latest = members.iter().filter_map(MemberRow::latest_update).collect();
    let updates = Rows::<UpdateRow>::load(connection, latest).await?;
    let mut failures = FailureChanges::default();
    for (before, member) in members.iter().zip(&mut changed) {
        let update = member.update_key().and_then(|key| updates.get(&key));
        let device = devices.get(&member.device_key()).map(DeviceRow::occupancy);
        member.set_readiness(device, update, Some(campaign));
        let state = |member| MemberState::find(member, &updates, campaign.planned_outcome);
        let (before, after) = (state(before), state(member));
        if let Some(progress) = progress.get_mut(&member.wave_key()) {
            let (before, after) = (before.contribution(), after.contribution());
            progress.change(&before, &after);
            failures.add(&member.wave_key(), before.failure.as_ref(), after.failure.as_ref());
        }
    }
    let mut rows = Rows::<MemberRow>::default();
    members.into_iter().for_each(|member| rows.know(member));
    changed.into_iter().for_each(|member| rows.put(member));
    rows.save(connection).await?;
    failures.save(connection).await?;
    progress.save(connection).await
}
