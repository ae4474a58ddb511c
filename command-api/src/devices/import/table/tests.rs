use serde_json::json;
use utoipa::PartialSchema;

use super::super::super::create::DeviceRequest;
use super::*;

/// The rows: line, and JSON or the refused fields.
fn rows(csv: &[u8]) -> Vec<(usize, Value)> {
    read(csv)
        .unwrap()
        .into_iter()
        .map(|item| {
            let refused = item.refused.map(|problem| json!(fields(&problem)));
            (item.row.unwrap(), refused.unwrap_or_else(|| serde_json::from_slice(&item.json).unwrap()))
        })
        .collect()
}

fn fields(problem: &Problem) -> Vec<String> {
    problem.errors().iter().map(|error| error.field.clone()).collect()
}

fn refused(csv: &str) -> (u16, Vec<String>) {
    let problem = read(csv.as_bytes()).map(drop).unwrap_err();
    (problem.status().as_u16(), fields(&problem))
}

#[test]
fn the_columns_are_the_fields_of_a_device() {
    let schema = serde_json::to_value(DeviceRequest::schema()).unwrap();
    let fields: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let columns: BTreeSet<&str> = TEXTS.into_iter().chain(NUMBERS).chain(["tags", "versions"]).collect();
    assert_eq!(columns, fields);
}

#[test]
fn a_row_becomes_the_device_of_its_cells() {
    let csv = "\u{feff}device_id, name ,tag:site,version:bootloader,contact_interval_s\r\n\
               d-1,\"Hall 3, \"\"old\"\"\",north,1.2,60\r\n\r\n d-2 ,,,,often\r\n,,,,\r\nd-3,x,,,\r\n";
    let expected = [
        (
            2,
            json!({
                "device_id": "d-1", "name": "Hall 3, \"old\"", "tags": {"site": "north"}, "versions": {"bootloader": "1.2"},
                "contact_interval_s": 60,
            }),
        ),
        (4, json!({"device_id": "d-2", "contact_interval_s": "often"})),
        (6, json!({"device_id": "d-3", "name": "x"})),
    ];
    assert_eq!(rows(csv.as_bytes()), expected);
}

#[test]
fn semicolons_separate_where_the_header_has_no_comma() {
    assert_eq!(rows(b"device_id;name\nd-1;a,b\n"), [(2, json!({"device_id": "d-1", "name": "a,b"}))]);
}

#[test]
fn the_last_line_needs_no_end_and_quotes_within_a_cell_are_its_own() {
    let csv = b"device_id,name\nd-1,5\" display\nd-2,\"c\"";
    assert_eq!(
        rows(csv),
        [(2, json!({"device_id": "d-1", "name": "5\" display"})), (3, json!({"device_id": "d-2", "name": "c"}))]
    );
}

#[test]
fn a_quote_that_is_not_closed_swallows_no_row() {
    let body = (422, vec!["body".to_owned()]);
    // Two forgotten quotes: the rows between them would become one cell.
    assert_eq!(refused("device_id,name\nd-1,\"a\nd-2,b\nd-3,c\"\nd-4,d\n"), body);
    for last in ["d-2,\"b", "d-2,\"b\n", "d-2,\"\r\n", "d-2,\"a\rb\"\n"] {
        assert_eq!(refused(&format!("device_id,name\nd-1,a\n{last}")), body, "{last:?}");
    }
    let problem = read(b"device_id\nd-1\n\n\"d-2\n").map(drop).unwrap_err();
    assert!(problem.errors()[0].reason.ends_with("in row 4"), "{problem:?}");
}

#[test]
fn a_lone_cr_ends_a_line() {
    let csv = b"device_id;name\rd-1;a,b\r\rd-1;c\rd-2;d\r\nd-3;e\n\nd-4;f";
    let expected = [
        (2, json!({"device_id": "d-1", "name": "a,b"})),
        (4, json!(["device_id"])),
        (5, json!({"device_id": "d-2", "name": "d"})),
        (6, json!({"device_id": "d-3", "name": "e"})),
        (8, json!({"device_id": "d-4", "name": "f"})),
    ];
    assert_eq!(rows(csv), expected);
}

#[test]
fn a_large_file_is_refused_before_its_rows_are_kept() {
    let rows_of = |count: usize| format!("name\n{}", "a\n,\n".repeat(count));
    assert_eq!(read(rows_of(ITEMS_MAX).as_bytes()).unwrap().len(), ITEMS_MAX);
    assert_eq!(refused(&rows_of(ITEMS_MAX + 1)), (413, vec![]));
    assert_eq!(refused(&format!("name\n{}\n", ",".repeat(ITEM_MAX_BYTES + 1))), (413, vec![]));
    let wide = |cells: usize| {
        let item = read(format!("name\n{}\n", "x,".repeat(cells - 1)).as_bytes()).unwrap().remove(0);
        let cells: Vec<Value> = serde_json::from_slice(&item.json).unwrap();
        (cells.len(), cells.last().cloned().unwrap_or_default())
    };
    assert_eq!(wide(COLUMNS_MAX), (COLUMNS_MAX, json!("")));
    assert_eq!(wide(5_000), (COLUMNS_MAX + 1, json!(5_000)));
}

#[test]
fn a_wrong_header_is_refused_with_every_column() {
    let column = |name: &str| (422, vec![name.to_owned()]);
    assert_eq!(refused("device_id,colour,tags,versions,,tag:\n"), {
        let named = ["colour", "tags", "versions", "column 5", "tag:"];
        (422, named.map(str::to_owned).to_vec())
    });
    assert_eq!(refused("name,name\n"), column("name"));
    assert_eq!(refused("tag:a,tag:a\n"), column("tag:a"));
    assert_eq!(refused(""), column("header"));
    assert_eq!(refused(&"x,".repeat(COLUMNS_MAX + 1)), column("header"));
    assert_eq!(refused("device_id\n\"d-1\n"), column("body"));
}

#[test]
fn a_wrong_row_is_refused_alone() {
    let csv = b"device_id,lorawan_dev_eui,name\nd-1,0A,x\nd-2,0a,x\nd-1,,x\nd-4,x\nd-5,,\xff\nd-6,,x\n";
    let expected = [
        (2, json!({"device_id": "d-1", "lorawan_dev_eui": "0A", "name": "x"})),
        (3, json!(["lorawan_dev_eui"])),
        (4, json!(["device_id"])),
        (5, json!(["row"])),
        (6, json!(["name"])),
        (7, json!({"device_id": "d-6", "name": "x"})),
    ];
    assert_eq!(rows(csv), expected);
}
