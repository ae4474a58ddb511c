//! Where `scripts/setup` put the servers, and whether they are new enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Oldest PostgreSQL that will do.
const POSTGRES_VERSION_MIN: u32 = 15;
/// Oldest nats-server that will do: major and minor.
const NATS_VERSION_MIN: (u32, u32) = (2, 12);

/// The programs of the servers.
#[derive(Debug, Clone)]
pub struct Tools {
    pub nats_server: PathBuf,
    /// Directory with initdb, postgres, createdb, psql.
    pub postgres_bin: PathBuf,
}

impl Tools {
    /// Reads `tools.env` of `$WAYBILL_TOOLS_DIR`, else of `.waybill/tools` here or in a directory above.
    pub fn locate() -> Result<Self> {
        let file = Self::find_env_file().context("the servers aren't set up: run `make setup`")?;
        let text = std::fs::read_to_string(&file).with_context(|| format!("{} can't be read", file.display()))?;
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(PathBuf::from)
                .with_context(|| format!("{} doesn't name {name}: run `make setup`", file.display()))
        };
        let tools =
            Self { nats_server: value("WAYBILL_NATS_SERVER_BIN")?, postgres_bin: value("WAYBILL_POSTGRES_BIN")? };
        tools.check()?;
        Ok(tools)
    }

    fn find_env_file() -> Option<PathBuf> {
        if let Some(dir) = std::env::var_os("WAYBILL_TOOLS_DIR") {
            return Some(Path::new(&dir).join("tools.env")).filter(|file| file.exists());
        }
        let here = std::env::current_dir().ok()?;
        here.ancestors().map(|dir| dir.join(".waybill/tools/tools.env")).find(|file| file.exists())
    }

    fn check(&self) -> Result<()> {
        let nats = version(&self.nats_server)?;
        let nats = numbers(&nats);
        ensure!(
            (nats.first().copied().unwrap_or(0), nats.get(1).copied().unwrap_or(0)) >= NATS_VERSION_MIN,
            "{} is too old: nats-server {}.{} or newer is needed; run `make setup`",
            self.nats_server.display(),
            NATS_VERSION_MIN.0,
            NATS_VERSION_MIN.1
        );
        let postgres = version(&self.postgres_bin.join("postgres"))?;
        ensure!(
            numbers(&postgres).first().copied().unwrap_or(0) >= POSTGRES_VERSION_MIN,
            "{} is too old: PostgreSQL {POSTGRES_VERSION_MIN} or newer is needed; run `make setup`",
            self.postgres_bin.display()
        );
        Ok(())
    }
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("{} can't be run: run `make setup`", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The numbers of the first word that looks like a version.
fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(|word| word.split('.').map_while(|part| part.parse().ok()).collect())
        .unwrap_or_default()
}
