//! The schemes of `Authorization`: `Bearer`, and those of devices that speak hawkBit's device API.
//!
//! A device may show its registration token as `GatewayToken`, and its credential as `TargetToken`. They are the same tokens, in another scheme.

use axum::http::header;
use axum::http::request::Parts;

use crate::http::{Problem, single_header};

/// How a caller shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    /// A registration token, which stands for any device in its scope.
    GatewayToken,
    /// The credential of one device.
    TargetToken,
}

impl Scheme {
    /// The scheme of this name, in any case as RFC 9110 says.
    fn of(name: &str) -> Option<Self> {
        let all = [("bearer", Self::Bearer), ("gatewaytoken", Self::GatewayToken), ("targettoken", Self::TargetToken)];
        all.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, scheme)| scheme)
    }
}

/// The token of a request, if it is shown in a known scheme, once: a proxy might have checked the other one.
pub(super) fn shown(parts: &Parts) -> Option<(Scheme, &str)> {
    let text = single_header(&parts.headers, "Authorization").ok()??;
    let (name, token) = text.split_once(' ')?;
    Some((Scheme::of(name)?, token.trim()))
}

/// The bearer token of a request.
pub(super) fn bearer(parts: &Parts) -> Result<&str, Problem> {
    if parts.headers.get_all(header::AUTHORIZATION).iter().count() > 1 {
        return Err(Problem::bad_request("Authorization is given twice"));
    }
    match shown(parts) {
        Some((Scheme::Bearer, token)) => Ok(token),
        Some((Scheme::GatewayToken | Scheme::TargetToken, _)) => Err(of_devices()),
        None => Err(Problem::unauthorized("a bearer token is needed")),
    }
}

/// The registration token that a device shows.
pub(crate) fn registration_token(parts: &Parts) -> Option<&str> {
    match shown(parts)? {
        (Scheme::Bearer | Scheme::GatewayToken, token) => Some(token),
        (Scheme::TargetToken, _) => None,
    }
}

/// The reply to a device where people and programs are expected.
pub(super) fn of_devices() -> Problem {
    Problem::unauthorized("tokens of devices don't open the API")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(authorization: &str) -> Parts {
        Request::get("/").header(header::AUTHORIZATION, authorization).body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_scheme_shows_what_it_is_for() {
        let seen = |text: &str| {
            let parts = parts(text);
            (bearer(&parts).ok().map(str::to_owned), registration_token(&parts).map(str::to_owned))
        };
        let t = || Some("t".to_owned());
        for (text, wanted) in [
            ("Bearer t", (t(), t())),
            ("bearer  t ", (t(), t())),
            ("GatewayToken t", (None, t())),
            ("gatewaytoken t", (None, t())),
            ("TargetToken t", (None, None)),
            ("Basic t", (None, None)),
            ("t", (None, None)),
            ("", (None, None)),
            ("GatewayTokens t", (None, None)),
        ] {
            assert_eq!(seen(text), wanted, "{text}");
        }
    }
}
