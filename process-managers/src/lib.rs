//! React to events with commands: start and plan campaigns, grant slots, judge gates, run clocks, detect silence.
//!
//! Each is a reconciler: a run reads durable state, asks a pure policy of `domain`, and sends commands that the aggregates check again. A
//! run may happen twice, on two nodes, or on rows that lag: no command takes effect twice, and the next run is the retry. Without
//! PostgreSQL they do nothing. Start at [`rollout`].

mod adoption;
mod causes;
mod command_deadlines;
mod deadlines;
mod drift;
mod fuota;
mod gates;
pub mod metrics;
mod network;
mod planner;
mod preconditions;
mod presence;
mod pulse;
mod reconciler;
mod retention;
mod rollout;
mod schedule;
mod slots;
mod watermark_lag;
mod withdrawals;
mod written_plans;

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventStore, SecretStore};
use object_store::ObjectStore;
use projections::{Db, Projections};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;

pub use pulse::{Pulse, PulseOf};
use written_plans::WrittenPlans;

/// Settings of the process managers; the defaults are for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest pause between two runs over all campaigns.
    pub rollout_interval: Duration,
    pub deadline_interval: Duration,
    pub presence_interval: Duration,
    /// Pause between two searches for tenants of an older log.
    pub adoption_interval: Duration,
    /// Pause between two removals of what tenants have kept long enough.
    pub retention_interval: Duration,
    /// Longest pause between two looks for devices to write into network servers.
    pub network_interval: Duration,
    /// Pause between two looks whether somebody has changed devices in a tenant's network server.
    pub network_sweep_interval: Duration,
    /// Pause between two looks for new devices in the applications that tenants' connections import from.
    pub network_import_interval: Duration,
    /// A last will counts if no message has come for this long after it.
    pub offline_debounce: Duration,
    /// Silence after which a device without a contact interval counts as offline.
    pub silence: Duration,
    /// Pause between the first and the second attempt of an update; later ones are longer.
    pub retry_backoff: Duration,
    /// From dispatch to `received`, before a device counts as unreachable.
    pub dispatch_patience: Duration,
    /// Where addresses that tenants set may lead.
    pub outward: Outward,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rollout_interval: Duration::from_secs(1),
            deadline_interval: Duration::from_millis(500),
            presence_interval: Duration::from_secs(5),
            adoption_interval: Duration::from_secs(600),
            retention_interval: Duration::from_secs(600),
            network_interval: Duration::from_secs(1),
            network_sweep_interval: Duration::from_secs(600),
            network_import_interval: Duration::from_secs(10),
            offline_debounce: Duration::from_secs(45),
            silence: Duration::from_secs(24 * 3_600),
            retry_backoff: Duration::from_secs(30),
            dispatch_patience: Duration::from_secs(120),
            outward: Outward::default(),
        }
    }
}

/// Shared by all process managers.
pub(crate) struct Context {
    pub(crate) store: EventStore,
    pub(crate) db: Db,
    pub(crate) projections: Projections,
    pub(crate) options: Options,
    pub(crate) lag: watermark_lag::Lag,
    pub(crate) pulse: Pulse,
    pub(crate) written_plans: WrittenPlans,
    /// Sealed secrets of tenants; without them no network server is written to.
    pub(crate) secrets: Option<SecretStore>,
    pub(crate) network: Arc<network::Workers>,
    pub(crate) imports: network::import::Seen,
    /// The images of firmware; without them none is sent to LoRaWAN devices.
    pub(crate) objects: Option<Arc<dyn ObjectStore>>,
    pub(crate) fuota: Arc<fuota::Workers>,
    pub(crate) tasks: Tasks,
}

/// Starts all process managers as tasks of `tasks`. The returned value shows their state.
pub fn start(
    store: EventStore,
    db: Db,
    projections: Projections,
    secrets: Option<SecretStore>,
    objects: Option<Arc<dyn ObjectStore>>,
    options: Options,
    tasks: &Tasks,
) -> Pulse {
    let pulse = Pulse::default();
    let context = Arc::new(Context {
        store,
        db,
        projections,
        options,
        lag: watermark_lag::Lag::default(),
        pulse: pulse.clone(),
        written_plans: WrittenPlans::default(),
        secrets,
        network: Arc::default(),
        imports: network::import::Seen::default(),
        objects,
        fuota: Arc::default(),
        tasks: tasks.clone(),
    });
    tasks
        .spawn("rollout process manager", reconciler::run(context.clone(), tasks.token().clone(), rollout::RECONCILER));
    tasks.spawn(
        "planning process manager",
        reconciler::run(context.clone(), tasks.token().clone(), planner::RECONCILER),
    );
    tasks.spawn(
        "schedule process manager",
        reconciler::run(context.clone(), tasks.token().clone(), schedule::RECONCILER),
    );
    tasks.spawn(
        "deadline process manager",
        reconciler::run(context.clone(), tasks.token().clone(), deadlines::RECONCILER),
    );
    tasks.spawn(
        "command deadline process manager",
        reconciler::run(context.clone(), tasks.token().clone(), command_deadlines::RECONCILER),
    );
    tasks.spawn(
        "update log process manager",
        reconciler::run(context.clone(), tasks.token().clone(), retention::RECONCILER),
    );
    tasks.spawn(
        "precondition process manager",
        reconciler::run(context.clone(), tasks.token().clone(), preconditions::RECONCILER),
    );
    tasks.spawn(
        "withdrawal process manager",
        reconciler::run(context.clone(), tasks.token().clone(), withdrawals::RECONCILER),
    );
    tasks
        .spawn("network process manager", reconciler::run(context.clone(), tasks.token().clone(), network::RECONCILER));
    tasks.spawn("FUOTA process manager", reconciler::run(context.clone(), tasks.token().clone(), fuota::RECONCILER));
    tasks.spawn(
        "network import process manager",
        reconciler::run(context.clone(), tasks.token().clone(), network::import::RECONCILER),
    );
    tasks.spawn(
        "adoption process manager",
        reconciler::run(context.clone(), tasks.token().clone(), adoption::RECONCILER),
    );
    tasks.spawn("presence process manager", reconciler::run(context, tasks.token().clone(), presence::RECONCILER));
    pulse
}
