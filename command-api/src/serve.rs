//! Starts the API.

use axum::Router;
use runtime::lifecycle::Tasks;
use tokio::sync::oneshot;

use crate::listen::{HttpListener, Limits, serve_until_stopped};
use crate::state::{ApiState, App};
use crate::{api_keys, download, firmware, sessions};

/// The routes over a state; for tests and for other servers.
pub fn router(state: ApiState) -> Router {
    crate::router::build(App::new(state, Tasks::new()))
}

/// Serves until the tasks are stopped: then it is not ready at once, and open requests are answered.
pub async fn serve(listener: HttpListener, state: ApiState, tasks: Tasks) {
    let app = App::new(state, tasks.clone());
    let swept = app.clone();
    tasks.spawn("sweep of the firmware store", firmware::keep_sweeping(swept));
    let (_reading, read) = oneshot::channel();
    tasks.spawn("reading of documents", firmware::documents::keep_reading(app.clone(), read));
    // Dropped at the end of this function, so open downloads are still counted while the process drains.
    let (_serving, served) = oneshot::channel();
    tasks.spawn("counts of downloads", download::keep_flushing(app.clone(), served));
    let (_letting_in, let_in) = oneshot::channel();
    tasks.spawn("last uses of API keys", api_keys::keep_storing(app.clone(), let_in));
    let (_signing_in, signed_in) = oneshot::channel();
    if let Some(sign_in) = &app.sign_in {
        tasks.spawn("last uses of sessions", sessions::keep_storing(sign_in.sessions.clone(), signed_in));
    }
    let limits = Limits::new(app.config.trusted_proxies.clone(), app.config.is_served_by_https());
    serve_until_stopped(listener, crate::router::build(app), &tasks, limits).await;
}

/// Serves health and metrics alone, for processes of other roles, until the tasks are stopped.
pub async fn serve_about(listener: HttpListener, state: ApiState, tasks: Tasks) {
    let app = App::without_callers(state, tasks.clone());
    let limits = Limits::new(app.config.trusted_proxies.clone(), app.config.is_served_by_https());
    serve_until_stopped(listener, crate::router::build_about(app), &tasks, limits).await;
}

/// The description of the API, as `docs/openapi.json` has it.
pub fn openapi_json() -> String {
    let mut text = crate::router::description().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
