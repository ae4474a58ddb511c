//! Routes between the nats-servers of a cluster, with `tls {}` and `authorization {}` as docs/runbook.md shows them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use event_store::streams;
use waybill::stack::{NatsCluster, Process, RouteSecrets, Spawner, Tools, free_port, route_url};

use crate::certificates::Ca;
use crate::directory::Directory;
use crate::world::{PATIENCE, POLL};

const SERVERS: usize = 3;

/// A nats-server of somebody else that wants to be a server of the cluster.
struct Stranger {
    name: &'static str,
    directory: PathBuf,
    _process: Process,
}

impl Stranger {
    /// `secrets` are the blocks in its `cluster {}`.
    fn start(directory: &Path, name: &'static str, route: &str, secrets: &str) -> Self {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("nats.conf");
        let (clients, routes) = (free_port().unwrap(), free_port().unwrap());
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{clients}\"\n\
             cluster {{ name: waybill, listen: \"127.0.0.1:{routes}\", routes: [\"{route}\"]\n{secrets} }}\n"
        );
        std::fs::write(&config, text).unwrap();
        let args = ["-c".to_owned(), config.display().to_string()];
        let program = Tools::locate().unwrap().nats_server;
        let log = directory.join("log");
        let process = Process::run("nats-server", &Spawner::start(), &program, &args, &log).unwrap();
        Self { name, directory, _process: process }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

/// A cluster whose first server is asked by strangers.
struct Guarded {
    cluster: NatsCluster,
    log: PathBuf,
}

impl Guarded {
    /// How often its first server has written a line with this text.
    fn lines(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).count()
    }

    async fn has_route_to(&self, name: &str) -> bool {
        self.cluster.routes_of(&self.cluster.servers[0]).await.unwrap().iter().any(|known| known == name)
    }

    /// Waits until the first server has refused a stranger twice, for this reason.
    async fn refuses(&self, stranger: &Stranger, reason: &str, before: usize) {
        let began = Instant::now();
        while self.lines(reason) < before + 2 {
            assert!(!self.has_route_to(stranger.name).await, "{} is a server of the cluster", stranger.name);
            assert!(began.elapsed() < PATIENCE, "no {reason:?} for {}:\n{}", stranger.name, stranger.said());
            tokio::time::sleep(POLL).await;
        }
        assert!(!self.has_route_to(stranger.name).await, "{} is a server of the cluster", stranger.name);
    }
}

#[tokio::test]
async fn only_servers_with_certificate_and_password_join_a_cluster() {
    let directory = Directory::new();
    let ca = Ca::new("CA of the cluster");
    let equipped = |name: &str, ca: &Ca, issuer: &Ca| {
        let certificates = directory.path().join(name);
        std::fs::create_dir_all(&certificates).unwrap();
        ca.writes(certificates.join("ca.crt"));
        issuer.of_peer().writes(&certificates, "server");
        RouteSecrets { password: "of-the-routes".to_owned(), certificates }
    };
    let secrets = equipped("tls", &ca, &ca);
    let tools = Tools::locate().unwrap();
    let cluster = NatsCluster::start_with(&tools, directory.path(), SERVERS, Some(&secrets)).await.unwrap();
    let guarded = Guarded { cluster, log: directory.path().join("nats-0").join("nats-server.log") };
    assert_eq!(guarded.cluster.routes_of(&guarded.cluster.servers[0]).await.unwrap(), ["waybill-1", "waybill-2"]);

    // The log works over these routes: each stream has a copy on all three.
    let client = waybill::nats::connect(&guarded.cluster.waybill_urls().join(","), "test").await.unwrap();
    let began = Instant::now();
    while let Err(error) = streams::ensure(&client, SERVERS, streams::Missing::Create).await {
        assert!(began.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(POLL).await;
    }

    let port = guarded.cluster.route_port(0).unwrap();
    let (right, wrong) = (route_url(port, Some(&secrets.password)), route_url(port, Some("another")));
    let no_tls = "authorization { user: route, password: \"of-the-routes\" }";
    let forged = equipped("forged", &ca, &Ca::new("another CA")).blocks();
    let (handshake, password) = ("TLS route handshake error", "authentication error");
    for (name, route, secrets, reason) in [
        ("plain", &right, no_tls, handshake),
        ("forged", &right, &forged, handshake),
        ("guessing", &wrong, &secrets.blocks(), password),
    ] {
        let before = guarded.lines(reason);
        let stranger = Stranger::start(directory.path(), name, route, secrets);
        guarded.refuses(&stranger, reason, before).await;
    }

    // With both it joins, so that it was these which kept the others out.
    let friend = Stranger::start(directory.path(), "friend", &right, &secrets.blocks());
    let began = Instant::now();
    while !guarded.has_route_to(friend.name).await {
        assert!(began.elapsed() < PATIENCE, "{}", friend.said());
        tokio::time::sleep(POLL).await;
    }
}
