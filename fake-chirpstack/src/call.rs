//! One call: faults, key, work on the store.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic_prost::ProstCodec;

use crate::faults::FaultKind;
use crate::keys::Caller;
use crate::radio::Outgoing;
use crate::shared::Shared;
use crate::store::Store;

pub(crate) type Response = hyper::Response<Body>;

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
