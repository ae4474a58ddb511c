//! The origin of download links. It is checked at the start: if a link doesn't fit into a command, the device gets no command.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use command_api::DownloadLinks;
use domain::{DeviceId, FirmwareId, TenantId};
use mqtt_bridge::command::URL_MAX_BYTES;
use uuid::Uuid;

const TENANT_MAX_BYTES: usize = 32;
const DEVICE_MAX_BYTES: usize = 64;

/// Refuses an origin whose longest link would not fit, or would need escapes in JSON.
pub fn check(origin: &str) -> Result<()> {
    let example = "such as https://downloads.example.com";
    let url =
        reqwest::Url::parse(origin).with_context(|| format!("WAYBILL_DOWNLOAD_BASE_URL is not a URL, {example}"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.query().is_none(),
        "WAYBILL_DOWNLOAD_BASE_URL is {origin}, must begin with http:// or https:// and have no user and no query, {example}"
    );
    ensure!(
        url.fragment().is_none() && origin.bytes().all(|byte| byte.is_ascii_graphic() && !br#""\<>"#.contains(&byte)),
        "WAYBILL_DOWNLOAD_BASE_URL has characters that are not allowed in a link, {example}"
    );
    let longest = longest_link(origin)?;
    let (bytes, spare) = (origin.trim_end_matches('/').len(), longest.saturating_sub(URL_MAX_BYTES));
    ensure!(
        spare == 0,
        "WAYBILL_DOWNLOAD_BASE_URL has {bytes} bytes, at most {} leave room in a command for the longest link",
        bytes - spare
    );
    Ok(())
}

/// Bytes of a link with the longest ids.
fn longest_link(origin: &str) -> Result<usize> {
    let tenant = TenantId::new("t".repeat(TENANT_MAX_BYTES))?;
    let device = DeviceId::new("d".repeat(DEVICE_MAX_BYTES))?;
    let links = DownloadLinks::new(Vec::new(), origin.to_owned());
    let attempt = Some((&device, u32::MAX, u16::MAX));
    Ok(links.link(&tenant, &FirmwareId(Uuid::max()), attempt, DateTime::<Utc>::MAX_UTC).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_leaves_room_for_the_longest_link() {
        let room = URL_MAX_BYTES - (longest_link("x").unwrap() - 1);
        let of_bytes = |bytes: usize| format!("https://{}", "h".repeat(bytes - "https://".len()));
        assert!(check(&of_bytes(room)).is_ok());
        assert!(check(&format!("{}/", of_bytes(room))).is_ok());
        let error = check(&of_bytes(room + 3)).unwrap_err().to_string();
        assert!(error.contains(&format!("{} bytes, at most {room} ", room + 3)), "{error}");
        assert!(room >= 37);
    }

    #[test]
    fn an_origin_is_an_origin() {
        for right in ["http://127.0.0.1:8240", "https://downloads.example.com", "https://example.com/ota"] {
            assert!(check(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "example.com",
            "ftp://example.com",
            "https://a@b.com",
            "https://b.com/?x=1",
            "https://b.com/\"",
            "https://b.com/\\",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
