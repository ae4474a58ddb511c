//! Bodies that arrive slowly: whether their sender is still let in.
//!
//! A request is let in by its head. Somebody who is about to lose a credential, or whose tenant is about to be closed, could begin requests
//! and complete them afterwards. So the admission is checked again while the body arrives, and when it ends.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::limited_to;
use crate::auth::Credential;
use crate::caller::{Caller, DeviceLimits, Role};
use crate::http::Problem;
use crate::state::App;

/// A part of a body, or its end, that arrives longer than this after the last check is taken only after another check.
pub(crate) const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Why a request was let in.
pub(super) struct Admission {
    /// The caller, as the credential says.
    pub(super) shown: Caller,
    pub(super) credential: Credential,
    /// The role that the caller needs in their tenant; none if they are let in as one who runs the installation.
    pub(super) least: Option<Role>,
    /// The devices that the request may concern; none: all.
    pub(super) limits: Option<DeviceLimits>,
}

/// Why the rest of a body was not taken.
pub(super) type Refusal = Arc<OnceLock<Problem>>;

impl Admission {
    /// The body, and where it says why it has ended early.
    pub(super) fn watch(self, app: &App, body: Body) -> (Body, Refusal) {
        let refusal = Refusal::default();
        if body.is_end_stream() {
            return (body, refusal);
        }
        let arriving = Arriving {
            chunks: body.into_data_stream(),
            app: app.clone(),
            admission: self,
            looked_at: Instant::now(),
            refusal: Arc::clone(&refusal),
        };
        (Body::from_stream(stream::unfold(arriving, Arriving::next)), refusal)
    }

    /// Fails if the credential has ended, the tenant is shut, or the caller's rights have changed since the beginning.
    async fn must_stand(&self, app: &App) -> Result<(), Problem> {
        self.credential.must_stand(app).await?;
        let Some(least) = self.least else { return Ok(()) };
        app.tenants.must_be_open(&self.shown.tenant).await?;
        let caller = limited_to(app.with_grants(self.shown.clone())?, least)?;
        if caller.limits == self.limits { Ok(()) } else { Err(Problem::forbidden("your rights have changed")) }
    }
}

/// A body that arrives.
struct Arriving {
    chunks: BodyDataStream,
    app: App,
    admission: Admission,
    looked_at: Instant,
    refusal: Refusal,
}

impl Arriving {
    async fn next(mut self) -> Option<(Result<Bytes, BoxError>, Self)> {
        if self.refusal.get().is_some() {
            return None;
        }
        // The end is checked, too: a sender of chunks may send all of the body and hold back the end.
        let chunk = self.chunks.next().await;
        if self.looked_at.elapsed() >= LOOKED_AT_EVERY {
            self.looked_at = Instant::now();
            if let Err(problem) = self.admission.must_stand(&self.app).await {
                drop(self.refusal.set(problem));
                return Some((Err("the sender is no longer let in".into()), self));
            }
        }
        Some((chunk?.map_err(Into::into), self))
    }
}
