//! Whether a device was ever registered.

use domain::device::Device;
use domain::{DeviceId, Key};
use event_store::StoreError;

use crate::auth::Caller;
use crate::state::App;

/// A replica may lack recent registrations, so the stream's leader is asked before a device counts as unknown.
pub(crate) async fn is_known(app: &App, caller: &Caller, id: &DeviceId) -> Result<bool, StoreError> {
    let key = Key::<Device>::new(&caller.tenant, id);
    Ok(app.store.load(&key).await?.version > 0 || app.store.load_fresh(&key).await?.version > 0)
}
