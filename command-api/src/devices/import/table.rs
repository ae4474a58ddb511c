//! Reads a CSV file: each row becomes the JSON object of a device.

use std::collections::{BTreeSet, HashMap};

use csv::{ByteRecord, ReaderBuilder, Trim};
use serde_json::{Map, Value};

use super::super::bulk::Item;
use crate::http::{FieldError, Problem};

/// Columns whose cells are texts. They have the names of the fields.
const TEXTS: [&str; 12] = [
    "device_id",
    "name",
    "device_type",
    "device_model",
    "manufacturer",
    "hardware_version",
    "firmware_version",
    "timezone",
    "lorawan_dev_eui",
    "chirpstack_app_id",
    "device_profile_id",
    "reason",
];
/// Columns whose cells are numbers.
const NUMBERS: [&str; 1] = ["contact_interval_s"];
/// Columns whose values are unique in a file.
const UNIQUE: [&str; 2] = ["device_id", "lorawan_dev_eui"];
/// Start of the column of a tag.
pub(super) const TAG: &str = "tag:";
/// Start of the column of a component's version.
pub(super) const VERSION: &str = "version:";
/// Most columns.
const COLUMNS_MAX: usize = 160;
/// Most columns that a reply names.
const NAMED_MAX: usize = 20;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What a column's cells are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Text(&'static str),
    Number(&'static str),
    Tag(String),
    Version(String),
}

/// The rows of a file. 422 if the header or the file as a whole is wrong; a row that is wrong is refused alone.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Item>, Problem> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    if bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        return Err(Problem::invalid("body", "has an odd number of double quotes: a quoted cell is not closed"));
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .delimiter(delimiter(bytes))
        .from_reader(bytes);
    let mut record = ByteRecord::new();
    if !read_record(&mut reader, &mut record)? {
        return Err(Problem::invalid("header", "is missing: the first row names the fields of POST /devices"));
    }
    let names = header(&record)?;
    let columns = columns(&names)?;
    let (mut rows, mut lines, mut known) = (Vec::new(), Lines { bytes, read: 0, line: 1 }, HashMap::new());
    while read_record(&mut reader, &mut record)? {
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let line = lines.line_of(&record);
        let item = match device(&names, &columns, &record) {
            Ok(fields) => {
                let refused = repeated(&fields, line, &mut known);
                Item { json: Value::Object(fields).to_string().into_bytes(), row: Some(line), refused }
            }
            Err(problem) => Item { json: cells(&record), row: Some(line), refused: Some(problem) },
        };
        rows.push(item);
    }
    Ok(rows)
}

/// Spreadsheets write semicolons where the comma separates decimals.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if header.contains(&b';') && !header.contains(&b',') { b';' } else { b',' }
}

fn read_record(reader: &mut csv::Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, Problem> {
    reader.read_byte_record(record).map_err(|error| Problem::invalid("body", format!("is no CSV: {error}")))
}

fn header(record: &ByteRecord) -> Result<Vec<String>, Problem> {
    if record.len() > COLUMNS_MAX {
        return Err(Problem::invalid("header", format!("has {} columns; at most {COLUMNS_MAX}", record.len())));
    }
    let names: Result<Vec<String>, _> = record.iter().map(|cell| String::from_utf8(cell.to_vec())).collect();
    names.map_err(|_| Problem::invalid("header", "is not UTF-8"))
}

/// The columns of a header, or every column that is unknown or occurs twice.
fn columns(names: &[String]) -> Result<Vec<Column>, Problem> {
    let (mut columns, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (index, name) in names.iter().enumerate() {
        let field = if name.is_empty() { format!("column {}", index + 1) } else { name.clone() };
        match Column::named(name) {
            Some(column) if !seen.insert(column.clone()) => wrong.push(FieldError::new(field, "is a column twice")),
            Some(column) => columns.push(column),
            None => wrong.push(FieldError::new(field, unknown(name))),
        }
    }
    wrong.truncate(NAMED_MAX);
    if wrong.is_empty() { Ok(columns) } else { Err(Problem::invalid_fields(wrong)) }
}

fn unknown(name: &str) -> String {
    match name {
        "" => "has no name".to_owned(),
        "tags" => format!("is no column: each tag has a column of its own, {TAG}KEY"),
        "versions" => format!("is no column: each component has a column of its own, {VERSION}COMPONENT"),
        _ => format!("is no column; known are {}, {}, {TAG}KEY, {VERSION}COMPONENT", TEXTS.join(", "), NUMBERS[0]),
    }
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        let of = |known: &[&'static str]| known.iter().copied().find(|known| *known == name);
        let key =
            |start: &str| name.strip_prefix(start).map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned);
        of(&TEXTS)
            .map(Self::Text)
            .or_else(|| of(&NUMBERS).map(Self::Number))
            .or_else(|| key(TAG).map(Self::Tag))
            .or_else(|| key(VERSION).map(Self::Version))
    }

    /// Adds a cell to the device's fields.
    fn add(&self, cell: &str, fields: &mut Map<String, Value>) {
        let (group, key) = match self {
            Self::Text(name) => return drop(fields.insert((*name).to_owned(), cell.into())),
            Self::Number(name) => {
                // What is no number is refused as the field's value.
                let value = cell.parse::<u64>().map_or_else(|_| Value::from(cell), Value::from);
                return drop(fields.insert((*name).to_owned(), value));
            }
            Self::Tag(key) => ("tags", key),
            Self::Version(component) => ("versions", component),
        };
        if let Value::Object(group) = fields.entry(group).or_insert_with(|| Map::new().into()) {
            group.insert(key.clone(), cell.into());
        }
    }
}

/// The device of a row, without the fields whose cells are empty.
fn device(names: &[String], columns: &[Column], record: &ByteRecord) -> Result<Map<String, Value>, Problem> {
    if record.len() != columns.len() {
        let detail = format!("has {} cells, and the header has {}", record.len(), columns.len());
        return Err(Problem::invalid("row", detail));
    }
    let (mut fields, mut wrong) = (Map::new(), Vec::new());
    for ((name, column), cell) in names.iter().zip(columns).zip(record) {
        match std::str::from_utf8(cell) {
            Ok("") => {}
            Ok(cell) => column.add(cell, &mut fields),
            Err(_) => wrong.push(FieldError::new(name, "is not UTF-8")),
        }
    }
    if wrong.is_empty() { Ok(fields) } else { Err(Problem::invalid_fields(wrong)) }
}

/// Refuses a value that an earlier row has. The outcome would otherwise depend on which row is stored first, and a dry run could not tell.
fn repeated(
    fields: &Map<String, Value>,
    line: usize,
    known: &mut HashMap<(&'static str, String), usize>,
) -> Option<Problem> {
    let mut wrong = Vec::new();
    for name in UNIQUE {
        let Some(value) = fields.get(name).and_then(Value::as_str) else { continue };
        // An EUI is the same in either case of its digits.
        let value = if name == "device_id" { value.to_owned() } else { value.to_ascii_lowercase() };
        let first = *known.entry((name, value)).or_insert(line);
        if first != line {
            wrong.push(FieldError::new(name, format!("is also in row {first}")));
        }
    }
    (!wrong.is_empty()).then(|| Problem::invalid_fields(wrong))
}

/// The cells of a row that can't be read, so that a repeated request is recognised.
fn cells(record: &ByteRecord) -> Vec<u8> {
    let cells = record.iter().map(|cell| Value::from(String::from_utf8_lossy(cell).into_owned()));
    Value::Array(cells.collect()).to_string().into_bytes()
}

/// Counts lines up to a record. The parser counts neither blank lines before a record nor lines that end with CR and LF reliably.
struct Lines<'a> {
    bytes: &'a [u8],
    /// Bytes counted so far.
    read: usize,
    /// The line of the next byte, from 1.
    line: usize,
}

impl Lines<'_> {
    fn line_of(&mut self, record: &ByteRecord) -> usize {
        let offset =
            record.position().map_or(0, |position| position.byte() as usize).clamp(self.read, self.bytes.len());
        let blank = self.bytes[offset..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let begin = offset + blank;
        self.line += self.bytes[self.read..begin].iter().filter(|byte| **byte == b'\n').count();
        self.read = begin;
        self.line
    }
}

#[cfg(test)]
mod tests;
