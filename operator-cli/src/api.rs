//! `waybill api METHOD PATH`: any request, as the API has it.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::failure::{Failure, Result};
use crate::fields::{file_text, input, pair, value};
use crate::filter::Input;
use crate::flags;
use crate::http::{self, Client, Request, new_key, query};
use crate::out;
use crate::output::{Format, array, one_line};
use crate::payload::Payload;
use crate::plain::each_page;

pub(crate) fn command() -> Command {
    let fields = Arg::new("field").long("field").short('f').value_name("KEY=VALUE").action(ArgAction::Append);
    let command = Command::new("api")
        .about("Send any request to the API and print the answer as it came")
        .arg(Arg::new("method").value_name("METHOD").required(true).help("GET, POST, PUT, PATCH or DELETE"))
        .arg(Arg::new("request-path").value_name("PATH").required(true).help("Such as /devices?limit=2; /api/v1 may be left out"))
        .arg(fields.help("Of GET a parameter of the query; otherwise a field of the body: numbers, true, false, null and JSON are read as such; @FILE is a file's text"))
        .arg(Arg::new("file").long("file").value_name("FILE").help("The body, JSON; - is standard input"))
        .arg(Arg::new("paginate").long("paginate").action(ArgAction::SetTrue).help("Get all pages of a list, as one array of items"));
    flags::common(command)
}

pub(crate) async fn run(matches: &ArgMatches, client: &Client) -> Result<()> {
    let text = |id: &str| matches.get_one::<String>(id).cloned();
    let format = Format::of(matches);
    let method = text("method").unwrap_or_default().to_ascii_uppercase();
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
        return Err(Failure::usage(format!("{method} is no method of the API")));
    }
    let mut path = full_path(&text("request-path").unwrap_or_default());
    let given: Vec<&String> = matches.get_many::<String>("field").into_iter().flatten().collect();
    let is_get = method == "GET";
    let payload = if is_get {
        let pairs: Result<Vec<(String, String)>> = given.iter().map(|text| Ok(owned(pair(text)?))).collect();
        let more = query(&pairs?);
        path = if path.contains('?') { path + &more.replacen('?', "&", 1) } else { path + &more };
        Payload::None
    } else {
        Payload::Json(body(text("file").as_deref(), &given)?)
    };
    let request = Request { method, path, payload, key: (!is_get).then(new_key), accept: "*/*" };
    if matches.get_flag("paginate") {
        if !is_get {
            return Err(Failure::usage("--paginate is for GET"));
        }
        return pages(format, client, &request).await;
    }
    if let Some(filter) = format.filter() {
        return filter.print(vec![Input::of_body(&client.send(&request).await?.body)?]);
    }
    let mut response = client.open(&request).await?;
    let (mut pieces, mut last) = (out::Pieces::default(), b'\n');
    while let Some(bytes) = http::next(&mut response).await? {
        last = bytes.last().copied().unwrap_or(last);
        pieces.write(&bytes)?;
    }
    if last == b'\n' { Ok(()) } else { out::raw(b"\n") }
}

async fn pages(format: Format<'_>, client: &Client, request: &Request) -> Result<()> {
    let mut kept = Vec::new();
    each_page(client, request, Some(usize::MAX), !format.is_lines(), |items| {
        match format {
            Format::Ndjson => return items.iter().try_for_each(|item| out::line(one_line(item)?)),
            Format::FilteredLines(filter) => return filter.print(items.into_iter().map(Input::One).collect()),
            _ => kept.extend(items),
        }
        Ok(())
    })
    .await?;
    match format {
        Format::Filtered(filter) => filter.print(vec![Input::List(kept)]),
        _ if format.is_lines() => Ok(()),
        _ => out::line(array(&kept)),
    }
}

fn body(file: Option<&str>, given: &[&String]) -> Result<Value> {
    let mut body = match file {
        Some(file) => serde_json::from_slice(&input(file)?)
            .map_err(|error| Failure::usage(format!("{file} is no JSON: {error}")))?,
        None => Value::Object(Map::new()),
    };
    for text in given {
        let (key, text) = pair(text)?;
        let fields = body.as_object_mut().ok_or_else(|| Failure::usage("fields can only be set in an object"))?;
        let value = match text.strip_prefix('@') {
            Some(file) => Value::String(file_text(file)?),
            None => value(text, None)?,
        };
        fields.insert(key.to_owned(), value);
    }
    Ok(body)
}

fn full_path(path: &str) -> String {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_full =
        ["/api/v1/", "/health", "/metrics", "/openapi.json", "/d/"].iter().any(|prefix| path.starts_with(prefix));
    if is_full { path } else { format!("/api/v1{path}") }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_may_be_the_text_of_a_file() {
        let file = std::env::temp_dir().join(format!("waybill-field-{}", std::process::id()));
        std::fs::write(&file, "12").unwrap();
        let (secret, number) = (format!("secret=@{}", file.display()), "number=12".to_owned());
        let body = body(None, &[&secret, &number]).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(body, serde_json::json!({"secret": "12", "number": 12}));
    }

    #[test]
    fn paths_may_be_short() {
        let paths = ["/devices", "devices?limit=2", "/api/v1/devices", "/health/ready"].map(full_path);
        assert_eq!(paths, ["/api/v1/devices", "/api/v1/devices?limit=2", "/api/v1/devices", "/health/ready"]);
    }
}
