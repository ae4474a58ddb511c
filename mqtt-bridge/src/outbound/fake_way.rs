//! A way that records what is sent, for tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::TenantId;
use domain::device::Device;
use event_store::{EventStore, MemoryLog};

use super::deliver::{self, Deliverer};
use crate::changed_tenants::changed_tenants;
use crate::command::{Command, CommandError, Fingerprint};
use crate::topics::Channel;
use crate::way::{NotSent, Recipient, Way};

/// Reaches no device.
#[derive(Default)]
pub(super) struct FakeWay {
    pause: Option<Duration>,
    sent: Mutex<Vec<(Channel, Fingerprint)>>,
}

impl FakeWay {
    /// The devices of all tenants have to wait for this time.
    pub(super) fn pausing(pause: Duration) -> Self {
        Self { pause: Some(pause), ..Self::default() }
    }

    pub(super) fn sent(&self) -> Vec<(Channel, Fingerprint)> {
        self.sent.lock().unwrap().clone()
    }

    /// Delivers this way, with an empty log.
    pub(super) fn deliverer(self: &Arc<Self>) -> Deliverer {
        Deliverer {
            store: EventStore::new(Arc::new(MemoryLog::new())),
            way: self.clone(),
            memory: deliver::memory(),
            adjusted: deliver::adjusted(),
            changed_tenants: changed_tenants(),
        }
    }
}

#[async_trait]
impl Way for FakeWay {
    fn reaches(&self, _device: &Device) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        true
    }

    fn pause(&self, _tenant: &TenantId) -> Option<Duration> {
        self.pause
    }

    fn sends_answered(&self) -> bool {
        true
    }

    fn leaves_unanswered(&self) -> bool {
        false
    }

    fn runs_commands(&self) -> bool {
        true
    }

    fn fingerprint(&self, _to: &Recipient<'_>) -> Fingerprint {
        Fingerprint::Nothing
    }

    fn command(&self, _to: &Recipient<'_>) -> Result<Command, CommandError> {
        Ok(Command::nothing())
    }

    async fn send(&self, _to: &Recipient<'_>, channel: Channel, command: &Command) -> Result<Duration, NotSent> {
        self.sent.lock().unwrap().push((channel, command.fingerprint));
        Ok(Duration::ZERO)
    }
}
