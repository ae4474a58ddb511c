//! `waybill firmware upload` and `add-document`: operations whose body is a file with further parts.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::fields;
use crate::payload::{Form, Payload};

/// The operations, and the part of each that is the file.
const FIRMWARE: &str = "upload_firmware";
const FIRMWARE_PART: &str = "file";
const DOCUMENT: &str = "add_document";
const DOCUMENT_PART: &str = "document";
/// Argument with the path of the file.
const PATH: &str = "upload";
/// Signatures of one upload; the service takes no more.
const SIGNATURES_MAX: usize = 16;
/// Parts of a firmware's upload that hold a signature: the flag that names a file, the part, and what the file is.
const SIGNATURES: [(&str, &str, &str); 3] = [
    ("signature", "signature", "A file with what `waybill firmware sign` printed"),
    ("minisign", "minisign", "A .minisig file"),
    ("cosign-bundle", "cosign_bundle", "A bundle of cosign"),
];

/// Adds the arguments that an operation has beside its fields.
pub(crate) fn arguments(command: Command, operation: &str) -> Command {
    match operation {
        FIRMWARE => with_signatures(command.arg(path("FIRMWARE", "The firmware"))),
        DOCUMENT => command.arg(path("DOCUMENT", "An SBOM, a VEX or a provenance, JSON")),
        _ => command,
    }
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(PATH).value_name(name).required(true).value_parser(value_parser!(PathBuf)).help(help)
}

fn with_signatures(command: Command) -> Command {
    SIGNATURES.iter().fold(command, |command, (flag, _, help)| {
        command.arg(Arg::new(*flag).long(*flag).value_name("FILE").action(ArgAction::Append).help(*help))
    })
}

/// The payload of an operation whose fields have these values: a form if the operation takes a file, otherwise JSON.
pub(crate) fn payload(operation: &str, matches: &ArgMatches, values: Value) -> Result<Payload> {
    let (part, texts) = match operation {
        FIRMWARE => (FIRMWARE_PART, metadata_and_signatures(matches, &values)?),
        DOCUMENT => (DOCUMENT_PART, one_part_each(&values)?),
        _ => return Ok(Payload::Json(values)),
    };
    let file = matches.get_one::<PathBuf>(PATH).cloned().unwrap_or_default();
    Ok(Payload::Form(Arc::new(Form::new(part, file, &texts)?)))
}

fn metadata_and_signatures(matches: &ArgMatches, metadata: &Value) -> Result<Vec<(&'static str, String)>> {
    let mut parts = vec![("metadata", metadata.to_string())];
    for (flag, part, _) in SIGNATURES {
        for file in matches.get_many::<String>(flag).into_iter().flatten() {
            parts.push((part, fields::file_text(file)?));
        }
    }
    if parts.len() > SIGNATURES_MAX + 1 {
        return Err(Failure::usage(format!("at most {SIGNATURES_MAX} signatures go with an upload")));
    }
    Ok(parts)
}

/// Each field as a part of its own. A field that is null is left out.
fn one_part_each(values: &Value) -> Result<Vec<(&str, String)>> {
    let object = values.as_object().ok_or_else(|| Failure::usage("the fields of a document are a JSON object"))?;
    let mut parts = Vec::new();
    for (name, value) in object {
        match value {
            Value::Null => {}
            Value::String(text) => parts.push((name.as_str(), text.clone())),
            _ => return Err(Failure::usage(format!("the field {name} of a document is a text"))),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http_body_util::BodyExt;

    use super::*;
    use crate::description::Description;
    use crate::{flags, operations};

    /// The form of a command line, as text.
    async fn sent(id: &str, args: &[&str]) -> Result<String> {
        let description = Description::read();
        let endpoints = description.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.id == id).unwrap();
        let operation = operations::all().find(|operation| operation.id == id).unwrap();
        let command = flags::verb(operation, endpoint, &description);
        let matches = command.try_get_matches_from([&["verb"], args].concat()).unwrap();
        let values = fields::body(&matches, &description, endpoint.body.as_ref().unwrap())?;
        let body = payload(id, &matches, values)?.body().await?;
        Ok(String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    fn parts(text: &str) -> BTreeSet<&str> {
        text.split(" name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// Names of the parts that a form of the API has.
    fn described(form: &str) -> BTreeSet<String> {
        let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
        let properties = document["components"]["schemas"][form]["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    }

    #[tokio::test]
    async fn a_document_has_the_parts_that_the_api_names() {
        let file = std::env::temp_dir().join(format!("waybill-document-{}", std::process::id()));
        std::fs::write(&file, r#"{"bomFormat":"CycloneDX"}"#).unwrap();
        let name = file.display().to_string();
        let old = "018f4e2a-1111-7222-8333-0123456789ab";
        let args = ["firmware", name.as_str(), "--product", "pkg:generic/frame@2", "--replaces", old];
        let text = sent("add_document", &args).await.unwrap();
        assert_eq!(parts(&text), BTreeSet::from(["document", "product", "replaces"]), "{text}");
        assert_eq!(parts(&text).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), described("DocumentForm"));
        assert!(text.contains("name=\"product\"\r\n\r\npkg:generic/frame@2\r\n"), "{text}");
        assert!(text.contains(&format!("name=\"replaces\"\r\n\r\n{old}\r\n")), "{text}");
        assert!(text.contains("\r\n\r\n{\"bomFormat\":\"CycloneDX\"}\r\n"), "{text}");

        let alone = sent("add_document", &["firmware", name.as_str()]).await.unwrap();
        assert_eq!(parts(&alone), BTreeSet::from(["document"]), "{alone}");
        std::fs::remove_file(file).unwrap();
    }

    #[tokio::test]
    async fn a_firmware_has_its_metadata_and_signatures_as_parts() {
        let file = std::env::temp_dir().join(format!("waybill-firmware-{}", std::process::id()));
        std::fs::write(&file, "bytes").unwrap();
        let name = file.display().to_string();
        let args = [name.as_str(), "--version", "2.0.0", "--minisign", name.as_str()];
        let text = sent("upload_firmware", &args).await.unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(parts(&text), BTreeSet::from(["file", "metadata", "minisign"]), "{text}");
        assert!(parts(&text).iter().all(|part| described("UploadForm").contains(*part)));
        assert!(text.contains("{\"version\":\"2.0.0\"}"), "{text}");
    }

    #[test]
    fn a_field_of_a_document_is_a_text() {
        let values = serde_json::json!({"product": null, "replaces": "x"});
        assert_eq!(one_part_each(&values).unwrap(), [("replaces", "x".to_owned())]);
        assert!(one_part_each(&serde_json::json!({"product": 1})).is_err());
        assert!(one_part_each(&serde_json::json!([])).is_err());
    }
}
