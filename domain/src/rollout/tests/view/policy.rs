//! The view as the policy sees it.

use super::*;

impl View {
    pub(in super::super) fn rollout(&self, now: DateTime<Utc>) -> RolloutView {
        RolloutView {
            spec: self.spec.clone(),
            status: self.status,
            position: self.position as u64,
            wave: self.wave,
            wave_opened_at: self.opened[usize::from(self.wave.max(1)) - 1],
            soaking_since: self.soaking_since,
            wave_completed: self.wave_completed,
            accepted: self.accepted,
            waves: (1..=self.spec.waves.len() as u16).map(|wave| self.counts(wave, now)).collect(),
            paced_until: self.paced_until,
            ends_at: None,
            failed_devices: self.members.iter().enumerate().rev().filter_map(failed_device).collect(),
            rollback: self.rollback_view(now),
            zones: vec![],
            kept_back: None,
            released_at: None,
        }
    }

    fn rollback_view(&self, now: DateTime<Utc>) -> Option<RollbackView> {
        let begun = self.rollback.as_ref().filter(|_| self.is_rolling_back())?;
        let mut view = RollbackView { since: begun.since, ..RollbackView::default() };
        for (place, member) in self.members.iter().enumerate() {
            let accepted = u32::from(member.rollback_accepted);
            let of_round = member.rollback.as_ref().filter(|rollback| rollback.round == begun.round);
            match of_round.map(Tracked::outcome) {
                Some(None) => view.under_way += 1,
                Some(Some(Outcome::Confirmed)) => {
                    view.rolled_back += 1;
                    view.accepted_rolled_back += accepted;
                }
                Some(Some(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected)) => {
                    view.failed += 1;
                    view.accepted_failed += accepted;
                    view.failed_devices.extend((accepted == 0).then(|| slot_device(place)));
                }
                Some(Some(Outcome::Expired | Outcome::Cancelled)) => view.given_up += 1,
                // It runs another version by now, so there is nothing to undo.
                Some(Some(Outcome::Superseded)) | None => {}
            }
            if member.goes_back(begun.round) && !member.holds_slot {
                match member.back_to().is_some_and(|version| version != self.version) {
                    true => view.waiting += 1,
                    false => *view.impossible.entry(RollbackObstacle::NoPreviousVersion).or_insert(0) += 1,
                }
            }
            view.ready.mqtt += u32::from(member.may_return(begun.round, self.version, now));
        }
        Some(view)
    }

    pub(super) fn counts(&self, wave: u16, now: DateTime<Utc>) -> Counts {
        let (accepted_failed, accepted_settled) = self.accepted_counts[usize::from(wave) - 1];
        let mut counts = Counts { accepted_failed, accepted_settled, ..Counts::default() };
        let open = self.is_open(now);
        for (place, member) in self.members.iter().enumerate().filter(|(_, member)| member.wave == wave) {
            let resting = matches!(member.phase(), Some(Phase::Deferred | Phase::Staged));
            counts.enrolled += 1;
            counts.reached += u32::from(member.is_reached());
            counts.gate_failed += u32::from(member.gate_failed);
            counts.gate_settled += u32::from(member.gate_failed || member.confirmed_ever);
            counts.in_use += u32::from(member.holds_slot);
            counts.staged += u32::from(member.is_staged());
            counts.staged_failed += u32::from(member.is_staged() && member.gate_failed);
            let is_cancelling = member.phase() == Some(Phase::Cancelling);
            counts.working += u32::from(is_cancelling || (member.is_reached() && !member.is_ended() && !resting));
            let may_begin = self.may_begin(place, now);
            counts.ready += u32::from(may_begin && open);
            counts.closed += u32::from(may_begin && !open);
            match member.update.as_ref().and_then(Tracked::outcome) {
                Some(Outcome::Confirmed) => counts.confirmed += 1,
                Some(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected) => {
                    counts.failed += 1;
                    counts.accepted_ended += u32::from(member.failure_accepted);
                }
                Some(Outcome::Expired) => counts.expired += 1,
                Some(Outcome::Cancelled) => counts.cancelled += 1,
                Some(Outcome::Superseded) => counts.superseded += 1,
                None => {}
            }
        }
        counts
    }
}

fn failed_device((place, member): (usize, &Member)) -> Option<FailedDevice> {
    let ended = member.update.as_ref().is_some_and(Tracked::is_failed);
    member.gate_failed.then(|| FailedDevice {
        device: slot_device(place),
        wave: member.wave,
        counts: !member.gate_accepted,
        ended: ended && !member.failure_accepted,
    })
}
