//! Makes plans from a campaign's specification and the devices: who takes part, in which order and wave.

mod draft;
mod past_candidate;

use sha2::{Digest, Sha256};

pub use draft::PlanDraft;
pub use past_candidate::{TargetGroups, candidate_of};

use crate::campaign::CampaignSpec;
use crate::device::Exclusion;
use crate::ids::DeviceId;
use crate::plan::PlanEntry;

/// A device before it is ranked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanCandidate {
    pub device: DeviceId,
    pub excluded: Option<Exclusion>,
    pub from_version: Option<String>,
    pub lorawan: bool,
}

/// Ranks devices, takes the sample and assigns the waves.
///
/// The sample is `ceil(eligible × rollout_percentage)`, at least one device; the waves' percentages are cumulative over it and end with
/// 100. The first wave may be given as a number of devices.
pub fn plan(seed: &str, mut candidates: Vec<PlanCandidate>, spec: &CampaignSpec) -> Vec<PlanEntry> {
    // Sorted in place: a plan may have a million devices. No two of them have the same digest.
    candidates.sort_by_cached_key(|candidate| rank_key(seed, &candidate.device));
    let eligible = candidates.iter().filter(|candidate| candidate.excluded.is_none()).count() as u64;
    let sampled = spec.rollout_percentage.of_rounded_up(eligible);
    let wave_ends = spec.wave_ends(sampled);
    let mut next: u64 = 0;
    candidates
        .into_iter()
        .map(|candidate| {
            let eligible = candidate.excluded.is_none();
            let excluded = candidate.excluded.or((next >= sampled).then_some(Exclusion::NotSampled));
            let rank = if eligible { next } else { 0 };
            next += u64::from(eligible);
            let wave = match excluded {
                Some(_) => 0,
                None => 1 + wave_ends.iter().take_while(|end| **end <= rank).count() as u16,
            };
            let rank = rank as u32;
            let PlanCandidate { device, from_version, lorawan, .. } = candidate;
            PlanEntry { device, rank, wave, excluded, from_version, lorawan }
        })
        .collect()
}

impl CampaignSpec {
    /// The rank of the first device after each wave, of so many devices.
    pub fn wave_ends(&self, devices: u64) -> Vec<u64> {
        let mut ends: Vec<u64> = self.waves.iter().map(|wave| wave.percentage.of_rounded_up(devices)).collect();
        if let (Some(size), Some(first)) = (self.canary_size, ends.first_mut()) {
            *first = u64::from(size).min(devices);
        }
        ends
    }
}

fn rank_key(seed: &str, device: &DeviceId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update(device.as_str().as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::tests::spec;
    use crate::values::Percent;

    fn fleet(count: usize) -> Vec<PlanCandidate> {
        (0..count)
            .map(|n| PlanCandidate {
                device: DeviceId::new(format!("d-{n}")).unwrap(),
                excluded: None,
                from_version: None,
                lorawan: false,
            })
            .collect()
    }

    fn ranked(seed: &str, count: usize, sample: u8, waves: &[u8], canary_size: Option<u32>) -> Vec<PlanEntry> {
        let rollout_percentage = Percent::new(sample).unwrap();
        plan(seed, fleet(count), &CampaignSpec { rollout_percentage, canary_size, ..spec(waves) })
    }

    fn of_wave(entries: &[PlanEntry], wave: u16) -> usize {
        entries.iter().filter(|entry| entry.wave == wave).count()
    }

    #[test]
    fn waves_are_cumulative_and_take_everybody() {
        let entries = ranked("seed", 200, 100, &[10, 50, 100], None);
        assert_eq!([1, 2, 3].map(|wave| of_wave(&entries, wave)), [20, 80, 100]);
    }

    #[test]
    fn a_canary_of_a_size_is_the_first_wave() {
        assert_eq!([1, 2].map(|wave| of_wave(&ranked("seed", 200, 100, &[1, 100], Some(7)), wave)), [7, 193]);
        assert_eq!([1, 2].map(|wave| of_wave(&ranked("seed", 5, 100, &[1, 100], Some(7)), wave)), [5, 0]);
    }

    #[test]
    fn the_same_devices_in_any_order_give_the_same_plan() {
        let spec = spec(&[10, 50, 100]);
        let made = PlanDraft::make("seed", fleet(40), &spec);
        let mut reversed = fleet(40);
        reversed.reverse();
        assert_eq!(PlanDraft::make("seed", reversed, &spec), made);
        assert_eq!((made.counts.devices, &made.counts.waves[..]), (40, &[4, 16, 20][..]));
        assert_ne!(PlanDraft::make("another", fleet(40), &spec).hash, made.hash);
        let other = CampaignSpec { max_concurrent_updates: 7, ..spec.clone() };
        let changed = PlanDraft::make("seed", fleet(40), &other);
        assert_eq!((changed.entries == made.entries, changed.hash == made.hash), (true, false), "other limits");
        let renamed = CampaignSpec { name: "another".to_owned().into(), ..spec.clone() };
        assert_eq!(PlanDraft::make("seed", fleet(40), &renamed), made);
        let mut held = fleet(40);
        held[7].excluded = Some(Exclusion::Held);
        let without = PlanDraft::make("seed", held, &spec);
        assert_eq!((without.counts.devices, without.counts.excluded[&Exclusion::Held]), (39, 1));
        assert_ne!(without.hash, made.hash);
    }

    #[test]
    fn a_larger_sample_only_adds() {
        let taken = |entries: &[PlanEntry]| -> std::collections::BTreeSet<DeviceId> {
            entries.iter().filter(|e| e.excluded.is_none()).map(|e| e.device.clone()).collect()
        };
        let (small, large) = (ranked("s", 97, 10, &[100], None), ranked("s", 97, 30, &[100], None));
        assert_eq!((taken(&small).len(), taken(&large).len()), (10, 30));
        assert!(taken(&small).is_subset(&taken(&large)));
        let raised: std::collections::BTreeSet<_> =
            small.iter().filter(|entry| entry.rank < 30).map(|entry| entry.device.clone()).collect();
        assert_eq!(raised, taken(&large));
    }

    #[test]
    fn one_device_is_always_taken() {
        let entries = ranked("s", 1, 1, &[10, 100], None);
        assert_eq!((entries[0].wave, entries[0].excluded), (1, None));
    }
}
