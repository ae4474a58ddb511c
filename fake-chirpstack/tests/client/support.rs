//! A double with a client of it.

use std::time::{Duration, Instant};

use chirpstack::grpc::device::Device;
use chirpstack::grpc::{ApiKey, Client, Connection, Error};
use fake_chirpstack::{APPLICATION_ID, CLASS_A_PROFILE_ID, CLASS_C_PROFILE_ID, FakeChirpstack, Settings, TENANT_KEY};
use runtime::outward::Outward;

/// Longest wait in a test.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// Short, for calls that hang.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) const DEV_EUI: &str = "0101010101010101";

pub(crate) async fn start() -> (FakeChirpstack, Client) {
    let settings = Settings { deployment_step: Duration::from_millis(5), ..Settings::default() };
    let fake = FakeChirpstack::start(settings).await.unwrap();
    let client = client(&fake, TENANT_KEY);
    (fake, client)
}

pub(crate) fn client(fake: &FakeChirpstack, key: &str) -> Client {
    let outward = Outward { loopback: true, ..Outward::default() };
    let connection =
        Connection { call_timeout: CALL_TIMEOUT, ..Connection::new(&fake.url(), ApiKey::new(key).unwrap(), outward) };
    Client::new(&connection).unwrap()
}

pub(crate) fn device(dev_eui: &str) -> Device {
    Device {
        dev_eui: dev_eui.to_owned(),
        name: format!("device {dev_eui}"),
        application_id: APPLICATION_ID.to_owned(),
        device_profile_id: CLASS_A_PROFILE_ID.to_owned(),
        ..Device::default()
    }
}

pub(crate) fn class_c_device(dev_eui: &str) -> Device {
    Device { device_profile_id: CLASS_C_PROFILE_ID.to_owned(), ..device(dev_eui) }
}

/// Waits until the question is answered with something.
pub(crate) async fn until<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn is_ambiguous(error: &Error) -> bool {
    matches!(error, Error::Unauthenticated { message } if message.is_empty())
}
