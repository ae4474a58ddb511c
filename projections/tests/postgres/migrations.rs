//! Databases of versions before this one.

use crate::fleet::World;

/// SHA-384 of the text that migration 49 had when it made `rollback_code`, too.
const FORMER_49: &str =
    "fe881f985d4a188674411b2efe57c52a5e27fb94a23c16030770a764b2d9204aa1ffa49d9b4940daf15c0bfabde567c3";

/// Makes the database look as if migration 49 had run with a text of this checksum, and migration 54 had not run.
async fn set_back(admin: &sqlx::PgPool, checksum: &str) {
    sqlx::query("UPDATE _sqlx_migrations SET checksum = decode($1, 'hex') WHERE version = 49")
        .bind(checksum)
        .execute(admin)
        .await
        .unwrap();
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 54").execute(admin).await.unwrap();
}

#[tokio::test]
async fn a_database_where_a_former_text_has_run_is_brought_up_to_date() {
    let world = World::start().await;
    let admin = world.admin().await;
    set_back(&admin, FORMER_49).await;
    world.db.migrate().await.unwrap();
    let column = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'rollout_members' AND column_name = 'rollback_code'";
    assert_eq!(sqlx::query_scalar::<_, i64>(column).fetch_one(&admin).await.unwrap(), 1);
}

#[tokio::test]
async fn a_database_where_an_unknown_text_has_run_is_refused() {
    let world = World::start().await;
    let admin = world.admin().await;
    set_back(&admin, &"ab".repeat(48)).await;
    let refusal = world.db.migrate().await.unwrap_err().to_string();
    assert!(refusal.contains("49"), "{refusal}");
}
