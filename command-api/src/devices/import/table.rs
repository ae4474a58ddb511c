//! Reads a CSV file: each row becomes the JSON object of a device.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::io::{Chain, Read};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::super::bulk::{ITEM_MAX_BYTES, ITEMS_MAX, Item, too_many};
use crate::http::{FieldError, Problem, body};

/// Columns whose cells are texts. They have the names of the fields.
const TEXTS: [&str; 14] = [
    "device_id",
    "name",
    "device_type",
    "device_model",
    "manufacturer",
    "hardware_version",
    "firmware_version",
    "timezone",
    "lorawan_dev_eui",
    "join_eui",
    "chirpstack_app_id",
    "device_profile_id",
    "owner",
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
/// Read after the last byte, so that a quoted cell that the file doesn't close has a line break too.
const LAST_LINE_END: &[u8] = b"\n";

/// What a column's cells are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Text(&'static str),
    Number(&'static str),
    Tag(String),
    Version(String),
}

/// The rows of a file. 422 if the header or the file as a whole is wrong, 413 if it is too large; a row that is wrong is refused alone.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Item>, Problem> {
    let mut file = File::open(bytes.strip_prefix(BOM).unwrap_or(bytes))?;
    if file.next_row()?.is_none() {
        return Err(Problem::invalid("header", "is missing: the first row names the fields of POST /devices"));
    }
    let names = header(&file.record)?;
    let columns = columns(&names)?;
    let (mut rows, mut known) = (Vec::new(), HashMap::new());
    while let Some(line) = file.next_row()? {
        if file.record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        if rows.len() == ITEMS_MAX {
            return Err(too_many());
        }
        let item = match device(&names, &columns, &file.record) {
            Ok(fields) => {
                let refused = repeated(&fields, line, &mut known);
                Item { json: Value::Object(fields).to_string().into_bytes(), row: Some(line), refused }
            }
            Err(problem) => Item { json: cells(&file.record), row: Some(line), refused: Some(problem) },
        };
        rows.push(item);
    }
    Ok(rows)
}

/// A file that is read row by row.
struct File<'a> {
    reader: csv::Reader<Chain<&'a [u8], &'static [u8]>>,
    record: ByteRecord,
    lines: Lines<'a>,
}

impl<'a> File<'a> {
    /// 413 if it has a line that is longer than an item may be, because a line of separators would become many cells.
    fn open(bytes: &'a [u8]) -> Result<Self, Problem> {
        if bytes.split(is_line_end).any(|line| line.len() > ITEM_MAX_BYTES) {
            return Err(body::too_large());
        }
        let mut format = ReaderBuilder::new();
        format.has_headers(false).flexible(true).delimiter(delimiter(bytes));
        let reader = format.from_reader(bytes.chain(LAST_LINE_END));
        Ok(Self { reader, record: ByteRecord::new(), lines: Lines { bytes, read: 0, line: 1 } })
    }

    /// Reads the next row, and says on which line it begins. 422 if one of its cells has a line break: most likely a quote was forgotten, and
    /// the rows that follow would become part of the cell.
    fn next_row(&mut self) -> Result<Option<usize>, Problem> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.map_err(|error| Problem::invalid("body", format!("is not CSV: {error}")))? {
            return Ok(None);
        }
        let line = self.lines.line_of(&self.record);
        if self.record.iter().any(|cell| cell.iter().any(is_line_end)) {
            let reason = format!("has a quoted cell with a line break, or one that isn't closed, in row {line}");
            return Err(Problem::invalid("body", reason));
        }
        self.record.trim();
        Ok(Some(line))
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Spreadsheets write semicolons where the comma separates decimals.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(is_line_end).next().unwrap_or_default();
    if header.contains(&b';') && !header.contains(&b',') { b';' } else { b',' }
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
            Some(column) if !seen.insert(column.clone()) => wrong.push(FieldError::new(field, "column occurs twice")),
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
        "tags" => format!("unknown column: each tag has a column of its own, {TAG}KEY"),
        "versions" => format!("unknown column: each component has a column of its own, {VERSION}COMPONENT"),
        _ => format!("unknown column; known are {}, {}, {TAG}KEY, {VERSION}COMPONENT", TEXTS.join(", "), NUMBERS[0]),
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
        match known.entry((name, value)) {
            Entry::Occupied(first) => wrong.push(FieldError::new(name, format!("is also in row {}", first.get()))),
            Entry::Vacant(place) => {
                place.insert(line);
            }
        }
    }
    (!wrong.is_empty()).then(|| Problem::invalid_fields(wrong))
}

/// The cells of a row that can't be read, so that a repeated request is recognised: the first ones, and how many there are if there are more.
fn cells(record: &ByteRecord) -> Vec<u8> {
    let cell = |cell: &[u8]| Value::from(String::from_utf8_lossy(cell).into_owned());
    let more = (record.len() > COLUMNS_MAX).then(|| Value::from(record.len()));
    let cells = record.iter().take(COLUMNS_MAX).map(cell).chain(more);
    Value::Array(cells.collect()).to_string().into_bytes()
}

/// Counts lines up to a record. The parser counts neither blank lines before a record nor lines that end with CR reliably.
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
        let begin = offset + self.bytes[offset..].iter().take_while(|byte| is_line_end(byte)).count();
        self.line += (self.read..begin).filter(|at| self.ends_line(*at)).count();
        self.read = begin;
        self.line
    }

    /// LF ends a line, and so does a CR that no LF follows.
    fn ends_line(&self, at: usize) -> bool {
        match self.bytes[at] {
            b'\n' => true,
            b'\r' => self.bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
