//! Events that concern all members of a campaign at once: a sample that is raised, failures that are accepted, a retry of everybody
//! who failed, the end.
//!
//! They run on saved rows, page by page, so memory stays bounded for any fleet.

use chrono::{DateTime, Utc};
use domain::campaign::{CampaignEvent, Sample};
use domain::device::Outcome;
use sqlx::{PgConnection, Row as _};

use super::rows::{CampaignRow, MemberRow, ProgressRow};
use super::standing::Standing;
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::models::device_row::DeviceRow;
use crate::models::updates::UpdateRow;
use crate::row::Row as _;
use crate::table::Rows;

/// Members changed in one go.
const PAGE_MEMBERS: i64 = 2_000;

const OF_PLAN: &str = "
FROM rollout_members m
JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
WHERE m.tenant = $1 AND m.campaign_id = $2";

/// Whom a retry lets begin again: failed, expired or fallen back, and not there all the same. The status counts them by it, too.
const RETRIED: &str = "((m.outcome IN ('failed', 'timed_out', 'rejected', 'expired') OR m.regressed_at IS NOT NULL)
      AND NOT m.late_confirmed)";
/// To begin again, and without a new update or a slot for it.
const NOT_BEGUN_AGAIN: &str = "(m.before_retry IS NOT NULL AND NOT m.holds_slot)";

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

/// Whether the records after this one must see its members as it leaves them.
pub(crate) fn ends_a_part(record: &Decoded) -> bool {
    matches!(&record.events, Events::Campaign(events) if events.iter().any(concerns_all_members))
}

/// Does what the last record of a part asks of all members.
pub(crate) async fn run(connection: &mut PgConnection, part: &[Decoded]) -> Result<(), DbError> {
    let Some(record) = part.last() else { return Ok(()) };
    let Events::Campaign(events) = &record.events else { return Ok(()) };
    let campaign = [record.tenant(), record.id()];
    for event in events {
        match event {
            CampaignEvent::Retried { .. } => {
                change_all(connection, &campaign, RETRIED, MemberRow::reset_for_retry).await?;
            }
            CampaignEvent::Adjusted { sample: Some(sample), .. } => join(connection, &campaign, sample).await?,
            CampaignEvent::Resumed { accept_failures: true } => accept(connection, &campaign).await?,
            CampaignEvent::Finished { .. } => end(connection, &campaign, Outcome::Expired, record.at()).await?,
            CampaignEvent::Cancelled {} => end(connection, &campaign, Outcome::Cancelled, record.at()).await?,
            _ => {}
        }
    }
    Ok(())
}

/// The devices that a larger sample takes in join the last wave.
async fn join(connection: &mut PgConnection, campaign: &[String; 2], sample: &Sample) -> Result<(), DbError> {
    let condition = format!("m.excluded = 'not_sampled' AND m.rank < {}", sample.devices);
    let last_wave = sample.waves.len() as u16;
    change_all(connection, campaign, &condition, |member| (member.excluded, member.wave) = (None, last_wave)).await
}

/// What an operator accepts is known for each device, so that its next attempt's failure is none anew. One that is to begin again has
/// nothing yet that could be accepted but the outcome it had; one that has begun again, only what its new update did (a retry takes the
/// code away).
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

/// Devices that never had their turn get their outcome with the campaign's; those that were to begin again keep the one they had.
async fn end(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    outcome: Outcome,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    change_all(connection, campaign, NOT_BEGUN_AGAIN, MemberRow::restore_outcome).await?;
    let ended = sqlx::query(
        "WITH ended AS (
           UPDATE rollout_members m SET outcome = $4, ended_at = $3, holds_slot = false, ready = false, ready_at = NULL
           FROM rollout_campaigns c
           WHERE c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
             AND m.tenant = $1 AND m.campaign_id = $2
             AND m.outcome IS NULL AND m.ordinal IS NULL AND m.excluded IS NULL AND NOT m.holds_slot
           RETURNING m.wave)
         SELECT wave, count(*) FROM ended GROUP BY wave",
    )
    .bind(&campaign[0])
    .bind(&campaign[1])
    .bind(at)
    .bind(outcome.word())
    .fetch_all(&mut *connection)
    .await?;
    let counts = ended.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    let counts: Vec<(i64, i64)> = counts.collect::<Result<_, DbError>>()?;
    let key = |wave: &i64| vec![campaign[0].clone(), campaign[1].clone(), wave.to_string()];
    let keys = counts.iter().map(|(wave, _)| key(wave)).collect();
    let mut progress = Rows::<ProgressRow>::load(connection, keys).await?;
    for (wave, members) in counts {
        if let Some(progress) = progress.get_mut(&key(&wave)) {
            progress.end_planned(outcome, members);
        }
    }
    progress.save(connection).await
}

/// Changes all members for which a condition holds; it must not hold after the change.
async fn change_all(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    condition: &str,
    change: impl Fn(&mut MemberRow),
) -> Result<(), DbError> {
    let rows = Rows::<CampaignRow>::load(connection, vec![campaign.to_vec()]).await?;
    let urgent = rows.get(campaign).is_some_and(CampaignRow::is_urgent);
    let columns = MemberRow::columns_of("m");
    let sql = format!("SELECT {columns} {OF_PLAN} AND {condition} ORDER BY m.device_id LIMIT {PAGE_MEMBERS}");
    loop {
        let found = sqlx::query(&sql).bind(&campaign[0]).bind(&campaign[1]).fetch_all(&mut *connection).await?;
        if found.is_empty() {
            return Ok(());
        }
        let members: Vec<MemberRow> = found.iter().map(MemberRow::read).collect::<Result<_, DbError>>()?;
        change_page(connection, members, urgent, &change).await?;
    }
}

async fn change_page(
    connection: &mut PgConnection,
    members: Vec<MemberRow>,
    urgent: bool,
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
        member.set_readiness(devices.get(&member.device_key()), update, urgent);
        let (before, after) = (Standing::new(before, &updates), Standing::new(member, &updates));
        if let Some(progress) = progress.get_mut(&member.wave_key()) {
            progress.change(&before.contribution(), &after.contribution());
        }
    }
    let mut rows = Rows::<MemberRow>::default();
    changed.into_iter().for_each(|member| rows.put(member));
    rows.save(connection).await?;
    progress.save(connection).await
}
