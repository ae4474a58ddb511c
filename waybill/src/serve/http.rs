//! The HTTP side of a process: what the API is made of, and its listener.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use command_api::{ApiConfig, ApiState, HttpListener, KeySource, SignInParts, TicketParts, TokenRules};
use event_store::dead_letters::DeadLetters;
use event_store::feed::consumers::FeedConsumers;
use event_store::network::JetStreamRawEvents;
use event_store::sessions::JetStreamSessions;
use event_store::stream_sizes::StreamSizes;
use firmware_store::FirmwareStore;

use super::{Checked, Parts, unusable};
use crate::config::{Role, ServeArgs};
use crate::health;
use crate::issuer_http::IssuerHttp;
use crate::tls::ServedCertificate;
use crate::token_keys::HttpKeySource;

/// The API if the role has it; health and metrics always.
pub(super) async fn start(args: &ServeArgs, checked: Checked, parts: &Parts) -> Result<SocketAddr> {
    let certificate = checked.certificate.clone();
    let state = api_state(args, checked, parts)?;
    let tcp = tokio::net::TcpListener::bind(args.http_listen).await.with_context(|| unusable(args.http_listen))?;
    let address = tcp.local_addr()?;
    let tls = certificate.as_ref().map(ServedCertificate::server_config).transpose()?;
    if let Some(certificate) = certificate {
        parts.tasks.spawn("certificate", certificate.follow(parts.tasks.token().clone()));
    }
    let listener = HttpListener { tcp, tls };
    if args.role.runs(Role::Api) {
        parts.tasks.spawn("http", command_api::serve(listener, state, parts.tasks.clone()));
    } else {
        parts.tasks.spawn("http", command_api::serve_about(listener, state, parts.tasks.clone()));
    }
    Ok(address)
}

/// Says at the start what is wrong with a firmware store. The service runs without it: only uploads and downloads need it.
async fn try_stores(stores: FirmwareStore) {
    for store in stores.stores() {
        match store.try_it().await {
            Ok(()) => tracing::info!(%store, "The firmware store works."),
            Err(error) => {
                tracing::error!(%error, "The firmware store doesn't work: uploads and downloads are refused.")
            }
        }
    }
}

fn api_state(args: &ServeArgs, checked: Checked, parts: &Parts) -> Result<ApiState> {
    let sign_in = sign_in_parts(args, &checked, parts)?;
    let tickets = TicketParts {
        bucket: Arc::new(JetStreamSessions::of_tickets(parts.waybill.clone())),
        keyring: Arc::clone(&checked.keyring),
    };
    let Checked { secrets, .. } = checked;
    let mut checks = parts.checks.clone();
    if args.role.runs(Role::Api) {
        checks.push(health::of_stores(parts.firmware_store.clone()));
        parts.tasks.spawn("trial of the firmware store", try_stores(parts.firmware_store.clone()));
    }
    let config = ApiConfig {
        development: args.development,
        sign_in,
        tickets: Some(tickets),
        retry_backoff_s: args.retry_backoff_seconds,
        dispatch_patience_s: args.dispatch_patience_seconds,
        max_firmware_bytes: args.store.firmware_max_bytes,
        upload_abandoned_after: args.store.abandoned_after(),
        redirect_downloads: args.store.firmware_redirect,
        rate_limits: args.edges.rate_limits(),
        transfer_limits: args.edges.transfer_limits(),
        trusted_proxies: args.edges.trusted_proxies(),
        outward: args.chirpstack.outward(args.development),
        ..ApiConfig::new(token_rules(args, secrets.jwt)?, secrets.download, secrets.credentials, args.download_origin())
    };
    Ok(ApiState {
        store: parts.store.clone(),
        projections: parts.projections.clone(),
        db: parts.db.clone(),
        dead_letters: Some(DeadLetters::new(parts.waybill.clone())),
        telemetry: Some(parts.telemetry.clone()),
        feed_consumers: Some(FeedConsumers::new(parts.waybill.clone())),
        stream_sizes: Some(StreamSizes::new(parts.waybill.clone())),
        network: Some(Arc::new(JetStreamRawEvents::new(parts.waybill.clone()))),
        secrets: Some(parts.secrets.clone()),
        firmware_store: parts.firmware_store.clone(),
        config,
        metrics: parts.metrics.clone(),
        checks,
    })
}

fn sign_in_parts(args: &ServeArgs, checked: &Checked, parts: &Parts) -> Result<Option<SignInParts>> {
    let Some(config) = args.sign_in_config()? else { return Ok(None) };
    let has_provider = !config.issuer.is_empty();
    Ok(Some(SignInParts {
        config,
        http: if has_provider { Some(Arc::new(IssuerHttp::new()?)) } else { None },
        bucket: Arc::new(JetStreamSessions::new(parts.waybill.clone())),
        keyring: Arc::clone(&checked.keyring),
    }))
}

fn token_rules(args: &ServeArgs, secret: Vec<u8>) -> Result<TokenRules> {
    let keys = args.jwks_url.as_deref().map(HttpKeySource::new).transpose().context("WAYBILL_JWKS_URL")?;
    Ok(TokenRules {
        secret: args.takes_shared_secret().then_some(secret),
        issuer: args.jwt_issuer.clone(),
        audience: args.jwt_audience.clone(),
        keys: keys.map(|keys| Arc::new(keys) as Arc<dyn KeySource>),
    })
}
