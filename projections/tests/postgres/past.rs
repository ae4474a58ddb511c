//! Which devices and campaigns a list of an earlier time may have, against what was told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::TenantId;
use domain::device::{Device, DeviceCommand, Presence, Profile};
use projections::past::{Candidates, devices_known_at, devices_with, versions_at};

use crate::fleet::{World, device};

/// Fewer than a version has devices.
const PAGE: usize = 2;
/// More pages than any list here has.
const PAGES_MAX: usize = 40;

/// What each device ran from a minute on.
type Told = Vec<(usize, i64, &'static str)>;

fn start() -> DateTime<Utc> {
    "2029-01-31T23:58:10Z".parse().unwrap()
}

/// Ten devices: all run 1, later 2; every third goes back to 1, and some say something else in between.
async fn told(world: &World) -> Told {
    let mut told = Told::new();
    for n in 0..10 {
        let minutes = n as i64 * 2;
        told.push((n, minutes, "1"));
        if n % 4 == 1 {
            told.push((n, minutes + 2, "odd"));
        }
        told.push((n, minutes + 5, "2"));
        if n % 3 == 0 {
            told.push((n, minutes + 9, "1"));
        }
    }
    for (n, minutes, version) in &told {
        let (id, at) = (device(&format!("d-{n}")), start() + TimeDelta::minutes(*minutes));
        let versions = BTreeMap::from([("firmware".to_owned(), (*version).to_owned())]);
        let is_new = *minutes == *n as i64 * 2;
        let command = match is_new {
            true => DeviceCommand::Register { profile: Profile::default(), versions },
            false => {
                let boot_id = Some(format!("b-{minutes}"));
                Presence { boot_id, versions, ..Presence::default() }.into()
            }
        };
        world.tell_at::<Device>(at, &id, command).await;
    }
    told
}

/// What each device ran at a minute.
fn ran(told: &Told, minutes: i64) -> BTreeMap<String, &'static str> {
    let before = told.iter().filter(|(_, at, _)| *at <= minutes);
    before.map(|(n, _, version)| (format!("d-{n}"), *version)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_that_ran_a_version_at_a_time_are_found_page_by_page() {
    let world = World::start().await;
    let told = told(&world).await;
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    for minutes in -1..=30 {
        let at = start() + TimeDelta::minutes(minutes);
        let ran = ran(&told, minutes);
        let all: BTreeSet<&str> = ran.values().copied().collect();
        let known: BTreeSet<String> = versions_at(&mut tx, at, |_| true).await.unwrap().into_iter().collect();
        assert!(all.iter().all(|version| known.contains(*version)), "{known:?} at {minutes}");
        for wanted in [vec!["1"], vec!["2"], vec!["1", "odd"], vec!["1", "2", "odd"], vec!["3"]] {
            let expected: Vec<&String> =
                ran.iter().filter(|(_, version)| wanted.contains(version)).map(|(id, _)| id).collect();
            let versions: Vec<String> = wanted.iter().map(|version| (*version).to_owned()).collect();
            let (mut found, mut after) = (Vec::new(), None::<String>);
            for pages in 0.. {
                assert!(pages < PAGES_MAX, "pages without end: {found:?}");
                let Candidates { ids, next } =
                    devices_with(&mut tx, &versions, at, after.as_deref(), PAGE).await.unwrap();
                assert!(ids.len() <= PAGE);
                found.extend(ids);
                after = next.map(|keys| keys[0].clone());
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{wanted:?} at {minutes}");
        }
        let registered = devices_known_at(&mut tx, at, &[], None, None, 100).await.unwrap();
        assert_eq!((registered.ids, registered.next), (ran.keys().cloned().collect(), None), "at {minutes}");
    }
    let begins = devices_known_at(&mut tx, start() + TimeDelta::hours(1), &[], Some("D-1"), None, 100).await.unwrap();
    assert_eq!(begins.ids, ["d-1"]);
    let named = ["d-3".to_owned(), "d-9".to_owned(), "none".to_owned()];
    let named = devices_known_at(&mut tx, start() + TimeDelta::minutes(6), &named, None, None, 100).await.unwrap();
    assert_eq!(named.ids, ["d-3"], "d-9 came later");
    drop(tx);
    let mut tx = world.db.read(&TenantId::new("other").unwrap()).await.unwrap();
    let nothing = devices_with(&mut tx, &["1".to_owned()], start() + TimeDelta::hours(1), None, PAGE).await.unwrap();
    assert_eq!(nothing, Candidates::default());
}
