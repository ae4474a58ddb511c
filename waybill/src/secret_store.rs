//! `waybill secrets`: keeps, lists and removes the sealed secrets of tenants, and seals them under another master key. No command prints a
//! value or takes one as an argument.

use std::io::{IsTerminal, Read};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::{SecretName, SecretRef, TenantId};
use event_store::secrets::{SecretInfo, Unreadable};
use event_store::streams::SECRET_VALUE_MAX_BYTES;
use event_store::{SecretPlace, SecretStore};
use trust::SecretValue;

use crate::connection::NatsConnection;
use crate::out;
use crate::rights::Rights;
use crate::role_user::RoleUser;
use crate::secrets::MasterKeyArgs;

/// What to do, and with which servers and keys.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Keep a secret; its value comes from standard input, without the line break at its end
    Put {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        connection: Connection,
    },
    /// List secrets without their values: tenant/name, master key, time of the last change
    List {
        /// Only of this tenant
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove a secret
    Delete {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        connection: Connection,
    },
    /// Seal all secrets anew under the first master key; can be interrupted and repeated
    Rotate {
        #[command(flatten)]
        connection: Connection,
    },
    /// Open all secrets; fails and names them if some can't be read
    Check {
        #[command(flatten)]
        connection: Connection,
    },
}

/// A secret of a tenant.
#[derive(Debug, Clone, clap::Args)]
pub struct Of {
    /// Name of the secret: `[a-z0-9][a-z0-9_-]{0,63}`
    pub name: String,
    /// Tenant
    #[arg(long, default_value = "default")]
    pub tenant: String,
}

/// Where the secrets are, and their keys.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    #[command(flatten)]
    pub nats: NatsConnection,
    #[command(flatten)]
    pub master_keys: MasterKeyArgs,
}

impl Connection {
    pub(crate) async fn store(&self) -> Result<(SecretStore, Rights)> {
        let keyring = self.master_keys.keyring(&self.nats.data_dir).await?;
        let (client, rights) = self.nats.client(RoleUser::Secrets).await?;
        Ok((SecretStore::new(client, Arc::new(keyring)), rights))
    }
}

impl Of {
    fn place(&self) -> Result<SecretPlace> {
        Ok(SecretPlace::new(&tenant(&self.tenant)?, &SecretRef(SecretName::new(&*self.name)?)))
    }
}

/// Runs the command.
pub async fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Put { of, connection } => put(of, connection).await,
        Command::List { tenant, connection } => list(tenant.as_deref(), connection).await,
        Command::Delete { of, connection } => delete(of, connection).await,
        Command::Rotate { connection } => rotate(connection).await,
        Command::Check { connection } => check(connection).await,
    }
}

async fn put(of: &Of, connection: &Connection) -> Result<()> {
    let place = of.place()?;
    let (store, rights) = connection.store().await?;
    let value = value()?;
    rights.or_refused(store.put(&place, &value)).await?;
    out::tell(format_args!("{place} is kept"));
    Ok(())
}

/// All of standard input, up to the limit.
fn value() -> Result<SecretValue> {
    if std::io::stdin().is_terminal() {
        out::note("Type the value, then Ctrl-D.");
    }
    let mut bytes = Vec::new();
    let limit = SECRET_VALUE_MAX_BYTES as u64 + 2;
    std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).context("standard input can't be read")?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    Ok(SecretValue::new(bytes))
}

async fn list(of: Option<&str>, connection: &Connection) -> Result<()> {
    let of = of.map(tenant).transpose()?;
    let (store, rights) = connection.store().await?;
    for SecretInfo { place, key, changed_at } in rights.or_refused(store.list(of.as_ref())).await? {
        let key = key.map_or_else(|| "-".to_owned(), |key| key.to_string());
        out::line(format_args!("{place}\t{key}\t{}", changed_at.format("%Y-%m-%dT%H:%M:%SZ")))?;
    }
    Ok(())
}

async fn delete(of: &Of, connection: &Connection) -> Result<()> {
    let place = of.place()?;
    let (store, rights) = connection.store().await?;
    ensure!(rights.or_refused(store.delete(&place)).await?, "there is no secret {place}");
    out::tell(format_args!("{place} is removed"));
    Ok(())
}

async fn rotate(connection: &Connection) -> Result<()> {
    let (store, rights) = connection.store().await?;
    let rotation = rights.or_refused(store.rotate()).await?;
    out::tell(format_args!(
        "{} secrets are sealed anew under key {}, {} were sealed under it before",
        rotation.sealed_anew, rotation.key, rotation.unchanged
    ));
    all_readable(&rotation.unreadable)
}

async fn check(connection: &Connection) -> Result<()> {
    let (store, rights) = connection.store().await?;
    let check = rights.or_refused(store.check(usize::MAX)).await?;
    for (key, count) in &check.readable {
        out::tell(format_args!("{count} secrets under key {key}"));
    }
    if check.readable.is_empty() {
        out::tell("no secret can be read, or there is none");
    }
    all_readable(&check.unreadable)
}

fn all_readable(unreadable: &Unreadable) -> Result<()> {
    for reason in &unreadable.reasons {
        out::note(reason);
    }
    ensure!(unreadable.count == 0, "{} secrets can't be read", unreadable.count);
    Ok(())
}

fn tenant(text: &str) -> Result<TenantId> {
    TenantId::new(text).with_context(|| format!("{text:?} is not a valid tenant"))
}
