//! An event that concerns all members of a campaign changes them in several transactions.

use domain::campaign::{Adjustments, Campaign, CampaignCommand, CampaignSpec};
use domain::values::Percent;
use projections::{ProjectionState, Projections};
use runtime::lifecycle::Tasks;
use sqlx::Executor as _;

use crate::campaigns::fleet;
use crate::fleet::World;
use crate::trouble::comes_to;
use crate::until::PATIENCE;

/// More than one page of members.
const DEVICES: usize = 2_450;
const PAGE: i64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_sweep_goes_on_after_its_last_page() {
    let world = World::start().await;
    fleet(&world, DEVICES).await;
    let firmware = world.firmware("2.0.0").await;
    let one_percent = |spec: &mut CampaignSpec| spec.rollout_percentage = Percent::new(1).unwrap();
    let id = world.campaign(&firmware, one_percent).await;
    world.tick().await;
    let admin = world.admin().await;
    let enrolled = async || -> i64 {
        let sql = "SELECT count(*) FROM rollout_members m JOIN rollout_campaigns c USING (tenant, campaign_id, plan)
                   WHERE m.excluded IS NULL";
        sqlx::query_scalar(sql).fetch_one(&admin).await.unwrap()
    };
    let sampled = enrolled().await;
    // PostgreSQL is short of something when the second page is written.
    admin
        .execute(
            "CREATE TABLE pages (after text);
             CREATE TABLE trouble AS SELECT true AS lasts;
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN
                 IF OLD.sweep IS NOT NULL AND EXISTS (SELECT FROM public.trouble) THEN
                     RAISE EXCEPTION 'no memory' USING ERRCODE = '53200';
                 END IF;
                 INSERT INTO public.pages VALUES (NEW.sweep -> 'place' ->> 'after');
                 RETURN NEW;
             END $$;
             CREATE TRIGGER note BEFORE UPDATE OF sweep ON projection_checkpoints FOR EACH ROW
             WHEN (NEW.sweep IS NOT NULL) EXECUTE FUNCTION note()",
        )
        .await
        .unwrap();
    let changes = Adjustments { rollout_percentage: Some(Percent::ALL), ..Adjustments::default() };
    world.tell::<Campaign>(&id, CampaignCommand::Adjust { changes: Box::new(changes) }).await.unwrap();
    comes_to(&world.projections, projections::FLEET, ProjectionState::Unavailable).await;
    assert_eq!(enrolled().await, sampled + PAGE, "the first page is kept");
    let percentage: String = sqlx::query_scalar("SELECT spec ->> 'rollout_percentage' FROM rollout_campaigns")
        .fetch_one(&admin)
        .await
        .unwrap();
    assert_eq!(percentage, "1", "the campaign changes after its members");
    assert!(world.tasks.shutdown(PATIENCE).await);

    admin.execute("DELETE FROM trouble").await.unwrap();
    let again = Tasks::new();
    let projections = Projections::start(world.db.clone(), world.log.clone(), None, &again);
    projections.wait_for(&[projections::FLEET], world.head().await, PATIENCE).await.unwrap();
    let pages: Vec<Option<String>> = sqlx::query_scalar("SELECT after FROM pages").fetch_all(&admin).await.unwrap();
    assert!(pages.len() == 3 && pages[0] < pages[1] && pages[2].is_none(), "each page once: {pages:?}");
    assert_eq!(enrolled().await, DEVICES as i64);
    let differences = projections::compare(&world.db, world.log.clone()).await.unwrap();
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(again.shutdown(PATIENCE).await);
}
