//! Values of a JSON body, each by all of its names, with bounds. What can't be used counts as absent and is noted.

use chrono::{DateTime, Datelike, Utc};
use serde_json::{Map, Value};

use super::{NAME_MAX_CHARS, NOTES_MAX};

/// Years of a time that is believed to be one.
const YEARS: std::ops::Range<i32> = 2000..2100;

/// Notes about values that were ignored.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<String>);

impl Notes {
    pub(super) fn add(&mut self, note: &str) {
        if self.0.len() < NOTES_MAX && !self.0.iter().any(|known| known == note) {
            self.0.push(note.to_owned());
        }
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }
}

type Object = Map<String, Value>;

/// The first of the names that has a value.
pub(super) fn field<'a>(object: &'a Object, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| object.get(*name).filter(|value| !value.is_null()))
}

pub(super) fn has(object: &Object, names: &[&str]) -> bool {
    field(object, names).is_some()
}

pub(super) fn child<'a>(object: &'a Object, names: &[&str]) -> Option<&'a Object> {
    field(object, names)?.as_object()
}

/// A text, or a number as text; empty is absent.
pub(super) fn text(object: &Object, names: &[&str]) -> Option<String> {
    let text = match field(object, names)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(cut(&text, NAME_MAX_CHARS)).filter(|text| !text.is_empty())
}

/// A text without its end, if it is too long.
pub(super) fn cut(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

/// A number, also one in a text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.len() <= NAME_MAX_CHARS => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number that fits; one that doesn't is noted.
pub(super) fn whole<T: TryFrom<i64>>(object: &Object, names: &[&str], notes: &mut Notes) -> Option<T> {
    let value = field(object, names)?;
    let found = value.as_i64().or_else(|| {
        let number = number(value).filter(|number| number.fract() == 0.0 && number.abs() < 2_f64.powi(53))?;
        Some(number as i64)
    });
    let fits = found.and_then(|number| T::try_from(number).ok());
    if fits.is_none() {
        notes.add(&format!("{} is no whole number in its range", names.first().copied().unwrap_or_default()));
    }
    fits
}

/// Any number; something else is noted.
pub(super) fn real(object: &Object, names: &[&str], notes: &mut Notes) -> Option<f64> {
    let found = number(field(object, names)?);
    if found.is_none() {
        notes.add(&format!("{} is no number", names.first().copied().unwrap_or_default()));
    }
    found
}

pub(super) fn flag(object: &Object, names: &[&str]) -> bool {
    match field(object, names) {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
        _ => false,
    }
}

/// RFC 3339, of a year that can be meant.
pub(super) fn time(object: &Object, names: &[&str]) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(field(object, names)?.as_str()?.trim()).ok()?.to_utc();
    usable(time)
}

pub(super) fn usable(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    YEARS.contains(&time.year()).then_some(time)
}

/// How deep a value is nested. serde_json refuses texts that are nested too deep for this.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
