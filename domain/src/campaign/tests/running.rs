//! Changes of a running campaign, and retries.

use std::collections::BTreeMap;

use super::*;
use crate::change::Change;
use crate::device::Exclusion;

#[test]
fn a_running_campaign_takes_new_values_and_checks_them() {
    let running = way_to(S::Running);
    assert_eq!(
        answer(&running, adjust(|changes| changes.max_concurrent_updates = Some(50))),
        "=",
        "an unchanged value"
    );
    assert_eq!(answer(&running, adjust(|changes| changes.max_concurrent_updates = Some(0))), "!invalid");
    assert_eq!(answer(&running, adjust(|changes| changes.ends_at = Change::Set(DateTime::UNIX_EPOCH))), "!invalid");
    let odd = "+10000-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(answer(&running, adjust(|changes| changes.ends_at = Change::Set(odd))), "!invalid");
    assert!(CampaignSpec { ends_at: Some(odd), ..spec(&[100]) }.check(DateTime::UNIX_EPOCH).is_err());
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
fn a_retry_continues_an_ended_campaign_with_a_new_end() {
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

#[test]
fn an_end_in_the_past_is_refused_by_every_command() {
    let ends_at = DateTime::UNIX_EPOCH;
    let over = CampaignSpec { ends_at: Some(ends_at), ..spec(&[10, 100]) };
    assert_eq!(answer(&[], C::Create { id: campaign_id(), spec: Box::new(over.clone()) }), "!invalid");
    assert_eq!(answer(&way_to(S::Draft), C::Amend { spec: Box::new(over.clone()), by: person(2).into() }), "!invalid");
    let set = adjust(|changes| changes.ends_at = Change::Set(ends_at));
    assert_eq!(answer(&way_to(S::Running), set), "!invalid");
    let mut draft = Campaign::default();
    draft.apply(&CampaignEvent::Created { id: campaign_id(), spec: Box::new(over.clone()) });
    let again = C::Create { id: campaign_id(), spec: Box::new(over) };
    assert_eq!(draft.decide(DateTime::UNIX_EPOCH, &again), Ok(vec![]), "it was created in time");
    assert_eq!(draft.decide(DateTime::UNIX_EPOCH, &start()), Err(Rejection::CampaignOver { ends_at }));
}

#[test]
fn a_campaign_that_started_early_may_end_before_its_scheduled_start() {
    let way = vec![create_with(|spec| spec.scheduled_start = Some(start_time())), start(), start_now(), record_plan()];
    let sooner = start_time() - TimeDelta::minutes(1);
    assert_eq!(answer(&way, adjust(|changes| changes.ends_at = Change::Set(sooner))), "adjusted");
    assert_eq!(answer(&way, adjust(|changes| changes.max_concurrent_updates = Some(0))), "!invalid");
}

#[test]
fn a_started_campaign_says_when_it_ends() {
    let month = DateTime::UNIX_EPOCH + TimeDelta::days(ENDS_AFTER_DAYS);
    assert_eq!(folded(&way_to(S::Draft)).ends_at, None);
    assert_eq!(folded(&way_to(S::Planning)).ends_at, Some(month));
    let later = month + TimeDelta::days(1);
    let moved = [way_to(S::Running), vec![adjust(|changes| changes.ends_at = Change::Set(later))]].concat();
    assert_eq!(folded(&moved).ends_at, Some(later));
    assert_eq!(answer(&moved, adjust(|changes| changes.ends_at = Change::Clear)), "!invalid", "it has to end");
}

#[test]
fn a_newer_rule_does_not_block_changes_of_an_older_campaign() {
    let mut older = spec(&[10, 100]);
    older.target_filters.device_type = Some(String::new());
    let mut running = folded(&way_to(S::Running));
    running.spec = Some(older);
    let slower = adjust(|changes| changes.rate_per_minute = Change::Set(9));
    assert_eq!(running.decide(DateTime::UNIX_EPOCH, &slower).unwrap().len(), 1);
}

#[test]
fn a_campaign_without_devices_ends_with_its_plan() {
    let nobody = C::RecordPlan { summary: Box::new(summary(&[0, 0])) };
    let mut way = way_to(S::Planning);
    assert_eq!(answer(&way, nobody.clone()), "planned started finished");
    way.push(nobody);
    assert_eq!(folded(&way).status, S::Completed);
}

fn refusal(past: &[C], command: &C) -> String {
    folded(past).decide(DateTime::UNIX_EPOCH, command).unwrap_err().to_string()
}

#[test]
fn the_rejection_of_an_early_wave_names_the_reason() {
    let mut soaks = spec(&[10, 100]);
    soaks.soak_minutes = 30;
    let running = vec![C::Create { id: campaign_id(), spec: Box::new(soaks) }, start(), record_plan()];
    assert_eq!(refusal(&running, &open(2)), "the gate of wave 1 is undecided: its devices are still updating");
    let soaking = [running, vec![pass(1)]].concat();
    assert_eq!(refusal(&soaking, &open(2)), "wave 1 is soaking: 30 minutes after its gate passed");
    assert_eq!(refusal(&soaking, &open(3)), "there is no wave 3: the campaign has 2 waves");
}

#[test]
fn force_opens_the_next_wave_early_but_never_past_a_closed_gate() {
    let force = |wave| C::OpenWave { wave, force: true };
    let forced = |past: &[C]| folded(past).decide(DateTime::UNIX_EPOCH, &force(2));
    let opened = |forced| Ok(vec![CampaignEvent::WaveOpened { wave: 2, manual: true, forced }]);
    let running = way_to(S::Running);
    assert_eq!(forced(&running), opened(true), "its gate is undecided");
    let soaking = [running.clone(), vec![pass(1)]].concat();
    assert_eq!(forced(&soaking), opened(true), "it soaks");
    assert_eq!(forced(&at_manual_gate(S::Running)), opened(false), "the wave is due");
    assert_eq!(answer(&running, force(3)), "!wave_not_due");
    let closed = [running, vec![close_gate()]].concat();
    assert_eq!(answer(&closed, force(2)), "!illegal_in_state");
    assert_eq!(forced(&[closed, vec![resume(true)]].concat()), opened(true), "the failures are accepted");
    let second = folded(&[soaking, vec![force(2)]].concat());
    assert_eq!((second.wave, second.soaking, second.wave_completed), (2, false, false));
}

#[test]
fn a_gate_is_closed_until_its_failures_are_accepted() {
    let closed = [way_to(S::Running), vec![close_gate()]].concat();
    assert!(folded(&closed).closed_gate().is_some());
    let accepted = folded(&[closed.clone(), vec![resume(true)]].concat());
    assert!(accepted.closed_gate().is_none() && accepted.last_gate.is_some() && accepted.gate_accepted);
    let ended = folded(&[closed, vec![finish(CampaignResult::CompletedWithFailures)]].concat());
    assert!(ended.closed_gate().is_none() && ended.last_gate.is_some() && !ended.gate_accepted);
}
