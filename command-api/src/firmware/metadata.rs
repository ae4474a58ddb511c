//! The `metadata` part of an upload, and the checks of what it claims about the bytes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::Sealed;
use domain::firmware::{FirmwareBytes, FirmwareMetadata, ImageEncryption, UpdateType};
use domain::values::{TAGS_MAX, is_short_text};
use domain::version::{VersionRequirement, compare_hardware};
use serde::Deserialize;
use utoipa::ToSchema;

use super::encryption::ImageEncryptionBody;
use crate::fields::Checks;
use crate::http::Problem;

/// The `metadata` part of an upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Frame", "version": "2.1.0", "device_model": "SF-2024-Pro", "requires_version": ">=1.0.0"}))]
pub(crate) struct UploadMetadata {
    name: String,
    /// Such as `2.1.0` or `2.1.0+b7`. These differences don't make another version: a leading `v`, leading zeros, missing parts, and a
    /// build label that only one side has.
    version: String,
    /// The version that devices report when they run it, if it differs from `version`. It must match with its build label: `2.1.0+b7` is
    /// not `2.1.0+b8`.
    #[serde(default)]
    reported_version: Option<String>,
    device_model: String,
    manufacturer: Option<String>,
    /// `firmware`, `software`, `application`, `config`, `bootloader` or `security_patch`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "firmware")]
    update_type: UpdateType,
    /// The component that it replaces; by default it follows from `update_type`.
    component: Option<String>,
    /// Bytes; checked if given, as are the checksums.
    file_size: Option<u64>,
    checksum_md5: Option<String>,
    checksum_sha1: Option<String>,
    checksum_sha256: Option<String>,
    changelog: Option<String>,
    min_hardware_version: Option<String>,
    max_hardware_version: Option<String>,
    #[serde(default)]
    hardware_versions: Vec<String>,
    /// Requirement on the version that runs before, such as `>=1.4.0`.
    requires_version: Option<String>,
    #[serde(default = "yes")]
    rollback_allowed: bool,
    /// By default true, but false for config and application.
    requires_reboot: Option<bool>,
    #[serde(default)]
    is_beta: bool,
    #[serde(default)]
    is_security_update: bool,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    encryption: Option<ImageEncryptionBody>,
}

fn yes() -> bool {
    true
}

impl UploadMetadata {
    /// Checks what can be checked without the bytes.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.short("name", Some(&self.name));
        checks.version("version", &self.version);
        if let Some(reported) = &self.reported_version {
            checks.version("reported_version", reported);
        }
        checks.short("device_model", Some(&self.device_model));
        checks.short("manufacturer", self.manufacturer.as_deref());
        checks.long("changelog", self.changelog.as_deref());
        checks.short("min_hardware_version", self.min_hardware_version.as_deref());
        checks.short("max_hardware_version", self.max_hardware_version.as_deref());
        if let (Some(min), Some(max)) = (&self.min_hardware_version, &self.max_hardware_version)
            && compare_hardware(min, max) == Some(Ordering::Greater)
        {
            checks.fail("max_hardware_version", "is below min_hardware_version: no device would fit");
        }
        checks.component("component", self.component());
        if let Some(encryption) = &self.encryption {
            encryption.check(&mut checks);
        }
        checks.tags("tags", self.tags.iter().map(|(key, value)| (key, Some(value))));
        if self.hardware_versions.len() > TAGS_MAX || !self.hardware_versions.iter().all(|text| is_short_text(text)) {
            checks.fail("hardware_versions", format!("at most {TAGS_MAX} short texts"));
        }
        if let Some(Err(reason)) = self.requires_version.as_deref().map(VersionRequirement::parse) {
            checks.fail("requires_version", reason);
        }
        checks.finish()
    }

    /// Checks that the bytes are those that were announced.
    pub(super) fn check_bytes(&self, bytes: &FirmwareBytes) -> Result<(), Problem> {
        let mut checks = Checks::default();
        let mut same = |field: &str, given: Option<String>, computed: String| {
            if let Some(given) = given
                && !given.eq_ignore_ascii_case(&computed)
            {
                checks.fail(field, format!("given {given}, computed {computed}"));
            }
        };
        same("file_size", self.file_size.map(|size| size.to_string()), bytes.size.to_string());
        same("checksum_md5", self.checksum_md5.clone(), bytes.md5.clone());
        same("checksum_sha1", self.checksum_sha1.clone(), bytes.sha1.clone());
        same("checksum_sha256", self.checksum_sha256.clone(), bytes.sha256.to_string());
        if bytes.size == 0 {
            checks.fail("file", "is empty");
        }
        checks.finish()
    }

    fn component(&self) -> &str {
        self.component.as_deref().unwrap_or_else(|| self.update_type.component())
    }

    pub(super) fn into_domain(self) -> FirmwareMetadata {
        FirmwareMetadata {
            component: self.component().to_owned(),
            requires_reboot: self.requires_reboot.unwrap_or_else(|| self.update_type.requires_reboot()),
            is_security_update: self.is_security_update || self.update_type == UpdateType::SecurityPatch,
            name: self.name,
            version: self.version,
            reported_version: self.reported_version,
            device_model: self.device_model,
            update_type: self.update_type,
            manufacturer: self.manufacturer,
            changelog: self.changelog.map(Sealed::Plain),
            hardware_versions: self.hardware_versions,
            min_hardware_version: self.min_hardware_version,
            max_hardware_version: self.max_hardware_version,
            requires_version: self.requires_version,
            rollback_allowed: self.rollback_allowed,
            is_beta: self.is_beta,
            tags: self.tags,
            encryption: self.encryption.map(ImageEncryption::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::values::Sha256Digest;

    use super::*;

    fn metadata(more: &str) -> UploadMetadata {
        serde_json::from_str(&format!(r#"{{"name":"F","version":"2.1.0","device_model":"M"{more}}}"#)).unwrap()
    }

    fn bytes() -> FirmwareBytes {
        let sha256 = Sha256Digest::of(b"one");
        FirmwareBytes {
            size: 3,
            md5: "f97c5d29941bfb1b2fdab0874906ab82".into(),
            sha1: String::new(),
            sha256,
            filename: None,
        }
    }

    #[test]
    fn digests_of_an_empty_file_are_refused_by_name() {
        let empty = metadata(
            r#","checksum_md5":"d41d8cd98f00b204e9800998ecf8427e","checksum_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#,
        );
        let problem = empty.check_bytes(&bytes()).unwrap_err();
        let fields: Vec<&str> = problem.errors().iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["checksum_md5", "checksum_sha256"]);
        assert!(problem.detail().contains("f97c5d29941bfb1b2fdab0874906ab82"));
    }

    #[test]
    fn right_claims_in_either_case_are_taken() {
        let right = metadata(r#","file_size":3,"checksum_md5":"F97C5D29941BFB1B2FDAB0874906AB82""#);
        assert!(right.check_bytes(&bytes()).is_ok());
    }

    #[test]
    fn an_encryption_has_two_short_names() {
        let given = |text: &str| metadata(&format!(r#","encryption":{text}"#));
        let right = given(r#"{"scheme":"aes-128-ctr","key_id":"fleet-7"}"#);
        assert!(right.check().is_ok());
        let kept = right.into_domain().encryption.unwrap();
        assert_eq!((kept.scheme.as_str(), kept.key_id.as_str()), ("aes-128-ctr", "fleet-7"));
        for (wrong, field) in [
            (r#"{"scheme":"","key_id":"a"}"#.to_owned(), "encryption.scheme"),
            (r#"{"scheme":"a b","key_id":"a"}"#.to_owned(), "encryption.scheme"),
            (format!(r#"{{"scheme":"a","key_id":"{}"}}"#, "k".repeat(33)), "encryption.key_id"),
        ] {
            let problem = given(&wrong).check().unwrap_err();
            assert_eq!(problem.errors()[0].field, field, "{wrong}");
        }
    }

    #[test]
    fn defaults_follow_from_the_update_type() {
        let patch = metadata(r#","update_type":"security_patch""#).into_domain();
        assert_eq!(
            (patch.component.as_str(), patch.requires_reboot, patch.is_security_update),
            ("firmware", true, true)
        );
        let config = metadata(r#","update_type":"config""#).into_domain();
        assert_eq!((config.component.as_str(), config.requires_reboot), ("config", false));
    }
}
