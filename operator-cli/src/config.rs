//! `config.toml`: contexts, each with a service, a tenant and a token. Only its owner can read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// Mode of the file: tokens are in it.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// All contexts.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The context that counts if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One service, as one actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// PEM file of the CA that the service's certificate must come from, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// `$XDG_CONFIG_HOME/waybill/config.toml`, or below `~/.config`.
pub(crate) fn path() -> Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
    let directory = directory.ok_or_else(|| Failure::usage("set HOME or XDG_CONFIG_HOME: contexts are kept there"))?;
    Ok(directory.join("waybill").join("config.toml"))
}

impl Config {
    /// The contexts of a file; none if it doesn't exist.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::here(format!("{} can't be read: {error}", path.display()))),
        };
        toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} is not valid: {}", path.display(), error.message())))
    }

    /// Writes the file as a whole: a reader sees the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| Failure::here(format!("{} can't be written: {error}", path.display()));
        let text =
            toml::to_string(self).map_err(|error| Failure::here(format!("contexts can't be written: {error}")))?;
        let directory = path.parent().unwrap_or(Path::new("."));
        if !directory.exists() {
            fs::create_dir_all(directory).map_err(failed)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)?;
        }
        let new = new_path(path);
        // A process that was killed may have left one. Processes in containers often have the same id.
        fs::remove_file(&new).ok();
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&new).map_err(failed)?;
        let written =
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            fs::remove_file(&new).ok();
        }
        written.map_err(failed)
    }
}

/// Where the new file is until it is complete.
fn new_path(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.new", std::process::id()))
}

/// Whether others than its owner may read the file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_reads_what_was_written() {
        let directory = std::env::temp_dir().join(format!("waybill-config-{}", std::process::id()));
        let path = directory.join("waybill/config.toml");
        let context =
            Context { url: "http://x".into(), tenant: Some("acme".into()), token: Some("t".into()), ca: None };
        let config = Config { current: Some("a".into()), contexts: BTreeMap::from([("a".into(), context)]) };
        config.write(&path).unwrap();
        config.write(&path).unwrap();
        assert_eq!(Config::read(&path).unwrap(), config);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_open_to_others(&path));
        assert_eq!(Config::read(&directory.join("none")).unwrap(), Config::default());
        fs::write(new_path(&path), "half a fi").unwrap();
        config.write(&path).unwrap();
        assert_eq!(Config::read(&path).unwrap(), config);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(directory).unwrap();
    }
}
