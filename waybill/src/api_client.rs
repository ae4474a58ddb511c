//! A small client of the REST API, for the demo and for system tests: what an operator would do with curl.

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// One operator of one tenant.
#[derive(Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A reply with its status, also if the request was refused.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Value,
}

impl Reply {
    /// The body, if the status is a success.
    pub fn success(self) -> Result<Value> {
        if self.status.is_success() { Ok(self.body) } else { bail!("{}: {}", self.status, self.body) }
    }
}

impl ApiClient {
    /// Signs in with a token of development mode. `base` is `http://host:port`.
    pub async fn sign_in(base: &str, tenant: &str, roles: &[&str]) -> Result<Self> {
        Self::sign_in_as(base, tenant, "demo", "person", roles).await
    }

    /// The same for another user, key or service.
    pub async fn sign_in_as(base: &str, tenant: &str, user: &str, kind: &str, roles: &[&str]) -> Result<Self> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(8).build()?;
        let wanted = json!({"user_id": user, "kind": kind, "expires_in": 86_400, "tenant_id": tenant, "roles": roles});
        let reply: Value = http
            .post(format!("{base}/api/v1/auth/dev-token"))
            .json(&wanted)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let token = reply["token"].as_str().context("the reply to dev-token has no token")?.to_owned();
        Ok(Self { http, base: base.to_owned(), token })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request; `path` is relative to `/api/v1`.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply> {
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply { status, body })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await?.success().with_context(|| format!("GET {path}"))
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, Some(body)).await?.success().with_context(|| format!("POST {path}"))
    }

    /// Uploads a firmware file with its metadata.
    pub async fn upload(&self, metadata: &Value, file: Vec<u8>) -> Result<Reply> {
        let form = reqwest::multipart::Form::new()
            .text("metadata", metadata.to_string())
            .part("file", reqwest::multipart::Part::bytes(file).file_name("firmware.bin"));
        let response = self
            .http
            .post(format!("{}/api/v1/firmware", self.base))
            .bearer_auth(&self.token)
            .multipart(form)
            .send()
            .await?;
        let status = response.status();
        Ok(Reply { status, body: response.json().await? })
    }
}
