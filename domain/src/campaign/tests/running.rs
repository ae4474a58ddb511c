//! Changes of a campaign that is under way, and retries.

use std::collections::BTreeMap;

use super::*;
use crate::change::Change;
use crate::device::Exclusion;

#[test]
fn what_runs_takes_new_values_and_checks_them() {
    let running = way_to(S::Running);
    assert_eq!(answer(&running, adjust(|changes| changes.max_concurrent_updates = Some(50))), "=", "as it was");
    assert_eq!(answer(&running, adjust(|changes| changes.max_concurrent_updates = Some(0))), "!invalid");
    assert_eq!(answer(&running, adjust(|changes| changes.ends_at = Change::Set(DateTime::UNIX_EPOCH))), "!invalid");
    let odd = "+10000-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(answer(&running, adjust(|changes| changes.ends_at = Change::Set(odd))), "!invalid");
    assert!(CampaignSpec { ends_at: Some(odd), ..spec(&[100]) }.check().is_err());
    let commands = [running, vec![adjust(|changes| changes.rate_per_minute = Change::Set(9))]].concat();
    let campaign = folded(&commands);
    assert_eq!(campaign.spec.as_ref().unwrap().rate_per_minute, Some(9));
    let cleared = folded(&[commands, vec![adjust(|changes| changes.rate_per_minute = Change::Clear)]].concat());
    assert_eq!(cleared.spec.unwrap().rate_per_minute, None);
    let unplanned = [way_to(S::Planning), vec![pause()]].concat();
    assert_eq!(answer(&unplanned, adjust(|changes| changes.soak_minutes = Some(1))), "!illegal_in_state");
}

#[test]
fn a_sample_only_rises_and_new_devices_join_the_last_wave() {
    let mut sampled = spec(&[10, 100]);
    sampled.rollout_percentage = percent(25);
    let mut plan = summary(&[3, 22]);
    plan.excluded = BTreeMap::from([(Exclusion::NotSampled, 75), (Exclusion::Held, 2)]);
    let way = vec![
        C::Create { id: campaign_id(), spec: Box::new(sampled) },
        start(),
        C::RecordPlan { summary: Box::new(plan) },
    ];
    let to = |value: u8| adjust(move |changes| changes.rollout_percentage = Some(percent(value)));
    assert_eq!(answer(&way, to(24)), "!invalid");
    assert_eq!(answer(&way, to(25)), "=");
    let raised = folded(&[way.clone(), vec![to(50)]].concat()).summary.unwrap();
    assert_eq!((raised.devices, raised.waves), (50, vec![3, 47]));
    assert_eq!(raised.excluded, BTreeMap::from([(Exclusion::NotSampled, 50), (Exclusion::Held, 2)]));
    let all = folded(&[way, vec![to(50), to(100)]].concat()).summary.unwrap();
    assert_eq!((all.devices, all.excluded.get(&Exclusion::NotSampled)), (100, None));
}

#[test]
fn a_retry_takes_an_ended_campaign_up_again_with_a_new_end() {
    let running = folded(&[way_to(S::Running), vec![C::Retry]].concat());
    assert_eq!((running.status, running.retry_round, running.spec.unwrap().ends_at), (S::Running, 1, None));
    let ended = folded(&[way_to(S::CompletedWithFailures), vec![C::Retry]].concat());
    assert_eq!((ended.status, ended.retry_round), (S::Running, 1));
    let month = DateTime::UNIX_EPOCH + TimeDelta::days(ENDS_AFTER_DAYS);
    assert_eq!(ended.spec.unwrap().ends_at, Some(month));
    let unplanned = [way_to(S::Planning), vec![pause()]].concat();
    assert_eq!(answer(&unplanned, C::Retry), "!illegal_in_state");
}

#[test]
fn a_campaign_that_ends_while_it_is_paused_can_be_retried_if_it_had_a_plan() {
    let end = || finish(CampaignResult::CompletedWithFailures);
    let ended = folded(&[way_to(S::Running), vec![close_gate(), end()]].concat());
    assert_eq!((ended.status, ended.paused_by_gate), (S::CompletedWithFailures, false));
    assert_eq!(answer(&[way_to(S::Paused), vec![end()]].concat(), C::Retry), "retried");
    let unplanned = [way_to(S::Planning), vec![pause(), finish(CampaignResult::Failed)]].concat();
    assert_eq!(answer(&unplanned, C::Retry), "!illegal_in_state");
}
