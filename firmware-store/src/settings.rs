//! Settings of a bucket: from the environment, with the names that the provider's own programs have, and from a file.
//!
//! The file has lines `NAME=VALUE` with the same names, empty lines and lines that begin with `#`. A setting of the file replaces the one of
//! the environment.

use std::path::Path;
use std::str::FromStr;

/// Largest file with settings, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Why settings can't be used. The text has no value of a setting: it could be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{file} can't be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file} is larger than 64 KiB")]
    TooLarge { file: String },
    #[error("{file}: line {line} isn't NAME=VALUE")]
    Line { file: String, line: usize },
    #[error("{file}: {name} isn't a setting of this store; they begin with {prefix}")]
    Unknown { file: String, name: String, prefix: &'static str },
}

/// Settings whose names begin with `prefix`. A later one replaces an earlier one of the same name.
pub(crate) fn read<K: FromStr>(prefix: &'static str, file: Option<&Path>) -> Result<Vec<(K, String)>, SettingsError> {
    let from_environment = std::env::vars().filter(|(name, _)| name.starts_with(prefix));
    let mut settings: Vec<(K, String)> =
        from_environment.filter_map(|(name, value)| Some((key(&name)?, value))).collect();
    let Some(path) = file else { return Ok(settings) };
    let file = || path.display().to_string();
    let unreadable = |error| SettingsError::Unreadable { file: file(), error };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX_BYTES {
        return Err(SettingsError::TooLarge { file: file() });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let named = line.split_once('=').filter(|(name, _)| is_name(name));
        let (name, value) = named.ok_or_else(|| SettingsError::Line { file: file(), line: number })?;
        let known = name.starts_with(prefix).then(|| key(name)).flatten();
        let unknown = || SettingsError::Unknown { file: file(), name: name.to_owned(), prefix };
        settings.push((known.ok_or_else(unknown)?, value.to_owned()));
    }
    Ok(settings)
}

/// Whether a text can be the name of a setting. A key that was pasted alone into a line, such as `c2VjcmV0==`, can't.
fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn key<K: FromStr>(name: &str) -> Option<K> {
    name.to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;

    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Vec<(AmazonS3ConfigKey, String)>, String> {
        let path = std::env::temp_dir().join(format!("waybill-settings-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let read = read("AWS_", Some(&path)).map_err(|error| error.to_string());
        std::fs::remove_file(&path).unwrap();
        read
    }

    #[test]
    fn a_file_has_the_names_of_the_environment() {
        let read = read_text("good", "# mine\n\nAWS_ACCESS_KEY_ID=a\n AWS_SECRET_ACCESS_KEY=b=c\n").unwrap();
        let last = read.last().unwrap();
        assert_eq!((last.0, last.1.as_str()), (AmazonS3ConfigKey::SecretAccessKey, "b=c"));
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_without_its_value() {
        for (name, text, says) in [
            ("line", "AWS_REGION=a\nx", "line 2"),
            ("key", "AWS_REGION=a\ngeheim+geheim==", "line 2"),
            ("unknown", "AWS_SECRET_KEY_OF_MINE=geheim", "AWS_SECRET_KEY_OF_MINE isn't a setting"),
            ("other", "AZURE_STORAGE_ACCOUNT_KEY=geheim", "they begin with AWS_"),
            ("large", &"#".repeat(70_000), "larger than"),
        ] {
            let error = read_text(name, text).unwrap_err();
            assert!(error.contains(says) && !error.contains("geheim"), "{error}");
        }
        let absent = read::<AmazonS3ConfigKey>("AWS_", Some(Path::new("/nowhere/s3.env"))).unwrap_err().to_string();
        assert!(absent.starts_with("/nowhere/s3.env can't be read"), "{absent}");
    }
}
