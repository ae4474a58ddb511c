//! A server that is down, hangs, fails or loses replies.

use std::time::Duration;

use chirpstack::grpc::{Error, Retry};
use fake_chirpstack::{Command, FaultKind};

use super::support::{DEV_EUI, device, start, until};

fn fault(path: &str, times: u32, fault: FaultKind) -> Command {
    Command::Fault { path: path.to_owned(), times, fault }
}

#[tokio::test]
async fn a_client_survives_a_server_that_goes_down_and_comes_up() {
    let (fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    fake.carry_out(Command::GoDown).unwrap();
    until("the server is down", async || client.get_device(DEV_EUI).await.err()).await;
    let error = client.get_device(DEV_EUI).await.unwrap_err();
    assert_eq!(error.retry(), Retry::WithoutEnd, "{error}");
    fake.carry_out(Command::ComeUp).unwrap();
    until("the server is up", async || client.get_device(DEV_EUI).await.ok()).await;
}

#[tokio::test]
async fn a_call_that_hangs_ends_at_its_deadline() {
    let (fake, client) = start().await;
    fake.carry_out(fault("", 1, FaultKind::Hangs)).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(client.get_device(DEV_EUI).await, Err(Error::DeadlineExceeded));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_lost_reply_leaves_the_work_done() {
    let (fake, client) = start().await;
    fake.carry_out(fault("DeviceService/Create", 1, FaultKind::LosesReply)).unwrap();
    assert!(matches!(client.create_device(&device(DEV_EUI)).await, Err(Error::Unavailable { .. })));
    assert!(fake.device(DEV_EUI).is_some());
    assert!(matches!(client.create_device(&device(DEV_EUI)).await, Err(Error::Duplicate { .. })));
}

#[tokio::test]
async fn a_failure_is_answered_as_often_as_it_was_set() {
    let (fake, client) = start().await;
    let fails = FaultKind::Fails { code: 13, message: "database is locked".to_owned() };
    fake.carry_out(fault("Create", 2, fails)).unwrap();
    for _ in 0..2 {
        assert!(matches!(client.create_device(&device(DEV_EUI)).await, Err(Error::Internal { .. })));
    }
    client.create_device(&device(DEV_EUI)).await.unwrap();
}
