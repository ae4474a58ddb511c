//! Connections to addresses that a tenant may set. Without a limit a tenant could have Waybill talk to what only its machine reaches:
//! databases, other internal services, a cloud's metadata.
//!
//! Invariant: a connection goes to an address that was checked. Names are looked up once for each connection, and all that they name must be
//! admitted, so a name that changes its address between check and use gains nothing.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::network::Network;

/// How long looking up a name and connecting may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Which addresses are admitted: public ones, those in `networks`, and with `loopback` those of the machine itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outward {
    /// Networks of the operator that tenants may name, such as that of a ChirpStack.
    pub networks: Vec<Network>,
    /// For development.
    pub loopback: bool,
    /// Hosts and ports that the operator has named: their addresses are not judged.
    pub services: Vec<(String, u16)>,
}

impl Outward {
    /// Whether a connection may go to an address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        is_public(address)
            || (self.loopback && address.is_loopback())
            || self.networks.iter().any(|network| network.contains(address))
    }

    /// The admitted addresses of a host, which is a name or an address, in brackets or not. Fails with [`ErrorKind::PermissionDenied`] if one
    /// of them is not admitted.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = without_brackets(host);
        let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
        }
        if self.services.iter().any(|(named, port_of)| named.eq_ignore_ascii_case(host) && *port_of == port) {
            return Ok(addresses);
        }
        match addresses.iter().find(|address| !self.admits(address.ip())) {
            Some(refused) => Err(io::Error::new(
                ErrorKind::PermissionDenied,
                format!("{} is not public, and the networks that tenants may name don't have it", refused.ip()),
            )),
            None => Ok(addresses),
        }
    }

    /// Whether a host is an address, and one that is not admitted. A name is judged when it is connected to.
    pub fn refuses(&self, host: &str) -> bool {
        let host = without_brackets(host);
        let is_named = self.services.iter().any(|(named, _)| named.eq_ignore_ascii_case(host));
        host.parse().is_ok_and(|address| !is_named && !self.admits(address))
    }

    /// Connects to a host within [`CONNECT_TIMEOUT`].
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let connect = async {
            let addresses = self.resolve(host, port).await?;
            let stream = TcpStream::connect(&addresses[..]).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        timeout(CONNECT_TIMEOUT, connect).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

/// An IPv6 address in a URL has brackets.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// The IPv4 address that an IPv6 address stands for, where it does: mapped, compatible, translated (64:ff9b::/96) or tunnelled (2002::/16).
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if v6.is_loopback() || v6.is_unspecified() {
        return address;
    }
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            of(high, low)
        }
        _ => address,
    }
}

/// Whether an address is one of the public network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (b & 0xc0) == 64;
    let is_of_protocols = a == 192 && b == 0 && c == 0;
    let is_of_benchmarks = a == 198 && (b & 0xfe) == 18;
    let is_of_this_network = a == 0;
    let is_reserved = a >= 240;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || is_shared
        || is_of_protocols
        || is_of_benchmarks
        || is_of_this_network
        || is_reserved)
}

/// Global unicast is 2000::/3; without documentation (2001:db8::/32, 3fff::/20) and protocols (2001::/23).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_documentation = (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    let is_of_protocols = first == 0x2001 && second < 0x200;
    (first & 0xe000) == 0x2000 && !is_documentation && !is_of_protocols
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(outward: &Outward, address: &str) -> bool {
        outward.admits(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_admitted_by_default() {
        let outward = Outward::default();
        for public in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
        {
            assert!(admits(&outward, public), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!admits(&outward, other), "{other}");
        }
    }

    #[test]
    fn listed_networks_and_loopback_are_admitted() {
        let networks = vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()];
        let outward = Outward { networks, ..Outward::default() };
        assert!(admits(&outward, "10.1.2.3") && admits(&outward, "::ffff:10.1.2.3") && admits(&outward, "fd00:1::5"));
        assert!(!admits(&outward, "10.2.0.1") && !admits(&outward, "127.0.0.1") && !admits(&outward, "fd00:2::5"));
        let development = Outward { loopback: true, ..Outward::default() };
        assert!(admits(&development, "127.0.0.1") && admits(&development, "::1"));
        assert!(!admits(&development, "10.1.2.3") && !admits(&development, "169.254.169.254"));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        for host in ["localhost", "127.0.0.1", "[::1]", "2130706433", "0x7f000001"] {
            let refused = Outward::default().connect(host, 1).await.unwrap_err();
            assert_ne!(refused.kind(), ErrorKind::ConnectionRefused, "{host} was tried");
        }
        assert_eq!(Outward::default().resolve("localhost", 1).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        let named =
            Outward { services: vec![("localhost".to_owned(), 1), ("::1".to_owned(), 1)], ..Outward::default() };
        assert!(named.resolve("LOCALHOST", 1).await.is_ok() && named.resolve("127.0.0.1", 1).await.is_err());
        assert!(named.resolve("localhost", 2).await.is_err(), "another service of the machine");
        assert!(named.refuses("127.0.0.1") && !named.refuses("[::1]") && !named.refuses("localhost"));
        let development = Outward { loopback: true, ..Outward::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        development.connect("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
    }
}
