//! Runs the binary as a shell would: arguments in, exit code and text out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Child;

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

/// A command that runs.
pub(super) struct Running {
    child: Child,
    /// What it has printed so far.
    out: String,
}

impl Running {
    /// Waits until it ends.
    pub(super) async fn ends(self) -> Ended {
        let output = tokio::time::timeout(RUN_MAX, self.child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("not within {RUN_MAX:?}")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let out = self.out + text(output.stdout).as_str();
        Ended { code: output.status.code().unwrap_or(-1), out, err: text(output.stderr) }
    }
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
        self.spawn(args).ends().await
    }

    /// Begins to run it, and waits for its first line.
    pub(super) async fn begin(&self, args: &[&str]) -> Running {
        let mut running = self.spawn(args);
        let out = running.child.stdout.as_mut().unwrap();
        let first = async {
            while !running.out.contains('\n') {
                let byte = out.read_u8().await.unwrap();
                running.out.push(byte.into());
            }
        };
        tokio::time::timeout(RUN_MAX, first).await.unwrap_or_else(|_| panic!("no line within {RUN_MAX:?}: {args:?}"));
        running
    }

    fn spawn(&self, args: &[&str]) -> Running {
        let mut command = tokio::process::Command::new(waybill_binary());
        command.args(args).env_clear().envs(&self.variables).kill_on_drop(true);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running { child, out: String::new() }
    }

    /// What bash offers for the last word of a line, with a completion script.
    pub(super) async fn completes(&self, script: &str, line: &str) -> Vec<String> {
        let pressed = r#"
            waybill() { "$WAYBILL" "$@"; }
            source "$1"
            COMP_LINE=$2 COMP_POINT=${#2}
            # As bash does it: cut at white space and at each = and :.
            cut=${2//=/ = }
            read -ra COMP_WORDS <<< "${cut//:/ : }"
            [[ $2 == *[[:blank:]=:] ]] && COMP_WORDS+=("")
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _waybill waybill "${COMP_WORDS[COMP_CWORD]}"
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let mut bash = tokio::process::Command::new("bash");
        bash.args(["-c", pressed, "bash", script, line]).env_clear().envs(&self.variables);
        let path = std::env::var_os("PATH").unwrap_or_default();
        bash.env("PATH", path).env("WAYBILL", waybill_binary()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(RUN_MAX, bash.output()).await.unwrap().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Runs it; what it prints must be JSON.
    pub(super) async fn json(&self, args: &[&str]) -> Value {
        let ended = self.run(args).await.ended(0);
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }
}
