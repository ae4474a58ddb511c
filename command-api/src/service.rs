//! Endpoints about the service: health, metrics, name and version.

mod health;
mod internals;
mod metrics;
mod parts;
mod process;
mod stats;

pub(crate) use health::{__path_detailed, __path_live, __path_ready, detailed, live, ready};
pub use metrics::describe as describe_metrics;
pub(crate) use metrics::{__path_render_metrics, Counted, render_metrics};
pub use parts::{Finding, HealthCheck, PartStatus};
pub(crate) use stats::{__path_service_stats, service_stats};
