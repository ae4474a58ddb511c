//! Who may do what: one table names every operation and whom it takes, and one layer enforces it before the handler runs.
//!
//! An operation that is not in the table can't be reached. The API description states what the table says.

mod admission;
pub(crate) mod metrics;
pub(crate) mod reach;
mod table;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{CampaignId, Rejection, UpdateId};

use self::admission::{Admission, Refusal};
use crate::auth::{has_header, identify};
use crate::caller::{Caller, Role};
use crate::http::Problem;
use crate::http::commands::without_tenant;
use crate::live::{self, StreamCaller};
use crate::sign_in::{self, SignedIn};
use crate::state::App;

#[cfg(test)]
pub(crate) use admission::LOOKED_AT_EVERY;
pub(crate) use table::OPERATIONS;

/// Whom an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone, without credentials. Links of downloads are of this kind: who has one may use it.
    Anyone,
    /// A device with a registration token, which the handler checks.
    Device,
    /// A network server, which the handler checks. In development it needs to show nothing.
    Webhook,
    /// A person with a web session, with any roles or none.
    Session,
    /// A caller with at least this role in their tenant.
    Role(Role),
    /// A caller with at least this role in their tenant, or for the device that the path names.
    OfDevice(Role),
    /// A caller with at least this role in their tenant, or for all devices that the campaign of the path can have.
    OfCampaign(Role),
    /// A caller with at least this role in their tenant, or for some devices; the handler keeps to these.
    Listing(Role),
    /// The same for streams of live messages, which a ticket opens, too.
    Stream(Role),
    /// Those who run the installation.
    Platform,
    /// A caller with at least this role in the tenant of the path, or those who run the installation.
    RoleOrPlatform(Role),
}

impl Access {
    /// The role that a caller needs in their tenant; none if they need none there.
    fn least_of(self, caller: &Caller) -> Option<Role> {
        match self {
            Self::RoleOrPlatform(_) if caller.has(Role::PlatformAdmin) => None,
            Self::Anyone | Self::Device | Self::Webhook | Self::Session | Self::Platform => None,
            Self::Role(least)
            | Self::OfDevice(least)
            | Self::OfCampaign(least)
            | Self::Listing(least)
            | Self::Stream(least)
            | Self::RoleOrPlatform(least) => Some(least),
        }
    }
}

/// An operation of the API and whom it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// Its route, without `/api/v1` and without the tenant.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
}

/// The headers that say who calls. An answer to one caller is none to another.
const CREDENTIALS: HeaderValue = HeaderValue::from_static("Authorization, Cookie, X-API-Key");

type Table = HashMap<(&'static str, &'static str), Access>;

static TABLE: LazyLock<Table> =
    LazyLock::new(|| OPERATIONS.iter().map(|one| ((one.method, without_tenant(one.path)), one.access)).collect());

/// Whom an operation takes; none if there is no such operation. `method` is in lower case, `path` as in the description.
pub(crate) fn access_of(method: &str, path: &str) -> Option<Access> {
    TABLE.get(&(method, without_tenant(path))).copied()
}

/// Lets a request through to its handler if its caller may do that. The handler gets the [`Caller`].
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let path = route.as_ref().map(|route| without_tenant(route.as_str())).unwrap_or_default();
    let Some(access) = access_of(&method(&parts.method), path) else { return no_such_method(path) };
    let began = Instant::now();
    let mut response = match admitted(&app, &mut parts, access).await {
        Ok(admitted) => {
            let (body, refusal) = match admitted {
                Some((caller, admission)) => {
                    metrics::admitted(metrics::credential(&app, &parts), began.elapsed());
                    parts.extensions.insert(caller);
                    admission.watch(&app, body)
                }
                None => (body, Refusal::default()),
            };
            let response = next.run(Request::from_parts(parts, body)).await;
            refusal.get().cloned().map_or(response, IntoResponse::into_response)
        }
        Err(problem) => problem.into_response(),
    };
    if !matches!(access, Access::Anyone | Access::Webhook) {
        response.headers_mut().append(header::VARY, CREDENTIALS);
    }
    response
}

/// The caller, if the operation takes one, and why they are let in.
async fn admitted(app: &App, parts: &mut Parts, access: Access) -> Result<Option<(Caller, Admission)>, Problem> {
    if matches!(access, Access::Anyone | Access::Device | Access::Webhook) {
        return Ok(None);
    }
    if access == Access::Session {
        let signed_in = by_session(app, parts).await?;
        parts.extensions.insert(signed_in);
        return Ok(None);
    }
    let (caller, credential) = match access {
        Access::Stream(_) => {
            let opened_by = live::opened_by(app, parts).await?;
            let shown = (opened_by.caller.clone(), opened_by.credential.clone());
            parts.extensions.insert(opened_by);
            shown
        }
        _ => identify(app, parts).await?,
    };
    let (shown, least) = (caller.clone(), access.least_of(&caller));
    let caller = match access {
        Access::RoleOrPlatform(_) if caller.has(Role::PlatformAdmin) => caller,
        Access::Anyone | Access::Device | Access::Webhook | Access::Session | Access::Platform => {
            caller.need(Role::PlatformAdmin)?
        }
        Access::Role(least) | Access::RoleOrPlatform(least) => member(app, parts, caller, least).await?.need(least)?,
        Access::OfDevice(least) => {
            let caller = limited_to(member(app, parts, caller, least).await?, least)?;
            if let Some(limits) = &caller.limits {
                reach::must_reach(app, &caller, limits, &named_device(app, parts).await?).await?;
            }
            caller
        }
        Access::OfCampaign(least) => {
            let caller = limited_to(member(app, parts, caller, least).await?, least)?;
            if let Some(limits) = &caller.limits {
                reach::must_cover(app, &caller, limits, named_campaign(app, parts).await?).await?;
            }
            caller
        }
        Access::Listing(least) | Access::Stream(least) => limited_to(member(app, parts, caller, least).await?, least)?,
    };
    let admission = Admission { shown, credential, least, limits: caller.limits.clone() };
    Ok(Some((caller, admission)))
}

/// The person with a session. It may end also when the tenant is shut.
async fn by_session(app: &App, parts: &Parts) -> Result<SignedIn, Problem> {
    if has_header(parts) {
        return Err(Problem::unauthorized("this takes a session, and a header names another caller"));
    }
    let signed_in = sign_in::signed_in(app, parts).await?;
    app.throttle.admit(&parts.extensions, &signed_in.session.tenant, &signed_in.session.actor)?;
    Ok(signed_in)
}

/// A caller of the tenant, with what it grants them beside what their token says.
async fn member(app: &App, parts: &mut Parts, caller: Caller, least: Role) -> Result<Caller, Problem> {
    must_be_in_own_tenant(app, parts, &caller).await?;
    // Who has the role anyway needs no grant.
    if !caller.has(least) {
        app.knows_all_members().await?;
    }
    app.with_grants(caller)
}

/// The caller, limited to the devices for which they have the role if they don't have it in the whole tenant.
pub(crate) fn limited_to(mut caller: Caller, least: Role) -> Result<Caller, Problem> {
    caller.limits = caller.limits_of(least).filter(|_| !caller.has(least));
    if caller.limits.is_some() { Ok(caller) } else { caller.need(least) }
}

/// The device that the path names, itself or by one of its updates.
async fn named_device(app: &App, parts: &mut Parts) -> Result<String, Problem> {
    let path = RawPathParams::from_request_parts(parts, app).await.map_err(|_| reach::unknown())?;
    let named = path.iter().find_map(|(name, value)| match name {
        "device_id" => Some(value.to_owned()),
        "update_id" => value.parse().ok().map(|update: UpdateId| update.device.to_string()),
        _ => None,
    });
    named.ok_or_else(reach::unknown)
}

/// The campaign that the path names.
async fn named_campaign(app: &App, parts: &mut Parts) -> Result<CampaignId, Problem> {
    let path = RawPathParams::from_request_parts(parts, app).await.map_err(|_| Rejection::CampaignUnknown)?;
    let named = path.iter().find(|(name, _)| *name == "campaign_id").and_then(|(_, id)| id.parse().ok());
    Ok(CampaignId(named.ok_or(Rejection::CampaignUnknown)?))
}

/// A tenant in the path must be the caller's own, and it must admit callers.
async fn must_be_in_own_tenant(app: &App, parts: &mut Parts, caller: &Caller) -> Result<(), Problem> {
    let path = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Problem::not_found("there is nothing at this path"))?;
    let named = path.iter().find(|(name, _)| *name == "tenant_id");
    if named.is_some_and(|(_, tenant)| tenant != caller.tenant.as_str()) {
        return Err(Problem::not_found("you have no such tenant"));
    }
    app.tenants.admit(&caller.tenant).await
}

/// Names the methods that the path has.
fn no_such_method(path: &str) -> Response {
    let methods = OPERATIONS.iter().filter(|one| without_tenant(one.path) == path).map(|one| match one.method {
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

impl FromRequestParts<App> for StreamCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the operation is no stream"))
    }
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
