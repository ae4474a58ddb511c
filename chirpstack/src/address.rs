//! Which addresses a tenant may not name: those of the machine and of networks that only its neighbours reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Longest look-up of a name.
const LOOKUP_MAX: Duration = Duration::from_secs(2);
/// For look-ups, where a URL names no port.
const ANY_PORT: u16 = 443;

/// Whether the host of a URL is, or has a name for, an address in a private network. A name that can't be looked up now is not: connecting to
/// it asks again.
pub async fn is_private(url: &str) -> bool {
    let Some(host) = host(url) else { return false };
    if let Ok(address) = host.parse() {
        return is_private_address(address);
    }
    let found = tokio::time::timeout(LOOKUP_MAX, tokio::net::lookup_host((host, ANY_PORT))).await;
    match found {
        Ok(Ok(mut addresses)) => addresses.any(|address| is_private_address(address.ip())),
        _ => false,
    }
}

/// The host of `scheme://host:port`, without brackets.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split(['/', '?', '#']).next()?;
    match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => rest.split(':').next(),
    }
}

fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    if let Some(v4) = address.to_ipv4() {
        return is_private_v4(v4);
    }
    // The last 32 bits of an address of NAT64 are one of version 4.
    if first == 0x64 && address.segments()[1] == 0xff9b {
        let [.., high, low] = address.segments();
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        return is_private_v4(Ipv4Addr::new(a, b, c, d));
    }
    address.is_multicast() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_of_the_machine_and_its_neighbours_are_private() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://10.0.0.1",
            "https://192.168.1.1/",
            "http://169.254.169.254",
            "http://100.64.0.1",
            "http://0.0.0.0:1",
            "http://[::1]:8080",
            "http://[::ffff:127.0.0.1]",
            "http://[fd00::1]",
            "http://[fe80::1]",
            "http://[64:ff9b::7f00:1]",
        ] {
            assert!(is_private(url).await, "{url}");
        }
        for url in ["http://9.9.9.9", "https://[2620:fe::fe]:8080", "http://name.invalid", "nonsense"] {
            assert!(!is_private(url).await, "{url}");
        }
    }
}
