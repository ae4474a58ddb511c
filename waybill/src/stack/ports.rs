//! Free ports on loopback: bind, look, release. Somebody else may take one in between, so starters try again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// The address itself, or one with a free port when its port is 0.
pub(super) fn settled(address: SocketAddr) -> Result<SocketAddr> {
    let mut settled = address;
    if address.port() == 0 {
        settled.set_port(free_port()?);
    }
    Ok(settled)
}

/// Fails with one sentence when somebody listens on the address already.
pub(super) fn ensure_free(address: SocketAddr, what: &str, variable: &str) -> Result<()> {
    TcpListener::bind(address)
        .map(drop)
        .with_context(|| format!("{what} can't listen on {address}: the port is in use; set {variable} to another one"))
}
