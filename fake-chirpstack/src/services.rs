//! The methods that are served.

mod application;
mod device;
mod device_keys;
mod device_profile;
mod device_queue;
mod fuota;
mod gateway;
mod multicast_group;
mod parse;

use crate::call::{Call, Response};

/// Carries out a call. A service gives back what it doesn't know.
pub(crate) async fn serve(call: Call) -> Response {
    let call = match device::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match device_keys::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match device_queue::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match application::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match device_profile::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match fuota::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    let call = match multicast_group::serve(call).await {
        Ok(response) => return response,
        Err(call) => call,
    };
    match gateway::serve(call).await {
        Ok(response) => response,
        Err(call) => call.unimplemented(),
    }
}

/// A page, and how many there are in all. A limit of 0 is an empty page.
fn page<T>(all: Vec<T>, limit: u32, offset: u32) -> (u32, Vec<T>) {
    let total = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let (limit, offset) = (usize::try_from(limit).unwrap_or(usize::MAX), usize::try_from(offset).unwrap_or(usize::MAX));
    (total, all.into_iter().skip(offset).take(limit).collect())
}
