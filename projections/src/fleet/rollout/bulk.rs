//! Events that concern all members of a campaign: a raised sample, accepted failures, a retry of all failed members, the end.
//!
//! They run on saved rows, page by page, so memory stays bounded for any fleet.

use domain::campaign::{CampaignEvent, Sample};
use sqlx::PgConnection;

use super::member_state::MemberState;
use super::predicates::{NOT_BEGUN_AGAIN, PLANNED, retried};
use super::rows::{CampaignRow, MemberRow, ProgressRow};
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::fleet::device_row::DeviceRow;
use crate::fleet::updates::UpdateRow;
use crate::row::Row as _;
use crate::table::Rows;

/// Members changed at once.
const PAGE_MEMBERS: i64 = 2_000;

const OF_PLAN: &str = "
FROM rollout_members m
JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
WHERE m.tenant = $1 AND m.campaign_id = $2";

fn concerns_all_members(event: &CampaignEvent) -> bool {
    use CampaignEvent as E;
    matches!(
        event,
        E::Retried { .. }
            | E::Adjusted { sample: Some(_), .. }
            | E::Resumed { accept_failures: true }
            | E::Finished { .. }
            | E::Cancelled {}
    )
}

/// Whether the records after this one need the members as it leaves them.
pub(crate) fn ends_a_part(record: &Decoded) -> bool {
    matches!(&record.events, Events::Campaign(events) if events.iter().any(concerns_all_members))
}

/// Applies the last record of a part to all members.
pub(crate) async fn run(connection: &mut PgConnection, part: &[Decoded]) -> Result<(), DbError> {
    let Some(record) = part.last() else { return Ok(()) };
    let Events::Campaign(events) = &record.events else { return Ok(()) };
    let campaign = [record.tenant(), record.id()];
    for event in events {
        match event {
            CampaignEvent::Retried { .. } => {
                change_all(connection, &campaign, &retried(), MemberRow::reset_for_retry).await?;
                refresh_planned(connection, &campaign).await?;
            }
            CampaignEvent::Adjusted { sample: Some(sample), .. } => join(connection, &campaign, sample).await?,
            CampaignEvent::Resumed { accept_failures: true } => accept(connection, &campaign).await?,
            // Members that still wait for their retry get their former outcome back.
            CampaignEvent::Finished { .. } | CampaignEvent::Cancelled {} => {
                change_all(connection, &campaign, NOT_BEGUN_AGAIN, MemberRow::restore_outcome).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The devices that a larger sample adds join the last wave.
async fn join(connection: &mut PgConnection, campaign: &[String; 2], sample: &Sample) -> Result<(), DbError> {
    let condition = format!("m.excluded = 'not_sampled' AND m.rank < {}", sample.devices);
    let last_wave = sample.waves.len() as u16;
    change_all(connection, campaign, &condition, |member| (member.excluded, member.wave) = (None, last_wave)).await
}

/// Acceptance is kept for each device, so that a failure of its next attempt isn't counted again. For a member that waits for its retry,
/// only its former outcome can be accepted. For a member whose retry has begun, only what its new update did can be accepted: the retry
/// has cleared the code.
async fn accept(connection: &mut PgConnection, campaign: &[String; 2]) -> Result<(), DbError> {
    let sql = "UPDATE rollout_members m SET gate_accepted = true,
                 failure_accepted = m.before_retry IS NULL AND m.code IS NOT NULL
                   AND (m.outcome IS DISTINCT FROM 'confirmed' OR m.regressed_at IS NOT NULL),
                 before_retry = jsonb_set(m.before_retry, '{failure_accepted}', 'true')
               FROM rollout_campaigns c
               WHERE c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
                 AND m.tenant = $1 AND m.campaign_id = $2 AND m.gate_failed";
    sqlx::query(sql).bind(&campaign[0]).bind(&campaign[1]).execute(connection).await?;
    Ok(())
}

/// Changes all members for which a condition holds; it must not hold after the change.
async fn change_all(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    condition: &str,
    change: impl Fn(&mut MemberRow),
) -> Result<(), DbError> {
    let Some(row) = campaign_row(connection, campaign).await? else { return Ok(()) };
    loop {
        let members = page(connection, campaign, condition, "").await?;
        if members.is_empty() {
            return Ok(());
        }
        change_page(connection, members, &row, &change).await?;
    }
}

/// Whether planned members may begin wasn't updated while the campaign was ended.
async fn refresh_planned(connection: &mut PgConnection, campaign: &[String; 2]) -> Result<(), DbError> {
    let Some(row) = campaign_row(connection, campaign).await? else { return Ok(()) };
    let mut after = String::new();
    loop {
        let members = page(connection, campaign, PLANNED, &after).await?;
        let Some(last) = members.last() else { return Ok(()) };
        after.clone_from(&last.device_id);
        change_page(connection, members, &row, &|_| {}).await?;
    }
}

async fn campaign_row(connection: &mut PgConnection, campaign: &[String; 2]) -> Result<Option<CampaignRow>, DbError> {
    Ok(Rows::<CampaignRow>::load(connection, vec![campaign.to_vec()]).await?.get(campaign).cloned())
}

/// A page of the members of the campaign's plan for which a condition holds, with ids after `after`.
async fn page(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    condition: &str,
    after: &str,
) -> Result<Vec<MemberRow>, DbError> {
    let columns = MemberRow::columns_of("m");
    let sql = format!(
        "SELECT {columns} {OF_PLAN} AND m.device_id > $3 AND {condition} ORDER BY m.device_id LIMIT {PAGE_MEMBERS}"
    );
    let query = sqlx::query(&sql).bind(&campaign[0]).bind(&campaign[1]).bind(after);
    query.fetch_all(&mut *connection).await?.iter().map(MemberRow::read).collect()
}

async fn change_page(
    connection: &mut PgConnection,
    members: Vec<MemberRow>,
    campaign: &CampaignRow,
    change: &impl Fn(&mut MemberRow),
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
    for (before, member) in members.iter().zip(&mut changed) {
        let update = member.update_key().and_then(|key| updates.get(&key));
        member.set_readiness(devices.get(&member.device_key()), update, campaign.is_urgent());
        let state = |member| MemberState::find(member, &updates, campaign.planned_outcome);
        let (before, after) = (state(before), state(member));
        if let Some(progress) = progress.get_mut(&member.wave_key()) {
            progress.change(&before.contribution(), &after.contribution());
        }
    }
    let mut rows = Rows::<MemberRow>::default();
    members.into_iter().for_each(|member| rows.know(member));
    changed.into_iter().for_each(|member| rows.put(member));
    rows.save(connection).await?;
    progress.save(connection).await
}
