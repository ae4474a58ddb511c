//! A running Waybill, and a directory that looks like the project's while it runs.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use waybill::stack::{Process, Spawner, Tools, free_port};

use super::blocks::root;
use crate::directory::Directory;
use crate::world::waybill_binary;

/// Time for the start of the servers.
const START_MAX: Duration = Duration::from_secs(60);
/// Time for the commands of one document.
pub(super) const DOCUMENT_MAX: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(100);
/// Lines of output that a failure shows.
const TAIL: usize = 40;
const SEED: &str = include_str!("seed.sh");
/// Failures of requests and of parts of pipes count, and the log says which command failed.
const STRICT: &str = r#"set -eEuo pipefail
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
curl() { case " $* " in *" -f"*) command curl "$@" ;; *) command curl --fail-with-body --show-error "$@" ;; esac; }
page() { cat >page.js && WAYBILL=$B TOKEN=$TOKEN CAMPAIGN_ID=$C node "$PAGE" page.js; }
"#;
/// Addresses that the documents name, in the order of [`Place::addresses`].
const DOCUMENTED: [&str; 3] = ["127.0.0.1:8240", "127.0.0.1:1883", "127.0.0.1:4222"];

pub(super) struct Place {
    pub directory: Directory,
    spawner: Spawner,
    /// HTTP, MQTT, NATS.
    pub addresses: [String; 3],
    _up: Process,
}

impl Place {
    pub(super) async fn start() -> Self {
        let directory = Directory::new();
        let spawner = Spawner::start();
        let addresses = [(); 3].map(|()| format!("127.0.0.1:{}", free_port().unwrap()));
        let data = directory.path().join(".waybill");
        let args = [
            "up",
            "--data-dir",
            &data.display().to_string(),
            "--http-listen",
            &addresses[0],
            "--mqtt-listen",
            &addresses[1],
            "--nats-listen",
            &addresses[2],
        ];
        let log = directory.path().join("up.log");
        let mut up = Process::run("waybill", &spawner, &waybill_binary(), &args.map(str::to_owned), &log).unwrap();
        let deadline = Instant::now() + START_MAX;
        let ready = format!("http://{}/health/ready", addresses[0]);
        while !reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success()) {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(up.ended().is_none() && Instant::now() < deadline, "{said}");
            tokio::time::sleep(POLL).await;
        }
        let place = Self { directory, spawner, addresses, _up: up };
        place.furnish();
        place
    }

    /// What the documents' commands find in the project's directory. The simulator gets the addresses, which differ from the documents'.
    fn furnish(&self) {
        let path = self.directory.path();
        symlink(root().join("docs"), path.join("docs")).unwrap();
        // A copy, since the commands install libraries beside them.
        std::fs::create_dir(path.join("examples")).unwrap();
        let files = std::fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.is_file()) {
            std::fs::copy(&file, path.join("examples").join(file.file_name().unwrap())).unwrap();
        }
        let programs = path.join("target/debug");
        std::fs::create_dir_all(&programs).unwrap();
        let [http, mqtt, _] = &self.addresses;
        let real = waybill_binary().display().to_string();
        let program = format!(
            "#!/bin/sh\nif [ \"$1\" = simulate ]; then shift; exec {real} simulate --mqtt {mqtt} --server http://{http} \"$@\"; fi\nexec {real} \"$@\"\n"
        );
        write_program(&programs.join("waybill"), &program);
        std::fs::write(path.join("seed.sh"), SEED).unwrap();
    }

    /// Runs a script in the directory; it must succeed in time.
    pub(super) async fn run(&self, name: &str, script: &str) {
        let path = self.directory.path();
        let name = name.replace('/', "-");
        let mut script = format!("{STRICT}{script}");
        for (documented, own) in DOCUMENTED.iter().zip(&self.addresses) {
            script = script.replace(documented, own);
        }
        let (file, log) = (path.join(format!("{name}.sh")), path.join(format!("{name}.log")));
        std::fs::write(
            &file,
            format!(
                "cd {}\nexport PATH={}:$PATH SEED={} PAGE={} MQTT={} XDG_CONFIG_HOME={}\n{script}",
                path.display(),
                tools_path(),
                path.join("seed.sh").display(),
                root().join("tests/page/page.mjs").display(),
                self.addresses[1],
                path.join("config").display(),
            ),
        )
        .unwrap();
        let args = [file.display().to_string()];
        let mut process = Process::run("bash", &self.spawner, Path::new("/bin/bash"), &args, &log).unwrap();
        let deadline = Instant::now() + DOCUMENT_MAX;
        let status = loop {
            if let Some(status) = process.ended() {
                break Some(status);
            }
            if Instant::now() > deadline {
                break None;
            }
            tokio::time::sleep(POLL).await;
        };
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        assert!(status.is_some_and(|status| status.success()), "{name} ended with {status:?}:\n{last}");
    }
}

/// psql stands beside the server, and the clients that the set-up gets beside nats-server.
fn tools_path() -> String {
    let tools = Tools::locate().unwrap();
    let directory = |path: &Path| path.parent().map(PathBuf::from).unwrap_or_default().display().to_string();
    format!("{}:{}", directory(&tools.nats_server), tools.postgres_bin.display())
}

fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
