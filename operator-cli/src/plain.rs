//! Commands that are one operation of the API: from arguments to a request, from the answer to what is printed.

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::description::{Base, Description, Endpoint};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::http::{self, Client, Request, new_key, segment};
use crate::operations::{Operation, Shows};
use crate::output::{self, Format, Items};
use crate::payload::Payload;
use crate::{confirm, fields, out, upload};

/// Items of one page; the service gives no more.
pub(crate) const PAGE_ITEMS: usize = 200;
/// Rows of a table on a terminal, unless more are asked for.
const SHOWN_ROWS: usize = 50;
/// Items that are kept in memory for one array.
const KEPT_MAX: usize = 1_000_000;

/// A page of a list, its items as they came.
#[derive(Deserialize)]
pub(crate) struct Page {
    pub items: Vec<Box<RawValue>>,
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A command line that is one operation.
pub(crate) struct Call<'a> {
    pub operation: &'a Operation,
    pub endpoint: &'a Endpoint<'a>,
    pub description: &'a Description,
    pub matches: &'a ArgMatches,
    pub client: &'a Client,
}

impl Call<'_> {
    /// Sends it and prints the answer.
    pub(crate) async fn run(&self) -> Result<()> {
        let format = Format::of(self.matches);
        if let Some(asks) = self.operation.asks.filter(|_| !self.is_dry_run()) {
            confirm::ask(self.matches, &self.client.target, &format!("{asks} {}", self.object()))?;
        }
        match self.operation.shows {
            Shows::List => self.list(format).await,
            Shows::Text if format.filter().is_none() => self.text().await,
            _ => {
                let answer = self.client.send(&self.request()?).await?;
                let printed = output::one(format, self.operation, &answer.body);
                // A refusal counts also when nobody reads what is printed.
                if self.endpoint.method == "GET" { printed } else { all_succeeded(&answer.body).and(printed) }
            }
        }
    }

    /// The request; of a list without its page.
    pub(crate) fn request(&self) -> Result<Request> {
        let payload = match &self.endpoint.body {
            None => Payload::None,
            Some(body) if body.media == "text/csv" => {
                Payload::Csv(fields::input(&self.text_of("csv").unwrap_or_default())?.into())
            }
            Some(body) => {
                let values = fields::body(self.matches, self.description, body)?;
                upload::payload(self.operation.id, self.matches, values)?
            }
        };
        let key = self.endpoint.has("header", "Idempotency-Key").then(new_key);
        let path = format!("{}{}", self.path()?, http::query(&self.query()?));
        let accept = if self.operation.shows == Shows::Text { "*/*" } else { "application/json" };
        Ok(Request { method: self.endpoint.method.clone(), path, payload, key, accept })
    }

    async fn text(&self) -> Result<()> {
        let mut response = self.client.open(&self.request()?).await?;
        let mut pieces = out::Pieces::default();
        while let Some(bytes) = http::next(&mut response).await? {
            pieces.write(&bytes)?;
        }
        Ok(())
    }

    async fn list(&self, format: Format<'_>) -> Result<()> {
        let asked = self.matches.try_get_one::<usize>("limit").ok().flatten().copied();
        let is_shown = format.is_table() && out::is_terminal();
        let limit = rows_max(asked, is_shown);
        let pages = self.endpoint.has("query", "limit").then_some(limit);
        let request = self.request()?;
        let mut items = Items::new(format, self.operation);
        let more = each_page(self.client, &request, pages, items.is_kept(), |page| items.page(page)).await?;
        items.end()?;
        if more && asked.is_none() {
            out::note(format_args!("more than {limit}: --limit 0 shows all"));
        }
        Ok(())
    }

    fn is_dry_run(&self) -> bool {
        self.text_of("query:dry_run").is_some_and(|value| value == "true")
    }

    fn text_of(&self, id: &str) -> Option<String> {
        self.matches.try_get_one::<String>(id).ok().flatten().cloned()
    }

    /// What the command is about, in words: the parameters of its path.
    fn object(&self) -> String {
        let path = self.endpoint.parameters.iter().filter(|parameter| parameter.place == "path");
        let named = path.filter_map(|parameter| self.text_of(&format!("path:{}", parameter.name)));
        named.collect::<Vec<_>>().join(" ")
    }

    fn path(&self) -> Result<String> {
        let tenant = || {
            self.client
                .target
                .tenant()
                .ok_or_else(|| Failure::usage("name the tenant: --tenant TENANT, or set WAYBILL_TENANT"))
        };
        let mut path = self.endpoint.path.to_owned();
        for parameter in self.endpoint.parameters.iter().filter(|parameter| parameter.place == "path") {
            let value = match self.text_of(&format!("path:{}", parameter.name)) {
                Some(value) => value,
                None => tenant()?.to_owned(),
            };
            path = path.replace(&format!("{{{}}}", parameter.name), &segment(&value));
        }
        Ok(format!("{}{path}", root(self.endpoint.base, self.client.target.context.tenant.as_deref())))
    }

    fn query(&self) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        for parameter in self.endpoint.parameters.iter().filter(|parameter| parameter.place == "query") {
            let id = format!("query:{}", parameter.name);
            let Ok(Some(values)) = self.matches.try_get_many::<String>(&id) else { continue };
            pairs.extend(values.map(|value| (parameter.name.to_owned(), value.clone())));
        }
        if let Some(position) = self.text_of("wait-position") {
            pairs.push(("min_position".to_owned(), position));
        }
        if let Some(at) = self.text_of("at") {
            pairs.push((self.moment(&at)?.to_owned(), at));
        }
        Ok(pairs)
    }

    /// The parameter that takes a moment: a time has colons, a position hasn't.
    fn moment(&self, at: &str) -> Result<&'static str> {
        let wanted: &[&'static str] = if at.contains(':') { &["at_time", "at"] } else { &["at_position"] };
        let found = wanted.iter().find(|name| self.endpoint.has("query", name));
        found.copied().ok_or_else(|| {
            Failure::usage(format!("--at {at}: this command takes a time in place of a position, or the reverse"))
        })
    }
}

/// Rows of a list at most; `--limit 0` means all.
pub(crate) fn rows_max(asked: Option<usize>, is_shown: bool) -> usize {
    match asked {
        Some(0) => usize::MAX,
        Some(limit) => limit,
        None if is_shown => SHOWN_ROWS,
        None => usize::MAX,
    }
}

/// A change of many things succeeds for each by itself: the answer says for how many it failed.
fn all_succeeded(body: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Outcome {
        failed: u64,
        succeeded: u64,
    }
    match serde_json::from_slice(body) {
        Ok(Outcome { failed, succeeded }) if failed > 0 => Err(Failure::new(
            Exit::Refused,
            format!("{failed} of {} were refused: their errors are in the answer", failed + succeeded),
        )),
        _ => Ok(()),
    }
}

/// What paths are below.
pub(crate) fn root(base: Base, tenant: Option<&str>) -> String {
    match (base, tenant) {
        (Base::Root, _) => String::new(),
        (Base::Tenant, Some(tenant)) => format!("/api/v1/tenants/{}", segment(tenant)),
        _ => "/api/v1".to_owned(),
    }
}

/// Gets the pages of a list, `limit` items at most; without a limit there is one page. Returns whether there are more.
pub(crate) async fn each_page(
    client: &Client,
    request: &Request,
    limit: Option<usize>,
    is_kept: bool,
    mut page: impl FnMut(Vec<Box<RawValue>>) -> Result<()>,
) -> Result<bool> {
    let (mut left, mut taken, mut cursor) = (limit.unwrap_or(usize::MAX), 0, None::<String>);
    loop {
        let mut request = request.clone();
        if limit.is_some() {
            // Who sends any request may have chosen the size of its pages.
            let has_limit = ["?limit=", "&limit="].iter().any(|text| request.path.contains(text));
            let page = (!has_limit).then(|| ("limit".to_owned(), left.min(PAGE_ITEMS).to_string()));
            let mut pairs = Vec::from_iter(page);
            pairs.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let more = http::query(&pairs);
            request.path = if request.path.contains('?') {
                request.path + &more.replacen('?', "&", 1)
            } else {
                request.path + &more
            };
        }
        let answer = client.send(&request).await?;
        let got: Page =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::here("the service's answer is no list"))?;
        taken += got.items.len();
        left = left.saturating_sub(got.items.len());
        if is_kept && taken > KEPT_MAX {
            return Err(Failure::here(format!("more than {KEPT_MAX} items: use -o ndjson, or --limit")));
        }
        page(got.items)?;
        match got.next_cursor {
            None => return Ok(false),
            Some(_) if left == 0 => return Ok(true),
            next => cursor = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Context;
    use crate::fake_service;
    use crate::target::Target;

    #[tokio::test]
    async fn pages_may_have_a_chosen_size() {
        let pages = [("200 OK", r#"{"items":[1],"next_cursor":"a b"}"#), ("200 OK", r#"{"items":[2]}"#)];
        for (path, first, second) in [
            ("/devices?limit=1", "/devices?limit=1 ", "/devices?limit=1&cursor=a+b "),
            ("/devices", "/devices?limit=200 ", "/devices?limit=200&cursor=a+b "),
        ] {
            let (url, served) = fake_service::start_with(&pages).await;
            let context = Context { url, ..Context::default() };
            let client = Client::new(Target { name: "here".to_owned(), context, tenant_of_token: None }).unwrap();
            let mut items = 0;
            let counted = |page: Vec<_>| {
                items += page.len();
                Ok(())
            };
            let more = each_page(&client, &Request::get(path), Some(usize::MAX), false, counted).await.unwrap();
            assert!(!more && items == 2);
            let heads = served.await.unwrap();
            assert!(heads[0].contains(first) && heads[1].contains(second), "{heads:?}");
        }
    }

    #[test]
    fn a_limit_of_zero_shows_all_rows() {
        assert_eq!([Some(0), Some(7), None].map(|asked| rows_max(asked, true)), [usize::MAX, 7, SHOWN_ROWS]);
        assert_eq!([Some(0), Some(7), None].map(|asked| rows_max(asked, false)), [usize::MAX, 7, usize::MAX]);
    }
}
