//! The console under `/console/`: pages for people, which use nothing but the public API.
//!
//! Its files are built by `make console` into `console/dist`. A release has them inside; other builds read the folder when they run, so a
//! change of a page needs no Rust build. Without them there is one page that names the command.

mod files;
mod headers;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use files::Found;

/// The page that every path of the console leads to.
const INDEX: &str = "index.html";
/// Where the console is.
const BASE: &str = "/console/";
/// What a server without a built console shows.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><title>Waybill</title><h1>The console is not built</h1>\
    <p>Run <code>make console</code> in the repository, then load this page again. The API works without it: \
    <a href=\"/api/docs/\">its description</a>.</p>";

/// The routes of the console.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/console", get(async || Redirect::permanent(BASE)))
        .route(BASE, get(answer))
        .route("/console/{*path}", get(answer))
}

/// A file, or the page for every other path that a browser visits.
async fn answer(uri: Uri, request: HeaderMap) -> Response {
    let path = uri.path().strip_prefix(BASE).unwrap_or_default();
    match files::find(path, headers::takes_gzip(&request)) {
        Some(found) if path != INDEX => served(found, headers::for_ever()),
        _ if !headers::takes_html(&request) && !path.is_empty() => missing(),
        _ => match files::find(INDEX, headers::takes_gzip(&request)) {
            Some(page) => served(page, headers::of_page()),
            None => (StatusCode::SERVICE_UNAVAILABLE, headers::of_page(), Html(NOT_BUILT)).into_response(),
        },
    }
}

fn served(found: Found, headers: HeaderMap) -> Response {
    let mut response = (headers, [(header::CONTENT_TYPE, found.media_type)], found.bytes).into_response();
    if found.is_gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, headers::GZIP);
    }
    response
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, headers::of_page(), "there is no such file in the console\n").into_response()
}

#[cfg(test)]
mod tests;
