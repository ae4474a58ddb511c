//! `waybill firmware download`, `verify` and `where`: the bytes of a firmware, and the devices that run it.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use hyper::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::Context;
use crate::description::Base;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::flags;
use crate::http::{self, Client, Request, query, segment};
use crate::operations;
use crate::out;
use crate::output::{self, Format, Items};
use crate::plain::{each_page, root, rows_max};
use crate::target::Target;

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Redirections that a download follows: the service sends it on to a bucket.
const REDIRECTIONS_MAX: usize = 3;
/// Name of a file whose firmware has none.
const NAMELESS: &str = "firmware.bin";

fn id() -> Arg {
    Arg::new("path:firmware_id").value_name("FIRMWARE").required(true).help("Id of the firmware")
}

/// The argument of `download` beside those of the operation.
pub(crate) fn download_arguments(command: Command) -> Command {
    let file = Arg::new("to").value_name("FILE").value_parser(value_parser!(PathBuf));
    command.arg(file.help("Where to put it [default: a new file with the name that it was uploaded with]"))
}

pub(crate) fn verify_command() -> Command {
    let file = Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf));
    let command = Command::new("verify")
        .about("Compare a file with a firmware: size and SHA-256; prints who has signed it")
        .arg(id())
        .arg(file.help("The file"));
    flags::common(command)
}

pub(crate) fn where_command() -> Command {
    let limit = Arg::new("limit").long("limit").value_parser(value_parser!(usize)).help("Rows at most [default: all]");
    flags::common(Command::new("where").about("List the devices that run a firmware's version").arg(id()).arg(limit))
}

fn path(matches: &ArgMatches, client: &Client) -> String {
    let id = matches.get_one::<String>("path:firmware_id").cloned().unwrap_or_default();
    format!("{}/firmware/{}", root(Base::Tenant, client.target.context.tenant.as_deref()), segment(&id))
}

/// Follows a link to the bytes and checks them.
pub(crate) async fn download(matches: &ArgMatches, client: &Client) -> Result<()> {
    let link = client.get(format!("{}/download", path(matches, client))).await?;
    let text = |name: &str| link[name].as_str().unwrap_or_default();
    let to = match matches.get_one::<PathBuf>("to") {
        Some(to) => to.clone(),
        None => new_file(text("filename"))?,
    };
    let mut response = follow(client, text("download_url")).await?;

    let failed = |error: std::io::Error| Failure::here(format!("{} can't be written: {error}", to.display()));
    let part = to.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::File::create(&part).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut left = link["size"].as_u64().unwrap_or(u64::MAX);
    let mut written = Ok(());
    while written.is_ok() {
        match http::next(&mut response).await {
            Ok(Some(bytes)) if bytes.len() as u64 > left => {
                written = Err(Failure::here("more bytes came than the firmware has: they are not kept"));
            }
            Ok(Some(bytes)) => {
                left -= bytes.len() as u64;
                hash.update(&bytes);
                written = file.write_all(&bytes).map_err(failed);
            }
            Ok(None) => break,
            Err(failure) => written = Err(failure),
        }
    }
    if written.is_ok() && hex(hash) != text("checksum_sha256") {
        written = Err(Failure::here("what was downloaded has another SHA-256 than the firmware: it is not kept"));
    }
    let kept = written.and_then(|()| fs::rename(&part, &to).map_err(failed));
    if kept.is_err() {
        fs::remove_file(&part).ok();
    }
    kept?;
    let format = Format::of(matches);
    if format.is_table() { out::line(to.display()) } else { output::made(format, &link) }
}

/// The file with the name that a firmware was uploaded with, in the current directory. That name is somebody else's choice, so it replaces no
/// file.
fn new_file(name: &str) -> Result<PathBuf> {
    let to = Path::new(name).file_name().map_or_else(|| NAMELESS.into(), PathBuf::from);
    if to.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} exists: name the file to write", to.display())));
    }
    Ok(to)
}

/// Opens a link and follows its redirections. The link is its own credential, and may be at another host: the token isn't sent there.
async fn follow(client: &Client, link: &str) -> Result<Response<Incoming>> {
    let mut link = link.to_owned();
    for _ in 0..=REDIRECTIONS_MAX {
        let (origin, rest) = split(&link).ok_or_else(|| Failure::here("the service's link is no address"))?;
        let ca = client.target.context.ca.clone();
        let context = Context { url: origin.to_owned(), tenant: None, token: None, ca };
        let there = Client::new(Target { name: origin.to_owned(), context, tenant_of_token: None })?;
        let opened = there.open(&Request { accept: "*/*", ..Request::get(rest) }).await;
        match opened {
            Err(Failure { location: Some(next), .. }) => link = next,
            opened => return opened,
        }
    }
    Err(Failure::here(format!("the service's link has more than {REDIRECTIONS_MAX} redirections")))
}

/// Compares a file with what the service has of it.
pub(crate) async fn verify(matches: &ArgMatches, client: &Client) -> Result<()> {
    let firmware = client.get(path(matches, client)).await?;
    let file = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let (size, sha256) =
        measure(&file).map_err(|error| Failure::usage(format!("{} can't be read: {error}", file.display())))?;
    let is_same = firmware["checksum_sha256"] == sha256 && firmware["file_size"] == size;
    let signatures: Vec<&Value> = firmware["signatures"].as_array().into_iter().flatten().collect();
    let format = Format::of(matches);
    if format.is_table() {
        out::line(format_args!("sha256\t{sha256}\nsize\t{size}\nsame\t{is_same}\nsignatures\t{}", signatures.len()))?;
    } else {
        output::made(
            format,
            &json!({"same": is_same, "checksum_sha256": sha256, "file_size": size, "signatures": signatures}),
        )?;
    }
    if is_same {
        Ok(())
    } else {
        let other = firmware["checksum_sha256"].as_str().unwrap_or_default();
        Err(Failure::new(Exit::Refused, format!("{} is not this firmware, whose SHA-256 is {other}", file.display())))
    }
}

/// Devices with the firmware's model and version.
pub(crate) async fn devices(matches: &ArgMatches, client: &Client) -> Result<()> {
    let firmware = client.get(path(matches, client)).await?;
    let pair = |name: &str, field: &str| (name.to_owned(), firmware[field].as_str().unwrap_or_default().to_owned());
    let mut pairs = vec![pair("device_model", "device_model")];
    if firmware["component"] != "firmware" {
        return Err(Failure::usage(
            "devices are listed by the version of their firmware: of other components use `waybill stats versions --component`",
        ));
    }
    pairs.push(pair(
        "firmware_version",
        if firmware["reported_version"].is_string() { "reported_version" } else { "version" },
    ));
    let request = Request::get(format!(
        "{}/devices{}",
        root(Base::Tenant, client.target.context.tenant.as_deref()),
        query(&pairs)
    ));
    let operation = operations::all().find(|operation| operation.id == "list_devices");
    let Some(operation) = operation else { return Ok(()) };
    let limit = rows_max(matches.get_one::<usize>("limit").copied(), false);
    let mut items = Items::new(Format::of(matches), operation);
    each_page(client, &request, Some(limit), items.is_kept(), |page| items.page(page)).await?;
    items.end()
}

fn measure(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash, mut size) = (fs::File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hex(hash)));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Origin and path of an address.
fn split(url: &str) -> Option<(&str, &str)> {
    let host = url.find("://")? + 3;
    let path = host + url[host..].find('/')?;
    Some(url.split_at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_service;

    #[test]
    fn links_are_split() {
        assert_eq!(split("https://x:1/d/abc"), Some(("https://x:1", "/d/abc")));
        assert_eq!(split("nonsense"), None);
    }

    #[test]
    fn the_name_of_an_upload_replaces_no_file() {
        assert_eq!(new_file("../../etc/no_such_file.bin").unwrap(), Path::new("no_such_file.bin"));
        assert_eq!(new_file("..").unwrap(), Path::new(NAMELESS));
        // Tests run in the directory of the crate.
        assert_eq!(new_file("/elsewhere/Cargo.toml").unwrap_err().exit, Exit::Usage);
    }

    #[tokio::test]
    async fn a_download_follows_the_service_to_the_bucket_without_the_token() {
        let (bucket, in_bucket) = fake_service::start(&["200 OK"]).await;
        let redirection = format!("302 Found\r\nlocation: {bucket}/f?signature=x");
        let (url, at_service) = fake_service::start(&[redirection.as_str()]).await;
        let context = Context { url: url.clone(), token: Some("wbk_secret".to_owned()), ..Context::default() };
        let client = Client::new(Target { name: "here".to_owned(), context, tenant_of_token: None }).unwrap();

        let mut response = follow(&client, &format!("{url}/d/link")).await.unwrap();
        assert_eq!(http::next(&mut response).await.unwrap().unwrap(), fake_service::BODY);
        let heads = [at_service.await.unwrap(), in_bucket.await.unwrap()].concat();
        assert!(heads[0].starts_with("GET /d/link ") && heads[1].starts_with("GET /f?signature=x "), "{heads:?}");
        assert!(heads.iter().all(|head| !head.contains("wbk_secret")), "{heads:?}");
    }
}
