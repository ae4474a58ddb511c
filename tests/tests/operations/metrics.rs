//! `/metrics`, read with a parser of its own, to prove that a monitoring system can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A family of samples: its help, its type, and its values.
#[derive(Default)]
pub(super) struct Family {
    help: String,
    kind: String,
    /// Label sets with their values.
    pub(super) samples: Vec<(BTreeMap<String, String>, f64)>,
}

/// Parses the text format of Prometheus; refuses other text.
pub(super) fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|family| families.get(*family).is_some_and(|family| family.kind == "histogram"))
                .unwrap_or(name);
            let family = families.get_mut(family).unwrap_or_else(|| panic!("{line} has neither HELP nor TYPE"));
            family.samples.push((labels.collect(), value.parse().unwrap()));
        }
    }
    families
}

impl Family {
    /// The value of the one series with such a label, or of the only one.
    pub(super) fn value(&self, label: Option<(&str, &str)>) -> Option<f64> {
        let has = |labels: &BTreeMap<String, String>| {
            label.is_none_or(|(name, value)| labels.get(name).is_some_and(|found| found == value))
        };
        let mut found = self.samples.iter().filter(|(labels, _)| has(labels));
        let first = found.next().map(|(_, value)| *value);
        assert!(found.next().is_none(), "more than one series");
        first
    }
}

/// Rules for every family.
pub(super) fn check(families: &BTreeMap<String, Family>) {
    for (name, family) in families {
        assert!(family.help.len() > 10, "{name} has no HELP");
        assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{name} is a {:?}", family.kind);
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        for (labels, _) in &family.samples {
            let open = labels
                .keys()
                .find(|label| ["tenant", "device", "device_id", "campaign", "user"].contains(&label.as_str()));
            assert!(open.is_none(), "{name} has a label with an open set of values: {labels:?}");
        }
    }
}

/// Every metric that code records is described where its crate describes its own.
#[test]
fn every_metric_is_described() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut described, mut used) = (BTreeSet::new(), BTreeSet::new());
    for part in ["command-api", "event-store", "mqtt-bridge", "process-managers", "projections", "waybill"] {
        for (path, text) in sources(&root.join(part).join("src")) {
            let describes = path.ends_with("metrics.rs") || path.ends_with("metering.rs");
            for call in ["Metric::Counter(", "Metric::Gauge(", "Metric::Histogram("] {
                described.extend(names_behind(&text, call).filter(|_| describes));
            }
            for call in ["counter!(", "gauge!(", "histogram!("] {
                used.extend(names_behind(&text, call));
            }
        }
    }
    assert!(used.len() > 20, "{used:?}");
    let missing: Vec<&String> = used.difference(&described).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

/// Names in quotes directly after a call.
fn names_behind<'a>(text: &'a str, call: &'a str) -> impl Iterator<Item = String> + 'a {
    text.match_indices(call).filter_map(move |(at, _)| {
        let rest = text[at + call.len()..].trim_start().strip_prefix('"')?;
        Some(rest.split('"').next()?.to_owned())
    })
}

fn sources(directory: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![(path.display().to_string(), std::fs::read_to_string(&path).unwrap())],
        })
        .collect()
}
