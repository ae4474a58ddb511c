//! One tenant's worker: reads device profiles and takes deployments on, until its ChirpStack doesn't answer.

use std::sync::Arc;
use std::time::Duration;

use domain::{CommandId, Decider, Key, TenantId};
use event_store::{Cause, EventStore, Request, SecretStore, Standing};
use object_store::ObjectStore;
use projections::Db;
use projections::network::ConnectedTenant;
use runtime::clock;
use runtime::outward::Outward;

use super::workers::{BROKEN_TRIES_MAX, Workers};
use super::{RECONCILER, Work, advance, observe};
use crate::Context;
use crate::network::{Server, ServerError};
use crate::reconciler::{self, ReconcileError};

/// Pause before a deployment that has just taken a step is looked at again, if nothing wakes the worker earlier.
const STEP_PAUSE: Duration = Duration::from_millis(500);

/// Why a worker stops before everything is done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("ChirpStack doesn't answer: {0}")]
    Away(ServerError),
    /// Over there something broke or was refused that concerns one deployment.
    #[error("ChirpStack can't do it: {0}")]
    Broken(String),
    #[error("the image can't be read: {0}")]
    Image(#[from] object_store::Error),
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

impl From<ServerError> for Stop {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Away(_) | ServerError::KeyRefused => Self::Away(error),
            ServerError::Broken(reason) | ServerError::Refused { reason, .. } => Self::Broken(reason),
        }
    }
}

/// What a worker has of the process.
#[derive(Clone)]
pub(super) struct Tools {
    pub(super) store: EventStore,
    pub(super) db: Db,
    pub(super) secrets: SecretStore,
    /// Where the address of a ChirpStack may lead.
    pub(super) outward: Outward,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) workers: Arc<Workers>,
}

impl Tools {
    /// None in a process without secrets or without images.
    fn of(context: &Context) -> Option<Self> {
        Some(Self {
            store: context.store.clone(),
            db: context.db.clone(),
            secrets: context.secrets.clone()?,
            outward: context.options.outward.clone(),
            objects: context.objects.clone()?,
            workers: context.fuota.clone(),
        })
    }
}

/// Sends a command to an aggregate. State is the guard (ADR 5).
pub(super) async fn send<A: Decider>(
    store: &EventStore,
    key: &Key<A>,
    command: domain::CommandOf<A>,
) -> Result<(), ReconcileError> {
    let request = Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command);
    reconciler::log_and_continue(store.execute(key, request).await, key.raw())
}

/// The same for the first event of an aggregate, or one that belongs to no thread: it follows from this record.
pub(super) async fn send_after<A: Decider>(
    store: &EventStore,
    key: &Key<A>,
    command: domain::CommandOf<A>,
    after: Option<Standing>,
) -> Result<(), ReconcileError> {
    reconciler::log_and_continue(store.execute(key, request_after(command, after)).await, key.raw())
}

/// A request that follows from this record.
pub(super) fn request_after<C>(command: C, after: Option<Standing>) -> Request<C> {
    Request {
        correlation_id: after.map(|standing| standing.correlation_id),
        cause: after.map_or(Cause::Thread, |standing| Cause::Record(standing.record)),
        ..Request::new(CommandId(clock::new_id()), RECONCILER.actor(), command)
    }
}

/// A tenant's worker with its connection.
pub(super) struct Worker<'a> {
    pub(super) tools: &'a Tools,
    pub(super) tenant: &'a TenantId,
    pub(super) server: &'a Server,
}

/// Starts the tenant's worker, unless it is at work or there is nothing to do.
pub(super) fn begin(context: &Context, connected: &ConnectedTenant, work: Work) {
    let Some(tools) = Tools::of(context) else { return };
    let tenant = &connected.tenant;
    let live: Vec<_> = work.live.iter().map(|live| live.id).collect();
    tools.workers.keep(tenant, &live);
    let is_due = |id| tools.workers.is_due(tenant, id);
    let asks = work.profiles.iter().any(|profile| !tools.workers.was_asked(tenant, profile));
    let has_work = asks || tools.workers.profiles_are_due(tenant) || live.iter().any(|id| is_due(*id));
    if !has_work {
        return;
    }
    let Some(place) = tools.workers.begin(tenant) else { return };
    let (connected, stop) = (connected.clone(), context.tasks.token().clone());
    context.tasks.spawn("FUOTA of a tenant", async move {
        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            outcome = run(&tools, &connected, work) => outcome,
        };
        if let Err(reason) = &outcome {
            tracing::warn!(tenant.id = %connected.tenant, %reason, "Images can't be sent to a tenant's LoRaWAN devices now. It is tried again.");
            metrics::counter!("waybill_process_manager_errors_total", "process_manager" => RECONCILER.name).increment(1);
        }
        place.leave(outcome.is_ok());
    });
}

async fn run(tools: &Tools, connected: &ConnectedTenant, work: Work) -> Result<(), Stop> {
    let ConnectedTenant { tenant, connection, .. } = connected;
    let server = Server::of(tenant, connection, &tools.secrets, &tools.outward).await?;
    let worker = Worker { tools, tenant, server: &server };
    observe::profiles(&worker, work.profiles).await?;
    for live in &work.live {
        if !tools.workers.is_due(tenant, live.id) {
            continue;
        }
        match advance::advance(&worker, live).await {
            Ok(pause) => tools.workers.look_after(tenant, live.id, pause.unwrap_or(STEP_PAUSE)),
            Err(Stop::Broken(reason)) => {
                let tries = tools.workers.retry(tenant, live.id);
                tracing::warn!(tenant.id = %tenant, deployment.id = %live.id, %reason, tries, "A FUOTA deployment can't go on now.");
                if tries >= BROKEN_TRIES_MAX {
                    advance::give_up(&worker, live.id, &reason).await?;
                }
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}
