//! `waybill why ANYTHING`: a device, an update, a campaign, a firmware or a correlation id, told apart by what they look like.

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use crate::description::Base;
use crate::failure::{Failure, Result};
use crate::flags;
use crate::http::{Answer, Client, Request, query, segment};
use crate::operations::{self, Operation};
use crate::out;
use crate::output::{self, Format, Items, cell, printable};
use crate::plain::{each_page, root};
use crate::watch;

/// Results of gates that are looked at.
const GATES_READ: usize = 200;
/// Events of one correlation that are shown.
const EVENTS_MAX: usize = 1000;

pub(crate) fn command() -> Command {
    let thing = Arg::new("thing").value_name("ANYTHING").required(true);
    let command =
        Command::new("why").about("Say why a device, an update, a campaign or a firmware is as it is").arg(thing.help(
            "Id of a device (d-1), an update (d-1~17), a campaign or a firmware, or a correlation id of the audit",
        ));
    flags::common(command)
}

/// The same for campaigns only.
pub(crate) fn campaign_command() -> Command {
    let command = Command::new("why").about("Say how a campaign stands, what it waits for and which gate stopped it");
    flags::common(command.arg(Arg::new("thing").value_name("CAMPAIGN").required(true)))
}

pub(crate) async fn run(matches: &ArgMatches, client: &Client) -> Result<()> {
    let thing = matches.get_one::<String>("thing").cloned().unwrap_or_default();
    let why =
        Why { client, root: root(Base::Tenant, client.target.context.tenant.as_deref()), format: Format::of(matches) };
    if thing.contains('~') {
        return why.update(&thing).await;
    }
    if !is_uuid(&thing) {
        return why.device(&thing).await;
    }
    match why.campaign(&thing).await {
        Err(failure) if failure.is_not_found() => {}
        done => return done,
    }
    match why.firmware(&thing).await {
        Err(failure) if failure.is_not_found() => why.correlation(&thing).await,
        done => done,
    }
}

pub(crate) async fn run_campaign(matches: &ArgMatches, client: &Client) -> Result<()> {
    let thing = matches.get_one::<String>("thing").cloned().unwrap_or_default();
    let why =
        Why { client, root: root(Base::Tenant, client.target.context.tenant.as_deref()), format: Format::of(matches) };
    why.campaign(&thing).await
}

struct Why<'a> {
    client: &'a Client,
    root: String,
    format: Format<'a>,
}

impl Why<'_> {
    async fn device(&self, id: &str) -> Result<()> {
        let answer = self.client.send(&Request::get(format!("{}/devices/{}/why", self.root, segment(id)))).await?;
        output::one(self.format, named("device_why")?, &answer.body)
    }

    async fn update(&self, id: &str) -> Result<()> {
        let answer = self.client.send(&Request::get(format!("{}/updates/{}", self.root, segment(id)))).await?;
        self.told("get_update", &answer, &update_sentence(&answer.json()?))
    }

    async fn campaign(&self, id: &str) -> Result<()> {
        let path = format!("{}/campaigns/{}", self.root, segment(id));
        let status = self.client.send(&Request::get(format!("{path}/status"))).await?;
        let gates = self.client.get(format!("{path}/gates?limit={GATES_READ}")).await?;
        self.told("campaign_status", &status, &watch::sentence(&status.json()?, &gates))
    }

    async fn firmware(&self, id: &str) -> Result<()> {
        let answer = self.client.send(&Request::get(format!("{}/firmware/{}", self.root, segment(id)))).await?;
        self.told("get_firmware", &answer, &firmware_sentence(&answer.json()?))
    }

    /// Everything that followed from one request.
    async fn correlation(&self, id: &str) -> Result<()> {
        let pairs = [("correlation_id", id), ("order", "asc")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = Request::get(format!("{}/audit{}", self.root, query(&pairs)));
        let (mut items, mut count) = (Items::new(self.format, named("list_audit")?), 0);
        each_page(self.client, &request, Some(EVENTS_MAX), items.is_kept(), |page| {
            count += page.len();
            items.page(page)
        })
        .await?;
        if count == 0 {
            return Err(Failure::new(crate::exit::Exit::NotFound, format!("nothing is known as {id}")));
        }
        items.end()
    }

    /// The sentence in a table; in other formats the answer of an operation, as it came.
    fn told(&self, operation: &str, answer: &Answer, sentence: &str) -> Result<()> {
        if self.format.is_table() {
            return out::line(printable(sentence));
        }
        output::one(self.format, named(operation)?, &answer.body)
    }
}

fn named(id: &str) -> Result<&'static Operation> {
    operations::all().find(|operation| operation.id == id).ok_or_else(|| Failure::here(format!("{id} is no operation")))
}

fn update_sentence(update: &Value) -> String {
    let text = |name: &str| cell(update, name);
    let mut sentence = format!(
        "Update {} of {} from {} to {} is {}",
        text("update_id"),
        text("device_id"),
        or_unknown(&text("from_version")),
        text("version"),
        text("phase")
    );
    for (name, before) in [
        ("code", ": "),
        ("message", ": "),
        ("wait_reason", ", and waits: "),
        ("reason", ". It was asked for because: "),
    ] {
        if !text(name).is_empty() {
            sentence.push_str(&format!("{before}{}", text(name)));
        }
    }
    let attempts = format!(". Attempt {} of {}.", text("attempt"), text("max_attempts"));
    sentence.push_str(&attempts);
    if !text("campaign_id").is_empty() {
        sentence.push_str(&format!(" It is part of campaign {}.", text("campaign_id")));
    }
    sentence
}

fn firmware_sentence(firmware: &Value) -> String {
    let text = |name: &str| cell(firmware, name);
    let mut sentence =
        format!("Firmware {} {} for {} is {}.", text("name"), text("version"), text("device_model"), text("status"));
    if !text("pinned_by").is_empty() {
        sentence.push_str(&format!(" Campaigns need it: {}.", text("pinned_by")));
    }
    if !text("warnings").is_empty() {
        sentence.push_str(&format!(" {}.", text("warnings")));
    }
    sentence
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "an unknown version" } else { text }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12] && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_told_apart() {
        assert!(is_uuid("018f4e2a-1111-7222-8333-0123456789ab"));
        assert!(["d-1", "d-1~17", "018f4e2a-1111-7222-8333-0123456789ax", ""].iter().all(|text| !is_uuid(text)));
    }

    #[test]
    fn a_failed_update_says_its_code() {
        let update = json!({"update_id": "d-1~2", "device_id": "d-1", "from_version": "1.0.0", "version": "2.0.0", "phase": "failed",
            "code": "flash_failed", "attempt": 3, "max_attempts": 3, "campaign_id": "c"});
        assert_eq!(
            update_sentence(&update),
            "Update d-1~2 of d-1 from 1.0.0 to 2.0.0 is failed: flash_failed. Attempt 3 of 3. It is part of campaign c."
        );
    }
}
