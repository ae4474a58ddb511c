//! Opens a store by its URL.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, RetryConfig};
use runtime::lifecycle::Tasks;
use rustls::ClientConfig;

use crate::http::StoreClient;
use crate::place::{Kind, Place};
use crate::settings::{self, SettingsError};
use crate::store::Store;
use crate::uploads::{Blocks, Cloud, Uploads};

/// How often a call is tried again after an error that may pass.
const RETRIES_MAX: usize = 2;
/// A call that has taken longer isn't tried again.
const RETRY_WITHIN: Duration = Duration::from_secs(6);
/// Longest pause before the next try.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{place} can't be made: {error}")]
    Directory { place: String, error: std::io::Error },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("{place} can't be used: {error}")]
    Unusable { place: String, error: object_store::Error },
}

/// What stores are opened with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The certificates that are trusted.
    pub tls: Arc<ClientConfig>,
    /// The tasks that abort dropped uploads.
    pub tasks: Tasks,
    /// Any process may abort an upload whose marker wasn't written for this time.
    pub abandoned_after: Duration,
}

/// Opens the bucket of a place with a provider's builder. The builders have the same methods, but no common trait.
macro_rules! bucket {
    ($builder:ty, $prefix:literal, $place:expr, $tls:expr) => {{
        let settings = settings::read($prefix, $place.settings.as_deref())?.into_iter();
        let store = settings
            .fold(<$builder>::new(), |builder, (key, value)| builder.with_config(key, value))
            .with_url($place.url.as_str())
            .with_retry(retry())
            .with_http_connector(StoreClient::new($tls))
            .build()
            .map_err(|error| OpenError::Unusable { place: $place.to_string(), error })?;
        prefixed($place, store)
    }};
}

impl Opening {
    /// Opens a store. This asks no server: [`Store::try_it`] says whether it answers.
    pub fn open(&self, place: &Place) -> Result<Store, OpenError> {
        let tls: &ClientConfig = &self.tls;
        let (cloud, blocks) = match place.kind {
            Kind::Directory => return directory(place),
            Kind::S3 => (bucket!(AmazonS3Builder, "AWS_", place, tls), Blocks::EndWithTheUpload),
            Kind::Google => (bucket!(GoogleCloudStorageBuilder, "GOOGLE_", place, tls), Blocks::EndWithTheUpload),
            Kind::Azure => (bucket!(MicrosoftAzureBuilder, "AZURE_", place, tls), Blocks::StayUntilOverwritten),
        };
        let uploads = Uploads::new(place.to_string(), cloud, blocks, self.tasks.clone(), self.abandoned_after);
        Ok(Store::bucket(place.to_string(), uploads))
    }
}

fn directory(place: &Place) -> Result<Store, OpenError> {
    let path = place.url.to_file_path().unwrap_or_else(|()| PathBuf::from(place.url.path()));
    fs::create_dir_all(&path).map_err(|error| OpenError::Directory { place: place.to_string(), error })?;
    let store = LocalFileSystem::new_with_prefix(&path);
    let store = store.map_err(|error| OpenError::Unusable { place: place.to_string(), error })?;
    Ok(Store::directory(place.to_string(), Arc::new(store), path))
}

fn prefixed<T>(place: &Place, store: T) -> Arc<dyn Cloud>
where
    T: Cloud,
    PrefixStore<T>: Cloud,
{
    match ObjectPath::from_url_path(place.url.path()) {
        Ok(prefix) if !prefix.as_ref().is_empty() => Arc::new(PrefixStore::new(store, prefix)),
        _ => Arc::new(store),
    }
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: BACKOFF_MAX, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_WITHIN }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use object_store::path::Path;
    use rustls::RootCertStore;

    use super::*;

    /// A service account with a new key.
    fn google_account() -> String {
        let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let made = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap().replace('\n', "\\n");
        format!(
            r#"{{"private_key": "{key}", "private_key_id": "1", "client_email": "a@example.com", "disable_oauth": false}}"#
        )
    }

    fn opening() -> Opening {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
        Opening { tls, tasks: Tasks::new(), abandoned_after: Duration::from_secs(60) }
    }

    async fn link(name: &str, url: &str, settings: &str) -> String {
        let file = std::env::temp_dir().join(format!("waybill-store-{}-{name}", std::process::id()));
        std::fs::write(&file, settings).unwrap();
        let place = format!("{url}?settings={}", file.display()).parse().unwrap();
        let store = opening().open(&place);
        std::fs::remove_file(&file).unwrap();
        let store = crate::FirmwareStore::new(store.unwrap(), None);
        assert_eq!(store.name(), url);
        store.link(&Path::from("acme/1/2"), Duration::from_secs(60)).await.unwrap().unwrap().to_string()
    }

    #[tokio::test]
    async fn each_provider_is_opened_by_its_url_and_links_to_objects_below_the_prefix() {
        let aws = "AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=key\nAWS_REGION=eu-central-1\n";
        let link_of_aws = link("aws", "s3://bucket/firmware", aws).await;
        assert!(
            link_of_aws.starts_with("https://s3.eu-central-1.amazonaws.com/bucket/firmware/acme/1/2?"),
            "{link_of_aws}"
        );
        assert!(link_of_aws.contains("X-Amz-Signature=") && link_of_aws.contains("X-Amz-Expires=60"), "{link_of_aws}");
        let azure = "AZURE_STORAGE_ACCOUNT_NAME=account\nAZURE_STORAGE_ACCOUNT_KEY=a2V5\n";
        let link_of_azure = link("azure", "az://container", azure).await;
        assert!(
            link_of_azure.starts_with("https://account.blob.core.windows.net/container/acme/1/2?"),
            "{link_of_azure}"
        );
        assert!(link_of_azure.contains("sig="), "{link_of_azure}");
        let key = std::env::temp_dir().join(format!("waybill-google-{}.json", std::process::id()));
        std::fs::write(&key, google_account()).unwrap();
        let google = format!("GOOGLE_SERVICE_ACCOUNT={}\n", key.display());
        let link_of_google = link("google", "gs://bucket/firmware", &google).await;
        std::fs::remove_file(&key).unwrap();
        assert!(link_of_google.contains("/bucket/firmware/acme/1/2?"), "{link_of_google}");
        assert!(link_of_google.contains("X-Goog-Signature="), "{link_of_google}");
    }
}
