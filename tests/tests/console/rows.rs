//! Pages of a tenant that has nothing, and of one that has one of each: they say so, axe finds nothing, and the browser's console is quiet.

use serde_json::{Value, json};

use super::Day;
use super::browser::OF_A_SERVICE_THAT_IS_AWAY;
use crate::world::devices;

/// A tenant of its own, beside the one of the day.
const TENANT: &str = "small";

/// Pages, and what each says when there is nothing to show.
const WITHOUT_ROWS: [(&str, &str); 21] = [
    ("/", "No campaign is under way"),
    ("/campaigns", "No campaign yet"),
    ("/campaigns/new", "New campaign"),
    ("/devices", "There is no device yet"),
    ("/devices?all=yes", "There is no device yet"),
    ("/devices?tab=Updates", "No device has been updated yet"),
    ("/devices?tab=Versions", "No device has said which firmware it runs"),
    ("/firmware", "No firmware yet"),
    ("/firmware/upload", "Upload"),
    // The tenant itself.
    ("/audit", "Tenant created"),
    ("/health", "Read models"),
    ("/health?tab=Dead+letters", "No message was put aside"),
    ("/health?tab=Feed", "No program reads the feed"),
    ("/settings", "Tenant"),
    ("/settings?tab=Groups", "No group yet"),
    ("/settings?tab=Members", "Nobody has rights beside those of the sign-in"),
    ("/settings?tab=API+keys", "No program has a key"),
    ("/settings?tab=Registration", "No device can register itself"),
    ("/settings?tab=Trusted+keys", "No key is trusted"),
    ("/settings?tab=ChirpStack", "The tenant has no connection to a ChirpStack"),
    ("/settings?tab=Sessions", "this one"),
];

/// The same pages when there is one thing of each kind.
const WITH_A_ROW: [(&str, &str); 8] = [
    ("/", "1 device"),
    ("/campaigns", "Only one"),
    ("/devices", "1 device, as of"),
    ("/devices?all=yes", "1 row"),
    ("/devices?tab=Updates", "d-0"),
    ("/firmware", "1 row"),
    ("/settings?tab=Groups", "Only one"),
    ("/settings?tab=API+keys", "Only one"),
];

/// Tabs of a campaign, a device and a firmware, each with what it says.
const OF_A_CAMPAIGN: [(&str, &str); 7] = [
    ("tab=Waves", "Wave 1"),
    ("tab=Devices", "d-0"),
    ("tab=Failures", "No device has failed for good"),
    ("tab=Timeline", "Campaign created"),
    ("tab=Plan", "The plan"),
    ("tab=What+if", "What if"),
    ("tab=Settings", "Adjust"),
];
const OF_A_DEVICE: [(&str, &str); 7] = [
    ("tab=Overview", "Why this version?"),
    ("tab=Updates", "1 row"),
    ("tab=Timeline", "device.registered"),
    ("tab=Commands", "No command was sent to the device"),
    ("tab=Telemetry", "The device has sent no measurement"),
    ("tab=Access", "Access"),
    ("tab=Dead+letters", "All messages of the device could be processed"),
];
const OF_A_FIRMWARE: [(&str, &str); 6] = [
    ("tab=Where+it+runs", "0 devices of 1 run 2.0.0"),
    ("tab=Signatures", "Nobody has signed it"),
    ("tab=Documents", "It has no documents"),
    ("tab=Campaigns", "Only one"),
    ("tab=Downloads", "Nobody has downloaded it yet"),
    ("tab=Timeline", "firmware.registered"),
];

impl Day {
    pub(super) async fn looks_at_pages_without_rows_and_with_one(&self) {
        let browser = &self.browser;
        browser.opens("/").await.types("Name", "sam").await.types("Tenant", TENANT).await;
        browser.clicks("Sign in as sam").await.sees("Nothing waits for a person").await;
        for (path, says) in WITHOUT_ROWS {
            self.is_well(path, says).await;
        }
        let (campaign, firmware, created) = self.makes_one_of_each().await;
        for (path, says) in WITH_A_ROW {
            self.is_well(path, says).await;
        }
        let campaign = format!("/campaigns/{campaign}");
        let firmware = format!("/firmware/{firmware}");
        for (page, tabs) in [
            (campaign.as_str(), &OF_A_CAMPAIGN[..]),
            ("/devices/d-0", &OF_A_DEVICE[..]),
            (firmware.as_str(), &OF_A_FIRMWARE[..]),
        ] {
            for (tab, says) in tabs {
                self.is_well(&format!("{page}?{tab}"), says).await;
            }
        }
        self.is_well(&format!("{campaign}?at={created}&compare=now"), "Then and now").await;
        self.is_well(&format!("/devices/d-0?at={created}&compare=now"), "Nothing has changed since then").await;
        self.is_well(&format!("{firmware}?at={created}&compare=now"), "Since then").await;
        browser.opens("/").await.clicks("sam").await.clicks("Sign out").await.sees("Development").await;
        // The stream of live messages may have noticed the end of the session.
        let mut allowed = OF_A_SERVICE_THAT_IS_AWAY.to_vec();
        allowed.push("status of 401");
        browser.console_is_quiet("the sign-out", &allowed).await;
    }

    /// A device, a firmware, a campaign, an update, a group and a key. Returns the ids of campaign and firmware, and when the campaign was
    /// made.
    async fn makes_one_of_each(&self) -> (String, String, String) {
        let api = self.world.operator_of(TENANT, &["admin"]).await;
        let firmware = self.world.firmware(&api, "2.0.0").await;
        self.world.register(&api, &devices(1)).await;
        let campaign = self.world.campaign(&api, &firmware, json!({"name": "Only one"})).await;
        self.world.campaign_is(&api, &campaign, &["running"]).await;
        api.post("/devices/d-0/update", &json!({"firmware_id": firmware})).await.unwrap();
        api.post("/groups", &json!({"name": "Only one"})).await.unwrap();
        api.post("/api-keys", &json!({"roles": ["viewer"], "label": "Only one"})).await.unwrap();
        let made: Value = api.get(&format!("/campaigns/{campaign}")).await.unwrap();
        (campaign, firmware, made["created_at"].as_str().unwrap().to_owned())
    }

    /// Opens a page: it says this, axe finds nothing, and the browser's console is quiet.
    async fn is_well(&self, path: &str, says: &str) {
        let browser = &self.browser;
        browser.opens(path).await.sees(says).await.has_its_data().await;
        browser.has_no_findings(path).await;
        browser.console_is_quiet(path, &[]).await;
    }
}
