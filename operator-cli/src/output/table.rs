//! Tables: aligned on a terminal, tab-separated in a pipe. What devices and people have written can't move the cursor or break a row.

use serde_json::Value;
use terminal::measure_text_width;

use super::Format;
use crate::failure::Result;
use crate::operations::Operation;
use crate::out;

const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";
/// Between columns.
const GAP: &str = "  ";
/// Widest cell of a narrow table on a terminal, in columns.
const CELL_MAX: usize = 60;
/// Objects in one another that are shown as fields of their own.
const DEPTH_MAX: usize = 8;

/// The columns of a table.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    is_wide: bool,
}

impl Table {
    pub(crate) fn of(operation: &Operation, format: Format<'_>) -> Self {
        let is_wide = matches!(format, Format::Wide);
        let wide = if is_wide { operation.wide } else { &[] };
        Self { columns: [operation.columns, wide].concat(), is_wide }
    }

    pub(crate) fn with(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), is_wide: true }
    }

    /// Prints rows; the header is for people only.
    pub(crate) fn print(&self, rows: &[Value]) -> Result<()> {
        if !out::is_terminal() {
            return rows.iter().try_for_each(|row| out::line(self.cells(row).join("\t")));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let header: Vec<String> = self.columns.iter().map(|column| heading(column)).collect();
        let cells: Vec<Vec<String>> = rows.iter().map(|row| self.shown(row)).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|n| cells.iter().chain([&header]).map(|row| measure_text_width(&row[n])).max().unwrap_or_default())
            .collect();
        let title = aligned(&header, &widths);
        if out::has_colour() {
            out::raw(format!("{BOLD}{title}{PLAIN}\n").as_bytes())?;
        } else {
            out::line(title)?;
        }
        cells.iter().try_for_each(|row| out::line(aligned(row, &widths)))
    }

    fn cells(&self, row: &Value) -> Vec<String> {
        self.columns.iter().map(|column| cell(row, column)).collect()
    }

    fn shown(&self, row: &Value) -> Vec<String> {
        let shorten = |text: String| match (self.is_wide, text.char_indices().nth(CELL_MAX)) {
            (false, Some((at, _))) => format!("{}…", &text[..at]),
            _ => text,
        };
        self.cells(row).into_iter().map(|text| if text.is_empty() { "-".to_owned() } else { shorten(text) }).collect()
    }
}

fn heading(column: &str) -> String {
    column.rsplit('.').next().unwrap_or(column).replace('_', " ").to_uppercase()
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
        line.push_str(cell);
        if n + 1 < cells.len() {
            line.push_str(&" ".repeat(width.saturating_sub(measure_text_width(cell))));
            line.push_str(GAP);
        }
    }
    line
}

/// The text of a field; nested ones as `a.b`. Empty if there is none.
pub(crate) fn cell(row: &Value, column: &str) -> String {
    let value = column.split('.').fold(row, |value, name| &value[name]);
    text_of(value)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(text_of).collect::<Vec<_>>().join(",")
        }
        Value::Object(fields) if fields.values().all(|value| !value.is_object() && !value.is_array()) => fields
            .iter()
            .map(|(name, value)| format!("{}={}", printable(name), text_of(value)))
            .collect::<Vec<_>>()
            .join(","),
        other => printable(&other.to_string()),
    }
}

/// Without control characters, which a terminal would obey, and without those that turn the direction of text.
pub(crate) fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Prints the fields of an object, one a line; those of nested objects as `a.b`.
pub(crate) fn fields(value: &Value) -> Result<()> {
    let mut fields = Vec::new();
    flatten("", value, DEPTH_MAX, &mut fields);
    let width = fields.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or_default();
    for (name, text) in fields {
        if out::is_terminal() {
            out::line(aligned(&[name, text], &[width, 0]))?;
        } else {
            out::line(format_args!("{name}\t{text}"))?;
        }
    }
    Ok(())
}

fn flatten(prefix: &str, value: &Value, depth: usize, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) if depth > 0 => {
            for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
                let name = printable(name);
                let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&name, value, depth - 1, fields);
            }
        }
        other => fields.push((prefix.to_owned(), text_of(other))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_show_nested_fields_lists_and_nothing() {
        let row = json!({"a": {"b": 1}, "list": ["x", "y"], "tags": {"site": "north"}, "deep": [{"z": 1}], "none": null, "yes": true});
        let cells = ["a.b", "list", "tags", "deep", "none", "missing.too", "yes"].map(|column| cell(&row, column));
        assert_eq!(cells, ["1", "x,y", "site=north", r#"[{"z":1}]"#, "", "", "true"]);
    }

    #[test]
    fn a_terminal_obeys_nothing_that_a_device_says() {
        let row = json!({"name": "\u{1b}]0;owned\u{7}\u{202e}a\tb\nc"});
        assert_eq!(cell(&row, "name"), "\u{fffd}]0;owned\u{fffd}\u{fffd}a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn columns_are_aligned_by_width() {
        let (one, two) = (["é".to_owned(), "x".to_owned()], ["日本".to_owned(), "y".to_owned()]);
        assert_eq!(aligned(&one, &[4, 1]), "é     x");
        assert_eq!(aligned(&two, &[4, 1]), "日本  y");
    }
}
