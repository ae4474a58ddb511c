use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

async fn get_with(path: &str, accept: &str) -> Response<Body> {
    let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
    router().with_state(()).oneshot(request).await.unwrap()
}

/// Whether `make console` has run: then the page names files, else a command.
fn is_built() -> bool {
    files::find(INDEX, false).is_some()
}

#[tokio::test]
async fn every_path_that_a_browser_visits_is_the_page_and_is_not_kept() {
    for path in ["/console/", "/console/devices/a.b", "/console/index.html"] {
        let answer = get_with(path, "text/html,*/*;q=0.8").await;
        assert_eq!(answer.status().as_u16(), if is_built() { 200 } else { 503 }, "{path}");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        assert!(answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none';"));
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(is_built() || text.contains("make console"), "{text}");
        assert!(!text.contains("style=") && !text.contains("<style") && !text.contains("<script>"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_file_and_no_page_is_missing() {
    for path in ["/console/assets/none.js", "/console/.gitignore", "/console/../Cargo.toml"] {
        assert_eq!(get_with(path, "*/*").await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get_with("/console", "text/html").await.headers()[header::LOCATION], "/console/");
}

#[tokio::test]
async fn the_page_names_files_that_exist_and_are_kept_for_ever() {
    let Some(page) = files::find(INDEX, false) else { return };
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    let named: Vec<&str> = text.split('"').filter(|part| part.starts_with("/console/assets/")).collect();
    assert!(named.len() >= 3, "{text}");
    for path in named {
        let answer = get_with(path, "*/*").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let found = files::find(path.strip_prefix(BASE).unwrap(), true).unwrap();
        assert!(found.is_gzip, "{path} has no .gz beside it");
    }
}
