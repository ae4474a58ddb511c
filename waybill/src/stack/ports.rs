//! Free ports on loopback: bound once and released. Another process may take one in between, so starters try again.
//!
//! They are below the range from which systems take the local ports of outgoing connections. Otherwise a client that keeps connecting to a
//! dead server's port could get that port as its own, connect to itself, and prevent the server's restart.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// Linux takes local ports from 32,768 on by default, macOS from 49,152.
const PORTS: Range<u16> = 15_000..32_000;

/// A free TCP port of 127.0.0.1. The same one isn't returned twice in a row within a process.
pub fn free_port() -> Result<u16> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    let first = *FIRST.get_or_init(|| rand::random_range(0..span));
    for _ in 0..span {
        let offset = (first + COUNT.fetch_add(1, Ordering::Relaxed) % span) % span;
        let port = PORTS.start + u16::try_from(offset).context("a port is a u16")?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of 127.0.0.1 between {} and {} is free", PORTS.start, PORTS.end)
}

/// The address itself, or one with a free port if its port is 0.
pub(super) fn settled(address: SocketAddr) -> Result<SocketAddr> {
    let mut settled = address;
    if address.port() == 0 {
        settled.set_port(free_port()?);
    }
    Ok(settled)
}

/// Fails with one sentence that names the variable to change, if the address can't be used.
pub fn ensure_free(address: SocketAddr, what: &str, variable: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!(
                "{what} can't listen on {address}: the port is in use; stop what uses it or set {variable} to another address"
            )
        }
        Err(error) => bail!("{what} can't listen on {address} ({error}); set {variable} to another address"),
    }
}
