//! Single devices that are asked for at the same time, read in one transaction.
//!
//! A transaction with one device costs PostgreSQL several times what the device's row costs. The first request reads at once. Requests
//! for devices of the same tenant that come meanwhile wait for the next transaction, which begins after all of them came: so none is
//! answered from a snapshot that is older than the request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{DeviceId, TenantId};
use runtime::lifecycle::Tasks;
use tokio::sync::oneshot;

use super::device_queries::{DeviceView, get_many};
use crate::db::{Db, DbError};

/// Most devices of one transaction.
const DEVICES_MAX: usize = 64;
/// Transactions for one tenant at the same time.
const READERS_MAX: usize = 2;

/// Reads single devices. Clones share the transactions.
#[derive(Clone)]
pub struct DeviceReads {
    db: Db,
    tasks: Tasks,
    tenants: Arc<Mutex<HashMap<TenantId, Queue>>>,
}

/// The requests of one tenant that wait, in the order in which they came. The API bounds how many requests there are.
#[derive(Default)]
struct Queue {
    readers: usize,
    asked: Vec<Asked>,
}

struct Asked {
    device: DeviceId,
    answer: oneshot::Sender<Result<Option<DeviceView>, DbError>>,
}

/// Reads for one tenant until nothing waits.
struct Reader {
    reads: DeviceReads,
    tenant: TenantId,
    /// Whether its end is in the queue already.
    has_ended: bool,
}

impl Queue {
    /// The requests that wait, but at most [`DEVICES_MAX`]; none if nothing waits. Requests whose callers have gone are dropped.
    fn take(&mut self) -> Vec<Asked> {
        self.asked.retain(|asked| !asked.answer.is_closed());
        let count = self.asked.len().min(DEVICES_MAX);
        self.asked.drain(..count).collect()
    }
}

impl DeviceReads {
    pub fn new(db: Db, tasks: Tasks) -> Self {
        Self { db, tasks, tenants: Arc::default() }
    }

    /// A device; none if the read model has no such device.
    pub async fn get(&self, tenant: &TenantId, device: &DeviceId) -> Result<Option<DeviceView>, DbError> {
        let (answer, answered) = oneshot::channel();
        if let Some(reader) = self.ask(tenant, Asked { device: device.clone(), answer }) {
            self.tasks.spawn("reads of devices", reader.run());
        }
        answered.await.unwrap_or_else(|_| Err(DbError::Unavailable("the read ended without an answer".to_owned())))
    }

    /// Adds a request. Returns a reader to start if one is needed.
    fn ask(&self, tenant: &TenantId, asked: Asked) -> Option<Reader> {
        let mut tenants = self.lock();
        let queue = tenants.entry(tenant.clone()).or_default();
        queue.asked.push(asked);
        if queue.readers == READERS_MAX {
            return None;
        }
        queue.readers += 1;
        Some(Reader { reads: self.clone(), tenant: tenant.clone(), has_ended: false })
    }

    /// A reader has ended. What still waits when the last one has ended is told so, because its answers are dropped.
    fn end(tenants: &mut HashMap<TenantId, Queue>, tenant: &TenantId) {
        let Some(queue) = tenants.get_mut(tenant) else { return };
        queue.readers -= 1;
        if queue.readers == 0 {
            tenants.remove(tenant);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Queue>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    async fn run(mut self) {
        while let Some(asked) = self.next() {
            let devices: Vec<&str> = asked.iter().map(|asked| asked.device.as_str()).collect();
            let found = self.read(&devices).await;
            for Asked { device, answer } in asked {
                let view = found.as_ref().map(|found| found.get(device.as_str()).cloned()).map_err(Clone::clone);
                // Who asked may have gone.
                let _ = answer.send(view);
            }
        }
    }

    /// The next requests; none if nothing waits. Then this reader ends in the same moment, so that the next request starts another one.
    fn next(&mut self) -> Option<Vec<Asked>> {
        let mut tenants = self.reads.lock();
        let asked = tenants.get_mut(&self.tenant).map(Queue::take).unwrap_or_default();
        if asked.is_empty() {
            self.has_ended = true;
            DeviceReads::end(&mut tenants, &self.tenant);
            return None;
        }
        Some(asked)
    }

    async fn read(&self, devices: &[&str]) -> Result<HashMap<String, DeviceView>, DbError> {
        let mut tx = self.reads.db.read(&self.tenant).await?;
        let found = get_many(&mut tx, &self.tenant, devices).await?;
        Ok(found.into_iter().map(|view| (view.row.device_id.clone(), view)).collect())
    }
}

/// After a panic.
impl Drop for Reader {
    fn drop(&mut self) {
        if !self.has_ended {
            DeviceReads::end(&mut self.reads.lock(), &self.tenant);
        }
    }
}
