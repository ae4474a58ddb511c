//! Members of each transport, for queries that look for them apart: neither may hide the other behind a limit.

use domain::per_transport::PerTransport;

use super::rows::CampaignRow;
use crate::db::{DbError, ReadTx};

const OF_LORAWAN: &str = "AND m.lorawan";
const OF_OTHERS: &str = "AND NOT m.lorawan";

/// The conditions for members of each transport with devices to look for, with its limit. A campaign without LoRaWAN devices has one, which is
/// empty: its queries stay as they are.
pub(super) async fn each<T: Copy + Default + PartialEq>(
    tx: &mut ReadTx,
    row: &CampaignRow,
    limits: PerTransport<T>,
) -> Result<Vec<(&'static str, T)>, DbError> {
    let all = match has_lorawan(tx, row).await? {
        false => vec![("", limits.mqtt)],
        true => vec![(OF_LORAWAN, limits.lorawan), (OF_OTHERS, limits.mqtt)],
    };
    Ok(all.into_iter().filter(|(_, limit)| *limit != T::default()).collect())
}

async fn has_lorawan(tx: &mut ReadTx, row: &CampaignRow) -> Result<bool, DbError> {
    let sql = "SELECT EXISTS (SELECT FROM rollout_members WHERE tenant = $1 AND plan = $2 AND lorawan)";
    Ok(sqlx::query_scalar(sql).bind(&row.tenant).bind(&row.plan).fetch_one(&mut *tx.0).await?)
}
