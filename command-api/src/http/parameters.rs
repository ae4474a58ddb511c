//! Checks the query parameters of every route against the API description: unknown ones are refused, and so is one that is given twice and
//! isn't a list. So no route can omit the check, and every accepted parameter is described.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::commands::without_tenant;
use super::problem::Problem;
use super::query;
use crate::{lorawan, sign_in};

/// Parameters of one operation, and whether each is a list.
#[derive(Debug, Clone, Default)]
struct Known {
    named: HashMap<String, bool>,
    /// Whether there may be others, because who sends the request isn't the reader of the description.
    is_open: bool,
}

/// Parameters of all operations, by method and path. Clones share them.
#[derive(Clone)]
pub(crate) struct Parameters(Arc<HashMap<String, Known>>);

impl Parameters {
    pub(crate) fn of(api: &OpenApi) -> Self {
        let api = serde_json::to_value(api).unwrap_or_default();
        let mut known = HashMap::new();
        for (path, item) in api["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let in_query = parameters.filter(|one| one["in"] == "query");
                let named = in_query.filter_map(|one| Some((one["name"].as_str()?.to_owned(), is_list(one))));
                let operation = Known { named: named.collect(), is_open: is_open(path) };
                known.insert(operation_key(method, path), operation);
            }
        }
        Self(Arc::new(known))
    }

    fn of_request(&self, request: &Request) -> Option<&Known> {
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        let method = if request.method() == axum::http::Method::HEAD { "get" } else { request.method().as_str() };
        self.0.get(&operation_key(method, path))
    }
}

/// Whether who sends the request isn't the reader of the description.
fn is_open(path: &str) -> bool {
    path == sign_in::CALLBACK || lorawan::PATHS.contains(&path)
}

/// A path may begin with `/api/v1` and name a tenant.
fn operation_key(method: &str, path: &str) -> String {
    format!("{} {}", method.to_ascii_lowercase(), without_tenant(path))
}

fn is_list(parameter: &Value) -> bool {
    let kind = &parameter["schema"]["type"];
    kind == "array" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == "array"))
}

/// Refuses parameters that the operation doesn't have, and a parameter given twice that isn't a list.
pub(crate) async fn refuse_unknown(State(parameters): State<Parameters>, request: Request, next: Next) -> Response {
    match parameters.of_request(&request).map_or(Ok(()), |known| check(known, request.uri().query())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(known: &Known, text: Option<&str>) -> Result<(), Problem> {
    let pairs = query::read(text)?;
    for (index, (name, _)) in pairs.iter().enumerate() {
        match known.named.get(name) {
            None if known.is_open => {}
            None => return Err(query::refused(name, &unknown(known))),
            Some(false) if pairs[..index].iter().any(|(before, _)| before == name) => {
                return Err(query::refused(name, "is given twice"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn unknown(known: &Known) -> String {
    let mut names: Vec<&str> = known.named.keys().map(String::as_str).collect();
    names.sort_unstable();
    match names.is_empty() {
        true => "no such parameter; this path has none".to_owned(),
        false => format!("no such parameter; the parameters here are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_by_name_and_lists_may_repeat() {
        let named = HashMap::from([("id".to_owned(), true), ("limit".to_owned(), false)]);
        let known = Known { named, is_open: false };
        let check = |text: &str| {
            check(&known, Some(text)).map_err(|problem| (problem.status().as_u16(), problem.errors()[0].field.clone()))
        };
        assert_eq!(check("id=a&id=b&limit=1"), Ok(()));
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("limit=1&id=a&limit=1"), Err((400, "limit".into())));
        assert_eq!(check("Limit=1"), Err((400, "Limit".into())));
        assert_eq!(check("limi%74=1&limit=1"), Err((400, "limit".into())));
        assert_eq!(check("foo"), Err((400, "foo".into())));
    }

    #[test]
    fn twins_are_one_operation() {
        assert_eq!(operation_key("GET", "/api/v1/tenants/{tenant_id}/devices"), operation_key("get", "/devices"));
        assert_eq!(operation_key("get", "/health"), "get /health");
    }
}
