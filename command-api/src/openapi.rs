//! The description of the API, generated from the endpoints.
//!
//! Each operation is listed once: its twin under `/tenants/{tenant_id}` is the second server. Parameters that all commands have and common
//! problems are added here, and old spellings are marked.

mod problems;

use domain::tenant::WEBHOOK_HEADER_DEFAULT;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{Deprecated, InfoBuilder, OpenApi, RefOr, Required, SecurityRequirement, Server};

use crate::access::{Access, access_of};
use crate::sign_in::SESSION_COOKIE;

pub(crate) use problems::problem_response;

/// Introduction of the description.
const DESCRIPTION: &str = "Delivers firmware to fleets of IoT devices and records proof of it.

Errors are RFC 9457 problems; `type` names the reason. Every command accepts `Idempotency-Key`, `?dry_run=true` and `If-Match`; its reply has \
the `position` of its stored events (also header `Waybill-Position`), which any query accepts as `Waybill-Min-Position`. Enumerations in replies \
(statuses, phases, causes) may get more values; be ready for unknown ones. A reason goes into the body or into `?reason=`; both may be given if they \
agree.

Queries include what their caller has stored: they wait, up to 2 s, until the read models have reached it, and otherwise answer 503 with \
`Retry-After`. The reply is 404 only if the event log does not know the id. If several processes serve the API, use `Waybill-Min-Position` to wait \
for a write that went through another one.

Requests are limited per tenant and per credential, and by address without one: `RateLimit` and `RateLimit-Policy` say how a request stands, and 429 has \
`Retry-After`.

A position is written `{created_ms of the log}-{sequence}`, and with `.{index}` for one event; older forms (`{sequence}`, `{sequence}-{index}`) \
are accepted, too. Times and positions that the log has not reached are refused (422). Lists leave out deleted and decommissioned resources unless \
`include=deleted` is given. A query parameter that a route does not list, or that is given twice, is refused (400), as is a key that occurs \
twice in a JSON object (422).";

/// Finishes the description of all endpoints: `resources` with twins, `public` without, `root` beside the API.
pub(crate) fn describe(resources: OpenApi, public: OpenApi, root: OpenApi) -> OpenApi {
    let mut api = resources;
    api.info =
        InfoBuilder::new().title("Waybill").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION)).build();
    api.merge(only_at("/api/v1", public));
    api.merge(only_at("/", root));
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            say_access(operation, access_of(method, path));
        }
    }
    let tenant = ServerVariableBuilder::new().default_value("default").description(Some("The caller's tenant"));
    let twin = ServerBuilder::new()
        .url("/api/v1/tenants/{tenant_id}")
        .description(Some("The same, naming the tenant"))
        .parameter("tenant_id", tenant)
        .build();
    for (path, item) in &mut api.paths.paths {
        for (_, operation) in operations(item) {
            complete(operation, path);
        }
        // The path names the deleted resource, so no body is required; members are named in the body.
        let is_needed = path.ends_with("/members");
        if !is_needed
            && let Some(RefOr::T(body)) = item.delete.as_mut().and_then(|operation| operation.request_body.as_mut())
        {
            body.required = Some(Required::False);
        }
    }
    api.servers = Some(vec![Server::new("/api/v1"), twin]);
    api.security = Some(
        ["bearer", "api_key", "session"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new())).to_vec(),
    );
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let of_devices = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("wbr_…")
        .description(Some("A registration token: devices register themselves with it, and do nothing else. Also as `Authorization: GatewayToken wbr_…`."))
        .build();
    let of_programs = "An API key, `wbk_…`. It may also be sent as bearer token.";
    let api_key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", of_programs));
    let components = api.components.get_or_insert_default();
    let of_people = "A web session, from `/auth/sign-in`. A request that changes anything must come from the same origin. A header counts before it.";
    let session = ApiKey::Cookie(ApiKeyValue::with_description(SESSION_COOKIE, of_people));
    let of_webhooks = "The tenant's webhook secret. Its connection to ChirpStack may name another header.";
    let secret = ApiKey::Header(ApiKeyValue::with_description(WEBHOOK_HEADER_DEFAULT, of_webhooks));
    let signed = "`t={seconds since 1970},v1={HMAC-SHA256 of {t}.{body} with the tenant's webhook secret, hexadecimal}`, at most 300 seconds old.";
    let signature = ApiKey::Header(ApiKeyValue::with_description("X-Waybill-Signature", signed));
    components.add_security_scheme("webhook_secret", SecurityScheme::ApiKey(secret));
    components.add_security_scheme("webhook_signature", SecurityScheme::ApiKey(signature));
    components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(api_key));
    components.responses.extend(problems::components());
    components.add_security_scheme("registration_token", SecurityScheme::Http(of_devices));
    api
}

/// Paths of an older service that have a newer path too.
fn is_old_spelling(path: &str) -> bool {
    path.starts_with("/ota/") || path.starts_with("/stats/campaigns/") || path.ends_with("/ota/update")
}

/// The operations of a path with their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Says whom the operation takes.
fn say_access(operation: &mut Operation, access: Option<Access>) {
    let needs = match access {
        Some(Access::Role(role)) => format!("Needs role {}.", role.word()),
        Some(Access::OfDevice(role)) => format!("Needs role {}, which may be limited to the device.", role.word()),
        Some(Access::OfCampaign(role)) => {
            format!("Needs role {}, which may be limited to the groups that the campaign targets.", role.word())
        }
        Some(Access::Listing(role)) => {
            format!("Needs role {}; one that is limited to some devices keeps to these.", role.word())
        }
        Some(Access::Stream(role)) => format!(
            "Needs role {}; one that is limited to some devices opens streams of these and of campaigns that target its groups.",
            role.word()
        ),
        Some(Access::Platform) => "Needs role platform_admin.".to_owned(),
        Some(Access::RoleOrPlatform(role)) => format!("Needs role {} in the tenant, or platform_admin.", role.word()),
        Some(Access::Device) => {
            let scheme = SecurityRequirement::new("registration_token", Vec::<String>::new());
            operation.security = Some(vec![scheme]);
            return;
        }
        Some(Access::Webhook) => {
            let schemes = ["webhook_secret", "webhook_signature"];
            operation.security =
                Some(schemes.map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new())).to_vec());
            return;
        }
        Some(Access::Session) => {
            operation.security = Some(vec![SecurityRequirement::new("session", Vec::<String>::new())]);
            return;
        }
        Some(Access::Anyone) if operation.security.is_none() => {
            operation.security = Some(vec![SecurityRequirement::default()]);
            return;
        }
        Some(Access::Anyone) | None => return,
    };
    let text = operation.description.take().filter(|text| !text.is_empty());
    operation.description = Some(text.map_or(needs.clone(), |text| format!("{text} {needs}")));
}

/// Adds common problems, and the query parameters of all commands. An operation with an idempotency key is a command.
fn complete(operation: &mut Operation, path: &str) {
    if is_old_spelling(path) {
        operation.deprecated = Some(Deprecated::True);
    }
    let known = operation.parameters.as_deref().unwrap_or_default();
    let is_command = known.iter().any(|one| matches!(one, RefOr::T(one) if one.name == "Idempotency-Key"));
    problems::add(operation, path, is_command);
    let parameters = operation.parameters.get_or_insert_default();
    if is_command {
        let dry_run = "Check the command and change nothing. The reply says what the outcome would be.";
        parameters.push(RefOr::T(query("dry_run", Type::Boolean, dry_run)));
        parameters.push(RefOr::T(query(
            "reason",
            Type::String,
            "Why, for the history; the same as `reason` in the body.",
        )));
    }
}

fn query(name: &str, of: Type, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(of)))
        .build()
}

/// Paths that exist at one server only.
fn only_at(url: &str, mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        item.servers = Some(vec![Server::new(url)]);
    }
    api
}
