use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use serde_json::json;

use super::{Api, FIRMWARE_MAX_BYTES, MODEL, PATIENCE, until};

/// Tasks that a service still has at its end finish within this time.
const END_MAX: Duration = Duration::from_secs(5);

impl Api {
    /// All objects in the store of the bytes.
    pub(super) async fn kept(&self) -> Vec<String> {
        let objects: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
        objects.into_iter().map(|object| object.location.to_string()).collect()
    }
}

type Form = Vec<(&'static str, Vec<u8>)>;

fn metadata() -> Vec<u8> {
    json!({"name": "F", "version": "2.0.0", "device_model": MODEL}).to_string().into_bytes()
}

#[tokio::test]
async fn bytes_are_kept_under_their_digest() {
    let api = Api::new();
    let answer = api.upload(b"one", json!({"changelog": "Bug fixes", "manufacturer": "SmartTech"})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let sha256 = answer.body["checksum_sha256"].as_str().unwrap();
    assert_eq!((&answer.body["file_size"], &answer.body["filename"]), (&json!(3), &json!("f.bin")));
    assert_eq!(answer.body["checksum_md5"], "f97c5d29941bfb1b2fdab0874906ab82");
    let id = answer.body["firmware_id"].as_str().unwrap();
    assert_eq!(api.kept().await, [format!("acme/{id}/{sha256}")]);
    let again = api.upload(b"one", json!({"name": "other name"})).await;
    assert_eq!((again.status.as_u16(), &again.body["firmware_id"]), (200, &answer.body["firmware_id"]));
    let other = api.upload(b"two", json!({})).await;
    assert_eq!((other.status.as_u16(), other.problem()), (409, "firmware_exists"));
    assert_eq!(other.body["facts"]["firmware_id"], answer.body["firmware_id"]);
    assert_eq!(other.body["facts"]["sha256"], sha256);
    assert_eq!(api.kept().await.len(), 1);
}

/// A store that moves nothing until this number of uploads are about to move their bytes.
#[derive(Debug)]
struct Gate(InMemory, tokio::sync::Barrier);

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gate")
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(&self, to: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(from, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.1.wait().await;
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn of_uploads_at_once_one_wins_and_nothing_is_kept_of_the_others() {
    let api = Api::with_objects(Arc::new(Gate(InMemory::new(), tokio::sync::Barrier::new(10))));
    let files: Vec<Vec<u8>> = (0..10).map(|number| vec![number; 100]).collect();
    let uploads = futures::future::join_all(files.iter().map(|file| api.upload(file, json!({}))));
    let answers = tokio::time::timeout(PATIENCE, uploads).await.expect("each upload reaches the store");
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.problem() == "firmware_exists"));
    let sha256 = won[0].body["checksum_sha256"].as_str().unwrap();
    let kept = api.kept().await;
    assert!(kept.len() == 1 && kept[0].ends_with(sha256), "{kept:?}");
}

#[tokio::test]
async fn a_key_belongs_to_one_upload() {
    let api = Api::new();
    let send = async |file: &str, version: &str, name: &str| {
        let metadata = json!({"name": name, "version": version, "device_model": MODEL});
        let form = |part: &str, text: &str| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{part}\"\r\n\r\n{text}\r\n")
        };
        let body = format!("{}{}--XX--\r\n", form("metadata", &metadata.to_string()), form("file", file));
        let request = axum::http::Request::post("/api/v1/firmware")
            .header("Authorization", format!("Bearer {}", api.token))
            .header("Content-Type", "multipart/form-data; boundary=XX")
            .header("Idempotency-Key", "k");
        api.send(request.body(body.into()).unwrap()).await
    };
    assert_eq!(send("one", "1", "F").await.status, 201);
    assert_eq!(send("one", "1", "F").await.status, 201, "the first outcome");
    for (file, version, name) in [("one", "2", "F"), ("two", "1", "F"), ("one", "1", "G")] {
        let other = send(file, version, name).await;
        assert_eq!((other.status.as_u16(), other.problem()), (422, "idempotency_key_reused"), "{}", other.body);
    }
    assert_eq!(api.kept().await.len(), 1);
}

#[tokio::test]
async fn deleting_does_not_take_a_withdrawal_back() {
    let api = Api::new();
    let id = api.firmware("2.0.0").await;
    api.post(&format!("/firmware/{id}/withdraw"), serde_json::Value::Null).await;
    let path = format!("/firmware/{id}");
    assert_eq!(api.call(axum::http::Method::DELETE, &path, &[], serde_json::Value::Null).await.status, 200);
    let again = api.upload(b"2.0.0", json!({})).await;
    assert_eq!((again.status.as_u16(), again.problem()), (409, "firmware_withdrawn"), "{}", again.body);
}

/// Devices treat `v1.0.0` as `1.0.0`.
#[tokio::test]
async fn a_leading_v_makes_no_other_firmware() {
    let api = Api::new();
    let first = api.upload(b"one", json!({"version": "1.0.0"})).await;
    let same = api.upload(b"one", json!({"version": "v1.0.0"})).await;
    assert_eq!((same.status.as_u16(), &same.body["firmware_id"]), (200, &first.body["firmware_id"]), "{}", same.body);
    let other = api.upload(b"two", json!({"version": "v1.0.0"})).await;
    assert_eq!(other.status, 409, "{}", other.body);
}

#[tokio::test]
async fn parts_come_in_any_order() {
    let api = Api::new();
    let answer = api.multipart(&[("file", b"one".to_vec()), ("metadata", metadata())], true).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test]
async fn nothing_is_kept_of_an_upload_that_fails() {
    let api = Api::new();
    let file = || ("file", b"one".to_vec());
    let wrong_digest =
        json!({"name": "F", "version": "1", "device_model": MODEL, "checksum_md5": "d41d8cd98f00b204e9800998ecf8427e"});
    let unknown_field = json!({"name": "F", "version": "1", "device_model": MODEL, "colour": "red"});
    let for_nobody = json!({"name": "F", "version": "1", "device_model": MODEL, "min_hardware_version": "3", "max_hardware_version": "2.1"});
    let cases: Vec<(Form, bool, u16, &str)> = vec![
        (vec![("metadata", for_nobody.to_string().into_bytes()), file()], true, 422, "max_hardware_version"),
        (vec![("metadata", wrong_digest.to_string().into_bytes()), file()], true, 422, "checksum_md5"),
        (vec![file(), ("metadata", unknown_field.to_string().into_bytes())], true, 422, "colour"),
        (vec![file()], true, 422, "metadata"),
        (vec![("metadata", metadata())], true, 422, "file"),
        (vec![file(), file(), ("metadata", metadata())], true, 422, "file"),
        (vec![file(), ("other", vec![1])], true, 422, "other"),
        (vec![("metadata", metadata()), ("file", vec![])], true, 422, "file"),
        (vec![("metadata", metadata()), ("file", vec![7; FIRMWARE_MAX_BYTES as usize + 1])], true, 413, ""),
        (vec![("metadata", metadata()), ("file", vec![7; 5_000])], false, 400, ""),
        (vec![file(), ("metadata", b"{".to_vec())], true, 400, ""),
    ];
    for (parts, complete, status, field) in cases {
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        let answer = api.multipart(&parts, complete).await;
        assert_eq!(answer.status, status, "{names:?}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["field"].as_str().unwrap_or_default(), field, "{names:?}");
        assert!(api.kept().await.is_empty(), "{names:?}: {:?}", api.kept().await);
    }
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn a_dry_run_keeps_nothing() {
    let api = Api::new();
    let request = axum::http::Request::post("/api/v1/firmware?dry_run=true")
        .header("Authorization", format!("Bearer {}", api.token))
        .header("Content-Type", "multipart/form-data; boundary=XX");
    let metadata = String::from_utf8(metadata()).unwrap();
    let body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--XX--\r\n"
    );
    let answer = api.send(request.body(body.into()).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(api.kept().await.is_empty());
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn an_uploader_who_leaves_half_way_leaves_nothing() {
    let api = Api::new();
    let head = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nabc\r\n--XX\r\n";
    let silence = futures::stream::once(async move { Ok::<_, std::io::Error>(head) })
        .chain(futures::stream::pending::<Result<&str, std::io::Error>>());
    let request = axum::http::Request::post("/api/v1/firmware")
        .header("Authorization", format!("Bearer {}", api.token))
        .header("Content-Type", "multipart/form-data; boundary=XX")
        .body(axum::body::Body::from_stream(silence))
        .unwrap();
    tokio::select! {
        biased;
        () = until("the file is stored", || api.kept(), |kept| !kept.is_empty()) => {}
        answer = api.send(request) => panic!("the request doesn't wait for more: {}", answer.body),
    }
    assert!(api.app.tasks.shutdown(END_MAX).await);
    assert!(api.kept().await.is_empty(), "{:?}", api.kept().await);
}

#[tokio::test]
async fn an_uploader_that_falls_silent_is_not_waited_for() {
    let api = Api::new();
    let head = |name: &str| format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
    let metadata = format!("{}{}\r\n", head("metadata"), String::from_utf8(metadata()).unwrap());
    let cases =
        [String::new(), "--X".to_owned(), head("metadata"), metadata.clone(), format!("{metadata}{}abc", head("file"))];
    let answers = cases.iter().map(async |sent| {
        let stream = futures::stream::iter([Ok::<_, std::io::Error>(sent.clone())]).chain(futures::stream::pending());
        let request = axum::http::Request::post("/api/v1/firmware")
            .header("Authorization", format!("Bearer {}", api.token))
            .header("Content-Type", "multipart/form-data; boundary=XX")
            .body(axum::body::Body::from_stream(stream))
            .unwrap();
        tokio::time::timeout(PATIENCE, api.send(request)).await
    });
    for (sent, answer) in cases.iter().zip(futures::future::join_all(answers).await) {
        assert_eq!(answer.expect("an answer").status, 400, "{sent:?}");
    }
    assert!(api.kept().await.is_empty());
}

#[tokio::test]
async fn a_version_that_cannot_be_compared_is_taken_with_a_warning_that_says_what_follows() {
    let api = Api::new();
    for version in ["latest", "a/b", "1.0.0.0.1"] {
        let answer = api.upload(version.as_bytes(), json!({"version": version})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let warning = answer.body["warnings"][0].as_str().unwrap_or_default().to_owned();
        assert!(warning.contains(version) && warning.contains("version_not_comparable"), "{}", answer.body);
    }
    for version in ["2.1.0", "v2.1", "2.1.0+b7", "2.1.0-rc.1", "28.00.00"] {
        let answer = api.upload(version.as_bytes(), json!({"version": version})).await;
        assert_eq!((answer.status.as_u16(), answer.body.get("warnings")), (201, None), "{}", answer.body);
    }
    for version in [" 2.1.0", "2.1.0 ", "2 1", "2.1.0\n", "", "2.1.ü"] {
        let answer = api.upload(b"x", json!({"version": version})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["field"]),
            (422, &json!("version")),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn names_of_files_come_back_as_they_were_given() {
    let api = Api::new();
    let cases = [
        ("filename=\"Прошивка 2.1.bin\"", "Прошивка 2.1.bin", "filename*=UTF-8''%D0%9F%D1%80"),
        (
            "filename*=UTF-8''Pr%C3%BCfung.bin",
            "Prüfung.bin",
            "filename=\"Pr_fung.bin\"; filename*=UTF-8''Pr%C3%BCfung.bin",
        ),
        ("filename=\"plain.bin\"", "plain.bin", "attachment; filename=\"plain.bin\""),
    ];
    for (index, (given, name, shown)) in cases.into_iter().enumerate() {
        let metadata = json!({"name": "F", "version": format!("{index}.0.0"), "device_model": MODEL});
        let body = format!(
            "--XX\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; {given}\r\n\r\n{index}\r\n--XX--\r\n"
        );
        let request = axum::http::Request::post("/api/v1/firmware")
            .header("Authorization", format!("Bearer {}", api.token))
            .header("Content-Type", "multipart/form-data; boundary=XX");
        let uploaded = api.send(request.body(body.into()).unwrap()).await;
        assert_eq!((uploaded.status.as_u16(), &uploaded.body["filename"]), (201, &json!(name)), "{}", uploaded.body);
        let id = uploaded.body["firmware_id"].as_str().unwrap();
        let link = api.get(&format!("/firmware/{id}/download")).await;
        assert_eq!(link.body["filename"], name);
        let url = link.body["download_url"].as_str().unwrap().replace("http://localhost:8240", "");
        let bytes = api.send(axum::http::Request::get(url).body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(bytes.status, 200);
        assert!(bytes.header("content-disposition").contains(shown), "{}", bytes.header("content-disposition"));
    }
}
