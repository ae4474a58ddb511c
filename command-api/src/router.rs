//! Every route, in one place.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::http::parameters::{self, Parameters};
use crate::http::{guard, observe, security_headers};
use crate::state::App;
use crate::{
    access, api_keys, audit, auth, campaigns, client_address, dead_letters, device_commands, device_registrations,
    devices, download, exposure, feed, firmware, groups, live, lorawan, members, openapi, registration_tokens,
    rollbacks, search, service, sign_in, statistics, tenants, throttle, updates, why,
};

/// Largest body of an ordinary request, in bytes.
const BODY_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Largest size of an upload without the file, in bytes.
const UPLOAD_EXTRA_BYTES: u64 = 1024 * 1024;

/// Resources of a tenant: under `/api/v1` and, the same, under `/api/v1/tenants/{tenant_id}`.
fn resources() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(devices::list_devices, devices::register_device))
        .routes(routes!(
            devices::get_device,
            devices::amend_device,
            devices::replace_device,
            devices::decommission_device
        ))
        .routes(routes!(devices::device_history))
        .routes(routes!(devices::firmware_history))
        .routes(routes!(devices::device_telemetry))
        .routes(routes!(devices::device_network_notices))
        .routes(routes!(why::device_why))
        .routes(routes!(why::device_why_not))
        .routes(routes!(devices::list_credentials, devices::issue_credential))
        .routes(routes!(devices::revoke_credential))
        .routes(routes!(registration_tokens::list_registration_tokens, registration_tokens::issue_registration_token))
        .routes(routes!(registration_tokens::get_registration_token, registration_tokens::revoke_registration_token))
        .routes(routes!(search::search))
        .routes(routes!(audit::list_audit))
        .routes(routes!(audit::export_audit))
        .routes(routes!(audit::audit_facets))
        .routes(routes!(audit::audit_types))
        .routes(routes!(api_keys::list_api_keys, api_keys::issue_api_key))
        .routes(routes!(api_keys::get_api_key, api_keys::revoke_api_key))
        .routes(routes!(device_commands::list_device_commands, device_commands::send_device_command))
        .routes(routes!(device_commands::get_device_command))
        .routes(routes!(device_commands::cancel_device_command))
        .routes(routes!(devices::get_lorawan_keys, devices::set_lorawan_keys, devices::remove_lorawan_keys))
        .routes(routes!(devices::sync_device))
        .routes(routes!(devices::sync_devices))
        .routes(routes!(devices::hold_device))
        .routes(routes!(devices::release_device))
        .routes(routes!(devices::hold_devices))
        .routes(routes!(devices::release_devices))
        .routes(routes!(dead_letters::device_dead_letters))
        .routes(routes!(dead_letters::list_dead_letters))
        .routes(routes!(live::event_stream))
        .routes(routes!(live::event_socket))
        .routes(routes!(feed::list_consumers, feed::create_consumer))
        .routes(routes!(feed::get_consumer, feed::delete_consumer))
        .routes(routes!(groups::list_groups, groups::create_group))
        .routes(routes!(groups::get_group, groups::amend_group, groups::replace_group, groups::delete_group))
        .routes(routes!(groups::group_members, groups::add_members, groups::remove_members))
        .routes(routes!(groups::group_history))
        .routes(routes!(firmware::list_firmware))
        .routes(routes!(firmware::get_firmware, firmware::delete_firmware))
        .routes(routes!(firmware::firmware_download))
        .routes(routes!(firmware::firmware_events))
        .routes(routes!(firmware::deprecate_firmware))
        .routes(routes!(firmware::withdraw_firmware))
        .routes(routes!(firmware::sign_firmware))
        .routes(routes!(firmware::documents::list_documents))
        .routes(routes!(firmware::documents::get_document, firmware::documents::remove_document))
        .routes(routes!(exposure::exposure_report))
        .routes(routes!(exposure::exposed_devices))
        .routes(routes!(campaigns::list_campaigns, campaigns::create_campaign))
        .routes(routes!(
            campaigns::get_campaign,
            campaigns::replace_campaign,
            campaigns::adjust_campaign,
            campaigns::delete_campaign
        ))
        .routes(routes!(campaigns::preview_new_campaign))
        .routes(routes!(campaigns::preview_campaign))
        .routes(routes!(campaigns::clone_campaign))
        .routes(routes!(campaigns::start_campaign))
        .routes(routes!(campaigns::execute_campaign))
        .routes(routes!(campaigns::approve_campaign))
        .routes(routes!(campaigns::reject_campaign))
        .routes(routes!(campaigns::pause_campaign))
        .routes(routes!(campaigns::resume_campaign))
        .routes(routes!(campaigns::cancel_campaign))
        .routes(routes!(campaigns::retry_campaign))
        .routes(routes!(campaigns::roll_back_campaign))
        .routes(routes!(campaigns::open_wave))
        .routes(routes!(campaigns::campaign_status))
        .routes(routes!(campaigns::ota_campaign_status))
        .routes(routes!(campaigns::campaign_stats))
        .routes(routes!(statistics::tenant_stats))
        .routes(routes!(statistics::version_stats))
        .routes(routes!(statistics::version_series))
        .routes(routes!(statistics::campaign_failures))
        .routes(routes!(statistics::firmware_downloads))
        .routes(routes!(campaigns::campaign_devices))
        .routes(routes!(campaigns::campaign_device))
        .routes(routes!(campaigns::campaign_gates))
        .routes(routes!(campaigns::campaign_lorawan_deployments))
        .routes(routes!(campaigns::campaign_lorawan_deployment))
        .routes(routes!(campaigns::what_if))
        .routes(routes!(campaigns::campaign_history))
        .routes(routes!(updates::request_update))
        .routes(routes!(updates::update_devices))
        .routes(routes!(updates::put_ota_update))
        .routes(routes!(updates::ota_status))
        .routes(routes!(updates::list_device_updates))
        .routes(routes!(updates::get_device_update))
        .routes(routes!(updates::update_log))
        .routes(routes!(updates::list_updates))
        .routes(routes!(updates::get_update))
        .routes(routes!(updates::cancel_update))
        .routes(routes!(updates::retry_update))
        .routes(routes!(rollbacks::roll_back_device))
        .routes(routes!(rollbacks::list_device_rollbacks))
        .routes(routes!(rollbacks::list_rollbacks))
        .routes(routes!(members::list_members))
        .routes(routes!(members::get_member, members::grant_member, members::remove_member))
        .routes(routes!(members::member_history))
        .routes(routes!(tenants::freeze))
        .routes(routes!(tenants::unfreeze))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
}

/// Requests with large bodies.
fn bulk() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(devices::register_devices))
        .routes(routes!(devices::import_devices))
        .routes(routes!(devices::import_from_chirpstack))
        .layer(DefaultBodyLimit::max(devices::BULK_MAX_BYTES))
}

/// Uploads have no time limit.
fn uploads(max_bytes: u64) -> OpenApiRouter<App> {
    let limit = usize::try_from(max_bytes.saturating_add(UPLOAD_EXTRA_BYTES)).unwrap_or(usize::MAX);
    let documents = OpenApiRouter::new()
        .routes(routes!(firmware::documents::add_document))
        .layer(DefaultBodyLimit::max(firmware::documents::BODY_MAX_BYTES));
    let firmware = OpenApiRouter::new().routes(routes!(firmware::upload_firmware)).layer(DefaultBodyLimit::max(limit));
    firmware.merge(documents)
}

/// Under `/api/v1`, without a tenant.
fn public() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(auth::dev_token))
        .routes(routes!(live::issue_stream_ticket))
        .routes(routes!(auth::verify_token))
        .routes(routes!(auth::verify_api_key))
        .routes(routes!(sign_in::start_sign_in))
        .routes(routes!(sign_in::sign_in_callback))
        .routes(routes!(sign_in::current_session, sign_in::open_session))
        .routes(routes!(sign_in::sign_in_ways))
        .routes(routes!(sign_in::list_sessions, sign_in::end_sessions))
        .routes(routes!(sign_in::end_session))
        .routes(routes!(sign_in::sign_out))
        .routes(routes!(service::service_stats))
        .merge(of_tenants())
        .merge(of_devices())
        .merge(webhooks())
}

/// Tenants themselves, also for those who run the installation.
fn of_tenants() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::get_tenant, tenants::amend_tenant, tenants::close_tenant))
        .routes(routes!(tenants::tenant_history))
        .routes(routes!(tenants::get_chirpstack, tenants::connect_chirpstack, tenants::disconnect_chirpstack))
        .routes(routes!(tenants::suspend_tenant))
        .routes(routes!(tenants::reinstate_tenant))
        .routes(routes!(tenants::list_trusted_keys, tenants::trust_key))
        .routes(routes!(tenants::distrust_key))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
}

/// Requests of devices, with the tenant in their tokens.
fn of_devices() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(device_registrations::register_itself))
        .layer(DefaultBodyLimit::max(device_registrations::BODY_MAX_BYTES))
}

/// Events of network servers, with the tenant in the path.
fn webhooks() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(lorawan::receive_event))
        .routes(routes!(lorawan::receive_uplink))
        .routes(routes!(lorawan::receive_status))
        .routes(routes!(lorawan::receive_error))
        .layer(DefaultBodyLimit::max(lorawan::BODY_MAX_BYTES))
}

/// Outside `/api/v1`.
fn root() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(download::download)).merge(about())
}

/// Health and metrics of the process.
fn about() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(service::live))
        .routes(routes!(service::ready))
        .routes(routes!(service::detailed))
        .routes(routes!(service::render_metrics))
}

/// The routes without the outer layers, and their description.
fn parts(max_upload_bytes: u64) -> (Router<App>, OpenApi) {
    let timed = resources().merge(bulk()).layer(from_fn(guard::limit_time));
    let (resources, resources_api) = timed.merge(uploads(max_upload_bytes)).split_for_parts();
    let (public, public_api) = public().layer(from_fn(guard::limit_time)).split_for_parts();
    let (root, root_api) = root().layer(from_fn(guard::limit_time)).split_for_parts();
    let router = Router::new()
        .nest("/api/v1/tenants/{tenant_id}", resources.clone())
        .nest("/api/v1", resources.merge(public))
        .merge(root)
        .route("/auth/dev-token", post(auth::dev_token));
    (router, openapi::describe(resources_api, public_api, root_api))
}

/// The description of the API.
pub(crate) fn description() -> OpenApi {
    parts(0).1
}

/// The whole service.
pub(crate) fn build(app: App) -> Router {
    let (router, api) = parts(app.config.max_firmware_bytes);
    let known = Parameters::of(&api);
    let pages = Router::new()
        .merge(SwaggerUi::new("/api/docs").url("/openapi.json", api))
        .merge(console::router())
        .route("/docs", get(async || Redirect::permanent("/api/docs/")));
    let router = router.layer(from_fn_with_state(app.clone(), access::admit)).merge(pages);
    surrounded(app, known, router)
}

/// Health and metrics of a process that serves no API.
pub(crate) fn build_about(app: App) -> Router {
    let (router, api) = about().layer(from_fn(guard::limit_time)).split_for_parts();
    let router = router.layer(from_fn_with_state(app.clone(), access::admit));
    surrounded(app, Parameters::of(&api), router)
}

fn surrounded(app: App, known: Parameters, router: Router<App>) -> Router {
    router
        .layer(from_fn_with_state(known, parameters::refuse_unknown))
        .fallback(guard::fallback)
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(from_fn_with_state(Arc::clone(&app.throttle), throttle::throttle))
        .layer(from_fn(guard::problems))
        .layer(from_fn_with_state(app.clone(), security_headers::add))
        .layer(from_fn(observe::observe))
        .layer(from_fn_with_state(Arc::new(app.config.trusted_proxies.clone()), client_address::resolve))
        .with_state(app)
}
