//! The waits of a campaign are consistent with the decided steps.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::campaign::PauseCause;
use crate::window::Opening;

/// Devices of one wave by activity.
#[derive(Debug, Clone, Default)]
struct Devices {
    confirmed: u32,
    failed: u32,
    superseded: u32,
    working: u32,
    granted: u32,
    ready: u32,
    offline: u32,
}

impl Devices {
    fn counts(&self) -> Counts {
        let settled = settled(0, self.confirmed, self.failed);
        Counts {
            enrolled: self.confirmed
                + self.failed
                + self.superseded
                + self.working
                + self.granted
                + self.ready
                + self.offline,
            reached: settled.reached + self.working,
            in_use: self.working + self.granted,
            working: self.working,
            ready: self.ready,
            superseded: self.superseded,
            ..settled
        }
    }
}

fn devices() -> impl Strategy<Value = Devices> {
    (0..20u32, 0..3u32, 0..2u32, 0..4u32, 0..3u32, select(vec![0, 0, 3]), 0..6u32).prop_map(
        |(confirmed, failed, superseded, working, granted, ready, offline)| Devices {
            confirmed,
            failed,
            superseded,
            working,
            granted,
            ready,
            offline,
        },
    )
}

fn views() -> impl Strategy<Value = (RolloutView, i64)> {
    let times = (select(vec![None, Some(5)]), select(vec![None, Some(90)]), select(vec![None, Some(40), Some(70)]));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (devices(), devices(), 1..=2u16, flags, times, 1..8u32, 6..80i64).prop_map(
        |(first, second, wave, (completed, accepted, windowed), (soaking, ends, paced), slots, minutes)| {
            let mut view = running(first.counts(), second.counts());
            (view.wave, view.accepted) = (wave, accepted);
            view.soaking_since = soaking.map(at);
            view.wave_completed = completed && soaking.is_some();
            view.ends_at = ends.map(|ends| at(ends - 30));
            view.paced_until.mqtt = paced.map(at);
            (view.spec.rate_per_minute, view.spec.soak_minutes) = (Some(1), 30);
            view.spec.max_concurrent_updates = slots;
            if windowed {
                view.spec.maintenance_window = super::windows::windows("UTC");
                look_at_windows(&mut view, at(minutes));
            }
            (view, minutes)
        },
    )
}

/// Devices are ready, or wait for their window alone.
fn look_at_windows(view: &mut RolloutView, now: DateTime<Utc>) {
    let open = view.opening(now).is_open();
    for counts in &mut view.waves {
        let begin = counts.ready + counts.closed;
        (counts.ready, counts.closed) = if open { (begin, 0) } else { (0, begin) };
    }
}

/// The view and the time after an awaited event has come; none for an operator, who moves the campaign himself.
fn come(mut view: RolloutView, now: DateTime<Utc>, wait: &Wait) -> Option<(RolloutView, DateTime<Utc>)> {
    let mut later = now;
    match wait {
        Wait::Operator { .. } => return None,
        Wait::Soak { until, .. } | Wait::Rate { until, .. } | Wait::Window { until, .. } => later = now.max(*until),
        Wait::Slots { ready, in_use, .. } => view.spec.max_concurrent_updates = ready + in_use,
        Wait::WorkingDevices { .. } => {
            for counts in &mut view.waves {
                counts.confirmed += counts.in_use;
                counts.gate_settled += counts.in_use;
                (counts.in_use, counts.working) = (0, 0);
            }
        }
        Wait::IdleDevices { .. } => {
            for counts in &mut view.waves {
                let idle = counts.enrolled - counts.ended() - counts.in_use - counts.ready - counts.closed;
                counts.confirmed += idle;
                counts.gate_settled += idle;
            }
        }
        Wait::Start | Wait::Approval | Wait::Change | Wait::ScheduledStart { .. } => unreachable!("it has started"),
        Wait::Jitter { .. } => unreachable!("it has no jitter"),
        Wait::Resume
        | Wait::Accept
        | Wait::Firmware
        | Wait::Freeze
        | Wait::Signatures
        | Wait::Sbom
        | Wait::Provenance
        | Wait::Plan => {
            unreachable!("it runs")
        }
    }
    look_at_windows(&mut view, later);
    Some((view, later))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stalled_campaign_has_a_wait_and_moves_when_the_wait_is_over((view, minutes) in views()) {
        let named = waits(&view, None, at(minutes));
        if !decide(&view, at(minutes)).is_empty() {
            return Ok(());
        }
        prop_assert!(!named.is_empty());
        let mut all = Some((view.clone(), at(minutes)));
        for wait in &named {
            all = all.and_then(|(view, now)| come(view, now, wait));
            if let Some((alone, now)) = come(view.clone(), at(minutes), wait) {
                let moves = !decide(&alone, now).is_empty();
                let left = waits(&alone, None, now);
                prop_assert!(moves || left.iter().all(|left| left.kind() != wait.kind()), "{wait:?} {left:?}");
            }
        }
        if let Some((mut view, mut now)) = all {
            // Meanwhile the window may have closed.
            if let Opening::Closed { until } = view.opening(now)
                && decide(&view, now).is_empty()
            {
                now = until;
                look_at_windows(&mut view, now);
            }
            // While the window is closed, other limits do not show.
            let others = waits(&view, None, now).iter().any(|left| named.iter().all(|wait| wait.kind() != left.kind()));
            let has_windows = !view.spec.maintenance_window.is_empty();
            prop_assert!(!decide(&view, now).is_empty() || (has_windows && others), "{named:?} have come");
        }
    }
}

fn kinds(view: &RolloutView, minutes: i64) -> Vec<&'static str> {
    waits(view, None, at(minutes)).iter().map(Wait::kind).collect()
}

#[test]
fn each_wait_of_a_campaign_has_a_name_and_a_time() {
    let offline = running(settled(20, 10, 0), Counts::default());
    assert_eq!(
        waits(&offline, None, at(1)),
        [Wait::IdleDevices { count: 10, until: Some(at(60)) }],
        "10 of 20 aren't 80 percent"
    );
    let working = Counts { in_use: 2, working: 2, ready: 3, ..settled(20, 10, 0) };
    let mut view = running(working, Counts::default());
    view.spec.max_concurrent_updates = 2;
    assert_eq!(kinds(&view, 1), ["slots", "working_devices", "idle_devices"]);
    view.spec.max_concurrent_updates = 50;
    (view.spec.rate_per_minute, view.paced_until.mqtt) = (Some(1), Some(at(2)));
    assert_eq!(waits(&view, None, at(1))[0], Wait::Rate { transport: Transport::Mqtt, ready: 3, until: at(2) });
    let mut soaking = running(settled(20, 20, 0), Counts::default());
    (soaking.soaking_since, soaking.spec.soak_minutes) = (Some(at(5)), 30);
    assert_eq!(waits(&soaking, None, at(6)), [Wait::Soak { wave: 1, until: at(35) }]);
    (soaking.wave_completed, soaking.soaking_since) = (true, None);
    assert_eq!(waits(&soaking, None, at(6)), [Wait::Operator { wave: 2 }]);
    let mut last = soaking;
    (last.wave, last.waves[1]) = (2, Counts { in_use: 1, working: 1, ..settled(10, 7, 0) });
    assert_eq!(kinds(&last, 6), ["working_devices", "idle_devices"]);
}

#[test]
fn a_stopped_campaign_waits_for_the_cause_of_its_stop() {
    let mut view = running(settled(20, 10, 0), Counts::default());
    let kind = |view: &RolloutView, cause| waits(view, cause, at(1)).first().map(Wait::kind);
    view.status = CampaignStatus::Paused;
    assert_eq!(kind(&view, Some(PauseCause::Operator)), Some("resume"));
    assert_eq!(kind(&view, Some(PauseCause::Gate)), Some("accept"));
    assert_eq!(kind(&view, Some(PauseCause::FirmwareWithdrawn)), Some("firmware"));
    view.status = CampaignStatus::Planning;
    assert_eq!(kind(&view, None), Some("plan"));
    view.status = CampaignStatus::Completed;
    assert_eq!(kind(&view, None), None);
}
