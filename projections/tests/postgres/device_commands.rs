//! Commands beside updates: their rows, pages and clocks.

use chrono::{DateTime, TimeDelta, Utc};
use domain::Sealed;
use domain::device::{
    CommandReport, CommandReportStatus as R, CommandState as S, Device, DeviceCommand, OfflineCause, WantedCommand,
};
use projections::device_commands::{self, DeviceCommandFilter, DeviceCommandRow, DueCommand};
use projections::devices;
use projections::watermark::Watermark;
use runtime::clock;
use serde_json::{Map, json};

use crate::fleet::{World, device};

impl World {
    async fn run(&self, id: &str, name: &str, expires_in_s: u32) {
        let wanted = WantedCommand { name: name.to_owned(), params: Map::new(), expires_in_s };
        self.tell::<Device>(&device(id), DeviceCommand::RequestCommand { wanted }).await.unwrap();
    }

    async fn answers(&self, id: &str, n: u32, status: R) {
        let result = json!({"lines": 5}).as_object().cloned().filter(|_| status == R::Done).map(Sealed::Plain);
        let code = (status == R::Failed).then(|| "busy".to_owned());
        let message = Some(Sealed::Plain("said\0so".to_owned()));
        let report = CommandReport { n, status, code, message, result };
        self.tell::<Device>(&device(id), report.into()).await.unwrap();
    }

    async fn listed(&self, id: &str, filter: DeviceCommandFilter, limit: usize) -> Vec<DeviceCommandRow> {
        self.settles().await;
        let mut tx = self.db.read(&self.tenant).await.unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = device_commands::list(&mut tx, id, filter, after, limit, true).await.unwrap();
            found.extend(page.items);
            let Some(next) = page.next else {
                assert_eq!(page.total, Some(found.len() as u64));
                return found;
            };
            after = Some(next[0].parse().unwrap());
        }
    }

    async fn due(&self, now: DateTime<Utc>) -> Vec<(String, u32)> {
        let watermark = Watermark::read(&self.db).await.unwrap();
        let due = device_commands::due(&self.db, &watermark, now, 10).await.unwrap();
        due.into_iter().map(|DueCommand { device, n, .. }| (device.to_string(), n)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_listed_as_their_events_say() {
    let world = World::start().await;
    for id in ["d-1", "d-2"] {
        world.register(id).await;
    }
    world.boots("d-1", "b1", "1.0.0").await;
    for name in ["report", "collect_logs", "reboot", "x_own"] {
        world.run("d-1", name, 600).await;
    }
    world.run("d-2", "report", 60).await;
    world.answers("d-1", 1, R::Accepted).await;
    world.answers("d-1", 1, R::Done).await;
    world.answers("d-1", 2, R::Failed).await;
    world.answers("d-1", 1, R::Failed).await;
    world.answers("d-1", 3, R::Accepted).await;
    world.tell::<Device>(&device("d-1"), DeviceCommand::CancelCommand { n: 4 }).await.unwrap();

    let newest = world.listed("d-1", DeviceCommandFilter::default(), 2).await;
    assert_eq!(newest.iter().map(|row| row.n).collect::<Vec<_>>(), [4, 3, 2, 1]);
    let states: Vec<S> = newest.iter().map(|row| row.state).collect();
    assert_eq!(states, [S::Cancelled, S::Accepted, S::Failed, S::Done]);
    let oldest = DeviceCommandFilter { oldest_first: true, ..DeviceCommandFilter::default() };
    assert_eq!(world.listed("d-1", oldest, 3).await.iter().map(|row| row.n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let accepted = DeviceCommandFilter { state: Some(S::Accepted), ..DeviceCommandFilter::default() };
    assert_eq!(world.listed("d-1", accepted, 5).await.len(), 1);

    let [_, third, second, first] = &newest[..] else { panic!("{newest:?}") };
    assert_eq!((first.late_status, &first.name[..], first.due_at), (Some(R::Failed), "report", None));
    assert_eq!(serde_json::to_value(&first.result).unwrap(), json!({"lines": 5}));
    assert_eq!(first.message.as_deref(), Some("said\u{fffd}so"));
    assert!(first.sent_at.is_some() && first.accepted_at.is_some() && first.ended_at.is_some());
    assert_eq!((second.code.as_deref(), second.accepted_at), (Some("busy"), None));
    assert!(third.due_at.unwrap() > third.accepted_at.unwrap() && third.ended_at.is_none());
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_command_is_over_as_its_row_says() {
    let world = World::start().await;
    for id in ["d-1", "d-2"] {
        world.register(id).await;
    }
    world.boots("d-1", "b1", "1.0.0").await;
    world.run("d-1", "report", 60).await;
    world.run("d-1", "reboot", 600).await;
    world.run("d-2", "report", 60).await;
    world.settles().await;
    let later = |seconds: i64| clock::now() + TimeDelta::seconds(seconds);
    assert_eq!(world.due(later(50)).await, []);
    let mut due = world.due(later(70)).await;
    due.sort();
    assert_eq!(due, [("d-1".to_owned(), 1), ("d-2".to_owned(), 1)]);
    // Only a device with a command under way has one retained.
    let retained = devices::with_retained_command(&world.db, None, 10).await.unwrap();
    assert_eq!(retained, [(world.tenant.clone(), device("d-1"))]);
    let after = Some((&world.tenant, &device("d-1")));
    assert_eq!(devices::with_retained_command(&world.db, after, 10).await.unwrap(), []);

    // An accepted command has another time.
    world.answers("d-1", 1, R::Accepted).await;
    world.tell::<Device>(&device("d-1"), DeviceCommand::MarkOffline { cause: OfflineCause::Will }).await.unwrap();
    world.settles().await;
    assert_eq!(world.due(later(700)).await, [("d-2".to_owned(), 1), ("d-1".to_owned(), 2)]);
    assert_eq!(world.due(later(3_700)).await.len(), 3);
    world.equals_a_replay().await;
}
