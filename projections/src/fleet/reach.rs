//! The devices that a caller with limited grants may see.

use domain::campaign::TargetFilters;
use serde_json::{Value, json};

use super::groups::GroupRow;
use super::versions;
use crate::db::{DbError, ReadTx};
use crate::table::Select;

/// The devices that somebody owns, and the members of groups.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    pub owner: Option<String>,
    pub groups: Vec<GroupRow>,
}

/// A device `t` that is owned, or a member of a static group, or fits the filter of a dynamic one.
const IS_REACHED: &str = "(t.owner = $ ->> 'owner'
    OR EXISTS (SELECT FROM group_members r WHERE r.tenant = t.tenant AND r.device_id = t.device_id
        AND r.group_id = ANY (SELECT jsonb_array_elements_text($ -> 'groups')))
    OR EXISTS (SELECT FROM jsonb_array_elements($ -> 'filters') f
        WHERE coalesce(t.device_type = f ->> 'device_type', f ->> 'device_type' IS NULL)
          AND coalesce(t.device_model = f ->> 'device_model', f ->> 'device_model' IS NULL)
          AND coalesce(t.hardware_version = f ->> 'hardware_version', f ->> 'hardware_version' IS NULL)
          AND t.tags @> (f -> 'tags')
          AND (f -> 'versions' = 'null' OR coalesce((f -> 'versions') ? t.firmware_version, false))))";

/// Adds the condition to a statement over devices `t`.
pub(super) async fn limit(tx: &mut ReadTx, select: &mut Select, reach: &Reach) -> Result<(), DbError> {
    let (mut groups, mut filters) = (Vec::new(), Vec::new());
    for group in &reach.groups {
        match &group.filter {
            Some(filter) => filters.push(described(tx, filter).await?),
            None => groups.push(&group.group_id),
        }
    }
    select.filter(IS_REACHED, json!({"owner": reach.owner, "groups": groups, "filters": filters}));
    Ok(())
}

/// The filter with the versions that fit its requirement.
async fn described(tx: &mut ReadTx, filter: &TargetFilters) -> Result<Value, DbError> {
    let TargetFilters { device_type, device_model, hardware_version, firmware_version, tags } = filter;
    let versions = versions::that_meet(tx, None, firmware_version.as_deref()).await?;
    Ok(json!({
        "device_type": device_type, "device_model": device_model, "hardware_version": hardware_version, "tags": tags,
        "versions": versions,
    }))
}
