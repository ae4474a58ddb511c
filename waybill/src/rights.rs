//! Missing rights of a NATS user, reported as soon as the server does so instead of after a request's time-out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;

/// The same refusal is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Refusals kept for that; above this number they are logged each time.
const REMEMBERED_MAX: usize = 256;
const VIOLATION: &str = "permissions violation for ";

/// The refusals of one connection. Clones share them.
#[derive(Clone)]
pub struct Rights(Arc<Shared>);

struct Shared {
    user: String,
    last: watch::Sender<Option<String>>,
    logged: Mutex<HashMap<String, Instant>>,
}

impl Rights {
    pub(crate) fn of(user: Option<&str>) -> Self {
        let user = user.map_or_else(|| "without a name".to_owned(), str::to_owned);
        Self(Arc::new(Shared { user, last: watch::Sender::new(None), logged: Mutex::default() }))
    }

    /// Records the server's message about the connection.
    pub(crate) fn note(&self, said: &str) {
        let Some(refusal) = refusal(&self.0.user, said) else { return };
        if self.is_news(&refusal) {
            tracing::error!(nats.user = self.0.user, "{refusal}");
        }
        self.0.last.send_replace(Some(refusal));
    }

    fn is_news(&self, refusal: &str) -> bool {
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, at| at.elapsed() < LOG_INTERVAL);
        let news = !logged.contains_key(refusal);
        if news && logged.len() < REMEMBERED_MAX {
            logged.insert(refusal.to_owned(), Instant::now());
        }
        news
    }

    /// The outcome of a request to nats-server, or the refusal that comes meanwhile.
    pub async fn or_refused<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        let mut refusals = self.0.last.subscribe();
        let refused = async {
            match refusals.wait_for(Option::is_some).await {
                Ok(refusal) => refusal.clone().unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => done.map_err(Into::into),
            refusal = refused => bail!(refusal),
        }
    }
}

/// A sentence for the server's `Permissions Violation for Publish to "subject"`; none for other messages.
fn refusal(user: &str, said: &str) -> Option<String> {
    let at = said.to_ascii_lowercase().find(VIOLATION)?;
    let rest = &said[at + VIOLATION.len()..];
    let (verb, subject) = rest.split_once(" to ")?;
    let verb = if verb.eq_ignore_ascii_case("publish") { "publish to" } else { "subscribe to" };
    let subject = subject.trim_matches(['"', '\'', ' ']);
    Some(format!(
        "nats-server forbids user {user} to {verb} {subject}: name the user that nats.conf has for this, or give it the right"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_user_and_subject() {
        let said = "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.EVENTS\"";
        let refusal = refusal("analyst", said).unwrap();
        assert!(refusal.starts_with("nats-server forbids user analyst to publish to $JS.API.STREAM.INFO.EVENTS"));
        assert_eq!(super::refusal("analyst", "nats: maximum payload violation"), None);
    }

    #[tokio::test]
    async fn a_refusal_ends_what_would_wait_for_an_answer() {
        let rights = Rights::of(Some("analyst"));
        let never = std::future::pending::<Result<(), std::io::Error>>();
        let waits = rights.clone();
        let (outcome, ()) = tokio::join!(waits.or_refused(never), async {
            rights.note("Permissions Violation for Subscription to \"ev.>\"");
        });
        assert!(outcome.unwrap_err().to_string().contains("subscribe to ev.>"));
        assert!(!rights.is_news(&refusal("analyst", "Permissions Violation for Subscription to \"ev.>\"").unwrap()));
    }
}
