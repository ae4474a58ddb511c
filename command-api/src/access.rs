//! Who may do what: one table names every operation and whom it takes, and one layer enforces it before the handler runs.
//!
//! An operation that is not in the table can't be reached. The API description states what the table says.

mod table;

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::authenticate;
use crate::caller::{Caller, Role};
use crate::http::Problem;
use crate::http::commands::without_tenant;
use crate::state::App;

pub(crate) use table::OPERATIONS;

/// Whom an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone, without credentials. Links of downloads are of this kind: who has one may use it.
    Anyone,
    /// A device with a registration token, which the handler checks.
    Device,
    /// A caller with at least this role.
    Role(Role),
}

/// An operation of the API and whom it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// Its route, without `/api/v1` and without the tenant.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
}

type Table = HashMap<(&'static str, &'static str), Access>;

static TABLE: LazyLock<Table> =
    LazyLock::new(|| OPERATIONS.iter().map(|one| ((one.method, one.path), one.access)).collect());

/// Whom an operation takes; none if there is no such operation. `method` is in lower case, `path` as in the description.
pub(crate) fn access_of(method: &str, path: &str) -> Option<Access> {
    TABLE.get(&(method, path)).copied()
}

/// Lets a request through to its handler if its caller may do that. The handler gets the [`Caller`].
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let path = route.as_ref().map(|route| without_tenant(route.as_str())).unwrap_or_default();
    let Some(access) = access_of(&method(&parts.method), path) else { return no_such_method(path) };
    match admitted(&app, &mut parts, access).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admitted(app: &App, parts: &mut Parts, access: Access) -> Result<(), Problem> {
    match access {
        Access::Anyone | Access::Device => {}
        Access::Role(least) => {
            let caller = authenticate(app, parts).await?.need(least)?;
            parts.extensions.insert(caller);
        }
    }
    Ok(())
}

/// Names the methods that the path has.
fn no_such_method(path: &str) -> Response {
    let methods = OPERATIONS.iter().filter(|one| one.path == path).map(|one| match one.method {
        "get" => "GET,HEAD".to_owned(),
        method => method.to_ascii_uppercase(),
    });
    let allow = HeaderValue::from_str(&methods.collect::<Vec<_>>().join(",")).unwrap_or(HeaderValue::from_static(""));
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)]).into_response()
}

fn method(method: &Method) -> String {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    method.as_str().to_ascii_lowercase()
}

/// The caller whom [`admit`] has let through.
impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the operation takes no caller"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::router;

    /// Every operation that the router has is in the description.
    fn described() -> BTreeSet<(String, String)> {
        let api = serde_json::to_value(router::description()).unwrap();
        let paths = api["paths"].as_object().unwrap();
        let methods = |(path, item): (&String, &serde_json::Value)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "servers");
            methods.map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(methods).collect()
    }

    #[test]
    fn the_table_has_every_operation_once_and_no_other() {
        let listed: Vec<_> = OPERATIONS.iter().map(|one| (one.method.to_owned(), one.path.to_owned())).collect();
        let once: BTreeSet<_> = listed.iter().cloned().collect();
        assert_eq!((once.len(), once), (listed.len(), described()));
    }

    #[test]
    fn what_changes_anything_needs_more_than_a_viewer() {
        // Previews compute, and change nothing. Who may verify tokens is also a matter of the caller's kind.
        let computes =
            |path: &str| path.ends_with("/preview") || path.ends_with("/what-if") || path.starts_with("/auth/verify-");
        for Operation { method, path, access } in OPERATIONS {
            if *method != "get" && !computes(path) && *access == Access::Role(Role::Viewer) {
                panic!("{method} {path}");
            }
        }
    }
}
