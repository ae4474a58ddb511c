//! Ids that complete a word: of the lists of the API, and contexts of the configuration.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use clap_complete::engine::CompletionCandidate;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::config::{self, Config};
use crate::description::Description;
use crate::failure::Result;
use crate::flags;
use crate::http::Client;
use crate::operations::{self, Operation, Shows};
use crate::output::{cell, printable};
use crate::plain::{Call, each_page};
use crate::target::Target;

/// Time for all answers: a person waits with a finger on the key.
const TIME_MAX: Duration = Duration::from_millis(900);
/// Rows of a list that are looked at.
const ROWS_MAX: usize = 200;
/// Columns of a row that describe it.
const DESCRIBED_BY: usize = 3;
/// Flags that say where requests go.
const PLACES: [&str; 3] = ["context", "url", "tenant"];
/// Arguments with another name than the field of the list that has their ids.
const OTHER_NAMES: [(&str, &str); 9] = [
    ("campaign", "campaign_id"),
    ("device", "device_id"),
    ("body:device_ids", "device_id"),
    ("body:group", "group_id"),
    ("body:target_devices", "device_id"),
    ("body:target_groups", "group_id"),
    ("query:firmware", "firmware_id"),
    ("query:group", "group_id"),
    ("query:id", "device_id"),
];
/// Fields of bodies that name what is made anew.
const NEW: [&str; 3] = ["body:device_id", "body:group_id", "body:tenant_id"];

/// Where candidates come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Lists of the API.
    Lists(&'static [&'static str]),
    /// The list whose rows have their names in this field.
    List(&'static Operation),
    Contexts,
}

/// What an argument can be; nothing if that isn't known.
pub(super) fn source(argument: &str) -> Option<Source> {
    match argument {
        "context" | "name" => return Some(Source::Contexts),
        "thing" => return Some(Source::Lists(&["list_devices", "list_campaigns", "list_firmware"])),
        _ if NEW.contains(&argument) => return None,
        _ => {}
    }
    let field = match OTHER_NAMES.iter().find(|(name, _)| *name == argument) {
        Some((_, field)) => field,
        None => argument.split_once(':').filter(|(place, field)| *place == "path" || field.ends_with("_id"))?.1,
    };
    operations::all()
        .find(|operation| operation.verb == "list" && operation.shows == Shows::List && operation.name == field)
        .map(Source::List)
}

/// Asks the service that a command line means.
pub(super) struct Ids {
    /// `--context`, `--url` and `--tenant` of the command line.
    places: Vec<String>,
    description: Arc<Description>,
}

impl Ids {
    pub(super) fn new(words: Vec<String>, description: Arc<Description>) -> Self {
        Self { places: places(&words), description }
    }

    /// Candidates for a word, or for the last part of a list `a,b`.
    pub(super) fn candidates(&self, source: Source, word: &OsStr) -> Vec<CompletionCandidate> {
        let Some(word) = word.to_str() else { return Vec::new() };
        let (before, current) = word.rfind(',').map_or(("", word), |comma| word.split_at(comma + 1));
        let rows = match source {
            Source::Contexts => contexts(),
            Source::List(operation) => self.ask(&[operation], current),
            Source::Lists(ids) => {
                let lists: Vec<_> = operations::all().filter(|operation| ids.contains(&operation.id)).collect();
                self.ask(&lists, current)
            }
        };
        matching(rows, current).into_iter().map(|row| row.candidate(before)).collect()
    }

    /// Rows of lists; none if the service doesn't answer in time.
    fn ask(&self, lists: &[&'static Operation], current: &str) -> Vec<Row> {
        let Ok(runtime) = Handle::try_current() else { return Vec::new() };
        let all = futures::future::join_all(
            lists
                .iter()
                .map(|list| async { tokio::time::timeout(TIME_MAX, self.rows(list, current)).await.ok()?.ok() }),
        );
        let rows = block_in_place(|| runtime.block_on(all));
        rows.into_iter().flatten().flatten().collect()
    }

    async fn rows(&self, operation: &'static Operation, current: &str) -> Result<Vec<Row>> {
        let endpoints = self.description.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == operation.id);
        let Some(endpoint) = endpoint else { return Ok(Vec::new()) };
        let mut words = vec![operation.verb.to_owned()];
        words.extend(self.places.iter().cloned());
        if endpoint.has("query", "q") && !current.is_empty() {
            words.push(format!("--q={current}"));
        }
        let command = flags::verb(operation, endpoint, &self.description);
        let Ok(matches) = command.try_get_matches_from(words) else { return Ok(Vec::new()) };
        let client = client(&matches)?;
        let call = Call { operation, endpoint, description: &self.description, matches: &matches, client: &client };
        let pages = endpoint.has("query", "limit").then_some(ROWS_MAX);
        let mut rows = Vec::new();
        each_page(&client, &call.request()?, pages, false, |items| {
            let values = items.iter().filter_map(|item| serde_json::from_str::<Value>(item.get()).ok());
            rows.extend(values.map(|value| Row::of(operation, &value)));
            Ok(())
        })
        .await?;
        Ok(rows)
    }
}

fn client(matches: &ArgMatches) -> Result<Client> {
    Client::new(Target::without_words(matches)?)
}

/// The flags of a command line that say where requests go.
fn places(words: &[String]) -> Vec<String> {
    let mut places = Vec::new();
    // The last word is not finished.
    for (n, word) in words.iter().enumerate().take(words.len().saturating_sub(1)) {
        let Some(flag) = word.strip_prefix("--") else { continue };
        match flag.split_once('=') {
            Some((name, _)) if PLACES.contains(&name) => places.push(word.clone()),
            None if PLACES.contains(&flag) && n + 2 < words.len() => {
                places.push(format!("{word}={}", words[n + 1]));
            }
            _ => {}
        }
    }
    places
}

/// Something that has an id.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    id: String,
    /// What it is called, and how it is.
    about: Vec<String>,
}

impl Row {
    fn of(operation: &Operation, value: &Value) -> Self {
        let columns = operation.columns.iter().filter(|column| **column != operation.name);
        let about = columns.map(|column| cell(value, column)).filter(|text| !text.is_empty()).take(DESCRIBED_BY);
        Self { id: cell(value, operation.name), about: about.collect() }
    }

    fn candidate(self, before: &str) -> CompletionCandidate {
        let about = printable(&self.about.join(", "));
        CompletionCandidate::new(format!("{before}{}", self.id)).help((!about.is_empty()).then(|| about.into()))
    }
}

fn contexts() -> Vec<Row> {
    let config = config::path().and_then(|path| Config::read(&path)).unwrap_or_default();
    config.contexts.into_iter().map(|(id, context)| Row { id, about: vec![context.url] }).collect()
}

/// Those whose id begins with the word. If there is none, the one whose name does: a shell then puts its id in the place of the name.
fn matching(rows: Vec<Row>, word: &str) -> Vec<Row> {
    let (by_id, others): (Vec<Row>, Vec<Row>) =
        rows.into_iter().filter(|row| is_plain(&row.id)).partition(|row| row.id.starts_with(word));
    if !by_id.is_empty() {
        return by_id;
    }
    let word = word.to_lowercase();
    let is_called = |row: &Row| row.about.first().is_some_and(|name| name.to_lowercase().starts_with(&word));
    let by_name: Vec<Row> = others.into_iter().filter(is_called).collect();
    if by_name.len() == 1 { by_name } else { Vec::new() }
}

/// Whether a shell takes an id as one word without quotes.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && !id.starts_with('-') && id.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:@/+".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str) -> Row {
        Row { id: id.to_owned(), about: vec![name.to_owned()] }
    }

    #[test]
    fn arguments_know_their_lists() {
        let list = |argument: &str| match source(argument) {
            Some(Source::List(operation)) => operation.id,
            Some(Source::Lists(_)) => "several",
            Some(Source::Contexts) => "contexts",
            None => "",
        };
        for (argument, wanted) in [
            ("path:device_id", "list_devices"),
            ("path:campaign_id", "list_campaigns"),
            ("body:firmware_id", "list_firmware"),
            ("body:target_groups", "list_groups"),
            ("path:update_id", "list_updates"),
            ("path:key_id", "list_api_keys"),
            ("path:fingerprint", "list_trusted_keys"),
            ("path:tenant_id", "list_tenants"),
            ("thing", "several"),
            ("context", "contexts"),
            ("body:device_id", ""),
            ("body:name", ""),
            ("query:status", ""),
        ] {
            assert_eq!(list(argument), wanted, "{argument}");
        }
    }

    #[test]
    fn names_stand_for_ids_only_if_they_are_clear() {
        let rows = || vec![row("0193-a", "Spring"), row("0193-b", "Summer"), row("0194-c", "Autumn")];
        assert_eq!(matching(rows(), "0193"), [row("0193-a", "Spring"), row("0193-b", "Summer")]);
        assert_eq!(matching(rows(), "aut"), [row("0194-c", "Autumn")]);
        assert_eq!(matching(rows(), "s"), []);
        assert_eq!(matching(rows(), ""), rows());
    }

    #[test]
    fn a_shell_gets_no_id_that_it_would_run() {
        let rows = ["$(reboot)", "a b", "-rf", "", "a;b", "ok", "user:5f@x"].map(|id| row(id, "")).into();
        assert_eq!(matching(rows, ""), [row("ok", ""), row("user:5f@x", "")]);
    }

    #[test]
    fn the_command_line_says_where_to_ask() {
        let words = ["waybill", "--context", "prod", "device", "--tenant=acme", "--url"].map(str::to_owned);
        assert_eq!(places(&words), ["--context=prod", "--tenant=acme"]);
        assert_eq!(places(&["waybill".to_owned(), "--context".to_owned(), "pr".to_owned()]), Vec::<String>::new());
    }
}
