//! `updates/{ordinal}/status`: a device's report on an update.
//!
//! A `code` that is not in the protocol becomes [`CODE_UNKNOWN`], so that the failure counts. The original code is put in the message.

use chrono::{DateTime, Utc};
use domain::device::{Report, ReportStatus, is_code};
use domain::values::Sha256Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Malformed, bounds, read};

/// The code of a failure whose own code is not in the protocol.
pub const CODE_UNKNOWN: &str = "x_unknown";

/// A report as sent. If other values are invalid, the status still counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StatusReport {
    pub attempt: u16,
    pub status: String,
    /// Per cent of the current phase.
    #[serde(default)]
    pub progress: Value,
    #[serde(default)]
    pub sha256: Option<String>,
    /// Bytes received so far.
    #[serde(default)]
    pub bytes: Value,
    #[serde(default)]
    pub code: Value,
    #[serde(default)]
    pub message: Value,
    #[serde(default)]
    pub retry_after_s: Value,
    #[serde(default)]
    pub version: Value,
    #[serde(default)]
    pub seq: Value,
    #[serde(default)]
    pub ts: Value,
}

/// The part of a report that goes to telemetry: progress within a phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    pub ordinal: u32,
    pub attempt: u16,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl StatusReport {
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        read(payload)
    }

    pub fn device_time(&self) -> Option<DateTime<Utc>> {
        bounds::device_time(&self.ts)
    }

    /// Whether the report has progress.
    pub fn has_progress(&self) -> bool {
        bounds::whole(&self.bytes).is_some() || !self.progress.is_null()
    }

    pub fn progress(&self, report: &Report) -> Progress {
        Progress {
            ordinal: report.ordinal,
            attempt: report.attempt,
            status: report.status.word(),
            progress: bounds::reading(&self.progress, 0, 100),
            bytes: bounds::whole(&self.bytes),
        }
    }

    /// Ignored values of the report, with the valid form.
    pub fn ignored(&self) -> Option<String> {
        let (code, number) = (bounds::text(&self.code), "a whole number from 0");
        let known = code.as_ref().is_some_and(|code| code.is_empty() || is_code(code));
        bounds::ignored([
            ("progress", &self.progress, bounds::reading(&self.progress, 0, 100).is_some(), "a number from 0 to 100"),
            ("bytes", &self.bytes, bounds::whole(&self.bytes).is_some(), number),
            ("code", &self.code, known, "a code of the protocol or x_…; it counts as x_unknown"),
            ("message", &self.message, self.message.is_string(), "a text"),
            ("retry_after_s", &self.retry_after_s, bounds::whole(&self.retry_after_s).is_some(), number),
            ("version", &self.version, self.version.is_string(), "a text"),
            ("seq", &self.seq, bounds::whole(&self.seq).is_some(), number),
            ("ts", &self.ts, self.device_time().is_some(), bounds::TIME),
        ])
    }

    /// The report as the domain's type.
    pub fn to_report(&self, ordinal: u32) -> Result<Report, Malformed> {
        let sha256 = match &self.sha256 {
            Some(text) => Some(
                Sha256Digest::from_hex(text).ok_or_else(|| Malformed::new("sha256 is not 64 hexadecimal digits"))?,
            ),
            None => None,
        };
        let (code, message) = code_and_message(bounds::text(&self.code), bounds::text(&self.message));
        Ok(Report {
            ordinal,
            attempt: self.attempt,
            status: status_of(&self.status)?,
            sha256,
            code,
            message: bounds::message(message),
            retry_after_s: bounds::whole(&self.retry_after_s).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        })
    }
}

/// The status for a text, texts of older firmware included. Statuses that only the server may set are refused.
pub(super) fn status_of(word: &str) -> Result<ReportStatus, Malformed> {
    use ReportStatus as S;
    Ok(match word {
        "received" | "preparing" | "in_progress" => S::Received,
        "deferred" => S::Deferred,
        "downloading" => S::Downloading,
        "verifying" => S::Verifying,
        "installing" | "applying" => S::Installing,
        "staged" => S::Staged,
        "rebooting" => S::Rebooting,
        "completed" | "complete" | "installed" => S::Completed,
        "failed" => S::Failed,
        "rejected" => S::Rejected,
        "cancelled" => S::Cancelled,
        "cancel_refused" => S::CancelRefused,
        "created" | "scheduled" | "queued" | "rollback" => {
            return Err(Malformed::new(format!("a device can't report the status {word}")));
        }
        _ => return Err(Malformed::new("status is not known")),
    })
}

pub(super) fn code_and_message(code: Option<String>, message: Option<String>) -> (Option<String>, Option<String>) {
    match code.filter(|code| !code.is_empty()) {
        Some(code) if !is_code(&code) => {
            let message = message.map_or_else(|| format!("code {code}"), |message| format!("code {code}: {message}"));
            (Some(CODE_UNKNOWN.to_owned()), Some(message))
        }
        code => (code, message),
    }
}
