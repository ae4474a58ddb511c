//! Stores when sessions were last used, from time to time, so that an idle session ends at the same time in every process.
//!
//! A value is replaced only if it is unchanged, so a session that was ended meanwhile stays ended.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::oneshot;

use super::record::Session;
use super::{Sessions, Shared};

/// A use within this time of the stored one isn't stored: a busy session costs one message a minute.
const EXACT_TO: TimeDelta = TimeDelta::seconds(60);
/// Pause between two times that uses are stored.
const STORE_INTERVAL: Duration = Duration::from_secs(5);
/// Most uses that are stored at a time.
const STORED_MAX: usize = 500;

/// Stores uses until the last request is answered, which is when `served` ends, then once more.
pub(crate) async fn keep_storing(sessions: Sessions, mut served: oneshot::Receiver<()>) {
    let mut serving = true;
    while serving {
        tokio::select! {
            _ended = &mut served => serving = false,
            () = tokio::time::sleep(STORE_INTERVAL) => {}
        }
        sessions.0.store_uses().await;
    }
}

impl Shared {
    pub(super) async fn store_uses(&self) {
        let exact_to = EXACT_TO.min(self.idle() / 4);
        for (key, held) in self.known.used_since(exact_to, STORED_MAX) {
            let session = Session { used_at: held.used_at, ..held.session };
            let Ok(sealed) = self.seal(&key, &session) else { return };
            // Another process may have stored a use, or ended it: the change is on its way.
            if let Err(error) = self.bucket.replace(&key, held.revision, sealed.into()).await {
                tracing::debug!(%error, "a session's last use can't be stored");
                return;
            }
        }
    }
}
