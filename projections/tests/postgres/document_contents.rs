//! What stands in documents: it is found when it is missing, and comes back the same.

use documents::{Component, Content, Statement, VexStatus};
use domain::DocumentId;
use domain::firmware::{DocumentFormat, Firmware, FirmwareCommand, FirmwareDocument};
use domain::values::Sha256Digest;
use projections::document_contents::{forget, remove_stray, store, unread};
use projections::exposure::{ExposureQuery, report};
use runtime::clock;

use crate::fleet::World;

fn document(format: DocumentFormat) -> FirmwareDocument {
    let (id, sha256) = (DocumentId(clock::new_id()), Sha256Digest::of(format.word().as_bytes()));
    FirmwareDocument { id, format, size: 2, sha256, filename: None, product: None, key: None }
}

async fn rows(world: &World) -> (i64, i64, i64) {
    let count = "SELECT (SELECT count(*) FROM document_contents), (SELECT count(*) FROM document_components),
                   (SELECT count(*) FROM document_statements)";
    sqlx::query_as(count).fetch_one(&world.admin().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_are_missing_are_found_and_stored_again() {
    let world = World::start().await;
    world.register("d-1").await;
    let firmware = world.firmware("1.0.0").await;
    let (sbom, vex) = (document(DocumentFormat::CycloneDx16), document(DocumentFormat::OpenVex));
    for document in [&sbom, &vex] {
        let command = FirmwareCommand::AddDocument { document: Box::new(document.clone()), replaces: None };
        world.tell::<Firmware>(&firmware.firmware_id, command).await.unwrap();
    }
    world.settles().await;
    let found = unread(&world.db, 10).await.unwrap();
    assert_eq!((found.len(), found[0].sha256, found[0].firmware), (2, firmware.sha256, firmware.firmware_id));

    let package = || Some("pkg:generic/openssl".to_owned());
    let component = |n: usize| Component {
        package: if n == 0 { package() } else { None },
        name: format!("c{n}"),
        version: (n == 0).then(|| "3.0.6".to_owned()),
    };
    // More than one statement takes.
    let components = Content::Sbom((0..25_000).map(component).collect());
    let said = |status| Statement { vulnerability: "CVE-1".into(), status, justification: None, package: package() };
    let statements = Content::Vex(vec![said(VexStatus::Affected)]);
    let asked = |vulnerability: Option<&str>, version: &str| ExposureQuery {
        vulnerability: vulnerability.map(str::to_owned),
        package: package(),
        version: Some(version.to_owned()),
        at: clock::now(),
        in_service: true,
    };
    for _ in 0..2 {
        store(&world.db, &world.tenant, sbom.id, &components).await.unwrap();
        store(&world.db, &world.tenant, vex.id, &statements).await.unwrap();
        assert_eq!(rows(&world).await, (2, 25_000, 1));
        assert!(unread(&world.db, 10).await.unwrap().is_empty());
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let answer = report(&mut tx, &asked(None, "3.0.6")).await.unwrap();
        assert_eq!((answer.counts.affected, answer.unread_documents, answer.firmware[0].devices), (1, 0, 1));
        assert_eq!(report(&mut tx, &asked(None, "3.0.7")).await.unwrap().counts.not_affected, 1);
        assert_eq!(
            report(&mut tx, &asked(Some("CVE-1"), "3.0.7")).await.unwrap().counts.affected,
            1,
            "a VEX goes first"
        );
        drop(tx);
        forget(&world.db, &world.tenant, sbom.id).await.unwrap();
        assert_eq!(unread(&world.db, 10).await.unwrap()[0].document, sbom);
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let answer = report(&mut tx, &asked(None, "3.0.6")).await.unwrap();
        assert_eq!((answer.counts.unknown, answer.unread_documents), (1, 1), "nothing is claimed of what isn't read");
    }
    let command = FirmwareCommand::RemoveDocument { document: vex.id };
    world.tell::<Firmware>(&firmware.firmware_id, command).await.unwrap();
    world.settles().await;
    let admin = world.admin().await;
    sqlx::query("UPDATE document_contents SET read_at = read_at - interval '1 hour'").execute(&admin).await.unwrap();
    remove_stray(&world.db).await.unwrap();
    assert_eq!(rows(&world).await, (0, 0, 0));
    world.equals_a_replay().await;
}
