//! A browser as far as a sign-in needs one: cookies, redirects and forms.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;

/// Most redirects in a row.
const REDIRECTS_MAX: usize = 10;

/// Cookies by name and path. All servers of a test have one host, and a browser keeps cookies by host, not by port.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    client: Client,
    cookies: BTreeMap<(String, String), String>,
}

/// A page, and where it is.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) url: Url,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The value of the first attribute of this name.
    fn attribute(&self, name: &str) -> &str {
        let (_, rest) = self.text.split_once(&format!("{name}=\"")).expect("the attribute");
        rest.split_once('"').unwrap().0
    }

    /// Which of the provider's pages this is.
    fn prompt(&self) -> &str {
        let (_, rest) = self.text.split_once("name=\"prompt\"").expect("a page of the provider");
        rest.split_once("value=\"").unwrap().1.split_once('"').unwrap().0
    }
}

impl Browser {
    pub(crate) fn new() -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { client, cookies: BTreeMap::new() }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|((one, _), _)| one == name).map(|(_, value)| value.as_str())
    }

    /// One request, without following where it leads.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<(&str, String)>,
    ) -> (Page, Option<Url>) {
        let shown = self.cookies.iter().filter(|((_, path), _)| url.path().starts_with(path.as_str()));
        let shown: Vec<String> = shown.map(|((name, _), value)| format!("{name}={value}")).collect();
        let mut request = self.client.request(method.clone(), url.clone()).header(COOKIE, shown.join("; "));
        if method != Method::GET {
            request = request.header(ORIGIN, url.origin().ascii_serialization());
        }
        if let Some((kind, body)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        let reply = request.send().await.unwrap();
        for cookie in reply.headers().get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let leads_to = reply.headers().get(LOCATION).map(|place| url.join(place.to_str().unwrap()).unwrap());
        let status = reply.status();
        (Page { status, url: url.clone(), text: reply.text().await.unwrap() }, leads_to)
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let path = parts.find_map(|part| part.strip_prefix("path=").or(part.strip_prefix("Path="))).unwrap_or("/");
        let key = (name.to_owned(), path.to_owned());
        match value {
            "" => drop(self.cookies.remove(&key)),
            value => drop(self.cookies.insert(key, value.to_owned())),
        }
    }

    /// The page that a request leads to.
    pub(crate) async fn opens(&mut self, url: &str) -> Page {
        self.follows(Method::GET, url.parse().unwrap(), None).await
    }

    async fn follows(&mut self, method: Method, url: Url, body: Option<(&str, String)>) -> Page {
        let (mut page, mut leads_to) = self.send(method, &url, body).await;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = leads_to.filter(|_| page.status.is_redirection()) else { return page };
            (page, leads_to) = self.send(Method::GET, &next, None).await;
        }
        panic!("more than {REDIRECTS_MAX} redirects, the last to {}", page.url);
    }

    /// Signs in at the provider as an account, on its own pages, and consents.
    pub(crate) async fn signs_in(&mut self, url: &str, account: &str) -> Page {
        let mut page = self.opens(url).await;
        while page.text.contains("name=\"prompt\"") {
            let form = match page.prompt() {
                "login" => format!("prompt=login&login={account}&password=any"),
                prompt => format!("prompt={prompt}"),
            };
            let action = page.url.join(page.attribute("action")).unwrap();
            page = self.follows(Method::POST, action, Some(("application/x-www-form-urlencoded", form))).await;
        }
        page
    }

    /// A request of a page of this origin, with JSON.
    pub(crate) async fn asks(&mut self, method: Method, url: &str, body: &Value) -> Page {
        let body = (!body.is_null()).then(|| ("application/json", body.to_string()));
        self.send(method, &url.parse().unwrap(), body).await.0
    }
}
