//! The servers that `scripts/setup` has installed, and a check of their versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Oldest supported PostgreSQL.
const POSTGRES_VERSION_MIN: u32 = 15;
/// Oldest supported nats-server: major and minor.
const NATS_VERSION_MIN: (u32, u32) = (2, 12);
/// How often a program is asked for its version, if it is killed before it answers.
const VERSION_TRIES: u32 = 5;

/// The programs of the servers.
#[derive(Debug, Clone)]
pub struct Tools {
    pub nats_server: PathBuf,
    /// Directory with initdb, postgres, createdb, psql.
    pub postgres_bin: PathBuf,
    /// Major version.
    pub postgres_version: u32,
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
        let (nats_server, postgres_bin) = (value("WAYBILL_NATS_SERVER_BIN")?, value("WAYBILL_POSTGRES_BIN")?);
        check_nats(&nats_server)?;
        let postgres_version = check_postgres(&postgres_bin)?;
        Ok(Self { nats_server, postgres_bin, postgres_version })
    }

    fn find_env_file() -> Option<PathBuf> {
        if let Some(dir) = std::env::var_os("WAYBILL_TOOLS_DIR") {
            return Some(Path::new(&dir).join("tools.env")).filter(|file| file.exists());
        }
        let here = std::env::current_dir().ok()?;
        here.ancestors().map(|dir| dir.join(".waybill/tools/tools.env")).find(|file| file.exists())
    }
}

fn check_nats(program: &Path) -> Result<()> {
    let numbers = numbers(&version(program)?);
    let (major, minor) = NATS_VERSION_MIN;
    ensure!(
        (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(0)) >= NATS_VERSION_MIN,
        "{} is too old: nats-server {major}.{minor} or newer is needed; run `make setup`",
        program.display(),
    );
    Ok(())
}

fn check_postgres(bin: &Path) -> Result<u32> {
    let major = numbers(&version(&bin.join("postgres"))?).first().copied().unwrap_or(0);
    ensure!(
        major >= POSTGRES_VERSION_MIN,
        "the PostgreSQL in {} is too old: {POSTGRES_VERSION_MIN} or newer is needed; run `make setup`",
        bin.display()
    );
    Ok(major)
}

/// What a program prints as its version. One that is killed meanwhile is asked again.
fn version(program: &Path) -> Result<String> {
    for _ in 0..VERSION_TRIES {
        let output = Command::new(program)
            .arg("--version")
            .output()
            .with_context(|| format!("{} can't be run: run `make setup`", program.display()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if output.status.code().is_some() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} --version ended with {}: {}", program.display(), output.status, said.trim());
        }
    }
    bail!("{} --version was killed {VERSION_TRIES} times", program.display())
}

/// The numbers of the first word that looks like a version.
fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(|word| word.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Path, PathBuf, numbers, version};

    /// A program that says its version, at the first call after `first`.
    fn program(directory: &Path, first: &str) -> PathBuf {
        std::fs::create_dir_all(directory).unwrap();
        let (program, asked) = (directory.join("server"), directory.join("asked"));
        let asked = asked.display();
        let text = format!("#!/bin/sh\n[ -e '{asked}' ] || {{ touch '{asked}'; {first}; }}\necho server: v2.15.1\n");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        program
    }

    #[test]
    fn a_program_that_was_killed_is_asked_again_and_one_that_fails_is_not() {
        let directory = std::env::temp_dir().join(format!("waybill-version-{}", std::process::id()));
        let killed = version(&program(&directory.join("killed"), "kill -KILL $$"));
        let failed = version(&program(&directory.join("failed"), "echo no such library >&2; exit 3"));
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(killed.unwrap(), "server: v2.15.1\n");
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("exit status: 3") && failed.ends_with("no such library"), "{failed}");
    }

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(numbers("nats-server: v2.15.1"), [2, 15, 1]);
        assert_eq!(numbers("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), [15, 18]);
        assert_eq!(numbers("postgres (PostgreSQL) 19beta1"), [19]);
    }
}
