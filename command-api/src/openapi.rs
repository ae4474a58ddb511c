//! The description of the API, generated from the endpoints.
//!
//! Each operation stands in it once: its twin under `/tenants/{tenant_id}` is the second server.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{InfoBuilder, OpenApi, SecurityRequirement, Server};

/// What stands before the first endpoint.
const DESCRIPTION: &str = "Delivers firmware to fleets of IoT devices and keeps the proof.

Errors are RFC 9457 problems; `type` names the reason. Every command takes `Idempotency-Key`, `?dry_run=true` and `If-Match`; its reply has \
the `position` of what it stored (also header `Waybill-Position`), which any query takes as `Waybill-Min-Position`. Words in replies \
(statuses, phases, causes) may get more values; be ready for unknown ones. A reason for a command without a body goes into `?reason=`.";

/// Finishes the description of all endpoints: `resources` with twins, `public` without, `root` beside the API.
pub(crate) fn describe(resources: OpenApi, public: OpenApi, root: OpenApi) -> OpenApi {
    let mut api = resources;
    api.info =
        InfoBuilder::new().title("Waybill").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION)).build();
    api.merge(only_at("/api/v1", public));
    api.merge(only_at("/", root));
    let tenant = ServerVariableBuilder::new().default_value("default").description(Some("The caller's tenant"));
    let twin = ServerBuilder::new()
        .url("/api/v1/tenants/{tenant_id}")
        .description(Some("The same, naming the tenant"))
        .parameter("tenant_id", tenant)
        .build();
    api.servers = Some(vec![Server::new("/api/v1"), twin]);
    api.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    api
}

/// Paths that are at one server only.
fn only_at(url: &str, mut api: OpenApi) -> OpenApi {
    for item in api.paths.paths.values_mut() {
        item.servers = Some(vec![Server::new(url)]);
    }
    api
}
