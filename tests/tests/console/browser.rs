//! A browser as a person uses it: Debian's Chromium, driven by its chromedriver.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waybill::stack::{Process, Spawner, free_port};

use super::webdriver::WebDriver;
use crate::directory::Directory;
use crate::world::POLL;

/// Longest wait for something to appear on a page.
const PATIENCE: Duration = Duration::from_secs(30);
/// Widths of screens in pixels: a desk's and a telephone's.
pub(crate) const WIDTHS: [u32; 2] = [1280, 390];
const HEIGHT: u32 = 800;
/// Tallest screenshot in pixels.
const SHOT_MAX: u64 = 3_000;
/// What the browser itself writes while a service is away or starts.
pub(crate) const OF_A_SERVICE_THAT_IS_AWAY: [&str; 5] = [
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_INCOMPLETE_CHUNKED",
    "net::ERR_EMPTY_RESPONSE",
    "net::ERR_CONNECTION_RESET",
    "status of 503",
];

/// One browser, with its profile. It ends when it is dropped.
pub(crate) struct Browser {
    driver: WebDriver,
    base: String,
    axe: String,
    _chromedriver: Process,
    directory: Directory,
}

impl Browser {
    /// Starts a browser for the console of a service.
    pub(crate) async fn start(base: &str) -> Self {
        let (chromium, chromedriver) = (program("chromium"), program("chromedriver"));
        let directory = Directory::new();
        let port = free_port().unwrap();
        let log = directory.path().join("chromedriver.log");
        let args = [format!("--port={port}")];
        let process = Process::run("chromedriver", &Spawner::start(), &chromedriver, &args, &log).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while reqwest::get(format!("{url}/status")).await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver doesn't start");
            tokio::time::sleep(POLL).await;
        }
        let profile = format!("--user-data-dir={}", directory.path().join("profile").display());
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", &profile];
        let driver = WebDriver::start(&url, &chromium, &args).await;
        let browser = Self { driver, base: base.to_owned(), axe: axe(), _chromedriver: process, directory };
        browser.is_wide(WIDTHS[0], HEIGHT).await;
        browser
    }

    /// Goes to a page of the console, as by typing its address.
    pub(crate) async fn opens(&self, path: &str) -> &Self {
        self.driver.goto(&format!("{}/console{path}", self.base)).await;
        self
    }

    /// Runs a script of the test and returns what it returns.
    pub(crate) async fn asks(&self, script: &str) -> Value {
        self.driver.execute(script).await
    }

    /// What the page shows, with all blanks alike.
    pub(crate) async fn text(&self) -> String {
        let text = self.asks("return document.body.innerText").await;
        text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until the page shows a text.
    pub(crate) async fn sees(&self, wanted: &str) -> &Self {
        self.until(wanted, async || self.text().await.contains(wanted)).await;
        self
    }

    /// Waits until the page doesn't show a text.
    pub(crate) async fn sees_no(&self, unwanted: &str) -> &Self {
        self.until(&format!("no {unwanted}"), async || !self.text().await.contains(unwanted)).await;
        self
    }

    /// Clicks a button or a link by its words.
    pub(crate) async fn clicks(&self, words: &str) -> &Self {
        let path = format!(
            "//button[normalize-space()={0} and not(@disabled)]|//a[normalize-space()={0}]|//summary[normalize-space()={0}]",
            quoted(words)
        );
        self.until(&format!("a button {words:?}"), async || self.clicked(&path).await).await;
        self
    }

    /// Clicks the button of the open dialog.
    pub(crate) async fn confirms(&self, words: &str) -> &Self {
        let path = format!("//dialog//button[normalize-space()={} and not(@disabled)]", quoted(words));
        self.until(&format!("a button {words:?} in a dialog"), async || self.clicked(&path).await).await;
        self
    }

    /// Types into an input by its label.
    pub(crate) async fn types(&self, label: &str, text: &str) -> &Self {
        let path = format!("//*[@id=//label[normalize-space()={}]/@for]", quoted(label));
        self.until(&format!("an input {label:?}"), async || {
            let found = self.driver.find_all(&path).await.unwrap_or_default();
            let Some(input) = found.last() else { return false };
            self.driver.clear(input).await.is_ok() && self.driver.send_keys(input, text).await.is_ok()
        })
        .await;
        self
    }

    /// Chooses an option, by a part of its words, of the input with this label.
    pub(crate) async fn chooses(&self, label: &str, words: &str) -> &Self {
        let (label, words) = (quoted(label), quoted(words));
        let path =
            format!("//*[@id=//label[normalize-space()={label}]/@for]/option[contains(normalize-space(),{words})]");
        self.until(&format!("an option {words}"), async || self.clicked(&path).await).await;
        self
    }

    /// Whether there is such an element, and it could be clicked.
    async fn clicked(&self, xpath: &str) -> bool {
        match self.driver.find_all(xpath).await.unwrap_or_default().first() {
            Some(element) => self.driver.click(element).await.is_ok(),
            None => false,
        }
    }

    /// Presses keys where the focus is.
    pub(crate) async fn presses(&self, keys: &str) -> &Self {
        self.until(&format!("somewhere to press {keys:?}"), async || {
            let focused = self.driver.active_element().await;
            self.driver.send_keys(&focused, keys).await.is_ok()
        })
        .await;
        self
    }

    /// Waits until an input has the focus.
    pub(crate) async fn has_the_focus_in_an_input(&self) -> &Self {
        let script = "return document.activeElement instanceof HTMLInputElement";
        self.until("an input with the focus", async || self.asks(script).await == true).await;
        self
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            if Instant::now() > deadline {
                self.shoots("failed", &WIDTHS[..1]).await;
                let text = self.text().await;
                panic!("not within {PATIENCE:?}: {what}; the page is in {}, and says: {text}", shots().display());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn is_wide(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.driver.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Shows the page in the colours of a theme.
    pub(crate) async fn prefers(&self, theme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.driver.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Keeps the whole page as a picture, at each of these widths. Fails if it is wider than the screen.
    pub(crate) async fn shoots(&self, name: &str, widths: &[u32]) {
        for &width in widths {
            self.is_wide(width, HEIGHT).await;
            let height = self.asks("return document.documentElement.scrollHeight").await.as_u64().unwrap_or_default();
            self.is_wide(width, height.clamp(HEIGHT.into(), SHOT_MAX) as u32).await;
            let surplus = self.asks("return document.documentElement.scrollWidth - innerWidth").await;
            std::fs::create_dir_all(shots()).unwrap();
            let picture = self.driver.screenshot().await;
            std::fs::write(shots().join(format!("{name}-{width}.png")), picture).unwrap();
            assert!(
                surplus.as_i64().is_some_and(|surplus| surplus <= 0) || name == "failed",
                "{name} is {surplus} pixels wider than {width}"
            );
        }
        self.is_wide(WIDTHS[0], HEIGHT).await;
    }

    /// Keeps the page as a picture for the documents; with WAYBILL_REGENERATE=1 they get it.
    pub(crate) async fn is_pictured(&self, name: &str) {
        self.shoots(name, &WIDTHS[..1]).await;
        if std::env::var_os("WAYBILL_REGENERATE").is_some() {
            let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
            std::fs::copy(shots().join(format!("{name}-{}.png", WIDTHS[0])), pictures.join(format!("{name}.png")))
                .unwrap();
        }
    }

    /// Fails if axe finds anything on the page.
    pub(crate) async fn has_no_findings(&self, page: &str) {
        self.driver.execute(&self.axe).await;
        let run = "const done = arguments[arguments.length - 1]; \
                   axe.run(document, {resultTypes: ['violations']}).then(found => done(found.violations.map(one => \
                   `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html + ' ' + node.any.map(check => check.message).join(' ')).join(' | ')}`)), \
                   error => done([String(error)]));";
        let found = self.driver.execute_async(run).await;
        assert_eq!(found, json!([]), "axe on {page}");
    }

    /// Waits until nothing on the page is loading.
    pub(crate) async fn has_its_data(&self) {
        let loaded =
            "return document.querySelector('main') !== null && document.querySelector('[data-loading]') === null";
        self.until("the page has its data", async || self.asks(loaded).await == true).await;
    }

    /// Fails if the browser has written anything on its console but what is allowed.
    pub(crate) async fn console_is_quiet(&self, page: &str, allowed: &[&str]) {
        let said = self.driver.browser_log().await;
        let findings: Vec<&String> =
            said.iter().filter(|said| !allowed.iter().any(|known| said.contains(known))).collect();
        assert!(findings.is_empty(), "the browser's console on {page}: {findings:#?}");
    }

    /// Ends the browser.
    pub(crate) async fn ends(self) {
        self.driver.quit().await;
        drop(self.directory);
    }
}

/// A program of Debian.
fn program(name: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!("{name} is missing: run scripts/setup-clients, or apt-get install chromium chromium-driver")
    })
}

/// A text as XPath writes it. Texts of tests have no double quotes.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// The rules for accessible pages.
fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../console/web/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("axe-core is missing: run `make console`"))
}

/// Where pictures of pages are kept.
pub(crate) fn shots() -> PathBuf {
    crate::world::waybill_binary().ancestors().nth(2).unwrap().join("console")
}
