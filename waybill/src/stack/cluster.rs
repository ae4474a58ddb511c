//! Three nats-servers on loopback, for tests on a replicated log.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mqtt_bridge::callout::Issuer;
use serde_json::Value;

use super::nats::{NatsOptions, NatsServer};
use super::ports::free_port;
use super::spawner::Spawner;
use super::tools::Tools;

/// How long the election of leaders may take.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(60);
const ELECTION_POLL: Duration = Duration::from_millis(100);

/// The user of routes.
const ROUTE_USER: &str = "route";

/// By what the servers of a cluster know one another.
#[derive(Debug, Clone)]
pub struct RouteSecrets {
    pub password: String,
    /// Directory with `ca.crt`, and `server.crt` and `server.key` for both ends of a route.
    pub certificates: PathBuf,
}

/// A cluster that this process has started.
pub struct NatsCluster {
    pub servers: Vec<NatsServer>,
    routes: Vec<u16>,
}

impl NatsCluster {
    /// Starts `count` servers as one cluster, and waits until they have a leader. Anybody on this machine could be a server of it.
    pub async fn start(tools: &Tools, directory: &Path, count: usize) -> Result<Self> {
        Self::start_with(tools, directory, count, None).await
    }

    /// The same, of servers that know one another.
    pub async fn start_with(
        tools: &Tools,
        directory: &Path,
        count: usize,
        secrets: Option<&RouteSecrets>,
    ) -> Result<Self> {
        let spawner = Spawner::start();
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect::<Result<_>>()?;
        let passwords = secrets.map(|secrets| secrets.password.as_str());
        let urls: Vec<String> = routes.iter().map(|port| route_url(*port, passwords)).collect();
        let any = || -> Result<SocketAddr> { Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?))) };
        let issuer_seed = Issuer::generate_seed();
        let mut servers = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let options = NatsOptions {
                listen: any()?,
                mqtt_listen: any()?,
                monitor_listen: any()?,
                server_name: format!("waybill-{index}"),
                cluster: Some(format!(
                    // Without pings a server that hangs gets one read in three for minutes; see docs/runbook.md.
                    "cluster {{ name: waybill, listen: \"127.0.0.1:{route}\", ping_interval: \"1s\", ping_max: 2, routes: [{}] {} }}",
                    urls.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(", "),
                    secrets.map(RouteSecrets::blocks).unwrap_or_default()
                )),
                issuer_seed: Some(issuer_seed.clone()),
                ..NatsOptions::default()
            };
            let mut server = NatsServer::prepare(tools, &spawner, &directory.join(format!("nats-{index}")), options)?;
            server.spawn()?;
            servers.push(server);
        }
        let mut cluster = Self { servers, routes };
        for server in &mut cluster.servers {
            server.ready().await?;
        }
        cluster.wait_for_meta_leader().await?;
        Ok(cluster)
    }

    /// The port of a server that other servers connect to.
    pub fn route_port(&self, index: usize) -> Option<u16> {
        self.routes.get(index).copied()
    }

    /// Names of the servers to which a server has a route.
    pub async fn routes_of(&self, server: &NatsServer) -> Result<Vec<String>> {
        let found = self.monitor(server, "routez").await.context("nats-server doesn't answer")?;
        let routes = found["routes"].as_array().context("nats-server lists no routes")?;
        let names: BTreeSet<&str> = routes.iter().filter_map(|route| route["remote_name"].as_str()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// Addresses of all servers, as one list of a client.
    pub fn waybill_urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::waybill_url).collect()
    }

    /// Kills the leader of a stream with SIGKILL; returns its index, for [`Self::restart`].
    pub async fn kill_leader(&mut self, stream: &str) -> Result<usize> {
        let index = self.leader(stream).await?;
        self.servers[index].kill9();
        Ok(index)
    }

    /// Index of the leader of a stream.
    pub async fn leader(&self, stream: &str) -> Result<usize> {
        let deadline = Instant::now() + ELECTION_TIMEOUT;
        loop {
            if let Some(name) = self.leader_of(stream).await
                && let Some(index) = self.servers.iter().position(|server| server.server_name() == name)
            {
                return Ok(index);
            }
            if Instant::now() > deadline {
                bail!("stream {stream} has no leader");
            }
            tokio::time::sleep(ELECTION_POLL).await;
        }
    }

    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.servers.get_mut(index).context("no such server")?.restart().await
    }

    async fn leader_of(&self, stream: &str) -> Option<String> {
        for server in self.servers.iter().filter(|server| server.pid().is_some()) {
            let Some(info) = self.monitor(server, "jsz?streams=true&accounts=true").await else { continue };
            let streams = info["account_details"]
                .as_array()?
                .iter()
                .flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
            for detail in streams {
                if detail["name"] == stream
                    && let Some(leader) = detail["cluster"]["leader"].as_str().filter(|leader| !leader.is_empty())
                {
                    return Some(leader.to_owned());
                }
            }
        }
        None
    }

    async fn wait_for_meta_leader(&self) -> Result<()> {
        let deadline = Instant::now() + ELECTION_TIMEOUT;
        let first = self.servers.first().context("an empty cluster")?;
        loop {
            if let Some(info) = self.monitor(first, "jsz").await {
                let leader = info["meta_cluster"]["leader"].as_str().unwrap_or_default();
                let size = info["meta_cluster"]["cluster_size"].as_u64().unwrap_or(0);
                if !leader.is_empty() && size as usize == self.servers.len() {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                bail!("the cluster has no leader");
            }
            tokio::time::sleep(ELECTION_POLL).await;
        }
    }

    async fn monitor(&self, server: &NatsServer, path: &str) -> Option<Value> {
        let url = format!("http://{}/{path}", server.monitor_listen());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().ok()?;
        http.get(url).send().await.ok()?.json().await.ok()
    }
}

impl RouteSecrets {
    /// `authorization {}` and `tls {}` of a `cluster {}` block.
    pub fn blocks(&self) -> String {
        let file = |name: &str| self.certificates.join(name).display().to_string();
        format!(
            "\nauthorization {{ user: {ROUTE_USER}, password: \"{}\" }}\n\
             tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
            self.password,
            file("server.crt"),
            file("server.key"),
            file("ca.crt")
        )
    }
}

/// The address of a route, with a password or without.
pub fn route_url(port: u16, password: Option<&str>) -> String {
    let login = password.map(|password| format!("{ROUTE_USER}:{password}@")).unwrap_or_default();
    format!("nats-route://{login}127.0.0.1:{port}")
}
