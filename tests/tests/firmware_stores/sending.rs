//! An upload that stops before its end.

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::task::JoinHandle;
use waybill::api_client::ApiClient;

use crate::world::MODEL;

/// All bytes but the last one were sent; the connection stays open.
pub(super) struct HalfUpload {
    request: JoinHandle<()>,
    _rest: UnboundedSender<Result<Bytes, std::io::Error>>,
}

impl HalfUpload {
    pub(super) async fn begin(api: &ApiClient, version: &str, bytes: Vec<u8>) -> Self {
        let (sender, receiver) = unbounded();
        let metadata = json!({"name": "F", "version": version, "device_model": MODEL});
        let file = Part::stream(Body::wrap_stream(receiver.boxed())).file_name("firmware.bin");
        let form = Form::new().text("metadata", metadata.to_string()).part("file", file);
        let url = format!("{}/api/v1/firmware", api.base());
        let request = api.http().post(url).bearer_auth(api.token()).multipart(form);
        #[expect(clippy::disallowed_methods, reason = "a task of the test")]
        let request = tokio::spawn(async move { drop(request.send().await) });
        sender.unbounded_send(Ok(Bytes::from(bytes))).unwrap();
        Self { request, _rest: sender }
    }

    /// The client dies.
    pub(super) fn breaks_off(self) {
        self.request.abort();
    }
}
