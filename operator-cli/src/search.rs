//! `waybill search TEXT`: whatever has this id, digest or name.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::description::Base;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::flags;
use crate::http::{Client, Request, query};
use crate::operations::SEARCH;
use crate::out;
use crate::output::{Format, Items, printable};
use crate::plain::root;

/// Most things of each kind that the service gives.
const LIMIT_MAX: i64 = 50;

pub(crate) fn command() -> Command {
    let text = Arg::new("text").value_name("TEXT").required(true).action(ArgAction::Append).num_args(1..);
    let limit = Arg::new("limit").long("limit").value_name("N").value_parser(value_parser!(i64).range(1..=LIMIT_MAX));
    let position = Arg::new("wait-position").long("wait-position").value_name("POSITION");
    let command = Command::new("search")
        .about("Find what has this id, digest or name")
        .long_about(
            "Find what has this id, digest or name: devices, campaigns, firmware, groups, updates, and for auditors events and correlations.\n\n\
             A whole id of any kind, a position, an EUI or a SHA-256 (8 digits are enough) finds what has it; the beginning of an id or a name finds all that begin so.\n\n\
             Exit code 5: nothing is found.",
        )
        .arg(text.help("An id, a position, a digest, or the beginning of a name"))
        .arg(limit.help("At most so many of each kind, up to 50 [default: 20]"))
        .arg(position.help("Wait until the answer includes this position, as an earlier command printed it"));
    flags::common(command)
}

/// What the service has found.
#[derive(Deserialize)]
struct Found {
    items: Vec<Box<RawValue>>,
    /// Kinds of which there are more.
    #[serde(default)]
    more: Vec<String>,
}

pub(crate) async fn run(matches: &ArgMatches, client: &Client) -> Result<()> {
    let words: Vec<&str> = matches.get_many::<String>("text").into_iter().flatten().map(String::as_str).collect();
    let text = words.join(" ");
    let mut pairs = vec![("q".to_owned(), text.clone())];
    pairs.extend(matches.get_one::<i64>("limit").map(|limit| ("limit".to_owned(), limit.to_string())));
    let position = matches.get_one::<String>("wait-position");
    pairs.extend(position.map(|position| ("min_position".to_owned(), position.clone())));
    let root = root(Base::Tenant, client.target.context.tenant.as_deref());
    let answer = client.send(&Request::get(format!("{root}/search{}", query(&pairs)))).await?;
    let found: Found =
        serde_json::from_slice(&answer.body).map_err(|_| Failure::here("the service's answer is no list"))?;
    let is_empty = found.items.is_empty();
    let mut items = Items::new(Format::of(matches), SEARCH);
    items.page(found.items)?;
    items.end()?;
    if is_empty {
        return Err(Failure::new(Exit::NotFound, format!("nothing is found for {text:?}")));
    }
    if !found.more.is_empty() {
        out::note(format_args!("there is more of: {}", printable(&found.more.join(", "))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Context;
    use crate::fake_service;
    use crate::target::Target;

    async fn searched(args: &[&str], body: &str) -> (Result<()>, String) {
        let (url, served) = fake_service::start_with(&[("200 OK", body)]).await;
        let context = Context { url, ..Context::default() };
        let client = Client::new(Target { name: "here".to_owned(), context, tenant_of_token: None }).unwrap();
        let matches = command().try_get_matches_from([&["search"], args].concat()).unwrap();
        let ended = run(&matches, &client).await;
        (ended, served.await.unwrap().remove(0))
    }

    #[tokio::test]
    async fn words_are_one_text() {
        let found = r#"{"items":[{"kind":"device","id":"d-1","name":null,"detail":"online","matched":"id"}],"more":["device"]}"#;
        let (ended, head) = searched(&["spring", "release", "--limit", "3", "-o", "name"], found).await;
        ended.unwrap();
        assert!(head.starts_with("GET /api/v1/search?q=spring+release&limit=3 "), "{head}");
    }

    #[tokio::test]
    async fn nothing_found_has_an_exit_code() {
        let (ended, _) = searched(&["nobody", "--json"], r#"{"items":[]}"#).await;
        let failure = ended.unwrap_err();
        assert_eq!((failure.exit, failure.sentence.as_str()), (Exit::NotFound, "nothing is found for \"nobody\""));
    }

    #[test]
    fn a_limit_has_bounds() {
        for limit in ["0", "51", "-1", "x"] {
            assert!(command().try_get_matches_from(["search", "d", "--limit", limit]).is_err(), "{limit}");
        }
    }
}
