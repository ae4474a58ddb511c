//! Where the servers are, for commands that an operator runs: by settings, else those of `waybill up`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use event_store::{JetStreamLog, Log};
use projections::Db;
use runtime::lifecycle::Tasks;

use crate::nats;
use crate::rights::Rights;
use crate::role_user::RoleUser;
use crate::tls::NatsTlsArgs;
use crate::up::{DATABASE_URL_FILE, NATS_URL_FILE};

/// Where nats-server is by default.
const NATS_URL: &str = "nats://waybill:waybill@127.0.0.1:4222";
/// How long nats-server may take to answer an interactive command.
const NATS_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of the log and the archive.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    #[command(flatten)]
    pub nats: NatsConnection,
    /// PostgreSQL, for read models and the archive (default: the one of `waybill up`)
    #[arg(long, env = "WAYBILL_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

/// Address of nats-server.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsConnection {
    /// nats-server, account WAYBILL; user waybill-secrets for `waybill secrets`, else waybill-reader (default: the one of `waybill up`, else nats://waybill:waybill@127.0.0.1:4222)
    #[arg(long, env = "WAYBILL_NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// Data directory of `waybill up`, which has the addresses of its servers
    #[arg(long, default_value = ".waybill", env = "WAYBILL_DATA_DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub tls: NatsTlsArgs,
}

impl NatsConnection {
    /// A connection for an interactive command, with the inbox of its user.
    pub async fn client(&self, user: RoleUser) -> Result<(async_nats::Client, Rights)> {
        let of_up = || std::fs::read_to_string(self.data_dir.join(NATS_URL_FILE)).ok();
        let url = self.nats_url.clone().or_else(of_up).unwrap_or_else(|| NATS_URL.to_owned());
        nats::connect_with_rights(NATS_TIMEOUT, url.trim(), &self.tls.checked()?, user.name()).await
    }
}

impl Connection {
    pub async fn log(&self) -> Result<Arc<dyn Log>> {
        let (client, rights) = self.nats.client(RoleUser::Reader).await?;
        Ok(Arc::new(rights.or_refused(JetStreamLog::connect(client, &Tasks::new())).await?))
    }

    pub fn db(&self) -> Result<Db> {
        let url = match &self.database_url {
            Some(url) => url.clone(),
            None => std::fs::read_to_string(self.nats.data_dir.join(DATABASE_URL_FILE))
                .context("say where PostgreSQL is: --database-url or WAYBILL_DATABASE_URL")?,
        };
        Ok(Db::connect(&url)?)
    }
}
