//! The clocks of all waiting updates of a campaign, or of a device: at the end of a pause, and when other maintenance windows hold for them.

use chrono::{DateTime, Utc};
use domain::device::UpdateKind;
use domain::window::{DeviceWindows, MaintenanceWindows};
use sqlx::PgConnection;

use super::device_row::DeviceRow;
use super::rollout::CampaignRow;
use super::updates::UpdateRow;
use crate::db::DbError;
use crate::read_model::SWEEP_PAGE_ROWS;
use crate::row::Row as _;
use crate::table::Rows;

/// What happens to the clocks of all waiting updates of a campaign.
pub(crate) enum ClockSweep<'a> {
    /// A pause ends, if there is one: the clocks were stopped while it lasted.
    EndPause,
    /// These windows apply from now on; none for a campaign without windows.
    ChangeWindows(Option<&'a MaintenanceWindows>),
}

/// Changes a page of updates at `at`, of devices with ids after `after`. Returns the last id, none if there are no more.
pub(crate) async fn sweep(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    sweep: &ClockSweep<'_>,
    at: DateTime<Utc>,
    after: &str,
) -> Result<Option<String>, DbError> {
    let campaigns = Rows::<CampaignRow>::load(connection, vec![campaign.to_vec()]).await?;
    let Some(row) = campaigns.get(campaign) else { return Ok(None) };
    if matches!(sweep, ClockSweep::EndPause) && row.paused_at.is_none() {
        return Ok(None);
    }
    let page = waiting(connection, campaign, after).await?;
    let last = page.last().map(|update| update.device_id.clone());
    let keys = page.iter().map(|update| vec![update.tenant.clone(), update.device_id.clone()]).collect();
    let devices = Rows::<DeviceRow>::load(connection, keys).await?;
    let mut updates = Rows::<UpdateRow>::default();
    page.into_iter().for_each(|update| updates.know(update));
    for update in updates.all_mut() {
        let device = devices.get(&[update.tenant.clone(), update.device_id.clone()]);
        let zone = device.and_then(|device| device.timezone.as_deref());
        match sweep {
            ClockSweep::EndPause => update.end_pause(row.paused_at.unwrap_or(at), at, row.windows_for(zone)),
            ClockSweep::ChangeWindows(windows) => {
                let windows = windows.map(|windows| DeviceWindows { windows, zone });
                update.change_windows(row.clocks_run_until(at), row.windows_for(zone), windows);
            }
        }
    }
    updates.save(connection).await?;
    Ok(last)
}

/// A page of the updates of a campaign that wait. A device has one or two.
async fn waiting(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    after: &str,
) -> Result<Vec<UpdateRow>, DbError> {
    let columns = UpdateRow::columns_of("t");
    let sql = format!(
        "SELECT {columns} FROM updates t
         WHERE t.tenant = $1 AND t.campaign_id = $2 AND t.open AND t.phase IN ('queued', 'waiting') AND t.device_id > $3
         ORDER BY t.device_id FETCH FIRST {SWEEP_PAGE_ROWS} ROWS WITH TIES"
    );
    let query = sqlx::query(&sql).bind(&campaign[0]).bind(&campaign[1]).bind(after);
    query.fetch_all(&mut *connection).await?.iter().map(UpdateRow::read).collect()
}

/// The device of an update has moved to another zone.
pub(crate) fn change_zone(
    update: &mut UpdateRow,
    campaign: &CampaignRow,
    at: DateTime<Utc>,
    former: Option<&str>,
    zone: Option<&str>,
) {
    let follows = campaign.spec.maintenance_window.follow_devices();
    if follows && update.timed.phase().is_waiting() && update.kind == UpdateKind::Update {
        update.change_windows(campaign.clocks_run_until(at), campaign.windows_for(former), campaign.windows_for(zone));
    }
}

impl CampaignRow {
    /// Its windows for a device of a zone, if it has any.
    pub(crate) fn windows_for<'a>(&'a self, zone: Option<&'a str>) -> Option<DeviceWindows<'a>> {
        let windows = Some(&self.spec.maintenance_window).filter(|windows| !windows.is_empty());
        windows.map(|windows| DeviceWindows { windows, zone })
    }

    /// The time up to which the clocks of its waiting updates have run: not in a pause.
    fn clocks_run_until(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.paused_at.map_or(at, |paused_at| paused_at.min(at))
    }
}
