//! The client: one channel, one key, one way to make a call.

use std::fmt;
use std::time::Duration;

use tonic::Request;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::{ApiKey, Connection, Empty, Error, InvalidConnection};

/// Bytes of a reply: a deployment comes back with its image, and a server takes at most 4 MiB.
const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many times as long as others a call that carries an image may take.
const IMAGE_TIMEOUT_FACTOR: u32 = 6;

/// Calls to one ChirpStack with one key. Cheap to clone; clones share the connection.
///
/// It retries nothing: see [`Error`] for what to do.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    api_key: ApiKey,
    url: String,
    call_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that connects with its first call. Needs a runtime of tokio.
    pub fn new(connection: &Connection) -> Result<Self, InvalidConnection> {
        Ok(Self {
            channel: connection.channel()?,
            api_key: connection.api_key.clone(),
            url: connection.url.clone(),
            call_timeout: connection.call_timeout,
        })
    }

    pub(super) async fn call<Q, R>(&self, path: &'static str, request: Q) -> Result<R, Error>
    where
        Q: ::prost::Message + 'static,
        R: ::prost::Message + Default + 'static,
    {
        self.call_within(self.call_timeout, path, request).await
    }

    /// A call whose answer is empty.
    pub(super) async fn send<Q>(&self, path: &'static str, request: Q) -> Result<(), Error>
    where
        Q: ::prost::Message + 'static,
    {
        self.call(path, request).await.map(|Empty {}| ())
    }

    /// A call that carries an image.
    pub(super) async fn call_with_image<Q, R>(&self, path: &'static str, request: Q) -> Result<R, Error>
    where
        Q: ::prost::Message + 'static,
        R: ::prost::Message + Default + 'static,
    {
        self.call_within(self.call_timeout * IMAGE_TIMEOUT_FACTOR, path, request).await
    }

    async fn call_within<Q, R>(&self, timeout: Duration, path: &'static str, request: Q) -> Result<R, Error>
    where
        Q: ::prost::Message + 'static,
        R: ::prost::Message + Default + 'static,
    {
        let mut request = Request::new(request);
        request.metadata_mut().insert("authorization", self.api_key.bearer());
        // The server is told as well, so that it doesn't carry out what nobody waits for.
        request.set_timeout(timeout);
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX);
        let call = async {
            grpc.ready().await.map_err(|error| Error::of_transport(&error))?;
            let codec = ProstCodec::<Q, R>::default();
            let reply = grpc.unary(request, PathAndQuery::from_static(path), codec).await?;
            Ok(reply.into_inner())
        };
        tokio::time::timeout(timeout, call).await.unwrap_or(Err(Error::DeadlineExceeded))
    }
}
