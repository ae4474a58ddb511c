//! `waybill events`: live messages of the tenant, a campaign or a device, until it is interrupted.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use crate::duration;
use crate::failure::Result;
use crate::flags;
use crate::http::Client;
use crate::out;
use crate::output::{self, Format, cell, printable};
use crate::sse::Stream;

/// Parameters of the stream.
const FILTERS: [(&str, &str); 2] = [("campaign_id", "campaign"), ("device_id", "device")];

pub(crate) fn command() -> Command {
    let follow = Arg::new("follow").long("follow").action(ArgAction::SetTrue);
    let for_time = Arg::new("for").long("for").value_name("TIME").value_parser(duration::parse);
    let types = Arg::new("types").long("types").value_name("TYPE").action(ArgAction::Append);
    let last = Arg::new("last").long("last-event-id").value_name("POSITION");
    let command = Command::new("events")
        .about("Print what changes, as it changes")
        .arg(follow.help("Go on until interrupted; this is always so, unless --for is given"))
        .arg(for_time.help("End after this time, such as 30s or 10m"))
        .arg(Arg::new("campaign").long("campaign").value_name("ID").help("Only of this campaign"))
        .arg(Arg::new("device").long("device").value_name("ID").help("Only of this device"))
        .arg(types.help("Only events of these types, such as update.failed; repeatable"))
        .arg(last.help("First what changed after this position"));
    flags::common(command)
}

pub(crate) async fn run(matches: &ArgMatches, client: &Client) -> Result<()> {
    let mut filter = Vec::new();
    for (parameter, flag) in FILTERS {
        filter.extend(matches.get_one::<String>(flag).map(|value| (parameter.to_owned(), value.clone())));
    }
    let types = matches.get_many::<String>("types").into_iter().flatten();
    filter.extend(types.map(|kind| ("types".to_owned(), kind.clone())));
    let mut stream = Stream::new(client, filter, matches.get_one::<String>("last").cloned());
    let format = Format::of(matches);
    let follow = async {
        loop {
            print(format, &stream.next().await?)?;
        }
    };
    match matches.get_one::<Duration>("for") {
        Some(time) => tokio::time::timeout(*time, follow).await.unwrap_or(Ok(())),
        None => follow.await,
    }
}

fn print(format: Format<'_>, message: &Value) -> Result<()> {
    let kind = message["type"].as_str().unwrap_or_default();
    if !format.is_table() {
        return match format.filter() {
            _ if kind == "heartbeat" => Ok(()),
            Some(_) => output::made(format, message),
            None => out::line(message),
        };
    }
    match kind {
        "changes" => message["changes"].as_array().into_iter().flatten().try_for_each(|change| {
            let cells = ["time", "subject.kind", "subject.id", "count", "types"].map(|column| cell(change, column));
            out::line(cells.join("\t"))
        }),
        "resync" | "end" => {
            out::note(format_args!("{kind}: {}", printable(message["reason"].as_str().unwrap_or_default())));
            Ok(())
        }
        _ => Ok(()),
    }
}
