//! The command line of operators: everything from a shell, judged by exit codes and by what is printed.

mod shell;

use serde_json::{Value, json};
use waybill::simulate::{Behaviour, DeviceSpec};

use crate::world::{MODEL, World, device, devices};
use shell::Shell;

/// Exit codes of docs/cli.md.
const DONE: i32 = 0;
const USAGE: i32 = 2;
const REFUSED: i32 = 3;
const NOT_ALLOWED: i32 = 4;
const NOT_FOUND: i32 = 5;
const ENDED_BADLY: i32 = 6;
const WAITS: i32 = 7;
const TIMED_OUT: i32 = 8;
const AWAY: i32 = 9;

const UPDATED: &str = "d-0,d-1,d-2,d-3";
const FAILING: &str = "f-0,f-1,f-2,f-3";
/// Registered, and never switched on.
const SILENT: &str = "silent";
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn operators_do_everything_from_a_shell() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let failing = (0..4).map(|n| {
        let device = device(&format!("f-{n}"));
        DeviceSpec { behaviour: Behaviour { fail: true, ..device.behaviour }, ..device }
    });
    let fleet = world.online_fleet(&api, devices(4).into_iter().chain(failing).collect()).await;
    world.register(&api, &[device(SILENT)]).await;
    let shell = Shell::at(&world);

    signs_in(&shell).await;
    let firmware = uploads(&shell, &world).await;
    a_campaign_completes(&shell, &firmware).await;
    let stopped = a_gate_stops_a_campaign(&shell, &firmware).await;
    what_is_taken_away_is_asked_for(&shell, &stopped).await;
    let silent = refusals_have_codes(&shell, &firmware).await;
    watching_outlives_a_restart(&shell, &mut world, &silent).await;
    json_is_valid_for_none_and_many(&shell, &world).await;
    files_are_applied(&shell).await;
    live_messages_are_printed(&shell).await;
    anything_is_found(&shell, &firmware, &stopped).await;
    filters_read_json(&shell).await;
    shells_complete(&shell, &firmware).await;
    fleet.stop().await;
}

async fn signs_in(shell: &Shell) {
    let refused = shell.run(&["device", "list"]).await;
    assert_eq!(refused.code, USAGE, "no service is named: {refused:?}");
    let url = shell.url();
    shell.run(&["login", "--url", &url, "--dev", "--context", "here"]).await.ended(DONE);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(shell.config()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let contexts = shell.json(&["context", "list", "--json"]).await;
    assert_eq!(
        (&contexts[0]["name"], &contexts[0]["url"], &contexts[0]["tenant"]),
        (&json!("here"), &json!(url), &json!("default"))
    );
    assert!(!contexts.to_string().contains("eyJ"), "a list shows no token");
    let doctor = shell.json(&["doctor", "--json"]).await;
    assert!(doctor.as_array().unwrap().iter().all(|check| check["ok"] == true), "{doctor}");

    let without =
        shell.with("WAYBILL_URL", &url).with("XDG_CONFIG_HOME", "/nonexistent").run(&["device", "list"]).await;
    assert_eq!(without.code, NOT_ALLOWED, "{without:?}");
    let wrong = shell.with("WAYBILL_TOKEN", "nonsense").run(&["login", "--url", &url, "--context", "other"]).await;
    assert_eq!(wrong.code, NOT_ALLOWED, "{wrong:?}");
}

/// Uploads a file, and gets it back.
async fn uploads(shell: &Shell, world: &World) -> String {
    let file = world.data_dir().join("firmware_v2.0.0.bin").display().to_string();
    let content: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(&file, &content).unwrap();
    let upload = ["firmware", "upload", &file, "--name", "Firmware", "--version", "2.0.0", "--model", MODEL];
    let dry = shell.run(&[&upload[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(dry.code, DONE, "{dry:?}");
    let id = shell.run(&[&upload[..], &["-o", "name", "--reason", "spring"]].concat()).await.ended(DONE).line();
    let back = world.data_dir().join("back.bin").display().to_string();
    shell.run(&["firmware", "download", &id, &back]).await.ended(DONE);
    assert_eq!(std::fs::read(&back).unwrap(), content);
    shell.run(&["firmware", "verify", &id, &file]).await.ended(DONE);
    std::fs::write(&back, "other").unwrap();
    assert_eq!(shell.run(&["firmware", "verify", &id, &back]).await.code, REFUSED);
    id
}

async fn creates(shell: &Shell, firmware: &str, more: &[&str]) -> String {
    let create = [
        "campaign",
        "create",
        "--name",
        "Shell",
        "--firmware",
        firmware,
        "--strategy",
        "staged",
        "--waves",
        "50,100",
        "-o",
        "name",
    ];
    shell.run(&[&create[..], more].concat()).await.ended(DONE).line()
}

async fn a_campaign_completes(shell: &Shell, firmware: &str) {
    let id = creates(shell, firmware, &["--device", UPDATED]).await;
    let preview = shell.json(&["campaign", "preview", &id, "--json"]).await;
    assert_eq!(preview["devices"], 4, "{preview}");
    assert_eq!(shell.run(&["campaign", "watch", &id]).await.code, WAITS, "nobody has started it");
    shell.run(&["campaign", "start", &id, "--reason", "spring"]).await.ended(DONE);
    let watched = shell.run(&["campaign", "watch", &id, "--timeout", "1m"]).await;
    assert_eq!(watched.code, DONE, "{watched:?}");
    let lines: Vec<&str> = watched.out.lines().collect();
    assert!(lines.len() >= 3, "a line for each change: {watched:?}");
    let changes = &lines[..lines.len() - 1];
    assert!(changes.windows(2).all(|pair| pair[0] != pair[1]), "{watched:?}");
    assert!(
        lines[lines.len() - 1].starts_with("The campaign is completed: 4 of 4 devices confirmed, 0 failed."),
        "{watched:?}"
    );
    assert_eq!(shell.run(&["campaign", "watch", &id, "--until", "wave=2"]).await.code, DONE);

    let why = shell.run(&["why", "d-0"]).await.ended(DONE);
    let answer = shell.json(&["device", "why", "d-0", "--json"]).await;
    assert_eq!(why.out.lines().next(), answer["answer"].as_str(), "{why:?}");
    assert_eq!((&answer["version"], &answer["campaign_id"]), (&json!("2.0.0"), &json!(id)), "{answer}");
    let why_not = shell.run(&["device", "why-not", "d-0", "--firmware", firmware]).await.ended(DONE);
    assert!(why_not.out.contains("rule: "), "{why_not:?}");
    let where_it_runs = shell.run(&["firmware", "where", firmware, "-o", "name"]).await.ended(DONE);
    assert_eq!(where_it_runs.out.lines().collect::<Vec<_>>(), ["d-0", "d-1", "d-2", "d-3"]);
    let update = answer["update_id"].as_str().unwrap();
    let update = shell.run(&["why", update]).await.ended(DONE);
    assert!(update.out.contains("from 1.0.0 to 2.0.0 is confirmed"), "{update:?}");
    assert!(shell.run(&["why", firmware]).await.ended(DONE).out.contains("2.0.0"));
}

async fn a_gate_stops_a_campaign(shell: &Shell, firmware: &str) -> String {
    let id = creates(shell, firmware, &["--device", FAILING, "--gate-min-settled", "2", "--max-retries", "0"]).await;
    shell.run(&["campaign", "start", &id]).await.ended(DONE);
    let watched = shell.run(&["campaign", "watch", &id, "--timeout", "1m"]).await;
    assert_eq!(watched.code, WAITS, "{watched:?}");
    let gates = shell.json(&["campaign", "gates", &id, "--json"]).await;
    let closed = gates["items"].as_array().unwrap().iter().find(|gate| gate["verdict"] == "closed").unwrap();
    let last = watched.out.lines().last().unwrap();
    assert!(last.contains(closed["sentence"].as_str().unwrap()) && last.contains("It waits for "), "{last}");
    let why = shell.run(&["why", &id]).await.ended(DONE);
    assert_eq!(why.line(), last);
    assert_eq!(shell.run(&["campaign", "watch", &id, "--until", "paused"]).await.code, DONE);
    let timeout = shell.run(&["campaign", "watch", &id, "--until", "completed", "--timeout", "1s"]).await;
    assert_eq!(timeout.code, TIMED_OUT, "{timeout:?}");

    let refused = shell.run(&["campaign", "resume", &id, "--reason", "go on"]).await;
    assert_eq!(refused.code, REFUSED, "{refused:?}");
    assert!(refused.err.contains("(gate_still_closed, 409)") && refused.err.lines().count() == 1, "{refused:?}");
    let what_if = shell.json(&["campaign", "what-if", &id, "--gates", "failure_count=1", "--json"]).await;
    assert_eq!(what_if["would_stop"]["failed"], 1, "{what_if}");
    id
}

async fn what_is_taken_away_is_asked_for(shell: &Shell, campaign: &str) {
    let cancel = ["campaign", "cancel", campaign, "--reason", "wrong firmware"];
    let asked = shell.run(&cancel).await;
    assert_eq!(asked.code, USAGE, "{asked:?}");
    assert!(asked.err.contains(campaign) && asked.err.contains("context here"), "{asked:?}");
    shell.run(&[&cancel[..], &["--dry-run"]].concat()).await.ended(DONE);
    assert_eq!(shell.json(&["campaign", "status", campaign, "--json"]).await["status"], "paused");
    shell.run(&[&cancel[..], &["--yes"]].concat()).await.ended(DONE);
    let watched = shell.run(&["campaign", "watch", campaign, "--timeout", "1m"]).await;
    assert_eq!(watched.code, ENDED_BADLY, "{watched:?}");
}

/// Returns a campaign that waits for a device.
async fn refusals_have_codes(shell: &Shell, firmware: &str) -> String {
    let unknown = shell.run(&["campaign", "get", NOBODY]).await;
    assert_eq!((unknown.code, unknown.out.as_str()), (NOT_FOUND, ""), "{unknown:?}");
    assert_eq!(shell.run(&["why", NOBODY]).await.code, NOT_FOUND);
    assert_eq!(shell.run(&["campaign", "create", "--canary-size", "many"]).await.code, USAGE);
    assert_eq!(shell.run(&["campaign", "nonsense"]).await.code, USAGE);

    let silent = creates(shell, firmware, &["--device", SILENT]).await;
    shell.run(&["campaign", "start", &silent]).await.ended(DONE);
    let waited = shell.run(&["campaign", "watch", &silent, "--timeout", "1s"]).await;
    assert_eq!(waited.code, TIMED_OUT, "{waited:?}");

    let away = format!("http://127.0.0.1:{}", waybill::stack::free_port().unwrap());
    let away = shell.with("WAYBILL_URL", &away).with("WAYBILL_TOKEN", "t").run(&["device", "list"]).await;
    assert_eq!(away.code, AWAY, "{away:?}");

    let viewer = shell.with("WAYBILL_CONTEXT", "viewer");
    viewer.run(&["login", "--url", &shell.url(), "--dev", "--user", "eve", "--role", "viewer"]).await.ended(DONE);
    assert_eq!(viewer.run(&["campaign", "pause", &silent]).await.code, NOT_ALLOWED);
    shell.run(&["context", "use", "here"]).await.ended(DONE);
    viewer.run(&["logout"]).await.ended(DONE);
    let contexts = shell.json(&["context", "list", "--json"]).await;
    let tokens: Vec<(&Value, &Value)> =
        contexts.as_array().unwrap().iter().map(|context| (&context["name"], &context["token"])).collect();
    assert_eq!(tokens, [(&json!("here"), &json!("bearer token")), (&json!("viewer"), &json!("none"))]);
    silent
}

async fn watching_outlives_a_restart(shell: &Shell, world: &mut World, campaign: &str) {
    let watch = shell.begin(&["campaign", "watch", campaign, "--timeout", "1m"]).await;
    world.kill_waybill();
    world.start_waybill().await;
    shell.run(&["campaign", "cancel", campaign, "--yes"]).await.ended(DONE);
    let watched = watch.ends().await;
    assert_eq!(watched.code, ENDED_BADLY, "{watched:?}");
    assert!(watched.out.contains("The campaign is cancelled"), "{watched:?}");
}

async fn json_is_valid_for_none_and_many(shell: &Shell, world: &World) {
    assert_eq!(shell.json(&["group", "list", "--json"]).await, json!([]));
    assert_eq!(shell.run(&["group", "list", "-o", "ndjson"]).await.ended(DONE).out, "");
    assert_eq!(shell.run(&["group", "list"]).await.ended(DONE).out, "");

    let api = world.operator().await;
    let many: Vec<Value> = (0..250)
        .map(|n| json!({"device_id": format!("many-{n:03}"), "device_type": "many", "name": "\u{202e}gnihton"}))
        .collect();
    let registered = api.post("/devices/bulk", &json!(many)).await.unwrap();
    let list = ["device", "list", "--device-type", "many"];
    let position = registered["position"].as_str().unwrap();
    let all = shell.json(&[&list[..], &["--json", "--wait-position", position]].concat()).await;
    assert_eq!(all.as_array().unwrap().len(), 250);
    let lines = shell.run(&[&list[..], &["-o", "ndjson"]].concat()).await.ended(DONE);
    let lines: Vec<Value> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), all);
    let few = shell.json(&[&list[..], &["--limit", "3", "--json"]].concat()).await;
    assert_eq!(few.as_array().unwrap().as_slice(), &all.as_array().unwrap()[..3]);
    let pages = shell.json(&["api", "get", "/devices", "-f", "device_type=many", "--paginate"]).await;
    assert_eq!(pages, all);
    let one = shell.json(&["api", "GET", "devices?limit=2", "-f", "device_type=many"]).await;
    assert_eq!(one["items"].as_array().unwrap().len(), 2);
    let wide = shell.run(&[&list[..], &["-o", "wide"]].concat()).await.ended(DONE);
    assert!(wide.out.lines().all(|line| line.split('\t').count() == 15), "{}", wide.out.lines().next().unwrap());
    assert!(!wide.out.contains('\u{202e}'), "no name turns the text around");

    let path = format!("{}/api/v1/devices/many-001", shell.url());
    let raw = api.http().get(path).bearer_auth(api.token()).send().await.unwrap().text().await.unwrap();
    assert_eq!(shell.run(&["device", "get", "many-001", "--json"]).await.ended(DONE).out.trim_end(), raw);
    let created = shell.json(&["api", "POST", "/groups", "-f", "group_id=made", "-f", "name=Made"]).await;
    let as_it_was = ["group", "get", "made", "--at", created["position"].as_str().unwrap(), "--json"];
    assert_eq!(shell.json(&as_it_was).await["name"], "Made");
}

async fn files_are_applied(shell: &Shell) {
    let file = shell.file(
        "fleet.toml",
        "[[groups]]\ngroup_id = \"lobby\"\nname = \"Lobby\"\ndevices = [\"d-1\", \"d-2\"]\n\n\
         [[groups]]\ngroup_id = \"made\"\nname = \"Frames\"\n",
    );
    let diff = shell.run(&["diff", "-f", &file]).await.ended(DONE);
    assert_eq!(diff.out.lines().count(), 3, "{diff:?}");
    shell.run(&["apply", "-f", &file, "--reason", "as the file has it"]).await.ended(DONE);
    assert_eq!(shell.json(&["diff", "-f", &file, "--json"]).await, json!([]));
    let members = shell.run(&["group", "members", "lobby", "-o", "name"]).await.ended(DONE);
    assert_eq!(members.out, "d-1\nd-2\n");
    let file =
        shell.file("fleet.toml", "[[groups]]\ngroup_id = \"lobby\"\nname = \"Lobby\"\ndevices = [\"d-2\", \"d-3\"]\n");
    shell.run(&["apply", "-f", &file]).await.ended(DONE);
    assert_eq!(shell.run(&["group", "members", "lobby", "-o", "name"]).await.ended(DONE).out, "d-2\nd-3\n");
    let starts = shell.file("campaigns.toml", "campaigns = []\n");
    assert_eq!(shell.run(&["apply", "-f", &starts]).await.code, USAGE);
}

async fn live_messages_are_printed(shell: &Shell) {
    let first = shell.json(&["audit", "list", "--order", "asc", "--limit", "1", "--json"]).await;
    let position = first[0]["position"].as_str().unwrap().split('.').next().unwrap().to_owned();
    let events = ["events", "--follow", "--last-event-id", &position, "--for", "1s", "-o", "ndjson"];
    let events = shell.run(&events).await.ended(DONE);
    let kinds: Vec<Value> =
        events.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
    assert_eq!(kinds[..2], [json!("hello"), json!("changes")], "{events:?}");
}

async fn anything_is_found(shell: &Shell, firmware: &str, campaign: &str) {
    let found = |text: &'static str| async move { shell.json(&["search", text, "--json"]).await };
    let device = found("many-007").await;
    assert_eq!((&device[0]["kind"], &device[0]["id"]), (&json!("device"), &json!("many-007")), "{device}");
    let named = shell.run(&["search", "Shell", "--limit", "1", "-o", "name"]).await.ended(DONE);
    assert!(!named.line().is_empty() && named.err.contains("more of: campaign"), "{named:?}");
    let digest = shell.run(&["firmware", "get", firmware, "--jq", ".checksum_sha256[:12]"]).await.ended(DONE).line();
    assert_eq!(shell.run(&["search", &digest, "-o", "name"]).await.ended(DONE).line(), firmware);
    let one = shell.run(&["search", campaign]).await.ended(DONE).line();
    assert!(one.starts_with(&format!("campaign\t{campaign}\tShell\t")), "{one}");
    let nothing = shell.run(&["search", "nobody", "has", "this", "--json"]).await;
    assert_eq!((nothing.code, nothing.out.as_str()), (NOT_FOUND, "[]\n"), "{nothing:?}");
}

async fn filters_read_json(shell: &Shell) {
    let ids = shell.run(&["device", "list", "--device-type", "many", "--jq", ".[:2][].device_id"]).await.ended(DONE);
    assert_eq!(ids.out, "many-000\nmany-001\n");
    let lines = [
        "device",
        "list",
        "--device-type",
        "many",
        "-o",
        "ndjson",
        "--jq",
        "select(.device_id | test(\"7$\")) | .device_id",
    ];
    assert_eq!(shell.run(&lines).await.ended(DONE).out.lines().count(), 25);
    let paged = ["api", "GET", "/devices", "-f", "device_type=many", "-f", "limit=90", "--paginate", "--jq", "length"];
    assert_eq!(shell.run(&paged).await.ended(DONE).line(), "250");
    assert_eq!(shell.run(&["group", "list", "--jq", ".[] | select(false)"]).await.ended(DONE).out, "");
    let wrong = shell.run(&["group", "create", "--group-id", "never", "--name", "Never", "--jq", ".["]).await;
    assert_eq!(wrong.code, USAGE, "{wrong:?}");
    assert_eq!(shell.run(&["group", "list", "-o", "yaml", "--jq", "."]).await.code, USAGE);
    assert_eq!(shell.run(&["group", "get", "never"]).await.code, NOT_FOUND, "nothing was sent");
}

/// Presses the key in bash, as the script is used there.
async fn shells_complete(shell: &Shell, firmware: &str) {
    for name in ["bash", "zsh", "fish"] {
        assert!(shell.run(&["completion", name]).await.ended(DONE).out.contains("complete -- "), "{name}");
    }
    let script = shell.file("completion.bash", &shell.run(&["completion", "bash"]).await.out);
    assert_eq!(shell.completes(&script, "waybill campaign wat").await, ["watch"]);
    assert_eq!(shell.completes(&script, "waybill group get lob").await, ["lobby"]);
    assert_eq!(shell.completes(&script, "waybill device get many-24").await.len(), 10);
    assert_eq!(shell.completes(&script, "waybill campaign create --firmware=").await, [firmware]);
    assert_eq!(shell.completes(&script, "waybill group add-members lobby --device-ids many-1,many-24").await.len(), 10);
    assert_eq!(shell.completes(&script, "waybill device list --context h").await, ["here"]);
    let away = shell.with("WAYBILL_URL", "http://127.0.0.1:9").with("WAYBILL_TOKEN", "t");
    assert!(away.completes(&script, "waybill group get lob").await.is_empty());
    let words = away.run(&["complete", "--", "waybill", "group", "get", "lob"]).await.ended(DONE);
    assert_eq!((words.out.as_str(), words.err.as_str()), ("", ""));
}
