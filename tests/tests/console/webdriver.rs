//! A client of the WebDriver protocol (W3C), as far as the tests of the console need it, with the two commands that are chromedriver's own.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// The key of an element's reference (WebDriver, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session of a browser.
pub(crate) struct WebDriver {
    client: Client,
    /// Of the session, without a slash at the end.
    url: String,
}

/// A reference to an element of the page.
pub(crate) struct Element(String);

/// The driver's error, or what happened to the request.
#[derive(Debug)]
pub(crate) struct Refused(#[allow(dead_code, reason = "read in the messages of failed tests")] pub(crate) String);

impl WebDriver {
    /// Starts a browser with arguments of its command line.
    pub(crate) async fn start(driver: &str, binary: &Path, args: &[&str]) -> Self {
        let client = Client::new();
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": binary.display().to_string(), "args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let body = json!({"capabilities": {"alwaysMatch": wanted}});
        let sessions = format!("{driver}/session");
        let value = send(&client, Method::POST, &sessions, Some(body)).await.unwrap();
        let id = value["sessionId"].as_str().unwrap();
        Self { url: format!("{sessions}/{id}"), client }
    }

    async fn post(&self, command: &str, body: Value) -> Result<Value, Refused> {
        send(&self.client, Method::POST, &format!("{}/{command}", self.url), Some(body)).await
    }

    async fn get(&self, command: &str) -> Result<Value, Refused> {
        send(&self.client, Method::GET, &format!("{}/{command}", self.url), None).await
    }

    pub(crate) async fn goto(&self, address: &str) {
        self.post("url", json!({"url": address})).await.unwrap();
    }

    /// What a script returns.
    pub(crate) async fn execute(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []})).await.unwrap()
    }

    /// What a script gives to its last argument, a function.
    pub(crate) async fn execute_async(&self, script: &str) -> Value {
        self.post("execute/async", json!({"script": script, "args": []})).await.unwrap()
    }

    /// All elements of an XPath, in the order of the page.
    pub(crate) async fn find_all(&self, xpath: &str) -> Result<Vec<Element>, Refused> {
        let found = self.post("elements", json!({"using": "xpath", "value": xpath})).await?;
        Ok(found.as_array().into_iter().flatten().map(Element::of).collect())
    }

    pub(crate) async fn active_element(&self) -> Element {
        Element::of(&self.get("element/active").await.unwrap())
    }

    pub(crate) async fn click(&self, Element(id): &Element) -> Result<(), Refused> {
        self.post(&format!("element/{id}/click"), json!({})).await.map(drop)
    }

    pub(crate) async fn clear(&self, Element(id): &Element) -> Result<(), Refused> {
        self.post(&format!("element/{id}/clear"), json!({})).await.map(drop)
    }

    pub(crate) async fn send_keys(&self, Element(id): &Element, text: &str) -> Result<(), Refused> {
        self.post(&format!("element/{id}/value"), json!({"text": text})).await.map(drop)
    }

    /// The visible part of the page as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let picture = self.get("screenshot").await.unwrap();
        BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// A command of Chromium's DevTools.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await.unwrap();
    }

    /// What the browser has written on its console since the last call.
    pub(crate) async fn browser_log(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({"type": "browser"})).await.unwrap();
        let message = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        entries.as_array().unwrap().iter().map(message).collect()
    }

    pub(crate) async fn quit(self) {
        send(&self.client, Method::DELETE, &self.url, None).await.unwrap();
    }
}

impl Element {
    fn of(reference: &Value) -> Self {
        Self(reference[ELEMENT].as_str().unwrap().to_owned())
    }
}

/// The value of the answer.
async fn send(client: &Client, method: Method, url: &str, body: Option<Value>) -> Result<Value, Refused> {
    let request = client.request(method, url);
    let request = body.iter().fold(request, |request, body| request.json(body));
    let refused = |error: reqwest::Error| Refused(error.to_string());
    let response = request.send().await.map_err(refused)?;
    let is_done = response.status().is_success();
    let mut answer: Value = response.json().await.map_err(refused)?;
    let value = answer["value"].take();
    if is_done { Ok(value) } else { Err(Refused(value.to_string())) }
}
