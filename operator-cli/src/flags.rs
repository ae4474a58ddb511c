//! Flags that every command of operators has, and how the table of operations becomes `clap` commands.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::description::{Base, Description, Endpoint, Field, Kind};
use crate::filter;
use crate::operations::{Operation, Shows};

/// Parameters that the command line has flags of its own for.
const OWN: [&str; 6] = ["limit", "cursor", "count", "min_position", "at_time", "at_position"];
/// Short names of flags, beside those of the API.
const SHORT: [(&str, &str); 9] = [
    ("firmware_id", "firmware"),
    ("deployment_strategy", "strategy"),
    ("target_groups", "group"),
    ("target_devices", "device"),
    ("target_filters", "filter"),
    ("target_all", "all"),
    ("tags", "tag"),
    ("device_ids", "device"),
    ("device_model", "model"),
];
const COMMON: &str = "Options of all commands";

/// The arguments that say where requests go and how answers are printed.
pub(crate) fn common(command: Command) -> Command {
    let text = |id: &'static str, name: &'static str, help: &'static str| {
        Arg::new(id).long(id).value_name(name).help(help).help_heading(COMMON)
    };
    let flag = |id: &'static str, help: &'static str| {
        Arg::new(id).long(id).action(ArgAction::SetTrue).help(help).help_heading(COMMON)
    };
    command
        .arg(text("context", "NAME", "Context of the configuration [env: WAYBILL_CONTEXT]"))
        .arg(text("url", "URL", "Address of the service, such as https://waybill.example.com [env: WAYBILL_URL]"))
        .arg(text("tenant", "TENANT", "The tenant, which the token must be of [env: WAYBILL_TENANT]"))
        .arg(
            text("output", "FORMAT", "How answers are printed [default: a table; tab-separated in a pipe]")
                .short('o')
                .value_parser(["table", "wide", "json", "ndjson", "yaml", "name"]),
        )
        .arg(flag("json", "The same as --output json").conflicts_with("output"))
        .arg(
            text("jq", "FILTER", "Print what this jq filter makes of the JSON; with -o ndjson, of each item")
                .value_parser(filter::parse),
        )
        .arg(flag("no-input", "Ask nothing: what needs an answer fails"))
}

/// The command of an operation.
pub(crate) fn verb(operation: &Operation, endpoint: &Endpoint<'_>, description: &Description) -> Command {
    let mut command = Command::new(operation.verb).about(endpoint.summary.to_owned());
    if let Some(alias) = operation.alias {
        command = command.visible_alias(alias);
    }
    command = command.long_about(long_about(endpoint));
    let mut taken = Taken::new();
    command = with_path(command, operation, endpoint);
    command = with_query(command, operation, endpoint, &mut taken);
    command = with_body(command, operation, endpoint, description, &mut taken);
    if operation.asks.is_some() {
        command =
            command.arg(Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue).help("Do it without asking"));
    }
    common(command)
}

/// Names of flags that are in use already.
struct Taken(BTreeSet<String>);

impl Taken {
    fn new() -> Self {
        let own = ["context", "url", "tenant", "output", "json", "jq", "no-input", "yes", "file", "field", "help"];
        let limits = ["limit", "at", "wait-position", "log-level", "log-format"];
        Self(own.into_iter().chain(limits).map(str::to_owned).collect())
    }

    /// Whether the name was free.
    fn take(&mut self, name: &str) -> bool {
        self.0.insert(name.to_owned())
    }
}

fn long_about(endpoint: &Endpoint<'_>) -> String {
    let base = if endpoint.base == Base::Root { "" } else { "/api/v1" };
    let text = [endpoint.summary, endpoint.description].into_iter().filter(|part| !part.is_empty());
    format!("{}\n\n{} {base}{}", text.collect::<Vec<_>>().join(". "), endpoint.method, endpoint.path)
}

/// Parameters of the path are positional, in their order. The tenant is one only where it is what the command is about.
fn with_path(mut command: Command, operation: &Operation, endpoint: &Endpoint<'_>) -> Command {
    for parameter in endpoint.parameters.iter().filter(|parameter| parameter.place == "path") {
        let is_tenant = parameter.name == "tenant_id";
        if is_tenant && operation.noun != "tenant" {
            continue;
        }
        let name = parameter.name.trim_end_matches("_id").to_ascii_uppercase();
        let help = if is_tenant { "[default: the tenant of the context]" } else { parameter.help };
        let argument = Arg::new(format!("path:{}", parameter.name)).value_name(name).help(first_sentence(help));
        command = command.arg(argument.required(!is_tenant));
    }
    command
}

fn with_query(mut command: Command, operation: &Operation, endpoint: &Endpoint<'_>, taken: &mut Taken) -> Command {
    for parameter in endpoint.parameters.iter().filter(|parameter| parameter.place == "query") {
        let is_list = operation.shows == Shows::List;
        if OWN.contains(&parameter.name) && (is_list || !["limit", "cursor"].contains(&parameter.name)) {
            continue;
        }
        if parameter.name == "at" {
            continue;
        }
        let flag = kebab(parameter.name);
        taken.take(&flag);
        let argument = valued(Arg::new(format!("query:{}", parameter.name)).long(flag), parameter.kind);
        let argument = with_short(argument, parameter.name, taken);
        command = command.arg(argument.help(first_sentence(parameter.help)).required(parameter.is_required));
    }
    if operation.shows == Shows::List && endpoint.has("query", "limit") {
        let help = "Rows at most; 0: all [default: 50 on a terminal, otherwise all]";
        command = command.arg(Arg::new("limit").long("limit").value_parser(value_parser!(usize)).help(help));
    }
    if ["at", "at_time", "at_position"].iter().any(|name| endpoint.has("query", name)) {
        let help = "As it was at a time (RFC 3339) or at a position of the log";
        command = command.arg(Arg::new("at").long("at").value_name("TIME|POSITION").help(help));
    }
    if endpoint.has("query", "min_position") {
        let help = "Wait until the answer includes this position, as an earlier command printed it";
        command = command.arg(Arg::new("wait-position").long("wait-position").value_name("POSITION").help(help));
    }
    command
}

/// A flag for each field of the body that isn't a secret, `-f` for all of them, and a file.
fn with_body(
    mut command: Command,
    operation: &Operation,
    endpoint: &Endpoint<'_>,
    description: &Description,
    taken: &mut Taken,
) -> Command {
    let Some(body) = &endpoint.body else { return command };
    if body.media == "text/csv" {
        return command.arg(
            Arg::new("csv").value_name("FILE").required(true).help("CSV with a header line; - is standard input"),
        );
    }
    let file = Arg::new("file").long("file").value_name("FILE");
    command = command.arg(file.help("The request's body, JSON; - is standard input. Flags and -f replace its fields"));
    let fields = description.fields(body);
    if !fields.is_empty() {
        let help = "A field of the request, typed as the API has it; nested: a.b=1; @FILE is a file's text";
        command = command.arg(
            Arg::new("field").long("field").short('f').value_name("KEY=VALUE").action(ArgAction::Append).help(help),
        );
    }
    for field in fields.iter().filter(|field| !field.is_secret) {
        command = with_field(command, field, taken);
    }
    crate::upload::arguments(command, operation.id)
}

fn with_field(command: Command, field: &Field<'_>, taken: &mut Taken) -> Command {
    let flag = kebab(field.name);
    // A flag of that name exists, such as `--reason` of the query: it says the same, or `-f` is for the field.
    if !taken.take(&flag) {
        return command;
    }
    let argument = valued(Arg::new(format!("body:{}", field.name)).long(flag), field.kind);
    let argument = with_short(argument, field.name, taken);
    command.arg(argument.help(first_sentence(field.help)))
}

/// The short name, if it is free.
fn with_short(argument: Arg, name: &str, taken: &mut Taken) -> Arg {
    let short = SHORT.iter().find(|(long, _)| *long == name);
    match short.filter(|(_, short)| taken.take(short)) {
        Some((_, short)) => argument.visible_alias(*short),
        None => argument,
    }
}

fn valued(argument: Arg, kind: Kind) -> Arg {
    match kind {
        Kind::Boolean => {
            let argument = argument.num_args(0..=1).require_equals(true).default_missing_value("true");
            argument.value_parser(["true", "false"]).value_name("BOOL")
        }
        Kind::Number => argument.value_name("N").allow_negative_numbers(true),
        Kind::Text => argument.value_name("TEXT"),
        Kind::Texts => argument.value_name("TEXT").action(ArgAction::Append),
        Kind::Object => argument.value_name("KEY=VALUE").action(ArgAction::Append),
        Kind::Json => argument.value_name("JSON").action(ArgAction::Append),
    }
}

fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

/// Help is one line a flag.
fn first_sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    text[..end].trim_end_matches('.').to_owned()
}
