//! Events as rows of a CSV file, for spreadsheets.
//!
//! A cell that a spreadsheet would take for a formula gets an apostrophe in front: devices and operators choose some of the texts.

use super::item::AuditItem;
use crate::http::Problem;

/// Names of the columns, the first row.
pub(super) const COLUMNS: [&str; 15] = [
    "position",
    "stored_at",
    "recorded_at",
    "aggregate",
    "aggregate_id",
    "version",
    "type",
    "actor",
    "reason",
    "command_id",
    "correlation_id",
    "causation_id",
    "causation_position",
    "error",
    "event",
];
/// Column of the type.
const TYPE: usize = 6;
/// Column of the version; the last row has the number of events there.
const VERSION: usize = 5;
/// First characters of formulas, and those that some programs skip before one.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\t', '\r', '\n', '|'];

/// A cell that no spreadsheet takes for a formula.
fn safe(text: String) -> String {
    // Full-width forms count as well, and so does a formula after blanks.
    let first = text.trim_start_matches(' ').chars().next();
    let is_formula = first.is_some_and(|first| FORMULA.contains(&first) || "＝＋－＠".contains(first));
    if is_formula { format!("'{text}") } else { text }
}

/// One row with its line end.
pub(super) fn row(cells: impl IntoIterator<Item = String>) -> Result<Vec<u8>, Problem> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.into_iter().map(safe)).map_err(Problem::internal)?;
    writer.into_inner().map_err(|error| Problem::internal(error.to_string()))
}

/// The row of an event.
pub(super) fn of_item(item: &AuditItem) -> Result<Vec<u8>, Problem> {
    let value = serde_json::to_value(item).map_err(Problem::internal)?;
    let cell = |column: &&str| match &value[*column] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    row(COLUMNS.iter().map(cell))
}

/// The last row of a complete file.
pub(super) fn end(position: &str, kind: &str, events: u64) -> Result<Vec<u8>, Problem> {
    let mut cells = COLUMNS.map(|_| String::new());
    cells[0] = position.to_owned();
    cells[TYPE] = kind.to_owned();
    cells[VERSION] = events.to_string();
    row(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for bad in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "|calc", "＝1"] {
            assert_eq!(safe(bad.to_owned()), format!("'{bad}"));
        }
        for good in ["", "d-1", "user:42", "{\"a\":\"=1\"}", "1790000000123-42.0", "a = b"] {
            assert_eq!(safe(good.to_owned()), good);
        }
        let written = row(["=a,\"b\"".to_owned(), "x\ny".to_owned()]).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "\"'=a,\"\"b\"\"\",\"x\ny\"\r\n");
    }
}
