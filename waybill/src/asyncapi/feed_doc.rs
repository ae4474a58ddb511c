//! docs/feed.md: the events of FEED, which of them are final, and the meaning of each field, from the golden files of the feed.

use std::collections::BTreeSet;
use std::path::Path;

use domain::events::ends;
use serde_json::Value;

use super::feed::{GOLDEN, Golden, summary};
use super::feed_fields::{MAPS, meaning};

const REGENERATE: &str = "WAYBILL_REGENERATE";
/// Objects whose fields are those of other objects.
const OTHERS: [&str; 2] = ["changed", "changes"];
const INTRO: &str = "# The public feed\n\n\
    Generated; `WAYBILL_REGENERATE=1 cargo test -p waybill --lib asyncapi` writes it again. Every message is one CloudEvents 1.0 event in NATS \
    binary mode: attributes are headers (`ce-id`, `ce-type`, `ce-time`, `ce-subject`), the body is JSON. Its schema is in \
    [asyncapi.json](asyncapi.json).\n\n\
    **Subject.** `feed.{tenant}.{event}`, for example `feed.default.campaign.started`. JetStream stream FEED, kept for 30 days, each event once and in \
    the order of the log; `ce-id` is the same if a message is sent again.\n\n\
    **Reading.** `POST /api/v1/feed/consumers {\"name\":\"reports\",\"filter\":\"campaign.*\"}` makes a durable pull consumer with one tenant's \
    events; its reply names the NATS account to connect with. `examples/feed_subscriber.py --consumer default_reports` pulls from it. Programs of a \
    tenant, which log in with an API key, read through consumers, and the last event of a subject by direct get. Who runs the installation (user \
    `analyst`) may also subscribe to `feed.>`.\n\n\
    **Free text isn't in the feed**, except the names of campaigns (don't put names of persons into them): names of devices, descriptions, reasons \
    and messages of devices may be personal. Look them up by id: `GET /api/v1/campaigns/{id}`, `GET /api/v1/devices/{id}`.\n\n\
    **Members of a campaign** are in `plan.chunk_written`; the plan is valid once `campaign.planned` follows. A member gets an `update.queued` with \
    the `campaign_id` when its turn comes. A member that has none when the campaign ends will get no update, and the last event says why: \
    after `device.decommissioned` it is out of service, after `campaign.cancelled` cancelled, after `campaign.finished` expired. If a member's update \
    has not ended by then, its last event still follows.\n\n\
    **The end of an update** is one of the events with *the update* under *ends*; `update.reported_late` and `device.version_regressed` may follow. \
    A campaign that has ended continues after `campaign.retried`.\n\n";

fn document() -> String {
    let mut text = format!("{INTRO}| event | version | ends | fields of `data` | meaning |\n|---|---|---|---|---|\n");
    let mut names = BTreeSet::new();
    for (name, golden) in GOLDEN {
        let data = Golden::read(name, golden).unwrap().body["data"].clone();
        let (kind, version) = name.rsplit_once(".v").unwrap();
        collect(&data, &mut names);
        let fields: Vec<String> = data.as_object().unwrap().keys().map(|field| format!("`{field}`")).collect();
        let (ends, fields) = (ends(kind).unwrap_or_default(), fields.join(", "));
        text.push_str(&format!("| `{kind}` | {version} | {ends} | {fields} | {} |\n", summary(kind).unwrap()));
    }
    text.push_str("\n## Fields\n\n| field | meaning |\n|---|---|\n");
    for name in names {
        let meaning = meaning(&name).unwrap_or_else(|| panic!("{name} has no meaning in feed_fields.rs"));
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text
}

/// The names of all fields at any depth, except names that are data.
fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.insert(name.clone());
                if !MAPS.contains(&name.as_str()) && !OTHERS.contains(&name.as_str()) {
                    collect(value, names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_description_of_the_feed_is_up_to_date() {
    let (file, expected) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/feed.md"), document());
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let present = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(present == expected, "docs/feed.md is stale: run {REGENERATE}=1 cargo test -p waybill --lib asyncapi");
}
