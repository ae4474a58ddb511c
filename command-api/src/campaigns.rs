//! Campaigns, from draft to end.

mod adjust;
mod amend;
mod approve;
mod control;
mod create;
mod delete;
mod expected;
mod gates;
mod get;
mod history;
mod launch;
mod list;
mod list_at;
mod lorawan;
mod members;
mod model;
mod parts;
#[cfg(test)]
mod pictures;
mod preview;
mod preview_body;
mod preview_plan;
mod preview_slots;
mod retry;
mod spec;
mod start;
mod status;
mod targets;
mod waits;
mod warnings;
mod what_if;

pub(crate) use adjust::{__path_adjust_campaign, adjust_campaign};
pub(crate) use amend::{__path_replace_campaign, replace_campaign};
pub(crate) use approve::{__path_approve_campaign, __path_reject_campaign, approve_campaign, reject_campaign};
pub(crate) use control::{
    __path_cancel_campaign, __path_open_wave, __path_pause_campaign, __path_resume_campaign, __path_roll_back_campaign,
    cancel_campaign, open_wave, pause_campaign, resume_campaign, roll_back_campaign,
};
pub(crate) use create::{__path_clone_campaign, __path_create_campaign, clone_campaign, create_campaign};
pub(crate) use delete::{__path_delete_campaign, delete_campaign};
pub(crate) use gates::{__path_campaign_gates, campaign_gates};
pub(crate) use get::{__path_get_campaign, get_campaign, row as campaign_row};
pub(crate) use history::{__path_campaign_history, campaign_history};
pub(crate) use launch::launch;
pub(crate) use list::{__path_list_campaigns, list_campaigns};
pub(crate) use lorawan::{
    __path_campaign_lorawan_deployment, __path_campaign_lorawan_deployments, campaign_lorawan_deployment,
    campaign_lorawan_deployments,
};
pub(crate) use members::{__path_campaign_device, __path_campaign_devices, campaign_device, campaign_devices};
pub(crate) use parts::{Preconditions as PreconditionsSchema, TargetFilters as TargetFiltersSchema};
pub(crate) use preview::{
    __path_preview_campaign, __path_preview_new_campaign, preview_campaign, preview_new_campaign,
};
pub(crate) use preview_plan::Previews;
pub(crate) use retry::{__path_retry_campaign, retry_campaign};
pub(crate) use start::{__path_execute_campaign, __path_start_campaign, Started, execute_campaign, start_campaign};
pub(crate) use status::{
    __path_campaign_stats, __path_campaign_status, __path_ota_campaign_status, campaign_stats, campaign_status,
    ota_campaign_status,
};
pub(crate) use waits::of_campaign as waits_of_campaign;
pub(crate) use what_if::{__path_what_if, what_if};
