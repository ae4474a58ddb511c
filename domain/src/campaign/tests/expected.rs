//! Starts that name the plan that they expect.

use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::start::{at, needs_approval, outcomes};
use super::*;
use crate::plan::{ExpectedPlan, OnDrift};

/// The hash of [`summary`], and another one.
const SAME: &str = "00";
const OTHER: &str = "11";

fn naming(plan_hash: &str, on_drift: OnDrift) -> Option<Box<ExpectedPlan>> {
    Some(Box::new(ExpectedPlan { plan_hash: plan_hash.into(), on_drift, previewed: None }))
}

fn start_expecting(plan_hash: &str) -> C {
    let expected = naming(plan_hash, OnDrift::Refuse);
    C::Start { plan: Uuid::from_u128(6), firmware: Box::new(facts()), expected }
}

fn start_now_expecting(plan_hash: &str, on_drift: OnDrift) -> C {
    C::StartNow { plan: Uuid::from_u128(6), firmware: Box::new(facts()), expected: naming(plan_hash, on_drift) }
}

fn refuse_plan() -> C {
    C::RefusePlan { summary: Box::new(summary(&[1, 9])) }
}

/// The way to a status of a campaign whose start named another plan, while it is planned.
pub(super) fn way_to(status: S) -> Vec<C> {
    match status {
        S::Planning => vec![create(), start_expecting(OTHER)],
        _ => super::way_to(status),
    }
}

#[test]
fn a_plan_other_than_the_expected_one_is_refused_and_the_campaign_is_a_draft_again() {
    let other = vec![create(), start_expecting(OTHER)];
    assert_eq!(answer(&other, record_plan()), "!plan_mismatch");
    assert_eq!(answer(&other, refuse_plan()), "plan_refused");
    let way = [other, vec![refuse_plan()]].concat();
    let draft = folded(&way);
    assert_eq!((draft.status, draft.plan, draft.ends_at, &draft.firmware), (S::Draft, None, None, &None));
    assert_eq!((draft.refused_plan.as_deref(), &draft.expected), (Some(&summary(&[1, 9])), &None));
    assert_eq!(answer(&way, record_plan()), "!plan_mismatch", "a late planner");
    assert_eq!(answer(&way, refuse_plan()), "!plan_mismatch", "a late planner");
    let again = [way.clone(), vec![start()]].concat();
    assert_eq!(answer(&again, record_plan()), "planned started wave_opened", "a refused plan is not expected any more");
    assert_eq!(folded(&again).refused_plan, None);
    let amended = folded(&[way, vec![C::Amend { spec: Box::new(spec(&[100])), by: person(2).into() }]].concat());
    assert_eq!((amended.status, amended.refused_plan), (S::Draft, None));
}

#[test]
fn the_expected_plan_begins_and_so_does_another_one_that_may_proceed() {
    let same = vec![create(), start_expecting(SAME)];
    assert_eq!(answer(&same, refuse_plan()), "!plan_mismatch");
    assert_eq!(answer(&same, record_plan()), "planned started wave_opened");
    assert_eq!(folded(&[same, vec![record_plan()]].concat()).expected, None, "it has its plan");
    let proceeds = vec![create(), start_now_expecting(OTHER, OnDrift::Proceed)];
    assert_eq!(answer(&proceeds, refuse_plan()), "!plan_mismatch");
    assert_eq!(answer(&proceeds, record_plan()), "planned started wave_opened");
}

#[test]
fn a_start_while_planning_cannot_expect_another_plan() {
    let planning = vec![create(), start_expecting(OTHER)];
    assert_eq!(answer(&planning, start_expecting(OTHER)), "=");
    assert_eq!(answer(&planning, start()), "=");
    assert_eq!(answer(&planning, start_expecting(SAME)), "!illegal_in_state");
    let paused = [planning, vec![pause()]].concat();
    assert_eq!(answer(&paused, refuse_plan()), "!plan_mismatch", "a paused campaign is planned after its pause");
    assert_eq!(answer(&[paused, vec![resume(false)]].concat(), refuse_plan()), "plan_refused");
}

#[test]
fn a_scheduled_start_expects_its_plan_when_it_is_due() {
    let scheduled = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(60));
    let way = [(0, create_with(scheduled)), (1, start_expecting(OTHER))];
    let then = |more: &[(i64, C)]| {
        let (decided, campaign) = outcomes(&[&way[..], more].concat());
        (decided[2..].join(" "), campaign)
    };
    let (decided, campaign) = then(&[(60, start()), (60, record_plan()), (60, refuse_plan()), (61, start())]);
    assert_eq!(decided, "planning_started !plan_mismatch plan_refused !scheduled_start_passed");
    assert_eq!(campaign.status, S::Draft, "it doesn't start again by itself");
    let (decided, campaign) =
        then(&[(2, start_now_expecting(OTHER, OnDrift::Refuse)), (2, refuse_plan()), (60, start())]);
    assert_eq!(decided, "planning_started plan_refused !scheduled_start_passed");
    assert_eq!(campaign.status, S::Draft, "it isn't scheduled any more, since it would start with any plan");
    let (decided, _) = then(&[(2, start()), (2, start_expecting(OTHER)), (3, start_expecting(SAME)), (60, start())]);
    assert_eq!(decided, "= = scheduled planning_started", "the latest named plan counts");
    let (decided, _) = then(&[(3, start_expecting(SAME)), (60, start()), (60, record_plan())]);
    assert_eq!(decided, "scheduled planning_started planned+started+wave_opened");
    let (decided, _) = then(&[(2, pause()), (3, resume(false)), (60, start()), (60, record_plan())]);
    assert_eq!(decided, "paused resumed planning_started !plan_mismatch", "a pause keeps it");
    let later = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(90));
    let mut moved = spec(&[10, 100]);
    later(&mut moved);
    let (decided, campaign) = then(&[(2, C::Amend { spec: Box::new(moved), by: person(2).into() })]);
    assert_eq!((decided.as_str(), campaign.status, campaign.expected), ("amended", S::Draft, None), "an edit voids it");
}

#[test]
fn the_plan_of_a_start_that_asks_for_an_approval_is_expected_after_the_approval() {
    let way = [(0, create_with(needs_approval)), (0, start_expecting(OTHER))];
    let then = |more: &[(i64, C)]| {
        let (decided, campaign) = outcomes(&[&way[..], more].concat());
        (decided[2..].join(" "), campaign)
    };
    let (decided, campaign) = then(&[(1, approve()), (2, start()), (2, record_plan()), (2, refuse_plan())]);
    assert_eq!(decided, "approved planning_started !plan_mismatch plan_refused");
    assert_eq!((campaign.status, campaign.decision.is_some()), (S::Approved, true), "the approval stands");
    let (decided, _) = then(&[(1, start()), (1, start_expecting(OTHER)), (1, start_expecting(SAME)), (2, approve())]);
    assert_eq!(decided, "= = approval_requested approved");
    let (decided, _) = then(&[(1, approve()), (2, start_expecting(SAME)), (2, record_plan())]);
    assert_eq!(decided, "approved planning_started planned+started+wave_opened");
    let both = |spec: &mut CampaignSpec| (spec.requires_approval, spec.scheduled_start) = (true, Some(at(60)));
    let way = [(0, create_with(both)), (0, start_expecting(OTHER)), (1, approve()), (60, start()), (60, refuse_plan())];
    let (decided, campaign) = outcomes(&way);
    assert_eq!(decided[2..], ["approved+scheduled", "planning_started", "plan_refused"]);
    assert_eq!(campaign.status, S::Approved);
}

/// Edits, decisions, starts with and without a plan, plans, pauses.
fn any_command() -> impl Generator<Value = C> {
    let both = |spec: &mut CampaignSpec| (spec.requires_approval, spec.scheduled_start) = (true, Some(at(60)));
    let changes: [fn(&mut CampaignSpec); 4] =
        [|_| {}, needs_approval, |spec| spec.scheduled_start = Some(at(60)), both];
    let hashes = || prop_oneof![Just(SAME), Just(OTHER)];
    let on_drift = prop_oneof![Just(OnDrift::Refuse), Just(OnDrift::Proceed)];
    prop_oneof![
        2 => (0..4_usize).prop_map(move |number| create_with(changes[number])),
        2 => (0..4_usize, 1..4_u32).prop_map(move |(number, soak_minutes)| {
            let mut spec = spec(&[10, 100]);
            changes[number](&mut spec);
            C::Amend { spec: Box::new(CampaignSpec { soak_minutes, ..spec }), by: person(2).into() }
        }),
        3 => hashes().prop_map(start_expecting),
        2 => (hashes(), on_drift).prop_map(|(hash, on_drift)| start_now_expecting(hash, on_drift)),
        3 => Just(start()),
        3 => Just(approve()),
        1 => Just(reject()),
        2 => Just(record_plan()),
        3 => Just(refuse_plan()),
        1 => Just(pause()),
        1 => Just(resume(false)),
    ]
}

fn named(command: &C) -> Option<&str> {
    match command {
        C::Start { expected, .. } | C::StartNow { expected, .. } => {
            expected.as_ref().map(|expected| expected.plan_hash.as_str())
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases(256)))]

    /// The plan that the latest accepted start named stands until it is planned or edited; a plan that it refuses never begins, and then the
    /// campaign waits for an operator.
    #[test]
    fn the_latest_named_plan_stands_until_its_plan_or_an_edit(
        commands in proptest::collection::vec((0..30_i64, any_command()), 1..40),
    ) {
        let (mut campaign, mut standing, mut minute) = (Campaign::default(), None::<String>, 0);
        for (wait, command) in commands {
            minute += wait;
            let Ok(events) = campaign.decide(at(minute), &command) else { continue };
            if let Some(hash) = named(&command) {
                standing = Some(hash.to_owned());
            }
            for event in &events {
                match event {
                    CampaignEvent::Planned { summary } => {
                        prop_assert!(campaign.expected.iter().all(|expected| !expected.refuses(&summary.plan_hash)));
                        standing = None;
                    }
                    CampaignEvent::Amended { .. } => standing = None,
                    CampaignEvent::PlanRefused { returns_to, .. } => {
                        prop_assert!(returns_to.is_unstarted());
                        standing = None;
                    }
                    _ => {}
                }
                campaign.apply(event);
            }
            prop_assert_eq!(campaign.expected.as_ref().map(|expected| &expected.plan_hash), standing.as_ref());
            prop_assert!(campaign.refused_plan.is_none() || campaign.status.is_unstarted());
        }
    }
}
