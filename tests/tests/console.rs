//! The console in a browser: one operator's day on one fleet.

mod browser;
mod pages;
mod rows;
mod webdriver;

use reqwest::Method;
use serde_json::json;
use waybill::api_client::ApiClient;
use waybill::simulate::{Behaviour, DeviceSpec, Fleet};

use crate::world::{World, devices};
use browser::{Browser, OF_A_SERVICE_THAT_IS_AWAY};

/// A text that would run if any page took it for markup.
const MARKUP: &str = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>";
const DEVICES: usize = 24;
/// Pages of the navigation that read something, each with a part that is there without the service, too.
const PLACES: [(&str, &str); 6] = [
    ("Now", "Needs you"),
    ("Campaigns", "Strategy"),
    ("Devices", "Find a device"),
    ("Firmware", "Security updates"),
    ("Audit", "Types of events"),
    ("Health", "Dead letters"),
];
/// Devices that fail with the first firmware that they get.
const FAILING: usize = 12;

/// A fleet, an operator and their browser.
struct Day {
    world: World,
    api: ApiClient,
    browser: Browser,
    fleet: Fleet,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_works_with_the_console() {
    let mut day = Day::begins().await;
    day.looks_at_pages_without_rows_and_with_one().await;
    day.signs_in().await;
    let stopped = day.sees_a_gate_close_and_its_evidence().await;
    day.rolls_it_back(&stopped).await;
    let completed = day.creates_a_campaign_and_watches_it_to_its_end().await;
    day.looks_at_a_past_moment(&completed).await;
    day.finds_out_why_a_device_has_its_version().await;
    day.searches_the_audit().await;
    day.jumps_with_the_palette(&completed).await;
    day.texts_stay_texts(&completed).await;
    day.looks_at_every_page(&completed, &stopped).await;
    day.loses_the_service_and_gets_it_back(&completed).await;
    day.browser.ends().await;
    day.fleet.stop().await;
}

impl Day {
    async fn begins() -> Self {
        let index = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/dist/index.html");
        assert!(index.exists(), "the console isn't built: run `make console`");
        let world = World::start().await;
        let api = world.operator().await;
        let failing = |n: usize, device: DeviceSpec| DeviceSpec {
            behaviour: Behaviour { fail: n < FAILING, ..device.behaviour },
            ..device
        };
        let specs = devices(DEVICES).into_iter().enumerate().map(|(n, device)| failing(n, device)).collect();
        let fleet = world.online_fleet(&api, specs).await;
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            world.firmware(&api, version).await;
        }
        let browser = Browser::start(&world.base()).await;
        Self { world, api, browser, fleet }
    }

    async fn signs_in(&self) {
        let browser = &self.browser;
        browser.opens("/").await.sees("Development").await;
        browser.has_no_findings("sign-in").await;
        browser.shoots("sign-in", &browser::WIDTHS).await;
        browser.types("Name", "olga").await.chooses("Role", "admin").await.clicks("Sign in as olga").await;
        browser.sees("Nothing waits for a person").await.sees("24 devices").await.sees("live").await;
        let kept = browser
            .asks("return document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
            .await;
        assert!(
            !kept.as_str().unwrap().contains("ey") && !kept.as_str().unwrap().contains("wbs_"),
            "scripts see a token: {kept}"
        );
    }

    /// A campaign that fails: created over REST, while the browser shows all campaigns. Returns its id.
    async fn sees_a_gate_close_and_its_evidence(&self) -> String {
        let Self { world, api, browser, .. } = self;
        browser.opens("/campaigns").await.sees("No campaign yet").await;
        let firmware = self.firmware("2.0.0").await;
        // Each of the failing devices fails once, with its first firmware. So the next one is good for all.
        let failing: Vec<String> = (0..FAILING).map(|n| format!("d-{n}")).collect();
        let limits = json!({"name": "Bad firmware", "target_all": false, "target_devices": failing, "waves": [{"percentage": 100}], "gate_min_settled": FAILING, "failure_threshold_percent": 10, "max_retries": 0});
        let id = world.campaign(api, &firmware, limits).await;
        browser.sees("Bad firmware").await.sees("paused").await;
        browser.opens("/").await.sees("Bad firmware waits for an operator to accept the failures").await;
        browser.is_pictured("console-now").await;
        browser.clicks("Decide").await.sees("Wave 1 of 1 is paused").await;
        browser.sees("closed").await.sees("limit at most 10 %").await.sees("settled devices failed").await;
        let gates = api.get(&format!("/campaigns/{id}/gates")).await.unwrap();
        let sentence = gates["items"].as_array().unwrap().last().unwrap()["sentence"].as_str().unwrap().to_owned();
        browser.sees(&sentence).await.is_pictured("console-campaign").await;
        browser
            .until("the title says it", async || {
                browser.asks("return document.title").await.as_str().unwrap().starts_with("▲ paused")
            })
            .await;
        id
    }

    async fn rolls_it_back(&self, id: &str) {
        let browser = &self.browser;
        browser.opens(&format!("/campaigns/{id}")).await.clicks("Roll back").await;
        browser.sees("go back to what they ran before").await;
        browser
            .types("Reason", "it fails")
            .await
            .types("Type “Bad firmware” to go on", "Bad firmware")
            .await
            .confirms("Roll back")
            .await;
        browser.sees("Roll back: taken at #").await.sees("is rolled back").await;
        browser.clicks("Timeline").await.sees("it fails").await;
    }

    /// Everything in the browser, without loading a page again. Returns the campaign's id.
    async fn creates_a_campaign_and_watches_it_to_its_end(&self) -> String {
        let browser = &self.browser;
        browser.opens("/").await.clicks("New campaign").await;
        browser.types("Name", "Good firmware").await.chooses("Firmware", "3.0.0").await;
        browser.sees("Devices 24").await.sees("Left out: nobody").await.sees("waybill campaign create").await;
        browser.types("Waves, %", "25, 100").await.sees("6 devices").await.types("Reason", "quarterly").await;
        browser.clicks("Create and start").await;
        browser
            .sees("Wave 1")
            .await
            .sees("The campaign is completed")
            .await
            .sees("24 of 24 devices settled, 0 failed")
            .await;
        let address = browser.asks("return location.pathname").await;
        address.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    async fn looks_at_a_past_moment(&self, id: &str) {
        let Self { api, browser, .. } = self;
        let campaign = api.get(&format!("/campaigns/{id}")).await.unwrap();
        let created = campaign["created_at"].as_str().unwrap();
        browser.opens(&format!("/campaigns/{id}?at={created}")).await.sees("This page shows how it was at").await;
        browser.sees("A draft: nothing is planned yet").await.sees("This is the past: commands are for now").await;
        browser.clicks("Compare with now").await.sees("Then and now").await.sees("draft completed").await;
        browser.opens(&format!("/?at={created}")).await.sees("This page is shown as of now, not at").await;
    }

    async fn firmware(&self, version: &str) -> String {
        let found = self.api.get(&format!("/firmware?version={version}")).await.unwrap();
        found["items"][0]["firmware_id"].as_str().unwrap().to_owned()
    }

    async fn jumps_with_the_palette(&self, campaign: &str) {
        let browser = &self.browser;
        browser.opens("/health").await.sees("live").await.presses("/").await;
        browser
            .has_the_focus_in_an_input()
            .await
            .presses("d-7")
            .await
            .sees("Devices d-7")
            .await
            .presses("\u{e007}")
            .await;
        browser
            .until("the device's page", async || {
                browser.asks("return location.pathname").await == "/console/devices/d-7"
            })
            .await;
        // Enter before the answer has come: it goes to the only thing that has this name.
        browser.presses("/").await.has_the_focus_in_an_input().await.presses("good firmware\u{e007}").await;
        let address = format!("/console/campaigns/{campaign}");
        browser
            .until("the campaign's page", async || browser.asks("return location.pathname").await == address.as_str())
            .await;
        browser.presses("?").await.sees("Everything here is a request").await.presses("\u{e00c}").await;
        browser.presses("gc").await;
        browser
            .until("the campaigns", async || browser.asks("return location.pathname").await == "/console/campaigns")
            .await;
    }

    /// The service goes away, and comes back with news. Nothing is loaded again.
    async fn loses_the_service_and_gets_it_back(&mut self, id: &str) {
        let browser = &self.browser;
        browser.opens(&format!("/campaigns/{id}")).await.sees("is completed").await.sees("live").await;
        browser.asks("window.isStillThere = true").await;
        self.world.kill_waybill();
        browser.sees("reconnecting").await.sees("is completed").await;
        for (place, heading) in PLACES {
            browser.clicks(place).await.sees(heading).await.sees("The service can't be reached").await;
            browser.has_no_findings(&format!("{place}, without the service")).await;
        }
        self.world.start_waybill().await;
        browser.sees("live").await.sees_no("reconnecting").await.sees_no("The service can't be reached").await;
        let firmware = self.firmware("2.0.0").await;
        let draft = json!({"name": "After the break", "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true});
        browser.clicks("Campaigns").await.sees("Good firmware").await;
        self.api.send(Method::POST, "/campaigns", Some(&draft)).await.unwrap().success().unwrap();
        browser.sees("After the break").await;
        assert_eq!(browser.asks("return window.isStillThere").await, true, "the page was loaded again");
        browser.console_is_quiet("the break", &OF_A_SERVICE_THAT_IS_AWAY).await;
    }
}
