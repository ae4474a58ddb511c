//! Firmware: upload, read, deprecate, withdraw, delete; links to its bytes.

mod delete;
pub(crate) mod documents;
mod encryption;
pub(crate) mod filename;
mod get;
mod history;
mod incoming;
mod link;
mod list;
mod metadata;
mod model;
mod pins;
mod removal;
mod retire;
mod sign;
pub(crate) mod signatures;
mod store_problem;
mod upload;

pub(crate) use delete::{__path_delete_firmware, delete_firmware};
pub(crate) use get::{__path_get_firmware, get_firmware};
pub(crate) use history::{__path_firmware_events, firmware_events};
pub(crate) use link::{__path_firmware_download, firmware_download};
pub(crate) use list::{__path_list_firmware, list_firmware};
pub(crate) use model::{object_path, objects_of};
pub(crate) use pins::release_stale;
pub(crate) use retire::{__path_deprecate_firmware, __path_withdraw_firmware, deprecate_firmware, withdraw_firmware};
pub(crate) use sign::{__path_sign_firmware, sign_firmware};
pub(crate) use store_problem::{broken_store, bytes_differ};
pub(crate) use upload::{__path_upload_firmware, upload_firmware};

use std::time::Duration;

use crate::state::App;

/// Longest pause between two sweeps of unfinished uploads.
const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(600);
/// Shortest pause.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Removes what uploads and deletions left in the store when a process died.
pub(crate) async fn sweep(app: &App) {
    incoming::sweep(app).await;
    removal::sweep(app).await;
    documents::sweep(app).await;
}

/// Sweeps once, then removes again and again what uploads left.
pub(crate) async fn keep_sweeping(app: App) {
    let pause = (app.config.upload_abandoned_after / 2).clamp(SWEEP_INTERVAL_MIN, SWEEP_INTERVAL_MAX);
    let stop = app.tasks.token().clone();
    let sweeps = async {
        sweep(&app).await;
        loop {
            tokio::time::sleep(pause).await;
            incoming::sweep(&app).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sweeps => {}
    }
}
