//! The command line of operators: nouns and verbs over the public API, in the binary `waybill`.
//!
//! It needs nothing of the server but the API's description. Most verbs are lines of the [table of operations](operations); commands of their
//! own are only where they do more than one request, or show it better. Start at [`Operators`].

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod apply;
mod completion;
mod config;
mod confirm;
mod contexts;
mod description;
mod doctor;
mod duration;
mod events;
mod exit;
mod failure;
#[cfg(test)]
mod fake_service;
mod fields;
mod filter;
mod firmware_files;
mod flags;
mod http;
mod man;
mod operations;
mod out;
mod output;
mod payload;
mod plain;
mod search;
mod sse;
mod target;
#[cfg(test)]
mod tests;
mod upload;
mod watch;
mod why;

use std::sync::Arc;

use clap::{Arg, ArgMatches, Command};

use description::Description;
pub use exit::Exit;
use failure::{Failure, Result};
use flags::{common, verb};
use http::Client;
use operations::{NOUNS, Operation};
use plain::Call;
use target::Target;

/// Where the binary's other commands stand in the help.
const AFTER_NOUNS: usize = 500;
/// Commands that are no noun.
const ALONE: [&str; 13] = [
    "search",
    "why",
    "events",
    "api",
    "login",
    "logout",
    "context",
    "diff",
    "apply",
    "doctor",
    "completion",
    "complete",
    "man",
];

/// All commands of operators.
pub struct Operators {
    description: Arc<Description>,
}

impl Default for Operators {
    fn default() -> Self {
        Self { description: Arc::new(Description::read()) }
    }
}

impl Operators {
    /// Adds the commands to those of the binary. A noun that the binary has already gets further verbs.
    pub fn mount(&self, command: Command) -> Command {
        let mut command = command.mut_subcommands(|known| known.display_order(AFTER_NOUNS));
        for (order, (noun, about)) in NOUNS.iter().enumerate() {
            let verbs = self.verbs(noun);
            let whole = match command.find_subcommand(noun) {
                Some(known) => known.clone(),
                None => Command::new(*noun).subcommand_required(true).arg_required_else_help(true),
            };
            let whole = whole.about(*about).display_order(order).subcommands(verbs);
            command = if command.find_subcommand(noun).is_some() {
                command.mut_subcommand(noun, |_| whole)
            } else {
                command.subcommand(whole)
            };
        }
        let [diff, apply] = apply::commands();
        let [completion, complete] = completion::commands();
        command.subcommands([
            search::command(),
            why::command(),
            events::command(),
            api::command(),
            contexts::login_command(),
            contexts::logout_command(),
            contexts::context_command(),
            diff,
            apply,
            doctor::command(),
            completion,
            complete,
            man::command(),
        ])
    }

    /// Whether a command line is one of operators.
    pub fn has(&self, matches: &ArgMatches) -> bool {
        match matches.subcommand() {
            Some((name, _)) if ALONE.contains(&name) => true,
            Some((noun, matches)) => matches.subcommand_name().is_some_and(|verb| is_verb(noun, verb)),
            None => false,
        }
    }

    /// Runs a command line of operators; `whole` is the command of the binary with all that was mounted.
    pub async fn run(&self, matches: &ArgMatches, whole: Command) -> Exit {
        match self.dispatch(matches, whole).await {
            Ok(exit) => exit,
            Err(failure) => {
                if !failure.sentence.is_empty() {
                    out::note(format_args!("waybill: {}", output::printable(&failure.sentence.replace('\n', " "))));
                }
                failure.exit
            }
        }
    }

    async fn dispatch(&self, matches: &ArgMatches, whole: Command) -> Result<Exit> {
        let Some((name, matches)) = matches.subcommand() else { return Err(Failure::usage("name a command")) };
        output::check(leaf(matches))?;
        match name {
            "completion" => completion::script(matches, whole),
            "complete" => completion::candidates(matches, whole, Arc::clone(&self.description)),
            "man" => man::run(matches, whole).map(|()| Exit::Done),
            "doctor" => doctor::run(matches).await,
            "login" => contexts::login(matches).await.map(|()| Exit::Done),
            "logout" => contexts::logout(matches).map(|()| Exit::Done),
            "context" => contexts::context(matches).map(|()| Exit::Done),
            noun => {
                let (verb, matches) = matches.subcommand().unwrap_or(("", matches));
                let client = Client::new(Target::of(matches)?)?;
                self.with_service(noun, verb, matches, &client).await
            }
        }
    }

    async fn with_service(&self, noun: &str, verb: &str, matches: &ArgMatches, client: &Client) -> Result<Exit> {
        let done = match (noun, verb) {
            ("campaign", "watch") => return watch::run(matches, client).await,
            ("campaign", "why") => why::run_campaign(matches, client).await,
            ("firmware", "download") => firmware_files::download(matches, client).await,
            ("firmware", "verify") => firmware_files::verify(matches, client).await,
            ("firmware", "where") => firmware_files::devices(matches, client).await,
            ("search", _) => search::run(matches, client).await,
            ("why", _) => why::run(matches, client).await,
            ("events", _) => events::run(matches, client).await,
            ("api", _) => api::run(matches, client).await,
            ("diff", _) => apply::run(matches, client, false).await,
            ("apply", _) => apply::run(matches, client, true).await,
            // What a device was at a moment.
            ("device", "at") => self.call(noun, "get", matches, client).await,
            _ => self.call(noun, verb, matches, client).await,
        };
        done.map(|()| Exit::Done)
    }

    async fn call(&self, noun: &str, verb: &str, matches: &ArgMatches, client: &Client) -> Result<()> {
        let unknown = || Failure::usage(format!("there is no command {noun} {verb}"));
        let operation =
            operations::all().find(|operation| operation.noun == noun && operation.verb == verb).ok_or_else(unknown)?;
        let endpoints = self.description.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == operation.id).ok_or_else(unknown)?;
        Call { operation, endpoint, description: &self.description, matches, client }.run().await
    }

    fn verbs(&self, noun: &str) -> Vec<Command> {
        let endpoints = self.description.endpoints();
        let of_noun = operations::all().filter(|operation| operation.noun == noun);
        let described = of_noun
            .filter_map(|operation| Some((operation, endpoints.iter().find(|endpoint| endpoint.id == operation.id)?)));
        let mut verbs: Vec<Command> = described
            .map(|(operation, endpoint)| shaped(operation, verb(operation, endpoint, &self.description)))
            .collect();
        verbs.extend(own_verbs(noun));
        verbs
    }
}

/// The arguments of the verb.
fn leaf(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, of_verb)) = matches.subcommand() {
        matches = of_verb;
    }
    matches
}

/// Verbs that are no single operation.
fn own_verbs(noun: &str) -> Vec<Command> {
    match noun {
        "campaign" => vec![watch::command(), why::campaign_command()],
        "firmware" => vec![firmware_files::verify_command(), firmware_files::where_command()],
        "device" => vec![at_command()],
        _ => Vec::new(),
    }
}

fn at_command() -> Command {
    let at =
        Arg::new("at").value_name("TIME|POSITION").required(true).help("A time (RFC 3339) or a position of the log");
    common(
        Command::new("at")
            .about("Get a device as it was at a moment")
            .arg(Arg::new("path:device_id").value_name("DEVICE").required(true))
            .arg(at),
    )
}

fn shaped(operation: &Operation, command: Command) -> Command {
    if operation.id == "firmware_download" { firmware_files::download_arguments(command) } else { command }
}

fn is_verb(noun: &str, verb: &str) -> bool {
    let is_operation = operations::all().any(|operation| operation.noun == noun && operation.verb == verb);
    is_operation || own_verbs(noun).iter().any(|command| command.get_name() == verb)
}
