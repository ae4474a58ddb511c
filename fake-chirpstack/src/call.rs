//! One call: faults, key, work on the store, what goes out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use tokio::sync::broadcast;
use tonic::Status;
use tonic::body::Body;
use tonic_prost::ProstCodec;

use crate::auth::Caller;
use crate::faults::{FaultKind, Faults};
use crate::publisher::Publisher;
use crate::radio::{Downlink, Outgoing};
use crate::store::Store;

/// Downlinks that a slow listener may miss by.
const DOWNLINKS_MAX: usize = 10_000;

pub(crate) type Response = hyper::Response<Body>;

/// What all parts of the double share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    calls: Mutex<BTreeMap<String, u64>>,
    pub(crate) publisher: Publisher,
    downlinks: broadcast::Sender<Downlink>,
}

impl Shared {
    pub(crate) fn new(publisher: Publisher) -> Self {
        Self {
            store: Mutex::new(Store::new()),
            faults: Mutex::default(),
            calls: Mutex::default(),
            publisher,
            downlinks: broadcast::channel(DOWNLINKS_MAX).0,
        }
    }

    /// Works on the store, then sends what the work put out.
    pub(crate) fn with_store<T>(&self, work: impl FnOnce(&mut Store, &mut Outgoing) -> T) -> T {
        let mut outgoing = Outgoing::default();
        let result = work(&mut lock(&self.store), &mut outgoing);
        for event in outgoing.events {
            self.publisher.publish(event);
        }
        for downlink in outgoing.downlinks {
            // Nobody need listen.
            let _ = self.downlinks.send(downlink);
        }
        result
    }

    pub(crate) fn listen_to_downlinks(&self) -> broadcast::Receiver<Downlink> {
        self.downlinks.subscribe()
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// How many calls there were whose path ends so.
    pub(crate) fn calls(&self, path: &str) -> u64 {
        lock(&self.calls).iter().filter(|(called, _)| called.ends_with(path)).map(|(_, count)| count).sum()
    }

    fn count(&self, path: &str) {
        *lock(&self.calls).entry(path.to_owned()).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a method works with.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) caller: &'a Caller,
    pub(crate) outgoing: &'a mut Outgoing,
}

/// A call that came in.
pub(crate) struct Call {
    request: hyper::Request<Incoming>,
    shared: Arc<Shared>,
}

impl Call {
    pub(crate) fn new(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Self {
        Self { request, shared }
    }

    pub(crate) fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Carries out a method.
    pub(crate) async fn unary<Q, R, F>(self, work: F) -> Response
    where
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static,
        F: Fn(&mut Work<'_>, Q) -> Result<R, Status> + Copy + Send + 'static,
    {
        let path = self.path().to_owned();
        let shared = self.shared;
        shared.count(&path);
        let service = tower::service_fn(move |request: tonic::Request<Q>| {
            let (shared, path) = (Arc::clone(&shared), path.clone());
            async move { carry_out(&shared, &path, request, work).await.map(tonic::Response::new) }
        });
        tonic::server::Grpc::new(ProstCodec::<R, Q>::default()).unary(service, self.request).await
    }

    /// The answer to a method that isn't served.
    pub(crate) fn unimplemented(&self) -> Response {
        Status::unimplemented("").into_http()
    }
}

async fn carry_out<Q, R, F>(shared: &Shared, path: &str, request: tonic::Request<Q>, work: F) -> Result<R, Status>
where
    F: Fn(&mut Work<'_>, Q) -> Result<R, Status>,
{
    let fault = shared.faults().take(path);
    match &fault {
        Some(FaultKind::Fails { code, message }) => return Err(FaultKind::status(*code, message)),
        Some(FaultKind::Hangs) => std::future::pending().await,
        Some(FaultKind::Delays { millis }) => tokio::time::sleep(Duration::from_millis(*millis)).await,
        Some(FaultKind::LosesReply) | None => {}
    }
    let (metadata, _, message) = request.into_parts();
    let result = shared.with_store(|store, outgoing| {
        let caller = store.keys.caller(&metadata)?;
        work(&mut Work { store, caller: &caller, outgoing }, message)
    });
    match fault {
        Some(FaultKind::LosesReply) => Err(Status::unavailable("the reply is lost on purpose")),
        _ => result,
    }
}
