//! `waybill openapi`: the description of the API, as it is committed in docs/openapi.json.

use anyhow::Result;

/// Prints it.
pub fn run() -> Result<()> {
    print!("{}", command_api::openapi_json());
    Ok(())
}
