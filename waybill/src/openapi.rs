//! `waybill openapi`: the API description, as committed in docs/openapi.json.

use anyhow::Result;

use crate::out;

/// Prints it.
pub fn run() -> Result<()> {
    out::line(command_api::openapi_json().trim_end())
}
