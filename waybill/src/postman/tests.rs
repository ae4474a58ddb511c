//! The collection against the description that it is made from.

use std::collections::BTreeSet;

use serde_json::Value;

use super::api::Api;
use super::collection;

fn api() -> Api {
    Api::new(serde_json::from_str(&command_api::openapi_json()).unwrap())
}

#[test]
fn every_request_of_the_api_is_in_the_collection_and_can_be_sent() {
    let api = api();
    let made = collection(&api).unwrap();
    let variables: BTreeSet<&str> =
        made["variable"].as_array().unwrap().iter().map(|v| v["key"].as_str().unwrap()).collect();
    let items: Vec<&Value> =
        made["item"].as_array().unwrap().iter().flat_map(|folder| folder["item"].as_array().unwrap()).collect();
    let sent: BTreeSet<(String, String)> = items
        .iter()
        .map(|item| (item["request"]["method"].to_string().to_lowercase(), item["request"]["url"]["raw"].to_string()))
        .collect();
    for operation in api.operations().unwrap().iter().filter(|operation| !operation.is_stream) {
        let path = operation.path.replace('{', "{{").replace('}', "}}");
        let wanted = (format!("\"{}\"", operation.method), format!("\"{{{{url}}}}{path}\""));
        assert!(sent.contains(&wanted), "{} is missing", operation.id);
        assert!(operation.path_names().all(|name| variables.contains(name)), "{}", operation.id);
    }
    for item in items {
        for segment in item["request"]["url"]["path"].as_array().unwrap() {
            let segment = segment.as_str().unwrap();
            assert!(!segment.is_empty() && segment.matches("{{").count() == segment.matches("}}").count(), "{segment}");
        }
    }
}
