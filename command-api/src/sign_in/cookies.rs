//! The two cookies: of a session, and of a sign-in that has begun.
//!
//! Over HTTPS their names begin with `__Host-`, so a browser takes them only from this host, with `Secure` and for `/`. Over HTTP, which is
//! for development, they have neither. `Lax`: a browser that comes back from the provider, or follows a link, shows them; a form or a
//! script of another site doesn't. What changes anything is checked besides ([`super::origin`]).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::Problem;

/// Cookie of a session, over HTTPS.
pub(crate) const SESSION_COOKIE: &str = "__Host-waybill_session";
const SIGN_IN_COOKIE: &str = "__Host-waybill_sign_in";
const HOST_PREFIX: &str = "__Host-";

pub(super) fn session_name(is_https: bool) -> &'static str {
    named(SESSION_COOKIE, is_https)
}

pub(super) fn sign_in_name(is_https: bool) -> &'static str {
    named(SIGN_IN_COOKIE, is_https)
}

fn named(name: &'static str, is_https: bool) -> &'static str {
    if is_https { name } else { name.trim_start_matches(HOST_PREFIX) }
}

/// The value of a cookie; none if it is shown twice, because another host may have set one of them.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut found = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(shown, _)| *shown == name)
        .map(|(_, value)| value);
    let value = found.next()?;
    found.next().is_none().then_some(value)
}

/// A cookie for the browser to keep.
pub(super) fn kept(name: &str, value: &str, lifetime: Duration) -> Result<HeaderValue, Problem> {
    let secure = if name.starts_with(HOST_PREFIX) { "; Secure" } else { "" };
    let age_s = lifetime.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}");
    let mut cookie = HeaderValue::from_str(&text).map_err(Problem::internal)?;
    cookie.set_sensitive(true);
    Ok(cookie)
}

/// A cookie for the browser to forget.
pub(super) fn forgotten(name: &str) -> Result<HeaderValue, Problem> {
    kept(name, "", Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_for_https_is_bound_to_its_host_and_hidden_from_scripts() {
        let cookie = |is_https| kept(session_name(is_https), "wbs_x", Duration::from_secs(60)).unwrap();
        let attributes = "Path=/; Max-Age=60; HttpOnly; SameSite=Lax";
        assert_eq!(cookie(true), format!("__Host-waybill_session=wbs_x; {attributes}; Secure"));
        assert_eq!(cookie(false), format!("waybill_session=wbs_x; {attributes}"));
        assert!(!format!("{:?}", cookie(true)).contains("wbs_x"));
        assert!(forgotten(SESSION_COOKIE).unwrap().to_str().unwrap().contains("=; Path=/; Max-Age=0;"));
    }

    #[test]
    fn a_cookie_is_read_by_its_whole_name_and_once() {
        let shown = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            read(&headers, "__Host-waybill_session").map(str::to_owned)
        };
        assert_eq!(shown(&["a=b; __Host-waybill_session=x=y;c=d"]).as_deref(), Some("x=y"));
        assert_eq!(shown(&["a=b", "__Host-waybill_session=x"]).as_deref(), Some("x"));
        assert_eq!(shown(&["__Host-waybill_session=x; __Host-waybill_session=y"]), None);
        assert_eq!(shown(&["waybill_session=x; x__Host-waybill_session=y; __host-waybill_session=z"]), None);
        assert_eq!(shown(&[]), None);
    }
}
