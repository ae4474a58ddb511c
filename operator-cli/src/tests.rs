//! The table of operations against the API's description, and the shape of the command line.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use clap::Command;

use crate::Operators;
use crate::description::Description;
use crate::operations::{EXEMPT, NOUNS, SEARCH, Shows, all};

const COMMANDS: &str = "src/commands.txt";

fn whole() -> Command {
    Operators::default().mount(Command::new("waybill"))
}

#[test]
fn every_operation_of_the_api_has_a_verb_or_a_reason_to_have_none() {
    let description = Description::read();
    let described: BTreeSet<&str> = description.endpoints().iter().map(|endpoint| endpoint.id).collect();
    let with_verb: BTreeSet<&str> = all().map(|operation| operation.id).collect();
    let exempt: BTreeSet<&str> = EXEMPT.iter().map(|(id, _)| *id).collect();
    let missing: Vec<&&str> = described.iter().filter(|id| !with_verb.contains(*id) && !exempt.contains(*id)).collect();
    assert!(missing.is_empty(), "give these a verb in operations/, or an exemption with a reason: {missing:?}");
    let gone: Vec<&&str> = with_verb.union(&exempt).filter(|id| !described.contains(*id)).collect();
    assert!(gone.is_empty(), "the API has no such operations: {gone:?}");
    assert!(with_verb.is_disjoint(&exempt), "exempt, and with a verb");
    assert!(EXEMPT.iter().all(|(_, why)| !why.is_empty()));
    assert!(described.len() > 100);
}

#[test]
fn every_verb_is_there_once_and_its_noun_is_known() {
    let mut seen = BTreeSet::new();
    for operation in all() {
        assert!(seen.insert((operation.noun, operation.verb)), "twice: {} {}", operation.noun, operation.verb);
        assert!(NOUNS.iter().any(|(noun, _)| *noun == operation.noun), "{}", operation.noun);
        let has_columns = !matches!(operation.shows, Shows::List | Shows::Rows(_)) || !operation.columns.is_empty();
        assert!(has_columns, "{} {} has no columns", operation.noun, operation.verb);
    }
}

#[test]
fn every_column_is_a_field_of_the_answer() {
    let description = Description::read();
    let endpoints = description.endpoints();
    for operation in all().chain([SEARCH]) {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == operation.id).unwrap();
        let fields = description.fields_of_rows(endpoint, operation.shows);
        for column in operation.columns.iter().chain(operation.wide) {
            let field = column.split('.').next().unwrap();
            assert!(fields.contains(field), "{} {}: no field {field} in {fields:?}", operation.noun, operation.verb);
        }
    }
}

#[test]
fn clap_finds_no_mistake_in_the_commands() {
    whole().debug_assert();
}

#[test]
fn what_takes_something_away_asks() {
    let description = Description::read();
    for endpoint in description.endpoints().iter().filter(|endpoint| endpoint.method == "DELETE") {
        let operation = all().find(|operation| operation.id == endpoint.id).unwrap();
        // Members that were removed can be added again.
        assert!(operation.asks.is_some() || operation.id == "remove_members", "{} {}", operation.noun, operation.verb);
    }
}

/// Every command with its arguments, so that a change of the interface is seen.
#[test]
fn the_commands_are_as_recorded() {
    let mut text = String::new();
    describe(&whole(), "waybill", &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMANDS);
    if std::env::var_os("WAYBILL_REGENERATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<&str> = text.lines().filter(|line| !recorded.lines().any(|known| known == *line)).collect();
    assert!(recorded == text, "run WAYBILL_REGENERATE=1 cargo test -p operator-cli if these are meant: {new:#?}");
}

/// Arguments that all commands have.
const COMMON: [&str; 7] = ["context", "url", "tenant", "output", "json", "jq", "no-input"];

fn describe(command: &Command, name: &str, text: &mut String) {
    if command.get_subcommands().next().is_none() {
        let mut line = name.to_owned();
        for argument in command.get_arguments().filter(|argument| !COMMON.contains(&argument.get_id().as_str())) {
            let value = argument
                .get_value_names()
                .and_then(|names| names.first())
                .map(|name| name.to_string())
                .unwrap_or_default();
            match argument.get_long() {
                None => write!(line, " {value}").unwrap(),
                Some(long) => write!(line, " --{long}").unwrap(),
            }
        }
        writeln!(text, "{line}").unwrap();
    }
    for sub in command.get_subcommands() {
        describe(sub, &format!("{name} {}", sub.get_name()), text);
    }
}

#[test]
fn help_says_what_the_api_says() {
    let mut whole = whole();
    let create = whole.find_subcommand_mut("campaign").unwrap().find_subcommand_mut("create").unwrap();
    let help = create.render_help().to_string();
    for text in [
        "Create a campaign",
        "--firmware-id <TEXT>",
        "[alias: --firmware]",
        "--waves <JSON>",
        "--dry-run",
        "--reason <TEXT>",
        "--context <NAME>",
    ] {
        assert!(help.contains(text), "{text} isn't in:\n{help}");
    }
    let long = create.render_long_help().to_string();
    assert!(long.contains("POST /api/v1/campaigns") && long.contains("Needs role operator"), "{long}");
}
