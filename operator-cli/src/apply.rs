//! `waybill apply` and `waybill diff`: groups and trusted keys as a file has them. Nothing is deleted because a file lacks it, and no
//! campaign is started.

mod manifest;

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use crate::description::Base;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::fields;
use crate::flags;
use crate::http::{Client, Request, segment};
use crate::out;
use crate::output::{self, Format, printable};
use crate::plain::{each_page, root};

use manifest::{Group, Manifest, TrustedKey};

/// Devices that one request adds or removes; the service takes no more.
const MEMBERS_MAX: usize = 10_000;

/// One difference between the file and the service.
struct Change {
    /// `create` or `change`.
    verb: &'static str,
    kind: &'static str,
    id: String,
    detail: String,
    request: Request,
}

pub(crate) fn commands() -> [Command; 2] {
    let file = Arg::new("manifest").long("file").short('f').value_name("FILE").required(true);
    let file = file.help("Groups and trusted keys, TOML or JSON (docs/cli.md); - is standard input");
    let reason = Arg::new("reason").long("reason").value_name("TEXT").help("Why, for the history");
    let dry_run = Arg::new("dry-run").long("dry-run").action(ArgAction::SetTrue).help("The same as `waybill diff`");
    let diff = Command::new("diff").about("Show what `waybill apply` would change").arg(file.clone());
    let apply = Command::new("apply")
        .about("Make groups and trusted keys as a file has them")
        .arg(file)
        .arg(reason)
        .arg(dry_run);
    [flags::common(diff), flags::common(apply)]
}

/// Prints the differences, and with `is_applied` ends them.
pub(crate) async fn run(matches: &ArgMatches, client: &Client, is_applied: bool) -> Result<()> {
    let file = matches.get_one::<String>("manifest").cloned().unwrap_or_default();
    let manifest = Manifest::read(&fields::input(&file)?).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    let reason = matches.try_get_one::<String>("reason").ok().flatten();
    let tenant = Tenant { client, root: root(Base::Tenant, client.target.context.tenant.as_deref()), reason };
    let mut changes = Vec::new();
    for group in &manifest.groups {
        changes.extend(tenant.group(group).await?);
    }
    if !manifest.trusted_keys.is_empty() {
        changes.extend(tenant.trusted_keys(&manifest.trusted_keys).await?);
    }
    let is_applied = is_applied && !matches.try_get_one::<bool>("dry-run").ok().flatten().copied().unwrap_or_default();
    let (done, outcome) = if is_applied { apply(client, &changes).await } else { (changes.len(), Ok(())) };
    if done == 0 && outcome.is_err() {
        return outcome;
    }
    // What was changed is printed also when a later change failed. That failure counts before one of printing.
    let printed = print(Format::of(matches), &changes[..done]);
    outcome.and(printed)
}

/// Makes the changes in their order; returns how many were made before one failed.
async fn apply(client: &Client, changes: &[Change]) -> (usize, Result<()>) {
    for (done, change) in changes.iter().enumerate() {
        if let Err(failure) = make(client, change).await {
            return (done, Err(failure));
        }
    }
    (changes.len(), Ok(()))
}

async fn make(client: &Client, change: &Change) -> Result<()> {
    let answer = client.send(&change.request).await?.json()?;
    if answer["failed"].as_u64().is_none_or(|failed| failed == 0) {
        return Ok(());
    }
    let failed = answer["items"].as_array().into_iter().flatten().find(|item| !item["error"].is_null());
    let why = failed.map(|item| item["error"]["detail"].to_string()).unwrap_or_default();
    Err(Failure::new(
        Exit::Refused,
        format!("{} {}: {} devices failed: {why}", change.kind, change.id, answer["failed"]),
    ))
}

fn print(format: Format<'_>, changes: &[Change]) -> Result<()> {
    if format.is_table() {
        if changes.is_empty() {
            out::note("nothing differs");
        }
        return changes.iter().try_for_each(|change| {
            out::line(format_args!(
                "{}\t{}\t{}\t{}",
                change.verb,
                change.kind,
                printable(&change.id),
                printable(&change.detail)
            ))
        });
    }
    let rows = changes
        .iter()
        .map(|change| json!({"change": change.verb, "kind": change.kind, "id": change.id, "detail": change.detail}));
    output::made(format, &rows.collect())
}

struct Tenant<'a> {
    client: &'a Client,
    root: String,
    reason: Option<&'a String>,
}

impl Tenant<'_> {
    async fn group(&self, wanted: &Group) -> Result<Vec<Change>> {
        let path = format!("{}/groups/{}", self.root, segment(&wanted.group_id));
        let found = match self.client.get(path.as_str()).await {
            Ok(found) => Some(found),
            Err(failure) if failure.is_not_found() => None,
            Err(failure) => return Err(failure),
        };
        let change =
            |verb, detail, request| Change { verb, kind: "group", id: wanted.group_id.clone(), detail, request };
        let mut changes = Vec::new();
        match &found {
            None => {
                let body = self.because(wanted.body());
                let request = Request::change("POST", format!("{}/groups", self.root), body);
                changes.push(change("create", wanted.kind().to_owned(), request));
            }
            Some(found) if found["kind"] != wanted.kind() => {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("group {} is {}, and the kind of a group never changes", wanted.group_id, found["kind"]),
                ));
            }
            Some(found) => {
                let differences = wanted.differences(found);
                if let Some(fields) = differences.as_object().filter(|fields| !fields.is_empty()) {
                    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                    let (detail, body) = (names.join(", "), self.because(differences.clone()));
                    changes.push(change("change", detail, Request::change("PATCH", path.as_str(), body)));
                }
            }
        }
        if let Some(devices) = &wanted.devices {
            let present = if found.is_some() { self.members(&path).await? } else { BTreeSet::new() };
            for (method, word, devices) in
                [("POST", "add", devices - &present), ("DELETE", "remove", &present - devices)]
            {
                let devices: Vec<String> = devices.into_iter().collect();
                for part in devices.chunks(MEMBERS_MAX) {
                    let request =
                        Request::change(method, format!("{path}/members"), self.because(json!({"device_ids": part})));
                    changes.push(change("change", format!("{word} {} devices", part.len()), request));
                }
            }
        }
        Ok(changes)
    }

    async fn members(&self, path: &str) -> Result<BTreeSet<String>> {
        let mut members = BTreeSet::new();
        each_page(self.client, &Request::get(format!("{path}/members")), Some(usize::MAX), true, |page| {
            for item in page {
                let member: Value = serde_json::from_str(item.get()).unwrap_or_default();
                members.extend(member["device_id"].as_str().map(str::to_owned));
            }
            Ok(())
        })
        .await?;
        Ok(members)
    }

    async fn trusted_keys(&self, wanted: &[TrustedKey]) -> Result<Vec<Change>> {
        let tenant = self
            .client
            .target
            .tenant()
            .ok_or_else(|| Failure::usage("trusted keys are of a tenant: name it with --tenant"))?;
        let path = format!("/api/v1/tenants/{}/trusted-keys", segment(tenant));
        let found = self.client.get(path.as_str()).await?;
        let found: Vec<&str> =
            found["items"].as_array().into_iter().flatten().filter_map(|key| key["public_key"].as_str()).collect();
        let missing =
            wanted.iter().filter(|key| !found.iter().any(|found| manifest::is_same_key(found, &key.public_key)));
        Ok(missing
            .map(|key| Change {
                verb: "create",
                kind: "trusted key",
                id: key.name.clone().unwrap_or_default(),
                detail: String::new(),
                request: Request::change(
                    "POST",
                    path.as_str(),
                    self.because(json!({"name": key.name, "public_key": key.public_key})),
                ),
            })
            .collect())
    }

    fn because(&self, mut body: Value) -> Value {
        if let Some(reason) = self.reason {
            body["reason"] = json!(reason);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Context;
    use crate::fake_service;
    use crate::target::Target;

    #[tokio::test]
    async fn changes_end_at_the_first_that_fails() {
        let (url, served) = fake_service::start(&["200 OK", "409 Conflict"]).await;
        let context = Context { url, ..Context::default() };
        let client = Client::new(Target { name: "here".to_owned(), context, tenant_of_token: None }).unwrap();
        let changes: Vec<Change> = ["first", "second", "third"]
            .map(|id| {
                let request = Request::change("POST", "/api/v1/groups", json!({"group_id": id}));
                Change { verb: "create", kind: "group", id: id.to_owned(), detail: String::new(), request }
            })
            .into();
        let (done, outcome) = apply(&client, &changes).await;
        assert_eq!((done, outcome.unwrap_err().exit), (1, Exit::Refused));
        assert_eq!(served.await.unwrap().len(), 2);
    }
}
