//! Approval and scheduled start.

use super::*;

pub(super) fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

/// What commands lead to, each decided at its minute: `+` between the events, `=`, or `!` and the code of a rejection.
pub(super) fn outcomes(commands: &[(i64, C)]) -> (Vec<String>, Campaign) {
    let mut campaign = Campaign::default();
    let decided = commands.iter().map(|(minute, command)| match campaign.decide(at(*minute), command) {
        Ok(events) if events.is_empty() => "=".to_owned(),
        Ok(events) => {
            events.iter().for_each(|event| campaign.apply(event));
            let names = events.iter().map(|event| event.type_name().trim_start_matches("campaign."));
            names.collect::<Vec<_>>().join("+")
        }
        Err(rejection) => format!("!{}", rejection.code()),
    });
    (decided.collect(), campaign)
}

fn amend_with(by: u8, change: impl FnOnce(&mut CampaignSpec)) -> C {
    let mut spec = spec(&[10, 100]);
    change(&mut spec);
    C::Amend { spec: Box::new(spec), by: person(by).into() }
}

fn approve_by(number: u8) -> C {
    C::Approve { by: person(number), creator: person(1).into() }
}

fn reject_by(number: u8) -> C {
    C::Reject { by: person(number), creator: person(1).into() }
}

pub(super) fn needs_approval(spec: &mut CampaignSpec) {
    spec.requires_approval = true;
}

#[test]
fn neither_the_creator_nor_the_last_editor_decides() {
    let edited = |spec: &mut CampaignSpec| (spec.requires_approval, spec.soak_minutes) = (true, 5);
    let (decided, campaign) = outcomes(&[
        (0, create_with(needs_approval)),
        (0, amend_with(2, edited)),
        (0, start()),
        (0, approve_by(1)),
        (0, approve_by(2)),
        (0, reject_by(1)),
        (0, reject_by(2)),
        (0, approve_by(3)),
        (0, reject_by(2)),
        (0, start()),
    ]);
    let expected = ["created", "amended", "approval_requested", "!four_eyes", "!four_eyes", "!four_eyes", "!four_eyes"];
    assert_eq!(decided, [&expected[..], &["approved", "!four_eyes", "planning_started"]].concat());
    assert_eq!(campaign.decision, Some(Decision { approved: true, by: person(3) }));
}

#[test]
fn an_edit_voids_an_approval_and_a_refusal() {
    let edited = |spec: &mut CampaignSpec| (spec.requires_approval, spec.soak_minutes) = (true, 5);
    let again = |spec: &mut CampaignSpec| (spec.requires_approval, spec.soak_minutes) = (true, 6);
    let (decided, campaign) = outcomes(&[
        (0, create_with(needs_approval)),
        (0, start()),
        (0, approve_by(3)),
        (0, amend_with(3, edited)),
        (0, start()),
        (0, approve_by(3)),
        (0, amend_with(2, again)),
        (0, start()),
        (0, reject_by(3)),
        (0, start()),
    ]);
    let expected = ["created", "approval_requested", "approved", "amended", "approval_requested", "!four_eyes"];
    assert_eq!(decided, [&expected[..], &["amended", "approval_requested", "rejected", "approval_requested"]].concat());
    assert_eq!((campaign.status, campaign.decision), (S::AwaitingApproval, None));
}

#[test]
fn an_approval_can_be_given_up_only_before_it_is_asked_for() {
    let without = || amend_with(2, |spec| spec.soak_minutes = 5);
    let edited = |spec: &mut CampaignSpec| (spec.requires_approval, spec.soak_minutes) = (true, 6);
    let (decided, _) = outcomes(&[(0, create_with(needs_approval)), (0, without()), (0, start())]);
    assert_eq!(decided, ["created", "amended", "planning_started"]);
    let submitted = [(0, create_with(needs_approval)), (0, start())];
    for way in [vec![], vec![(0, amend_with(2, edited))], vec![(0, approve_by(3))], vec![(0, reject_by(3))]] {
        let (decided, _) = outcomes(&[&submitted[..], &way, &[(0, without())]].concat());
        assert_eq!(decided.last().unwrap(), "!invalid", "{decided:?}");
    }
}

#[test]
fn a_scheduled_campaign_starts_when_it_is_due_and_later_if_nobody_could() {
    let scheduled = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(60));
    let ways = [(59, "="), (60, "planning_started"), (600, "planning_started")];
    for (minute, outcome) in ways {
        let (decided, _) = outcomes(&[(0, create_with(scheduled)), (1, start()), (minute, start())]);
        assert_eq!(decided, ["created", "scheduled", outcome], "at minute {minute}");
    }
    let (decided, _) = outcomes(&[(0, create_with(scheduled)), (1, start()), (2, start_now())]);
    assert_eq!(decided[2], "planning_started", "an operator doesn't wait");
    let (decided, _) = outcomes(&[(0, create_with(scheduled)), (60, start()), (61, start_now())]);
    assert_eq!(decided[1..], ["!scheduled_start_passed", "planning_started"]);
}

#[test]
fn a_scheduled_campaign_can_be_moved_paused_and_cancelled() {
    let scheduled = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(60));
    let later = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(90));
    let way = [(0, create_with(scheduled)), (1, start())];
    let then = |more: &[(i64, C)]| {
        let (decided, campaign) = outcomes(&[&way[..], more].concat());
        (decided[2..].to_vec(), campaign.status)
    };
    let (decided, status) = then(&[(2, amend_with(2, later)), (60, start()), (90, start())]);
    assert_eq!(
        (decided, status),
        (vec!["amended+scheduled".into(), "=".into(), "planning_started".into()], S::Planning)
    );
    let (decided, status) = then(&[(2, amend_with(2, |_| {}))]);
    assert_eq!((decided, status), (vec!["amended".into()], S::Draft), "without a start it is a draft");
    let (decided, status) = then(&[(2, pause()), (70, start()), (80, resume(false)), (80, start())]);
    let expected = ["paused", "!illegal_in_state", "resumed", "planning_started"];
    assert_eq!((decided, status), (expected.map(String::from).to_vec(), S::Planning));
    for more in [vec![(2, C::Cancel)], vec![(2, pause()), (3, C::Cancel)]] {
        let (decided, status) = then(&more);
        assert_eq!((decided.last().unwrap().as_str(), status), ("cancelled", S::Cancelled), "nothing has begun");
    }
}

#[test]
fn a_scheduled_start_needs_its_approval_and_its_time() {
    let both = |spec: &mut CampaignSpec| (spec.requires_approval, spec.scheduled_start) = (true, Some(at(60)));
    let (decided, campaign) =
        outcomes(&[(0, create_with(both)), (0, start()), (60, start()), (60, start_now()), (70, approve_by(3))]);
    assert_eq!(decided, ["created", "approval_requested", "=", "=", "approved"]);
    assert_eq!(campaign.status, S::Approved, "its time has passed, so an operator starts it");
    let way = [(0, create_with(both)), (0, start()), (10, approve_by(3))];
    let (decided, campaign) = outcomes(&[&way[..], &[(20, start()), (20, start_now()), (60, start())]].concat());
    assert_eq!(decided[2..], ["approved+scheduled", "=", "!approved_for_later", "planning_started"]);
    assert!(campaign.decision.is_some());
    let moved = |spec: &mut CampaignSpec| (spec.requires_approval, spec.scheduled_start) = (true, Some(at(90)));
    let dropped = |spec: &mut CampaignSpec| spec.scheduled_start = Some(at(90));
    let (decided, campaign) = outcomes(&[&way[..], &[(20, amend_with(2, moved)), (60, approve_by(3))]].concat());
    assert_eq!(decided[3..], ["amended", "!illegal_in_state"]);
    assert_eq!((campaign.status, campaign.decision), (S::Draft, None));
    let (decided, campaign) = outcomes(&[&way[..], &[(20, amend_with(2, dropped)), (59, start())]].concat());
    assert_eq!(decided[3..], ["!invalid", "="], "an approval that was asked for stays required");
    assert_eq!(campaign.status, S::Scheduled);
    let (decided, _) = outcomes(&[(0, create_with(both)), (60, start()), (60, start_now())]);
    assert_eq!(
        decided[1..],
        ["!scheduled_start_passed", "approval_requested"],
        "nobody approves a time that has passed"
    );
    let late = [&way[..2], &[(60, approve_by(3)), (61, start()), (61, start_now())]].concat();
    assert_eq!(outcomes(&late).0[2..], ["approved", "!scheduled_start_passed", "planning_started"]);
}

#[test]
fn fields_of_the_start_have_bounds() {
    let refused = |change: fn(&mut CampaignSpec)| {
        let (decided, _) = outcomes(&[(60, create_with(change))]);
        assert_eq!(decided, ["!invalid"]);
    };
    refused(|spec| spec.scheduled_start = Some(at(60)));
    refused(|spec| spec.scheduled_start = Some(at(61) + TimeDelta::days(SCHEDULED_AHEAD_MAX_DAYS)));
    refused(|spec| (spec.scheduled_start, spec.ends_at) = (Some(at(90)), Some(at(90))));
    refused(|spec| spec.strategy = Strategy::Scheduled);
    refused(|spec| spec.jitter_seconds = Some(0));
    refused(|spec| spec.jitter_seconds = Some(JITTER_MAX_SECONDS + 1));
    let (decided, _) =
        outcomes(&[(60, create_with(|spec| (spec.scheduled_start, spec.ends_at) = (Some(at(90)), Some(at(91)))))]);
    assert_eq!(decided, ["created"]);
}

#[test]
fn a_campaign_that_could_not_start_before_its_end_ends_as_failed() {
    let short = |spec: &mut CampaignSpec| (spec.scheduled_start, spec.ends_at) = (Some(at(60)), Some(at(70)));
    let way = [(0, create_with(short)), (0, start()), (70, start()), (70, finish(CampaignResult::Failed))];
    let (decided, campaign) = outcomes(&way);
    assert_eq!(decided[2..], ["!campaign_over", "finished"]);
    assert_eq!(campaign.status, S::Failed);
}
