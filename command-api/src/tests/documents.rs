//! Documents of firmware without PostgreSQL: which bytes are stored and removed, and how a repeated request is answered.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

use super::{Answer, Api};

fn sbom(name: &str) -> String {
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": name}]}).to_string()
}

impl Api {
    async fn add_document(&self, firmware: &str, key: &str, parts: &[(&str, &str)]) -> Answer {
        let part = |(name, content): &(&str, &str)| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"d.json\"\r\n\r\n{content}\r\n")
        };
        let body: String = parts.iter().map(part).chain(["--XX--\r\n".to_owned()]).collect();
        let mut request = Request::post(format!("/api/v1/firmware/{firmware}/documents"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=XX");
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn documents(&self, firmware: &str) -> Vec<String> {
        let listed = self.get(&format!("/firmware/{firmware}/documents")).await;
        let items = listed.body["items"].as_array().unwrap();
        items.iter().map(|item| item["document_id"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn documents_are_added_replaced_and_removed_and_their_bytes_with_them() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let before = api.kept().await.len();
    let first = api.add_document(&firmware, "", &[("document", &sbom("a"))]).await;
    assert_eq!((first.status.as_u16(), &first.body["kind"]), (201, &json!("sbom")), "{}", first.body);
    assert_eq!((&first.body["entries"], &first.body["filename"]), (&json!(1), &json!("d.json")));
    let same = api.add_document(&firmware, "", &[("document", &sbom("a"))]).await;
    assert_eq!((same.status.as_u16(), &same.body["document_id"]), (200, &first.body["document_id"]));
    let replaces = first.body["document_id"].as_str().unwrap();
    let other = [("document", &*sbom("b")), ("replaces", replaces)];
    let second = api.add_document(&firmware, "k-1", &other).await;
    let again = api.add_document(&firmware, "k-1", &other).await;
    assert_eq!([second.status.as_u16(), again.status.as_u16()], [201, 201], "{}", again.body);
    assert_eq!(again.body["position"], second.body["position"], "the first outcome");
    let mistaken = api.add_document(&firmware, "k-1", &[("document", &*sbom("c")), ("replaces", replaces)]).await;
    assert!(mistaken.status.is_client_error(), "{}", mistaken.body);
    let id = second.body["document_id"].as_str().unwrap();
    assert_eq!(api.documents(&firmware).await, [id]);
    assert_eq!(api.kept().await.len(), before + 1, "the bytes of the first are gone");
    let path = format!("/firmware/{firmware}/documents/{id}");
    let got = api.get(&path).await;
    assert_eq!(got.bytes, sbom("b").into_bytes());
    assert_eq!(got.headers[header::CONTENT_LENGTH], got.bytes.len().to_string().as_str());
    assert_eq!(api.call(Method::DELETE, &path, &[], json!({"reason": "wrong"})).await.status, 200);
    assert_eq!(api.get(&path).await.problem(), "document_unknown");
    assert_eq!(api.kept().await.len(), before);
}

#[tokio::test]
async fn a_refused_document_is_not_stored() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let before = (api.kept().await.len(), api.stored().await);
    let long = "x".repeat(2_000);
    for (parts, field) in [
        (vec![("document", "{}")], "document"),
        (vec![("document", "not JSON")], "document"),
        (vec![("replaces", "x")], "replaces"),
        (vec![("product", "")], "product"),
        (vec![("product", &*long)], "product"),
        (vec![("file", "{}")], "file"),
        (vec![], "document"),
        (vec![("document", "{}"), ("document", "{}")], "document"),
        (
            vec![("document", "{\"@context\":\"https://openvex.dev/ns\",\"statements\":[]}"), ("product", "p")],
            "product",
        ),
    ] {
        let refused = api.add_document(&firmware, "", &parts).await;
        assert_eq!(refused.status, 422, "{parts:?}: {}", refused.body);
        assert_eq!(refused.body["errors"][0]["field"], field, "{parts:?}: {}", refused.body);
    }
    let nobody = "00000000-0000-0000-0000-000000000001";
    let document = sbom("a");
    let parts = [("document", &*document), ("replaces", nobody)];
    assert_eq!(api.add_document(&firmware, "", &parts).await.problem(), "document_unknown");
    assert_eq!(api.add_document(nobody, "", &parts[..1]).await.problem(), "firmware_unknown");
    assert_eq!((api.kept().await.len(), api.stored().await), before);
    assert_eq!(api.get(&format!("/firmware/{nobody}/documents")).await.status, 404);
    assert_eq!(api.get("/exposure?cve=CVE-1").await.status, 503, "it needs PostgreSQL");
    for question in ["", "?cve=two%20words", "?purl=x", "?cve=CVE-1&at=2999-01-01T00:00:00Z"] {
        assert_eq!(api.get(&format!("/exposure{question}")).await.status, 400, "{question}");
    }
    let wrong = api.get("/exposure/devices?cve=CVE-1&exposure=unknown").await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["errors"][0]["field"]), (400, &Value::from("exposure")));
}
