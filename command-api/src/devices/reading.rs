//! A device in the read models, for queries about it.

use domain::device::Device;
use projections::ReadTx;
use projections::devices::DeviceView;

use crate::auth::Caller;
use crate::http::{Problem, ReadOfOne};
use crate::state::App;

pub(super) const UNKNOWN: &str = "no such device";

/// The device's row, and the transaction that it was read in. 404 if the log doesn't know the device either.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    mut reading: ReadOfOne<'_, Device>,
    id: &str,
) -> Result<(ReadTx, DeviceView), Problem> {
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        match projections::devices::get(&mut tx, &caller.tenant, id).await? {
            Some(view) => return Ok((tx, view)),
            None => {
                drop(tx);
                reading.look_again(UNKNOWN, |_| true).await?;
            }
        }
    }
}
