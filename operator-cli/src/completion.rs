//! Completion in a shell. `waybill completion SHELL` prints a script; at each press of the key it runs the hidden `waybill complete`, which
//! knows commands and flags itself and asks the service for ids. It never fails and prints no word: a service that is away gives no ids.

mod ids;

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use crate::description::Description;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::out;
use crate::output::printable;

use ids::Ids;

/// The scripts, and how the shells are named.
const SCRIPTS: [(Shell, &str); 3] = [
    (Shell::Bash, include_str!("completion/waybill.bash")),
    (Shell::Zsh, include_str!("completion/waybill.zsh")),
    (Shell::Fish, include_str!("completion/waybill.fish")),
];
/// Words of a command line that are looked at.
const WORDS_MAX: usize = 1000;
/// Arguments that name a file.
const FILES: [&str; 11] = [
    "file",
    "manifest",
    "csv",
    "upload",
    "to",
    "token-file",
    "ca",
    "signature",
    "minisign",
    "cosign-bundle",
    "directory",
];

pub(crate) fn commands() -> [Command; 2] {
    let shell = Arg::new("shell").required(true).value_parser(value_parser!(Shell)).value_name("SHELL");
    let words = Arg::new("words")
        .value_name("WORDS")
        .value_parser(value_parser!(OsString))
        .action(ArgAction::Append)
        .num_args(0..);
    [
        Command::new("completion").about("Print a completion script of a shell").arg(shell.help("bash, zsh, fish, …")),
        Command::new("complete")
            .about("Print what the last word can be, for the scripts of `waybill completion`")
            .hide(true)
            .arg(words.trailing_var_arg(true).allow_hyphen_values(true)),
    ]
}

/// Prints the script of a shell. Shells without a script of their own get commands and flags only.
pub(crate) fn script(matches: &ArgMatches, mut whole: Command) -> Result<Exit> {
    let shell = matches.get_one::<Shell>("shell").copied().ok_or_else(|| Failure::usage("name a shell"))?;
    if let Some((_, script)) = SCRIPTS.iter().find(|(known, _)| *known == shell) {
        return out::raw(script.as_bytes()).map(|()| Exit::Done);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "waybill", &mut script);
    out::raw(&script).map(|()| Exit::Done)
}

/// Prints candidates for the last word, one a line: what it can be, a tab and a description.
pub(crate) fn candidates(matches: &ArgMatches, whole: Command, description: Arc<Description>) -> Result<Exit> {
    let words: Vec<OsString> = matches.get_many("words").into_iter().flatten().take(WORDS_MAX).cloned().collect();
    for candidate in found(words, whole, description) {
        let value = candidate.get_value().to_string_lossy().into_owned();
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        out::line(format_args!("{value}\t{}", printable(help.lines().next().unwrap_or_default())))?;
    }
    Ok(Exit::Done)
}

fn found(mut words: Vec<OsString>, whole: Command, description: Arc<Description>) -> Vec<CompletionCandidate> {
    let before = take_flag(&mut words);
    let Some(last) = words.len().checked_sub(1) else { return Vec::new() };
    let is_empty = words[last].is_empty();
    let texts = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut whole = with_ids(whole, &Arc::new(Ids::new(texts, description)));
    let directory = std::env::current_dir().ok();
    let mut found = complete(&mut whole, words, last, directory.as_deref()).unwrap_or_default();
    let is_flag = |candidate: &CompletionCandidate| candidate.get_value().as_encoded_bytes().starts_with(b"-");
    // Flags are for who has begun one, or if there is nothing else.
    if !before.is_empty() || is_empty && !found.iter().all(is_flag) {
        found.retain(|candidate| !is_flag(candidate));
    }
    found.into_iter().map(|candidate| candidate.add_prefix(before.as_str())).collect()
}

/// Makes two words of a last word `--flag=value`, because clap completes other names of flags only so. Returns what is before the value.
fn take_flag(words: &mut Vec<OsString>) -> String {
    let last = words.last().and_then(|word| word.to_str()).unwrap_or_default();
    let Some((flag, value)) = last.split_once('=').filter(|(flag, _)| flag.starts_with("--")) else {
        return String::new();
    };
    let (flag, value) = (flag.to_owned(), value.to_owned());
    words.pop();
    words.push(flag.clone().into());
    words.push(value.into());
    flag + "="
}

/// The same commands, with arguments that know what they can be.
fn with_ids(command: Command, ids: &Arc<Ids>) -> Command {
    let of_arguments = Arc::clone(ids);
    let command = command.mut_args(move |argument| {
        let id = argument.get_id().as_str().to_owned();
        if FILES.contains(&id.as_str()) {
            return argument.value_hint(ValueHint::AnyPath);
        }
        match ids::source(&id) {
            Some(source) => {
                let ids = Arc::clone(&of_arguments);
                argument.add(ArgValueCompleter::new(move |current: &OsStr| ids.candidates(source, current)))
            }
            None => argument,
        }
    });
    command.mut_subcommands(|verb| with_ids(verb, ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Operators, fake_service};

    fn of(words: &[&str]) -> Vec<String> {
        let operators = Operators::default();
        let whole = operators.mount(Command::new("waybill"));
        let found = found(words.iter().map(OsString::from).collect(), whole, Arc::new(Description::read()));
        found.iter().map(|candidate| candidate.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn commands_and_flags_are_known_without_a_service() {
        assert_eq!(of(&["waybill", "camp"]), ["campaign"]);
        assert_eq!(of(&["waybill", "device", "why-"]), ["why-not"]);
        assert_eq!(of(&["waybill", "campaign", "create", "--soak"]), ["--soak-minutes"]);
        assert_eq!(of(&["waybill", "device", "list", "-o", "nd"]), ["ndjson"]);
        assert!(!of(&["waybill", ""]).contains(&"complete".to_owned()));
        assert_eq!(of(&[]), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ids_come_from_the_service_that_the_command_line_names() {
        let body = r#"{"items":[{"campaign_id":"0193-a","name":"Spring","status":"running"},{"campaign_id":"$(x)"}]}"#;
        let firmware = r#"{"items":[{"firmware_id":"0194-b"}]}"#;
        let answers = [("200 OK", body), ("200 OK", body), ("200 OK", firmware)];
        let (url, served) = fake_service::start_with(&answers).await;
        assert_eq!(of(&["waybill", "campaign", "get", "--url", &url, ""]), ["0193-a"]);
        let url = format!("--url={url}");
        assert_eq!(of(&["waybill", "update", "list", &url, "--campaign-id=01"]), ["--campaign-id=0193-a"]);
        assert_eq!(of(&["waybill", "campaign", "create", &url, "--firmware="]), ["--firmware=0194-b"]);
        let heads = served.await.unwrap();
        assert!(heads[..2].iter().all(|head| head.starts_with("GET /api/v1/campaigns?limit=200 ")), "{heads:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_that_is_away_gives_nothing() {
        assert_eq!(of(&["waybill", "device", "get", "--url", "http://127.0.0.1:9", "d"]), Vec::<String>::new());
    }

    #[test]
    fn scripts_ask_the_hidden_command() {
        assert!(SCRIPTS.iter().all(|(_, script)| script.contains("complete -- ") && script.contains("2>/dev/null")));
        let [_, hidden] = commands();
        assert!(hidden.is_hide_set());
    }

    #[test]
    fn arguments_that_name_files_exist() {
        let whole = Operators::default().mount(Command::new("waybill"));
        for name in FILES {
            assert!(has(&whole, name), "{name}");
        }
    }

    fn has(command: &Command, name: &str) -> bool {
        command.get_arguments().any(|argument| argument.get_id() == name)
            || command.get_subcommands().any(|verb| has(verb, name))
    }
}
