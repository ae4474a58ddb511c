//! How long things take, in classes of which each is 19 % longer than the one before. Percentiles are read from the classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The first class ends here, in milliseconds.
const FIRST_END_MS: f64 = 100.0;
/// Classes until the length has doubled.
const CLASSES_PER_DOUBLING: f64 = 4.0;
/// The last class has all that is longer: more than three years.
const CLASS_MAX: u16 = 120;

/// How long something took, over many times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub number: u64,
    /// Of all together.
    pub milliseconds: u64,
    /// How many are in each class.
    classes: BTreeMap<u16, u64>,
}

impl Times {
    pub fn add(&mut self, milliseconds: i64) {
        let milliseconds = milliseconds.max(0) as u64;
        self.number += 1;
        self.milliseconds += milliseconds;
        *self.classes.entry(class_of(milliseconds)).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.number += other.number;
        self.milliseconds += other.milliseconds;
        for (class, number) in &other.classes {
            *self.classes.entry(*class).or_default() += number;
        }
    }

    /// None without any.
    pub fn average_seconds(&self) -> Option<f64> {
        (self.number > 0).then(|| self.milliseconds as f64 / 1_000.0 / self.number as f64)
    }

    /// The time that `percent` of them took at most; none without any. Exact to the width of a class.
    pub fn percentile_seconds(&self, percent: u8) -> Option<f64> {
        let wanted = (self.number * u64::from(percent)).div_ceil(100).max(1);
        let mut before = 0;
        for (class, number) in &self.classes {
            if before + number >= wanted {
                let (begin, end) = (begin_of(*class), begin_of(class + 1));
                let part = (wanted - before) as f64 / *number as f64;
                return Some((begin + (end - begin) * part) / 1_000.0);
            }
            before += number;
        }
        None
    }
}

fn class_of(milliseconds: u64) -> u16 {
    let doublings = (milliseconds as f64 / FIRST_END_MS).log2();
    if doublings < 0.0 { 0 } else { (1 + (doublings * CLASSES_PER_DOUBLING) as u16).min(CLASS_MAX) }
}

/// In milliseconds.
fn begin_of(class: u16) -> f64 {
    match class {
        0 => 0.0,
        class => FIRST_END_MS * (f64::from(class - 1) / CLASSES_PER_DOUBLING).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_within_a_class_of_the_true_one() {
        let mut times = Times::default();
        let all: Vec<i64> = (1..=1_000).map(|number| number * 97).collect();
        all.iter().rev().for_each(|time| times.add(*time));
        for percent in [1, 50, 95, 99, 100] {
            let exact = all[(1_000 * percent / 100) - 1] as f64 / 1_000.0;
            let read = times.percentile_seconds(percent as u8).unwrap();
            assert!((0.84..=1.2).contains(&(read / exact)), "{percent}: {read} for {exact}");
        }
        assert_eq!(times.average_seconds(), Some(48.5485));
    }

    #[test]
    fn classes_hold_what_they_say_and_nothing_has_no_percentile() {
        for milliseconds in [0, 1, 99, 100, 101, 118, 119, 5_000, 86_400_000] {
            let class = class_of(milliseconds);
            let (begin, end) = (begin_of(class), begin_of(class + 1));
            assert!((begin..end).contains(&(milliseconds as f64)), "{milliseconds}: {begin} to {end}");
        }
        assert_eq!(class_of(u64::MAX), CLASS_MAX);
        let nothing = Times::default();
        assert_eq!((nothing.average_seconds(), nothing.percentile_seconds(50)), (None, None));
    }

    #[test]
    fn sums_of_parts_are_the_whole_in_any_order() {
        let (mut one, mut other, mut whole) = (Times::default(), Times::default(), Times::default());
        for time in [-5, 3, 70_000, 12] {
            if time % 2 == 0 {
                one.add(time)
            } else {
                other.add(time)
            }
            whole.add(time);
        }
        let mut merged = other.clone();
        merged.merge(&one);
        one.merge(&other);
        assert_eq!((&one, &merged), (&whole, &whole));
        assert_eq!(serde_json::from_value::<Times>(serde_json::to_value(&whole).unwrap()).unwrap(), whole);
    }
}
