//! Counts of downloads in replies.

use projections::downloads::Downloads;
use serde::Serialize;
use utoipa::ToSchema;

/// Downloads so far; a few seconds old.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct DownloadsBody {
    /// Requests for the file's beginning. Resumed downloads aren't counted again.
    started: u64,
    /// Responses that sent the file's last byte.
    completed: u64,
    /// Bytes sent, also those of interrupted downloads.
    pub(crate) bytes: u64,
}

impl From<Downloads> for DownloadsBody {
    fn from(downloads: Downloads) -> Self {
        let Downloads { started, completed, bytes } = downloads;
        Self { started, completed, bytes }
    }
}
