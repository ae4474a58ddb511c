//! The address of a client: that of its connection or, if the connection comes from a trusted proxy, the one that the proxies name.
//!
//! Invariant: nothing that a client sends changes its address. Proxies append to the header, so it is read from its end, and only as far as
//! trusted proxies wrote it. One header is read, because a proxy that writes one may pass the other on as the client sent it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use runtime::network::{Network, first_bits_v6};

/// Most hops that are read from the end of the header.
const HOPS_MAX: usize = 16;
/// A client with IPv6 has at least a network of this size.
const CLIENT_PREFIX_V6: u8 = 64;

/// Where a connection comes from. [`crate::listen`] adds it to every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectedFrom(pub(crate) SocketAddr);

/// The address of the client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// The part of the address that a client can't choose.
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => IpAddr::from((u128::from(address) & first_bits_v6(CLIENT_PREFIX_V6)).to_be_bytes()),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The header in which proxies name the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239
    Forwarded,
}

impl FromStr for ForwardedHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("must be x-forwarded-for or forwarded".to_owned()),
        }
    }
}

/// Proxies that are believed, and the header that they write. By default there are none.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    pub networks: Vec<Network>,
    pub header: ForwardedHeader,
}

impl TrustedProxies {
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// The nearest address that isn't a trusted proxy. If a hop can't be read, it is the proxy that named this hop.
    pub(crate) fn client(&self, connection: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut nearest = connection.to_canonical();
        if self.networks.is_empty() || !self.contain(nearest) {
            return ClientAddress(nearest);
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
        // Split without regard to quotes, because a client could open a quote that the proxies' own hops don't close.
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS_MAX) {
            let named = match self.header {
                ForwardedHeader::XForwardedFor => address_of(hop),
                ForwardedHeader::Forwarded => forwarded_for(hop),
            };
            let Some(address) = named else { break };
            nearest = address.to_canonical();
            if !self.contain(nearest) {
                break;
            }
        }
        ClientAddress(nearest)
    }
}

/// The value of `for` in an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for")).and_then(|(_, value)| address_of(value))
}

/// An address with or without port, brackets and quotes.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// Adds the [`ClientAddress`] to a request. One that came by no connection has the address 0.0.0.0.
pub(crate) async fn resolve(State(proxies): State<Arc<TrustedProxies>>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectedFrom>().map(|from| from.0.ip());
    let connection = connection.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let client = proxies.client(connection, request.headers());
    request.extensions_mut().insert(client);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str], header: ForwardedHeader) -> TrustedProxies {
        TrustedProxies { networks: networks.iter().map(|network| network.parse().unwrap()).collect(), header }
    }

    fn client(proxies: &TrustedProxies, connection: &str, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proxies.client(connection.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn who_is_no_trusted_proxy_names_nobody() {
        let spoofed = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.1")];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            assert_eq!(client(&proxies(&[], header), "198.51.100.7", &spoofed), "198.51.100.7");
            assert_eq!(client(&proxies(&["10.0.0.0/8"], header), "198.51.100.7", &spoofed), "198.51.100.7");
        }
    }

    #[test]
    fn the_nearest_hop_that_is_no_trusted_proxy_is_the_client() {
        let trusted = proxies(&["10.0.0.0/8"], ForwardedHeader::XForwardedFor);
        let of = |value: &str| client(&trusted, "10.0.0.1", &[("x-forwarded-for", value)]);
        assert_eq!(of("203.0.113.1"), "203.0.113.1");
        assert_eq!(of("1.1.1.1, 203.0.113.1, 10.9.9.9"), "203.0.113.1", "what the client claims is further left");
        assert_eq!(of("203.0.113.1:4711"), "203.0.113.1");
        assert_eq!(of("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(of("10.2.2.2, 10.1.1.1"), "10.2.2.2");
        assert_eq!(of("203.0.113.1, unknown, 10.9.9.9"), "10.9.9.9", "the hop before it is not known");
        assert_eq!(of(""), "10.0.0.1");
        assert_eq!(of(&["10.1.1.1"; 2 * HOPS_MAX].join(",")), "10.1.1.1");
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=2.2.2.2")];
        assert_eq!(client(&trusted, "::ffff:10.0.0.1", &lines), "203.0.113.1");
    }

    #[test]
    fn forwarded_is_read_by_its_standard() {
        let trusted = proxies(&["10.0.0.0/8", "2001:db8::/32"], ForwardedHeader::Forwarded);
        let of = |value: &str| client(&trusted, "10.0.0.1", &[("forwarded", value), ("x-forwarded-for", "9.9.9.9")]);
        assert_eq!(of("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
        assert_eq!(of("For=\"[2001:db9:cafe::17]:4711\""), "2001:db9:cafe::17");
        assert_eq!(of("for=1.1.1.1, proto=https; FOR=\"192.0.2.43:80\", for=10.3.3.3"), "192.0.2.43");
        assert_eq!(of("for=\"1.1.1.1, for=192.0.2.43"), "192.0.2.43", "an open quote hides no hop");
        for hidden in ["for=_hidden", "for=unknown", "proto=http", "for=\"", "for=,"] {
            assert_eq!(of(hidden), "10.0.0.1", "{hidden}");
        }
    }

    #[test]
    fn a_client_of_ipv6_has_one_network() {
        let network = |address: &str| ClientAddress(address.parse().unwrap()).network().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
