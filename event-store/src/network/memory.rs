//! Events in memory, for tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{RawEvent, RawEvents};
use crate::error::AppendError;
use crate::streams::NETWORK_BODY_MAX_BYTES;

/// Keeps up to a number of events.
#[derive(Debug)]
pub struct MemoryRawEvents {
    kept: Mutex<Vec<RawEvent>>,
    max: usize,
}

impl MemoryRawEvents {
    pub fn new(max: usize) -> Self {
        Self { kept: Mutex::default(), max }
    }

    /// What was kept, the oldest first.
    pub fn kept(&self) -> Vec<RawEvent> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RawEvent>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RawEvents for MemoryRawEvents {
    async fn keep(&self, event: &RawEvent) -> Result<(), AppendError> {
        let (bytes, max_bytes) = (event.body.len(), NETWORK_BODY_MAX_BYTES);
        if bytes > max_bytes {
            return Err(AppendError::TooLarge { bytes, max_bytes });
        }
        let mut kept = self.lock();
        let is_copy =
            kept.iter().any(|known| known.id.is_some() && (&known.tenant, &known.id) == (&event.tenant, &event.id));
        if is_copy {
            return Ok(());
        }
        if kept.len() >= self.max {
            return Err(AppendError::NoSpace("full".to_owned()));
        }
        kept.push(event.clone());
        Ok(())
    }
}
