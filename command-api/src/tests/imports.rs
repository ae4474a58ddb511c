//! Imports of devices from CSV.

use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, Api};

async fn import(api: &Api, path: &str, headers: &[(&str, &str)], csv: impl Into<axum::body::Body>) -> Answer {
    let mut request = Request::post(format!("/api/v1{path}")).header("Authorization", format!("Bearer {}", api.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(csv.into()).unwrap()).await
}

const CSV: (&str, &str) = ("Content-Type", "text/csv; charset=utf-8");

/// Row, id, status and the first field of each outcome.
fn outcomes(answer: &Answer) -> Vec<Value> {
    let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let short = |item: &Value| json!([item["row"], item["id"], item["status"], item["error"]["errors"][0]["field"]]);
    items.iter().map(short).collect()
}

#[tokio::test]
async fn each_row_is_registered_or_refused_with_its_line_and_column() {
    let api = Api::new();
    api.device("there").await;
    let csv = "device_id,device_model,firmware_version,tag:site,version:bootloader,contact_interval_s,lorawan_dev_eui\r\n\
               d-1,SF-2024-Pro,1.0.0,\"hall 2, south\",7,60,0A02030405060708\r\n\
               there,else,,,,,\r\n\
               bulk,,,,,,\r\n\
               d-2,,,,b@d version,,\r\n\
               d-3,,,,,often,\r\n\
               ,,,x,,,\r\n\
               d-4,,,a\u{1}b,,,\r\n\
               d-5,,,,\r\n\
               d-6,,,,,,\r\n";
    for (dry_run, created) in [("?dry_run=true", 200), ("", 201)] {
        let before = api.stored().await;
        let answer = import(&api, &format!("/devices/import{dry_run}"), &[CSV], csv).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let expected = [
            json!([2, "d-1", created, null]),
            json!([3, "there", 409, null]),
            json!([4, "bulk", 422, "device_id"]),
            json!([5, "d-2", 422, "version:bootloader"]),
            json!([6, "d-3", 422, "contact_interval_s"]),
            json!([7, null, 422, "device_id"]),
            json!([8, "d-4", 422, "tag:site"]),
            json!([9, null, 422, "row"]),
            json!([10, "d-6", created, null]),
        ];
        assert_eq!(outcomes(&answer), expected, "{}", answer.body);
        assert_eq!((&answer.body["succeeded"], &answer.body["failed"]), (&json!(2), &json!(7)));
        assert_eq!(answer.body["position"].is_string(), dry_run.is_empty());
        assert_eq!(api.stored().await > before, dry_run.is_empty(), "a dry run stores nothing");
    }
    let device = api.call(axum::http::Method::PATCH, "/devices/d-1", &[], json!({"name": "x"})).await;
    assert_eq!(device.body["versions"], json!({"firmware": "1.0.0", "bootloader": "7"}), "{}", device.body);
    assert_eq!(device.body["tags"], json!({"site": "hall 2, south"}));
    assert_eq!(
        (&device.body["contact_interval_s"], &device.body["lorawan_dev_eui"]),
        (&json!(60), &json!("0a02030405060708"))
    );
}

#[tokio::test]
async fn a_file_with_unknown_columns_stores_nothing() {
    let api = Api::new();
    let answer = import(&api, "/devices/import", &[CSV], "device_id,Colour,tags\nd-1,red,a\n").await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (422, "invalid"), "{}", answer.body);
    let fields: Vec<&Value> = answer.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, [&json!("Colour"), &json!("tags")]);
    for (headers, status) in
        [(("Content-Type", "application/json"), 415), (("Content-Type", "text/csv; charset=latin1"), 415)]
    {
        assert_eq!(import(&api, "/devices/import", &[headers], "device_id\nd-1\n").await.status, status, "{headers:?}");
    }
    assert_eq!(import(&api, "/devices/import", &[CSV, ("If-Match", "\"1\"")], "device_id\nd-1\n").await.status, 400);
    let many = format!("device_id\n{}", (0..10_001).map(|n| format!("d-{n}\n")).collect::<String>());
    let answer = import(&api, "/devices/import", &[CSV], many).await;
    assert_eq!((answer.status.as_u16(), answer.problem()), (413, "too_large"));
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn an_import_can_be_repeated_with_its_key() {
    let api = Api::new();
    let key = [CSV, ("Idempotency-Key", "k")];
    let csv = "name,tag:site\na,x\nb,\nbroken\n";
    let (first, again) =
        (import(&api, "/devices/import", &key, csv).await, import(&api, "/devices/import", &key, csv).await);
    assert_eq!((&first.body["succeeded"], &first.body["failed"]), (&json!(2), &json!(1)), "{}", first.body);
    assert_eq!(first.body["items"], again.body["items"]);
    assert_eq!(first.body["position"], again.body["position"]);
    assert_eq!(api.stored().await, 3, "two devices and the claim of the key");
    for other in ["name,tag:site\na,x\nc,\nbroken\n", "name,tag:site\na,x\nb,\nbroken too\n"] {
        let other = import(&api, "/devices/import", &key, other).await;
        assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency_key_reused"), "{}", other.body);
    }
}

#[tokio::test]
async fn the_documented_file_is_accepted_as_it_stands_there() {
    let api = Api::new();
    let doc = serde_json::to_value(crate::router::description()).unwrap();
    let content = &doc["paths"]["/devices/import"]["post"]["requestBody"]["content"]["text/csv"];
    let answer = import(&api, "/devices/import", &[CSV], content["example"].as_str().unwrap().to_owned()).await;
    assert_eq!(answer.body["succeeded"], 2, "{}", answer.body);
}
