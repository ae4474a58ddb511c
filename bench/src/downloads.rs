//! Downloads through Waybill, from a directory and from a bucket, beside nginx, which sends the same file from the same disk.
//!
//! nginx also is the bucket: of S3, downloads need `GET` alone, and its signature isn't looked at. So the second measurement has nginx's own
//! rate as its ceiling, too.

mod client;
mod nginx;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use waybill::stack::Tools;

use crate::fleet::MODEL;
use crate::report::{Measurement, Report};
use crate::service::{Service, WAYBILL};
use crate::world::World;
use client::rate;
use nginx::Nginx;

/// Size of the firmware, and of the one in quick runs.
const SIZE_MIB: usize = 2_048;
const QUICK_SIZE_MIB: usize = 64;
/// Bytes of a mebibyte.
const MIB: usize = 1024 * 1024;

/// Uploads one firmware and downloads it.
pub(crate) async fn run(tools: &Tools, quick: bool, report: &mut Report) -> Result<()> {
    let Some(program) = nginx::program() else {
        println!("Downloads: left out, because there is no nginx (apt-get install nginx-light)");
        return Ok(());
    };
    let size_mib = if quick { QUICK_SIZE_MIB } else { SIZE_MIB };
    println!("Downloads of a firmware of {size_mib} MiB");
    let world = World::start(tools, "downloads").await?;
    let service = Service::start(&world).await?;
    let watched = service.watched(&world);
    watched.forget_peaks();
    let firmware = upload(&service, size_mib).await?;
    let peak = watched.memory_mib().get(WAYBILL).copied().unwrap_or_default();
    report.add(Measurement::new("downloads.upload.memory", peak, "MiB"));
    let data = world.directory().join("service");
    let nginx = Nginx::start(&program, &world.directory().join("nginx"), &data)?;
    let file = format!("/firmware/{}", stored(&firmware)?);
    let of_nginx = rate(&nginx.address, &file, size_mib * MIB).await?;
    measure(&world, &service, &firmware, "directory", of_nginx, report).await?;
    service.stop().await;
    let settings = settings(&data, &nginx.address)?;
    let bucket = ["--firmware-store".to_owned(), format!("s3://firmware?settings={}", settings.display())];
    let service = Service::start_with(&world, |_| bucket.to_vec()).await?;
    let of_nginx = rate(&nginx.address, &file, size_mib * MIB).await?;
    measure(&world, &service, &firmware, "bucket", of_nginx, report).await?;
    service.stop().await;
    nginx.stop().await;
    world.stop().await;
    Ok(())
}

async fn upload(service: &Service, size_mib: usize) -> Result<Value> {
    let mut piece = vec![0_u8; MIB];
    rand::fill(&mut piece[..]);
    let piece = Bytes::from(piece);
    let pieces = futures::stream::iter((0..size_mib).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let metadata = json!({"name": "F", "version": "2.0.0", "device_model": MODEL});
    let file = Part::stream(Body::wrap_stream(pieces)).file_name("firmware.bin");
    let form = Form::new().text("metadata", metadata.to_string()).part("file", file);
    let url = format!("{}/api/v1/firmware", service.api.base());
    let request = service.api.http().post(url).bearer_auth(service.api.token()).multipart(form);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

/// Where it is in the store.
fn stored(firmware: &Value) -> Result<String> {
    let text = |name: &str| firmware[name].as_str().context("no such field");
    Ok(format!("{}/{}/{}", crate::fleet::TENANT, text("firmware_id")?, text("checksum_sha256")?))
}

fn settings(data: &Path, address: &str) -> Result<PathBuf> {
    let file = data.join("s3.env");
    let text = format!("AWS_ENDPOINT=http://{address}\nAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=key\n");
    std::fs::write(&file, text)?;
    Ok(file)
}

async fn measure(
    world: &World,
    service: &Service,
    firmware: &Value,
    from: &str,
    of_nginx: f64,
    report: &mut Report,
) -> Result<()> {
    let size = usize::try_from(firmware["file_size"].as_u64().context("no size")?)?;
    let id = firmware["firmware_id"].as_str().context("no id")?;
    let link = service.api.get(&format!("/firmware/{id}/download")).await?;
    let link = link["download_url"].as_str().context("no link")?;
    let (address, path) = link.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no such link")?;
    // The first download waits until the firmware was read.
    rate(address, &format!("/{path}"), size).await?;
    let watched = service.watched(world);
    watched.forget_peaks();
    let before = watched.cpu();
    let rate = rate(address, &format!("/{path}"), size).await?;
    let used = watched.cpu().since(&before);
    ensure!(rate > 0.0, "nothing was downloaded");
    let name = format!("downloads.{from}");
    report.add(
        Measurement::new(&name, rate, "MiB/s")
            .ceiling("nginx", of_nginx)
            .cpu(&used, size / MIB * client::CONNECTIONS)
            .memory(watched.memory_mib()),
    );
    Ok(())
}
