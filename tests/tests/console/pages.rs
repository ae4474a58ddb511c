//! What holds on every page: its data, its look, its texts, and what axe finds.

use serde_json::json;

use super::browser::WIDTHS;
use super::{Day, MARKUP};

/// Pages without an id.
const PAGES: [(&str, &str); 8] = [
    ("now", "/"),
    ("campaigns", "/campaigns"),
    ("new-campaign", "/campaigns/new"),
    ("devices", "/devices"),
    ("firmware", "/firmware"),
    ("upload", "/firmware/upload"),
    ("audit", "/audit"),
    ("health", "/health"),
];

impl Day {
    pub(super) async fn finds_out_why_a_device_has_its_version(&self) {
        let browser = &self.browser;
        browser.opens("/devices/d-3").await.sees("Why this version?").await;
        browser.sees("The device runs firmware 3.0.0").await.sees("quarterly").await;
        let firmware = self.firmware("2.0.0").await;
        let why_not = self.api.get(&format!("/devices/d-3/why-not?firmware_id={firmware}")).await.unwrap();
        // The page begins it with a capital letter.
        let answer = &why_not["answer"].as_str().unwrap()[1..];
        browser.chooses("Another firmware", "2.0.0").await.sees(answer).await;
    }

    pub(super) async fn searches_the_audit(&self) {
        let browser = &self.browser;
        browser.opens("/audit").await.sees("Update confirmed").await;
        browser.types("Actor", "user:olga").await.types("Types of events", "campaign.planning_started\u{e007}").await;
        browser.sees_no("Update confirmed").await.sees("Planning began").await.sees("quarterly").await;
        browser.clicks("Planning began").await.sees("Event #").await.sees("Reason quarterly").await;
    }

    /// Every free text that a device or an operator can set is shown as it is.
    pub(super) async fn texts_stay_texts(&self, campaign: &str) {
        let Self { api, browser, .. } = self;
        let patch = json!({"name": MARKUP, "manufacturer": MARKUP, "tags": {"note": MARKUP}, "reason": MARKUP});
        api.send(reqwest::Method::PATCH, "/devices/d-5", Some(&patch)).await.unwrap().success().unwrap();
        api.post("/devices/d-5/hold", &json!({"reason": MARKUP})).await.unwrap();
        let firmware = self.firmware("3.0.0").await;
        let draft = json!({"name": MARKUP, "description": MARKUP, "firmware_id": firmware, "deployment_strategy": "staged", "target_all": true, "reason": MARKUP});
        let id = api.post("/campaigns", &draft).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
        api.post("/groups", &json!({"name": MARKUP, "description": MARKUP})).await.unwrap();
        api.post("/api-keys", &json!({"roles": ["viewer"], "label": MARKUP})).await.unwrap();
        let metadata =
            json!({"name": MARKUP, "version": "9.0.0", "device_model": crate::world::MODEL, "changelog": MARKUP});
        let uploaded = api.upload(&metadata, vec![7; 1_000]).await.unwrap().success().unwrap();
        let marked = uploaded["firmware_id"].as_str().unwrap();
        let pages = [
            "/campaigns".to_owned(),
            format!("/campaigns/{id}"),
            format!("/campaigns/{id}?tab=Timeline"),
            "/devices?q=d-5".to_owned(),
            "/devices/d-5".to_owned(),
            "/firmware".to_owned(),
            format!("/firmware/{marked}"),
            "/audit".to_owned(),
            "/settings?tab=API+keys".to_owned(),
            format!("/campaigns/new?clone={id}"),
            format!("/campaigns/{campaign}"),
        ];
        let mut shown = 0;
        for page in &pages {
            browser.opens(page).await.sees("live").await.has_its_data().await;
            let text = browser.asks("return document.body.innerText + [...document.querySelectorAll('input, textarea')].map(one => one.value).join(' ')").await;
            shown += usize::from(text.as_str().unwrap().contains(MARKUP));
            let ran = browser.asks("return window.pwned === 1 || document.querySelector('img[src=x]') !== null").await;
            assert_eq!(ran, false, "{page} runs what somebody typed");
        }
        // All but the last, which is another campaign.
        assert_eq!(shown, pages.len() - 1, "pages show the text");
    }

    /// Each page in both themes: axe finds nothing, the browser's console is quiet, and a picture is kept.
    pub(super) async fn looks_at_every_page(&self, completed: &str, stopped: &str) {
        let browser = &self.browser;
        let firmware = self.firmware("3.0.0").await;
        let mut pages: Vec<(String, String)> =
            PAGES.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect();
        pages.extend([
            ("campaign".to_owned(), format!("/campaigns/{stopped}")),
            ("campaign-devices".to_owned(), format!("/campaigns/{completed}?tab=Devices")),
            ("campaign-plan".to_owned(), format!("/campaigns/{completed}?tab=Plan")),
            ("campaign-what-if".to_owned(), format!("/campaigns/{stopped}?tab=What+if")),
            ("campaign-settings".to_owned(), format!("/campaigns/{completed}?tab=Settings")),
            ("device".to_owned(), "/devices/d-3".to_owned()),
            ("firmware-detail".to_owned(), format!("/firmware/{firmware}")),
            ("firmware-documents".to_owned(), format!("/firmware/{firmware}?tab=Documents&cve=CVE-2022-3602")),
            ("settings".to_owned(), "/settings".to_owned()),
            ("settings-keys".to_owned(), "/settings?tab=API+keys".to_owned()),
            ("nothing".to_owned(), "/nowhere".to_owned()),
        ]);
        for (theme, widths) in [("light", &WIDTHS[..]), ("dark", &WIDTHS[..1])] {
            browser.prefers(theme).await;
            for (name, path) in &pages {
                browser.opens(path).await.sees("live").await;
                browser.has_its_data().await;
                browser.has_no_findings(&format!("{name}, {theme}")).await;
                browser.shoots(&format!("{name}-{theme}"), widths).await;
                browser.console_is_quiet(name, &[]).await;
            }
        }
        browser.prefers("light").await;
    }
}
