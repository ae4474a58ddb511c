//! The result of a gate, recorded or current: the measured value, its limit, and the counts that it is based on.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{Campaign, CampaignEvent, Evidence, GateKind};

/// What a gate decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// Within the limit.
    Passed,
    /// Still within the limit at the end of the soak: the wave is completed.
    Held,
    /// No longer within the limit while soaking: the gate judges again.
    Broken,
    /// It stopped the campaign.
    Closed,
    /// Too little is known so far.
    Undecided,
}

/// How a measured value is compared with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Bound {
    AtMost,
    AtLeast,
    Below,
}

/// One result of a gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateResult {
    pub gate: GateKind,
    /// None for the whole campaign, and for the staging of blue/green.
    pub wave: Option<u16>,
    pub verdict: Verdict,
    pub limit_percent: u8,
    pub evidence: Evidence,
}

impl GateResult {
    /// The value that is compared with the limit, in whole percent.
    pub fn measured_percent(&self) -> u32 {
        let Evidence { enrolled, settled, confirmed, failed, staged, .. } = self.evidence;
        match self.gate {
            GateKind::Failure | GateKind::Rollback => percent(failed, settled),
            // Without a wave it is the gate of the staging.
            GateKind::Success if self.wave.is_none() => percent(confirmed + staged, settled),
            GateKind::Success => percent(confirmed, settled),
            GateKind::TooFewReached => percent(settled, enrolled),
        }
    }

    /// The measured value and its limit, for people.
    pub fn sentence(&self) -> String {
        let Evidence { enrolled, settled, confirmed, failed, staged, .. } = self.evidence;
        let (part, whole, of, what) = match self.gate {
            GateKind::Failure => (failed, settled, "settled devices", "failed"),
            GateKind::Rollback => (failed, settled, "rollbacks", "failed"),
            GateKind::Success if self.wave.is_none() => {
                (confirmed + staged, settled, "settled devices", "have staged it")
            }
            GateKind::Success => (confirmed, settled, "settled devices", "confirmed"),
            GateKind::TooFewReached => (settled, enrolled, "enrolled devices", "settled"),
        };
        let bound = match self.bound() {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
            Bound::Below => "less than",
        };
        let (percent, limit) = (self.measured_percent(), self.limit_percent);
        format!("{part} of {whole} {of} {what}: {percent} %, and {bound} {limit} % is the rule")
    }

    pub fn bound(&self) -> Bound {
        match self.gate {
            GateKind::Failure => Bound::AtMost,
            GateKind::Rollback => Bound::Below,
            GateKind::Success | GateKind::TooFewReached => Bound::AtLeast,
        }
    }
}

impl Campaign {
    /// The result that an event records. `self`: the campaign before the event.
    pub fn gate_result(&self, event: &CampaignEvent) -> Option<GateResult> {
        use CampaignEvent as E;
        let success = |wave: Option<u16>, verdict: Verdict, evidence: &Evidence| {
            let limit_percent = self.spec.as_ref()?.success_threshold(wave.unwrap_or(0));
            Some(GateResult { gate: GateKind::Success, wave, verdict, limit_percent, evidence: evidence.clone() })
        };
        match event {
            E::Staged { evidence } => success(None, Verdict::Passed, evidence),
            E::GatePassed { wave, evidence, .. } => success(Some(*wave), Verdict::Passed, evidence),
            E::WaveCompleted { wave, evidence } => success(Some(*wave), Verdict::Held, evidence),
            E::SoakBroken { wave, evidence } => success(Some(*wave), Verdict::Broken, evidence),
            E::GateClosed { gate, wave, threshold_percent, evidence, .. } => Some(GateResult {
                gate: *gate,
                wave: *wave,
                verdict: Verdict::Closed,
                limit_percent: *threshold_percent,
                evidence: evidence.clone(),
            }),
            _ => None,
        }
    }
}

fn percent(part: u32, whole: u32) -> u32 {
    u32::try_from(u64::from(part) * 100 / u64::from(whole.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::tests::spec;

    fn evidence() -> Evidence {
        Evidence { enrolled: 50, reached: 40, settled: 20, confirmed: 14, failed: 6, ..Evidence::default() }
    }

    #[test]
    fn each_gate_measures_what_it_compares() {
        let measured = |gate, wave, evidence| {
            let result = GateResult { gate, wave, verdict: Verdict::Closed, limit_percent: 20, evidence };
            (result.measured_percent(), result.bound())
        };
        assert_eq!(measured(GateKind::Failure, Some(1), evidence()), (30, Bound::AtMost));
        assert_eq!(measured(GateKind::Rollback, None, evidence()), (30, Bound::Below));
        assert_eq!(measured(GateKind::Success, Some(1), evidence()), (70, Bound::AtLeast));
        assert_eq!(measured(GateKind::TooFewReached, Some(1), evidence()), (40, Bound::AtLeast));
        let staged = Evidence { staged: 4, ..evidence() };
        assert_eq!(measured(GateKind::Success, None, staged), (90, Bound::AtLeast));
        assert_eq!(percent(3, 0), 300);
    }

    #[test]
    fn a_result_says_what_was_measured_and_the_limit() {
        let result = |gate, wave| {
            let verdict = Verdict::Closed;
            GateResult { gate, wave, verdict, limit_percent: 20, evidence: evidence() }.sentence()
        };
        let failure = "6 of 20 settled devices failed: 30 %, and at most 20 % is the rule";
        assert_eq!(result(GateKind::Failure, Some(1)), failure);
        let reached = "20 of 50 enrolled devices settled: 40 %, and at least 20 % is the rule";
        assert_eq!(result(GateKind::TooFewReached, Some(1)), reached);
    }

    #[test]
    fn a_result_has_the_limit_of_its_time() {
        let campaign = Campaign { spec: Some(spec(&[10, 100])), ..Campaign::default() };
        let passed = CampaignEvent::GatePassed { wave: 1, evidence: evidence(), soak_minutes: 0 };
        let result = campaign.gate_result(&passed).unwrap();
        assert_eq!((result.limit_percent, result.verdict), (80, Verdict::Passed));
        assert_eq!(campaign.gate_result(&CampaignEvent::Started {}), None);
    }
}
