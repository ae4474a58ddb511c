//! Who asks. [`Caller`] is the only way into a handler, wrapped in the role that the endpoint needs at least.
//!
//! Bearer tokens are HS256 JWTs. No header gets around them.

mod dev_token;
mod token;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header;
use axum::http::request::Parts;
use domain::{Actor, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use dev_token::{__path_dev_token, dev_token};
pub(crate) use token::Tokens;

use crate::http::Problem;
use crate::state::App;

/// What a caller may do in a tenant, each role including those before it; and, apart from them, who looks after the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    /// Sees the state of the whole installation and nothing of its tenants; no other role includes it, nor it any other.
    PlatformAdmin,
}

impl Role {
    fn includes(self, least: Self) -> bool {
        match (self, least) {
            (Self::PlatformAdmin, _) | (_, Self::PlatformAdmin) => self == least,
            _ => self >= least,
        }
    }
}

/// The tenant of whoever names none in development.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Who asks, on behalf of which tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) roles: Vec<Role>,
}

impl Caller {
    pub(crate) fn has(&self, least: Role) -> bool {
        self.roles.iter().any(|role| role.includes(least))
    }

    /// Whether the state of the whole installation may be shown. In development an admin of the default tenant looks after it, too.
    pub(crate) fn sees_platform(&self, development: bool) -> bool {
        let developer = development && self.tenant.as_str() == DEFAULT_TENANT && self.has(Role::Admin);
        developer || self.has(Role::PlatformAdmin)
    }

    fn need(self, least: Role) -> Result<Self, Problem> {
        if self.has(least) {
            return Ok(self);
        }
        let word = format!("{least:?}").to_lowercase();
        Err(Problem::forbidden(format!("this needs the role {word}")))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header
            .and_then(|header| header.split_once(' '))
            .ok_or_else(|| Problem::unauthorized("a bearer token is needed"))?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthorized("a bearer token is needed"));
        }
        let caller = app.tokens.verify(token.trim())?;
        let path = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("there is nothing at this path"))?;
        match path.iter().find(|(name, _)| *name == "tenant_id") {
            Some((_, tenant)) if tenant != caller.tenant.as_str() => Err(Problem::not_found("you have no such tenant")),
            _ => Ok(caller),
        }
    }
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident => $role:expr;)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name(pub(crate) Caller);

            impl FromRequestParts<App> for $name {
                type Rejection = Problem;

                async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                    Caller::from_request_parts(parts, app).await?.need($role).map(Self)
                }
            }
        )+
    };
}

roles! {
    /// A caller who may look.
    Viewer => Role::Viewer;
    /// A caller who may work.
    Operator => Role::Operator;
    /// A caller who may do what can't be taken back.
    Admin => Role::Admin;
}
