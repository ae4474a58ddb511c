//! `/stats` and its like: counts, rates and times of a tenant, from the sums that the projection `fleet` keeps, each at a stated position.

mod downloads;
mod failures;
mod grouping;
mod series;
mod tenant;
mod versions;

pub(crate) use downloads::{__path_firmware_downloads, firmware_downloads};
pub(crate) use failures::{__path_campaign_failures, campaign_failures};
pub(crate) use series::{__path_version_series, version_series};
pub(crate) use tenant::{__path_tenant_stats, tenant_stats};
pub(crate) use versions::{__path_version_stats, version_stats};
