//! Commands over HTTP: `POST /` with a [`Command`] as JSON; `GET /devices` and `GET /events` show what is there, `GET /connection` what
//! `PUT /tenants/{id}/chirpstack` needs.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::control::Command;
use crate::events::Event;
use crate::handle::Handle;
use crate::ids::{APPLICATION_ID, CLASS_A_PROFILE_ID, CLASS_C_PROFILE_ID, TENANT_ID, TENANT_KEY};
use crate::store::DeviceEntry;

/// Bytes of a command.
const BODY_BYTES_MAX: usize = 1024 * 1024;

type Answer = Result<Value, (StatusCode, String)>;

pub(crate) async fn serve(listener: TcpListener, handle: Handle, tasks: Tasks) {
    let stopping = tasks.token().clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (handle, closed) = (handle.clone(), stopping.clone());
        tasks.spawn("fake-chirpstack-control-connection", async move {
            let service = service_fn(|request| {
                let handle = handle.clone();
                async move { Ok::<_, Infallible>(respond(answer(request, &handle).await)) }
            });
            tokio::select! {
                () = closed.cancelled() => {}
                _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}

async fn answer(request: Request<Incoming>, handle: &Handle) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/devices") => Ok(devices(handle)),
        (&Method::GET, "/events") => Ok(events(handle)),
        (&Method::GET, "/connection") => Ok(connection()),
        (&Method::POST, "/") => {
            let refused = |error: String| (StatusCode::BAD_REQUEST, error);
            let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
            let body = body.collect().await.map_err(|error| refused(error.to_string()))?.to_bytes();
            let command: Command = serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
            handle.carry_out(command).map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))?;
            Ok(json!({}))
        }
        _ => Err((StatusCode::NOT_FOUND, "POST / with a command, GET /connection, /devices or /events".to_owned())),
    }
}

fn connection() -> Value {
    json!({
        "chirpstack_tenant_id": TENANT_ID,
        "api_key": TENANT_KEY,
        "application_id": APPLICATION_ID,
        "class_a_profile_id": CLASS_A_PROFILE_ID,
        "class_c_profile_id": CLASS_C_PROFILE_ID,
    })
}

fn devices(handle: &Handle) -> Value {
    handle.shared.with_store(|store, _| {
        let device = |entry: &DeviceEntry| {
            let device = &entry.stored.object;
            json!({
                "dev_eui": device.dev_eui,
                "name": device.name,
                "application_id": device.application_id,
                "device_profile_id": device.device_profile_id,
                "is_disabled": device.is_disabled,
                "join_eui": device.join_eui,
                "tags": device.tags,
                "variables": device.variables,
                "has_keys": entry.keys.is_some(),
                "queued": entry.queue.len(),
            })
        };
        store.devices.values().map(device).collect()
    })
}

fn events(handle: &Handle) -> Value {
    let event = |event: Event| {
        json!({
            "topic": event.topic(),
            "payload": serde_json::from_slice::<Value>(&event.json).unwrap_or_default(),
            "protobuf": STANDARD.encode(&event.protobuf),
        })
    };
    handle.shared.publisher.kept().into_iter().map(event).collect()
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json!({"error": error})),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}
