//! How answers are printed.

mod table;
mod yaml;

use clap::ArgMatches;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::{Failure, Result};
use crate::filter::{Filter, Input};
use crate::operations::{Operation, Shows};
use crate::out;

pub(crate) use table::{Table, cell, printable};

/// A format of answers.
#[derive(Clone, Copy)]
pub(crate) enum Format<'a> {
    /// For people on a terminal; tab-separated in a pipe.
    Table,
    /// The same with more columns.
    Wide,
    /// The service's answer as it came; lists are one array.
    Json,
    /// One line for each item.
    Ndjson,
    Yaml,
    /// Ids.
    Name,
    /// What a filter makes of `Json`.
    Filtered(&'a Filter),
    /// What a filter makes of each item of `Ndjson`.
    FilteredLines(&'a Filter),
}

impl<'a> Format<'a> {
    pub(crate) fn of(matches: &'a ArgMatches) -> Self {
        let output = matches.get_one::<String>("output").map(String::as_str);
        if let Some(filter) = matches.get_one::<Filter>("jq") {
            return if output == Some("ndjson") { Self::FilteredLines(filter) } else { Self::Filtered(filter) };
        }
        if matches.get_flag("json") {
            return Self::Json;
        }
        match output {
            Some("wide") => Self::Wide,
            Some("json") => Self::Json,
            Some("ndjson") => Self::Ndjson,
            Some("yaml") => Self::Yaml,
            Some("name") => Self::Name,
            _ => Self::Table,
        }
    }

    pub(crate) fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// Whether each item is printed for itself.
    pub(crate) fn is_lines(self) -> bool {
        matches!(self, Self::Ndjson | Self::FilteredLines(_))
    }

    /// The filter of `--jq`.
    pub(crate) fn filter(self) -> Option<&'a Filter> {
        match self {
            Self::Filtered(filter) | Self::FilteredLines(filter) => Some(filter),
            _ => None,
        }
    }
}

/// A filter reads JSON, so it goes with no other format.
pub(crate) fn check(matches: &ArgMatches) -> Result<()> {
    let has_filter = matches.try_get_one::<Filter>("jq").is_ok_and(|filter| filter.is_some());
    let output = matches.try_get_one::<String>("output").ok().flatten().map_or("json", String::as_str);
    if has_filter && !["json", "ndjson"].contains(&output) {
        return Err(Failure::usage(format!("--jq filters JSON: it goes with -o json or ndjson, not with {output}")));
    }
    Ok(())
}

/// Prints one object.
pub(crate) fn one(format: Format<'_>, operation: &Operation, body: &[u8]) -> Result<()> {
    if body.is_empty() {
        return Ok(());
    }
    if let Some(filter) = format.filter() {
        return filter.print(vec![Input::of_body(body)?]);
    }
    let text = std::str::from_utf8(body).map_err(|_| Failure::here("the answer is no text"))?;
    match format {
        Format::Json => out::line(text.trim_end()),
        _ => one_of(format, operation, text),
    }
}

fn one_of(format: Format<'_>, operation: &Operation, text: &str) -> Result<()> {
    let value = parsed(text)?;
    match format {
        // A line has one value: line feeds are only between tokens.
        Format::Ndjson => out::line(&value),
        Format::Yaml => out::text(&yaml::document(&value)),
        Format::Name => names(operation, &rows(operation, &value)),
        _ => match operation.shows {
            Shows::Rows(_) => Table::of(operation, format).print(&rows(operation, &value)),
            Shows::Answer => answer(&value),
            _ => table::fields(&value),
        },
    }
}

fn rows(operation: &Operation, value: &Value) -> Vec<Value> {
    match operation.shows {
        Shows::Rows(keys) => {
            keys.split(' ').flat_map(|key| value[key].as_array().cloned().unwrap_or_default()).collect()
        }
        _ => vec![value.clone()],
    }
}

/// An answer in a sentence, then what led to it.
fn answer(value: &Value) -> Result<()> {
    out::line(printable(value["answer"].as_str().unwrap_or_default()))?;
    for key in ["change", "rule"] {
        if let Some(text) = value[key].as_str() {
            out::line(format_args!("{key}: {}", printable(text)))?;
        }
    }
    if let Some(text) = value["latest_update"]["answer"].as_str() {
        out::line(format_args!("latest update: {}", printable(text)))?;
    }
    let links = value["links"].as_array().cloned().unwrap_or_default();
    if !links.is_empty() {
        out::line("")?;
        Table::with(&["recorded_at", "actor", "type", "detail", "reason", "position"]).print(&links)?;
    }
    Ok(())
}

/// Items of a list as they came, printed page by page or together.
pub(crate) struct Items<'a> {
    format: Format<'a>,
    operation: &'a Operation,
    kept: Vec<Box<RawValue>>,
    table: Table,
}

impl<'a> Items<'a> {
    pub(crate) fn new(format: Format<'a>, operation: &'a Operation) -> Self {
        Self { format, operation, kept: Vec::new(), table: Table::of(operation, format) }
    }

    /// Whether all items are kept in memory until the last page.
    pub(crate) fn is_kept(&self) -> bool {
        match self.format {
            Format::Json | Format::Yaml | Format::Filtered(_) => true,
            Format::Table | Format::Wide => out::is_terminal(),
            Format::Ndjson | Format::Name | Format::FilteredLines(_) => false,
        }
    }

    /// Takes a page.
    pub(crate) fn page(&mut self, items: Vec<Box<RawValue>>) -> Result<()> {
        match self.format {
            _ if self.is_kept() => self.kept.extend(items),
            Format::Ndjson => {
                for item in items {
                    out::line(one_line(&item)?)?;
                }
            }
            Format::Name => names(self.operation, &values(&items)?)?,
            Format::FilteredLines(filter) => filter.print(items.into_iter().map(Input::One).collect())?,
            _ => self.table.print(&values(&items)?)?,
        }
        Ok(())
    }

    /// After the last page.
    pub(crate) fn end(self) -> Result<()> {
        match self.format {
            Format::Json => out::line(array(&self.kept)),
            Format::Filtered(filter) => filter.print(vec![Input::List(self.kept)]),
            Format::Yaml => out::text(&yaml::document(&Value::Array(values(&self.kept)?))),
            Format::Table | Format::Wide if out::is_terminal() => {
                if self.kept.is_empty() {
                    out::note("nothing found");
                }
                self.table.print(&values(&self.kept)?)
            }
            _ => Ok(()),
        }
    }
}

/// One array of items as they came.
pub(crate) fn array(items: &[Box<RawValue>]) -> String {
    let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
    format!("[{}]", items.join(","))
}

/// An item without line feeds between its tokens.
pub(crate) fn one_line(item: &RawValue) -> Result<String> {
    if item.get().contains(['\n', '\r']) { Ok(parsed(item.get())?.to_string()) } else { Ok(item.get().to_owned()) }
}

fn values(items: &[Box<RawValue>]) -> Result<Vec<Value>> {
    items.iter().map(|item| parsed(item.get())).collect()
}

fn names(operation: &Operation, rows: &[Value]) -> Result<()> {
    if operation.name.is_empty() {
        return Err(Failure::usage(format!("`{} {}` has no names to print", operation.noun, operation.verb)));
    }
    for row in rows {
        out::line(cell(row, operation.name))?;
    }
    Ok(())
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| Failure::here("the service's answer is no JSON: is the address right?"))
}

/// Prints a value that the command line has made itself.
pub(crate) fn made(format: Format<'_>, value: &Value) -> Result<()> {
    match (format, value) {
        (Format::FilteredLines(filter), Value::Array(items)) => {
            filter.print(items.iter().map(Input::of).collect::<Result<_>>()?)
        }
        (Format::Filtered(filter) | Format::FilteredLines(filter), _) => filter.print(vec![Input::of(value)?]),
        (Format::Yaml, _) => out::text(&yaml::document(value)),
        (Format::Ndjson, Value::Array(items)) => items.iter().try_for_each(out::line),
        _ => out::line(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_one_array_also_when_empty() {
        assert_eq!(array(&[]), "[]");
        let items = [r#"{"b":1.0,"a":"é"}"#, "{}"].map(|text| RawValue::from_string(text.to_owned()).unwrap());
        assert_eq!(array(&items), r#"[{"b":1.0,"a":"é"},{}]"#);
    }

    #[test]
    fn an_item_of_ndjson_is_one_line() {
        let item = RawValue::from_string("{\n\"a\":\n 1}".to_owned()).unwrap();
        assert_eq!(one_line(&item).unwrap(), r#"{"a":1}"#);
    }
}
