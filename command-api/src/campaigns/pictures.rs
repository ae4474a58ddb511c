//! docs/pictures: each strategy as the planner cuts a fleet of 100 devices with it, as docs/campaigns.md shows them.

use std::fmt::Write;
use std::path::Path;

use chrono::DateTime;
use domain::DeviceId;
use domain::campaign::CampaignSpec;
use domain::planning::{PlanCandidate, PlanDraft};
use domain::tenant::TenantRules;
use serde_json::{Value, json};

use super::spec::CampaignRequest;

const REGENERATE: &str = "WAYBILL_REGENERATE";
const DEVICES: usize = 100;
/// Pixels.
const COLUMN: u32 = 130;
const GAP: u32 = 90;
const HEIGHT: u32 = 160;
const TOP: u32 = 40;
const LEFT: u32 = 24;

/// A step of the picture: a column with the share of the fleet that runs the version, and of that which gets it now.
struct Step {
    title: String,
    before: u32,
    now: u32,
    is_staging: bool,
}

fn plan(body: &Value) -> (CampaignSpec, Vec<u32>) {
    let mut whole = json!({"name": "x", "firmware_id": "7c9e6679-7425-5de3-944b-e07fc1f90ae7", "target_all": true});
    whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    let request: CampaignRequest = serde_json::from_value(whole).unwrap();
    let spec = request.into_spec(DateTime::UNIX_EPOCH, TenantRules::default()).unwrap();
    let device = |n: usize| PlanCandidate {
        device: DeviceId::new(format!("d-{n}")).unwrap(),
        excluded: None,
        from_version: None,
        lorawan: false,
    };
    let counts = PlanDraft::make("seed", (0..DEVICES).map(device).collect(), &spec).counts;
    (spec, counts.waves)
}

fn steps(spec: &CampaignSpec, waves: &[u32]) -> Vec<Step> {
    let mut steps = Vec::new();
    if spec.stages() {
        let all = waves.iter().sum();
        steps.push(Step { title: "staging".into(), before: 0, now: all, is_staging: true });
    }
    let mut before = 0;
    for (index, now) in waves.iter().enumerate() {
        let title = if waves.len() == 1 { "all".to_owned() } else { format!("wave {}", index + 1) };
        steps.push(Step { title, before, now: *now, is_staging: false });
        before += now;
    }
    steps
}

fn picture(body: &Value) -> String {
    let (spec, waves) = plan(body);
    let steps = steps(&spec, &waves);
    let clock = u32::from(spec.scheduled_start.is_some()) * GAP;
    let columns = u32::try_from(steps.len()).unwrap();
    let width = 2 * LEFT + clock + columns * COLUMN + (columns - 1) * GAP;
    let (floor, height) = (TOP + HEIGHT, TOP + HEIGHT + 50);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" font-family=\"sans-serif\" \
         font-size=\"13\" role=\"img\" aria-label=\"{}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        spec.strategy.word()
    );
    if clock > 0 {
        let (x, y) = (LEFT + GAP / 2 - 10, TOP + HEIGHT / 2);
        writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"22\" fill=\"none\" stroke=\"#333\" stroke-width=\"2\"/><path d=\"M{x} {} V{y} H{}\" stroke=\"#333\" stroke-width=\"2\" fill=\"none\"/>", y - 15, x + 11).unwrap();
        text(&mut svg, x, y + 44, "start time");
    }
    let mut x = LEFT + clock;
    for (index, step) in steps.iter().enumerate() {
        let scale = |devices: u32| devices * HEIGHT / DEVICES as u32;
        let (before, now) = (scale(step.before), scale(step.now));
        writeln!(svg, "<rect x=\"{x}\" y=\"{TOP}\" width=\"{COLUMN}\" height=\"{HEIGHT}\" fill=\"#eef1f4\"/>").unwrap();
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"{COLUMN}\" height=\"{before}\" fill=\"#9bb8d3\"/>",
            floor - before
        )
        .unwrap();
        let (fill, stroke) =
            if step.is_staging { ("#ffffff", "#1f6fb2\" stroke-dasharray=\"6 4") } else { ("#1f6fb2", "#1f6fb2") };
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"{COLUMN}\" height=\"{now}\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
            floor - before - now
        )
        .unwrap();
        let what = if step.is_staging { "in the standby slot" } else { "run it" };
        text(&mut svg, x + COLUMN / 2, TOP - 14, &format!("{}: {} devices", step.title, step.now));
        text(&mut svg, x + COLUMN / 2, floor + 20, &format!("{} % {what}", step.before + step.now));
        if index + 1 < steps.len() {
            let (middle, y) = (x + COLUMN + GAP / 2, TOP + HEIGHT / 2);
            writeln!(svg, "<path d=\"M{} {y} h{}\" stroke=\"#333\" stroke-width=\"2\"/>", x + COLUMN + 6, GAP - 12)
                .unwrap();
            writeln!(svg, "<path d=\"M{middle} {} l14 14 l-14 14 l-14 -14 z\" fill=\"#ffffff\" stroke=\"#333\" stroke-width=\"2\"/>", y - 14).unwrap();
            text(&mut svg, middle, y - 24, "gate");
            let opens = if step.is_staging { "then activate" } else { "soak" };
            text(&mut svg, middle, y + 32, opens);
        }
        x += COLUMN + GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: u32, y: u32, text: &str) {
    writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#222\">{text}</text>").unwrap();
}

#[test]
fn the_pictures_of_the_strategies_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    for (name, body) in [
        ("immediate", json!({"deployment_strategy": "immediate"})),
        ("scheduled", json!({"deployment_strategy": "scheduled", "scheduled_start": "1970-01-02T00:00:00Z"})),
        ("staged", json!({"deployment_strategy": "staged"})),
        ("canary", json!({"deployment_strategy": "canary"})),
        (
            "blue_green",
            json!({"deployment_strategy": "blue_green", "waves": [{"percentage": 20, "advance": "manual"}, {"percentage": 100}]}),
        ),
    ] {
        let (file, wanted) = (directory.join(format!("{name}.svg")), picture(&body));
        if std::env::var_os(REGENERATE).is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&file, &wanted).unwrap();
        }
        let present = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            present == wanted,
            "{} is stale: run {REGENERATE}=1 cargo test --workspace --lib pictures",
            file.display()
        );
    }
}
