//! moto: a server that speaks S3 and keeps everything in memory. It checks no signatures.

use std::path::PathBuf;
use std::time::Instant;

use reqwest::Client;
use waybill::stack::{Process, Spawner, free_port};

use crate::directory::Directory;
use crate::world::{PATIENCE, POLL, World};

/// It wants a signature with each write and with the bytes of an object, and doesn't check it.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

pub(super) struct Moto {
    pub(super) process: Process,
    pub(super) origin: String,
    bucket: String,
    directory: Directory,
}

/// Where `scripts/setup-clients` puts it.
fn home() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let tools = std::env::var_os("WAYBILL_TOOLS_DIR").map_or_else(|| root.join(".waybill/tools"), PathBuf::from);
    tools.join("moto")
}

impl Moto {
    /// Starts it with one bucket.
    pub(super) async fn start(bucket: &str) -> Self {
        let home = home();
        assert!(home.join("moto").exists(), "moto isn't there: run scripts/setup-clients");
        let (directory, port) = (Directory::new(), free_port().unwrap());
        let program = format!(
            "import sys; sys.path.insert(0, {:?}); from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])",
            home.display().to_string()
        );
        let (log, python) = (directory.path().join("moto.log"), PathBuf::from("python3"));
        let process = Process::run("moto", &Spawner::start(), &python, &["-c".to_owned(), program], &log).unwrap();
        let origin = format!("http://127.0.0.1:{port}");
        let moto = Self { process, origin, bucket: bucket.to_owned(), directory };
        let deadline = Instant::now() + PATIENCE;
        while !Client::new().put(moto.at("")).send().await.is_ok_and(|reply| reply.status().is_success()) {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "moto doesn't start: {said}");
            tokio::time::sleep(POLL).await;
        }
        moto
    }

    fn at(&self, rest: &str) -> String {
        format!("{}/{}{rest}", self.origin, self.bucket)
    }

    /// The URL of a store in the bucket.
    pub(super) fn url(&self, prefix: &str) -> String {
        let settings = self.directory.path().join("s3.env");
        let text = format!("AWS_ENDPOINT={}\nAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=key\n", self.origin);
        std::fs::write(&settings, text).unwrap();
        format!("s3://{}/{prefix}?settings={}", self.bucket, settings.display())
    }

    async fn text(&self, rest: &str) -> String {
        Client::new().get(self.at(rest)).send().await.unwrap().text().await.unwrap()
    }

    /// How many uploads have begun and not ended.
    pub(super) async fn uploads(&self) -> usize {
        self.text("?uploads").await.matches("<UploadId>").count()
    }

    pub(super) async fn has_uploads(&self, number: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.uploads().await != number {
            assert!(Instant::now() < deadline, "there are {} uploads, not {number}", self.uploads().await);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until an upload has begun, and its marker, by which it is found after a kill, is there.
    pub(super) async fn has_a_marked_upload(&self) {
        self.has_uploads(1).await;
        let deadline = Instant::now() + PATIENCE;
        while !self.text("?list-type=2").await.contains("_uploads/") {
            assert!(Instant::now() < deadline, "the upload has no marker");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the bucket has exactly these objects, apart from trials of the store.
    pub(super) async fn has(&self, world: &World, names: &[String]) {
        world
            .until(&format!("the bucket has {names:?}"), async || {
                let listed = self.text("?list-type=2").await;
                let found = listed.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                found.filter(|name| !name.contains("/_health/")).eq(names.iter().map(String::as_str))
            })
            .await;
    }

    /// The bytes of an object.
    pub(super) async fn bytes(&self, name: &str) -> Vec<u8> {
        let request = Client::new().get(self.at(&format!("/{name}"))).header("authorization", SIGNED);
        request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap().to_vec()
    }

    /// Writes an object without Waybill.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) {
        let request = Client::new().put(self.at(&format!("/{name}"))).header("authorization", SIGNED);
        request.body(bytes).send().await.unwrap().error_for_status().unwrap();
    }
}
