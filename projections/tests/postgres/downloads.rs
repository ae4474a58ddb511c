//! Counters of downloads: each flush counts once, and a tenant sees only its own.

use domain::{CampaignId, FirmwareId, TenantId};
use projections::downloads::{Counted, Downloads, Flush, add, of_campaign, of_firmware};
use runtime::clock;

use crate::fleet::World;

fn counted(tenant: &TenantId, firmware: FirmwareId, campaign: Option<CampaignId>, started: u64) -> Counted {
    let downloads = Downloads { started, completed: started - 1, bytes: 100 * started };
    Counted { tenant: tenant.clone(), firmware, campaign, device: None, downloads }
}

fn new_ids() -> (FirmwareId, CampaignId, CampaignId) {
    (FirmwareId(clock::new_id()), CampaignId(clock::new_id()), CampaignId(clock::new_id()))
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_add_up_by_firmware_and_by_campaign() {
    let world = World::start().await;
    world.projections.started().await;
    let (firmware, first, second) = new_ids();
    let other = TenantId::new("other").unwrap();
    let batch = [
        counted(&world.tenant, firmware, Some(first), 2),
        counted(&world.tenant, firmware, Some(second), 3),
        counted(&world.tenant, firmware, None, 4),
        counted(&other, firmware, Some(first), 50),
    ];
    let writer = clock::new_id();
    for number in [1, 2] {
        add(&world.db, Flush { writer, number }, &batch).await.unwrap();
    }
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let of = of_firmware(&mut tx, &firmware).await.unwrap();
    assert_eq!(of, Downloads { started: 18, completed: 12, bytes: 1_800 });
    let of = of_campaign(&mut tx, &first).await.unwrap();
    assert_eq!(of, Downloads { started: 4, completed: 2, bytes: 400 });
    assert_eq!(of_campaign(&mut tx, &CampaignId(clock::new_id())).await.unwrap(), Downloads::default());
    drop(tx);
    // Counters are no read model: they are neither rebuilt nor compared.
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_is_sent_again_counts_once() {
    let world = World::start().await;
    world.projections.started().await;
    let (firmware, _, _) = new_ids();
    let batch = [counted(&world.tenant, firmware, None, 1)];
    let (one, another) = (clock::new_id(), clock::new_id());
    for (writer, number) in [(one, 1), (one, 1), (another, 1), (one, 2), (one, 2), (one, 1), (another, 1)] {
        add(&world.db, Flush { writer, number }, &batch).await.unwrap();
    }
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    assert_eq!(of_firmware(&mut tx, &firmware).await.unwrap().started, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_add_to_the_same_rows_do_not_block_each_other() {
    let world = World::start().await;
    world.projections.started().await;
    let firmware: Vec<FirmwareId> = (0..50).map(|_| FirmwareId(clock::new_id())).collect();
    let mut rows: Vec<Counted> = firmware.iter().map(|id| counted(&world.tenant, *id, None, 1)).collect();
    let writers = (0..8).map(|_| {
        rows.rotate_left(7);
        let (db, rows, writer) = (world.db.clone(), rows.clone(), clock::new_id());
        async move {
            for number in 1..=5 {
                add(&db, Flush { writer, number }, &rows).await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    for id in &firmware {
        assert_eq!(of_firmware(&mut tx, id).await.unwrap().started, 40);
    }
}
