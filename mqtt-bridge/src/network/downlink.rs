//! What became of downlinks, for who has sent them.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{DeviceId, TenantId};

/// What the network server says about a downlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownlinkEnd {
    /// A gateway has taken it to send it. An unconfirmed downlink ends with this; the device may not have received it.
    Sent,
    /// The device has confirmed it.
    Acknowledged,
    /// The device has not confirmed it in time, and the network server has dropped it.
    NotAcknowledged,
    /// The network server has dropped it: `EXPIRED`, `DOWNLINK_PAYLOAD_SIZE`, `F_CNT_DOWN`.
    Dropped { code: String },
    /// A gateway could not send it. It stays in the network server's queue, and the event doesn't say which downlink it was.
    GatewayRefused { reason: String },
}

/// A downlink and what became of it. It may be told more than once, and out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownlinkOutcome {
    pub tenant: TenantId,
    pub device: DeviceId,
    /// The network server's id of the downlink, which the sender may have chosen; none in version 3 and for [`DownlinkEnd::GatewayRefused`].
    pub queue_item_id: Option<String>,
    /// Frame counter of the downlink: what names it in version 3.
    pub f_cnt_down: Option<u32>,
    pub end: DownlinkEnd,
    /// When the network server says that it happened.
    pub network_time: Option<DateTime<Utc>>,
}

/// The outcome can't be stored now. The event is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HookUnavailable(pub String);

/// Who wants to know what became of downlinks.
#[async_trait]
pub trait DownlinkHook: Send + Sync + 'static {
    /// Returns once the outcome's effects are stored.
    async fn ended(&self, outcome: &DownlinkOutcome) -> Result<(), HookUnavailable>;
}
