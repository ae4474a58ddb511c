//! Counts of downloads as replies show them.

use projections::downloads::Downloads;
use serde::Serialize;
use utoipa::ToSchema;

/// Downloads so far; a few seconds old.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct DownloadsBody {
    /// Requests for the file's beginning. One that resumes further on isn't counted again.
    started: u64,
    /// Answers that brought the file's last byte.
    completed: u64,
    /// Bytes sent, also those of downloads that broke off.
    pub(crate) bytes: u64,
}

impl From<Downloads> for DownloadsBody {
    fn from(downloads: Downloads) -> Self {
        let Downloads { started, completed, bytes } = downloads;
        Self { started, completed, bytes }
    }
}
