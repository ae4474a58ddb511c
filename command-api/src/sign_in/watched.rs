//! Whether the OpenID provider answered when it was last asked.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use super::provider::ProviderHttp;

/// The same requests, of which the last one's error is kept.
pub(super) struct Watched {
    http: Arc<dyn ProviderHttp>,
    failure: RwLock<Option<String>>,
}

impl Watched {
    pub(super) fn new(http: Arc<dyn ProviderHttp>) -> Self {
        Self { http, failure: RwLock::default() }
    }

    /// Why the last request failed; none if it was answered.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep<T>(&self, answer: &Result<T, String>) {
        *self.failure.write().unwrap_or_else(PoisonError::into_inner) = answer.as_ref().err().cloned();
    }
}

#[async_trait]
impl ProviderHttp for Watched {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let answer = self.http.get(url).await;
        self.keep(&answer);
        answer
    }

    async fn get_as(&self, url: &str, authorization: &str) -> Result<(u16, Vec<u8>), String> {
        let answer = self.http.get_as(url, authorization).await;
        self.keep(&answer);
        answer
    }

    async fn post(&self, url: &str, authorization: Option<&str>, form: String) -> Result<(u16, Vec<u8>), String> {
        let answer = self.http.post(url, authorization, form).await;
        self.keep(&answer);
        answer
    }
}
