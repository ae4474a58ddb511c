//! Outside development the passwords of nats.conf, which everybody knows, are refused.

use std::time::{Duration, Instant};

use mqtt_bridge::callout::Issuer;
use waybill::stack::{NatsOptions, Passwords, Process, Spawner, Stack, Tools, free_port};

use crate::directory::Directory;
use crate::world::{PATIENCE, waybill_binary};

const POLL: Duration = Duration::from_millis(50);

/// What a serving process says until it ends by itself or is ready.
async fn outcome(stack: &Stack, directory: &Directory, number: usize) -> Result<(), String> {
    let http = format!("127.0.0.1:{}", free_port().unwrap());
    let nats = &stack.nats;
    let args = [
        "serve",
        "--http-listen",
        &http,
        "--nats-url",
        &nats.waybill_url(),
        "--nats-devices-url",
        &nats.devices_url(),
        "--nats-auth-url",
        &nats.auth_url(),
        "--nats-system-url",
        &nats.system_url(),
        "--nats-issuer-seed",
        nats.issuer_seed(),
        "--mqtt-url",
        &nats.mqtt_url(),
        "--database-url",
        &stack.postgres.url(),
        "--data-dir",
        &directory.path().display().to_string(),
    ];
    let log = directory.path().join(format!("waybill-{number}.log"));
    let args = args.map(str::to_owned);
    let mut process = Process::run("waybill", &Spawner::start(), &waybill_binary(), &args, &log).unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let ready = format!("http://{http}/health/ready");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if process.ended().is_some() {
            return Err(said());
        }
        if reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success()) {
            process.terminate().await;
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{}", said());
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_nats_conf_are_refused_one_after_the_other() {
    let own = || format!("own-{}", Issuer::generate_seed().to_lowercase());
    let mut passwords = Passwords::default();
    let directory = Directory::new();
    let tools = Tools::locate().unwrap();
    type Change = fn(&mut Passwords, String);
    let changes: [(&str, Change); 7] = [
        ("WAYBILL_NATS_URL has the password of user waybill", |all, own| all.waybill = own),
        ("WAYBILL_NATS_DEVICES_URL has the password of user bridge", |all, own| all.bridge = own),
        ("WAYBILL_NATS_AUTH_URL has the password of user auth", |all, own| all.auth = own),
        ("WAYBILL_NATS_SYSTEM_URL has the password of user sys", |all, own| all.sys = own),
        ("nats-server lets in user admin with the password", |all, own| all.admin = own),
        ("nats-server lets in user analyst with the password", |all, own| all.analyst = own),
        ("nats-server lets in user waybill-api with the password", |all, own| {
            all.of_roles.values_mut().for_each(|password| password.clone_from(&own));
        }),
    ];
    for (number, (wanted, change)) in changes.into_iter().enumerate() {
        let options = NatsOptions { passwords: passwords.clone(), ..NatsOptions::default() };
        let mut stack = Stack::start(&tools, directory.path(), options).await.unwrap();
        let said = outcome(&stack, &directory, number).await.unwrap_err();
        assert!(said.contains(wanted) && said.contains("everybody knows"), "{wanted}: {said}");
        stack.stop().await;
        drop(stack);
        change(&mut passwords, own());
    }
    let options = NatsOptions { passwords, ..NatsOptions::default() };
    let stack = Stack::start(&tools, directory.path(), options).await.unwrap();
    assert_eq!(outcome(&stack, &directory, usize::MAX).await, Ok(()));
}
