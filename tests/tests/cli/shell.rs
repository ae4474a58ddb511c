//! Runs the binary as a shell would: arguments in, exit code and text out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::world::{World, waybill_binary};

/// Longest run of one command.
const RUN_MAX: Duration = Duration::from_secs(80);

/// An environment for commands.
#[derive(Clone)]
pub(super) struct Shell {
    url: String,
    directory: PathBuf,
    variables: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Fails if it ended otherwise.
    pub(super) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Its only line.
    pub(super) fn line(&self) -> String {
        let mut lines = self.out.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        assert!(lines.next().is_none() && !line.is_empty(), "not one line: {self:?}");
        line
    }
}

impl Shell {
    /// One with an empty home.
    pub(super) fn at(world: &World) -> Self {
        let directory = world.data_dir().join("home");
        std::fs::create_dir_all(&directory).unwrap();
        let variables = BTreeMap::from([("XDG_CONFIG_HOME".to_owned(), directory.display().to_string())]);
        Self { url: world.base(), directory, variables }
    }

    /// The same with a variable of the environment.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut shell = self.clone();
        shell.variables.insert(name.to_owned(), value.to_owned());
        shell
    }

    /// Address of the service.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("waybill/config.toml")
    }

    /// Writes a file; returns its path.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Runs `waybill` without a terminal.
    pub(super) async fn run(&self, args: &[&str]) -> Ended {
        let mut command = tokio::process::Command::new(waybill_binary());
        command.args(args).env_clear().envs(&self.variables).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(RUN_MAX, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("not within {RUN_MAX:?}: {args:?}")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs it; what it prints must be JSON.
    pub(super) async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args).await.ended(0);
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }
}
