//! Azurite: a server like Azure's, which checks signatures.

use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use reqwest::Client;
use runtime::clock;
use sha2::Sha256;
use waybill::stack::{Process, Spawner, free_port};

use crate::directory::Directory;
use crate::world::{PATIENCE, POLL};

const ACCOUNT: &str = "devstoreaccount1";
/// The key is public: Azurite has it built in.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const API_VERSION: &str = "2021-08-06";

pub(super) struct Azurite {
    _process: Process,
    origin: String,
    container: String,
    directory: Directory,
}

impl Azurite {
    /// Starts it with one container.
    pub(super) async fn start(container: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("azurite/node_modules/azurite/dist/src/blob/main.js");
        assert!(program.exists(), "Azurite isn't there: run scripts/setup-clients");
        let (directory, port) = (Directory::new(), free_port().unwrap());
        let data = directory.path().join("data").display().to_string();
        let args = [
            program.display().to_string().as_str(),
            "--blobPort",
            &port.to_string(),
            "--location",
            &data,
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ]
        .map(str::to_owned);
        let (log, node) = (directory.path().join("azurite.log"), PathBuf::from("node"));
        let process = Process::run("azurite", &Spawner::start(), &node, &args, &log).unwrap();
        let origin = format!("http://127.0.0.1:{port}/{ACCOUNT}");
        let azurite = Self { _process: process, origin, container: container.to_owned(), directory };
        let deadline = Instant::now() + PATIENCE;
        while !azurite.makes_its_container().await {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "Azurite doesn't start: {said}");
            tokio::time::sleep(POLL).await;
        }
        azurite
    }

    async fn makes_its_container(&self) -> bool {
        let date = clock::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let signed = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:{API_VERSION}\n/{ACCOUNT}/{ACCOUNT}/{}\nrestype:container",
            "\n".repeat(12),
            self.container
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let request = Client::new()
            .put(format!("{}/{}?restype=container", self.origin, self.container))
            .header("x-ms-date", date)
            .header("x-ms-version", API_VERSION)
            .header("content-length", "0")
            .header("authorization", format!("SharedKey {ACCOUNT}:{signature}"));
        match request.send().await {
            Err(_) => false,
            Ok(reply) => {
                let (status, text) = (reply.status(), reply.text().await.unwrap());
                assert!(status.is_success() || status == 409, "{status} {text}");
                true
            }
        }
    }

    fn url_with(&self, name: &str, key: &str) -> String {
        let settings = self.directory.path().join(name);
        let text = format!(
            "AZURE_STORAGE_ENDPOINT={}\nAZURE_STORAGE_ACCOUNT_NAME={ACCOUNT}\nAZURE_STORAGE_ACCOUNT_KEY={key}\n",
            self.origin
        );
        std::fs::write(&settings, text).unwrap();
        format!("az://{}?settings={}", self.container, settings.display())
    }

    /// The URL of a store in the container.
    pub(super) fn url(&self) -> String {
        self.url_with("azure.env", KEY)
    }

    /// The same with a key that Azurite refuses.
    pub(super) fn url_with_a_wrong_key(&self) -> String {
        self.url_with("wrong.env", &STANDARD.encode([7; 64]))
    }
}
