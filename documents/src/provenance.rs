//! SLSA provenance: an in-toto statement in a DSSE envelope. The caller has the keys and checks the signatures.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use domain::firmware::DocumentFormat;

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::limits::{ENVELOPE_MAX_BYTES, ENVELOPE_SIGNATURES_MAX, SUBJECTS_MAX};
use crate::products::sha256_of;
use crate::question::Question;

/// The only type of payload that is read.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"];

/// An envelope whose statement is about the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Id of the builder, as the statement has it.
    pub builder: Option<String>,
    /// What was signed: the pre-authentication encoding of DSSE.
    pub signed: Vec<u8>,
    /// One of them must be by a trusted key.
    pub signatures: Vec<Vec<u8>>,
}

pub(crate) fn read(bytes: &[u8], question: Question<'_>) -> Read<(DocumentFormat, Provenance)> {
    if bytes.len() > ENVELOPE_MAX_BYTES {
        return Err(DocumentError::LargeEnvelope);
    }
    let (mut payload, mut signatures) = (None, vec![]);
    let mut reader = Reader::new(bytes)?;
    reader.object(|reader, field| {
        match field {
            "payload" => payload = Some(base64_of("payload", &reader.long_text("payload")?)?),
            "signatures" => reader.list(|reader| {
                if signatures.len() >= ENVELOPE_SIGNATURES_MAX {
                    return Err(DocumentError::TooManySignatures);
                }
                reader.object(|reader, field| match field {
                    "sig" => {
                        let text = reader.text("signatures.sig")?.unwrap_or_default();
                        signatures.push(base64_of("signatures.sig", &text)?);
                        Ok(())
                    }
                    _ => reader.skip(),
                })
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    let payload = payload.ok_or_else(|| DocumentError::field("payload", "is missing"))?;
    if signatures.is_empty() {
        return Err(DocumentError::field("signatures", "at least one is needed"));
    }
    let (format, builder) = statement(&payload, question)?;
    let mut signed = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    signed.extend(payload);
    Ok((format, Provenance { builder, signed, signatures }))
}

/// DSSE permits both alphabets.
fn base64_of(field: &'static str, text: &str) -> Read<Vec<u8>> {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    bytes.map_err(|_| DocumentError::field(field, "is not base64"))
}

fn statement(payload: &[u8], question: Question<'_>) -> Read<(DocumentFormat, Option<String>)> {
    let (mut kind, mut predicate_type, mut is_subject, mut subjects) = (None, None, false, 0);
    let mut builder = None;
    let mut reader = Reader::new(payload)?;
    reader.object(|reader, field| {
        match field {
            "_type" => kind = reader.text("_type")?,
            "predicateType" => predicate_type = reader.text("predicateType")?,
            "subject" => reader.list(|reader| {
                subjects += 1;
                if subjects > SUBJECTS_MAX {
                    return Err(DocumentError::TooManySubjects);
                }
                is_subject |= has_digest(reader, question)?;
                Ok(())
            })?,
            "predicate" => reader.object(|reader, field| match field {
                "builder" => builder_of(reader, &mut builder),
                "runDetails" => reader.object(|reader, field| match field {
                    "builder" => builder_of(reader, &mut builder),
                    _ => reader.skip(),
                }),
                _ => reader.skip(),
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    if !kind.is_some_and(|kind| STATEMENT_TYPES.contains(&kind.as_str())) {
        return Err(DocumentError::field("_type", "not a statement of in-toto"));
    }
    let format = match predicate_type.as_deref() {
        Some("https://slsa.dev/provenance/v0.2") => DocumentFormat::SlsaV02,
        Some("https://slsa.dev/provenance/v1") => DocumentFormat::SlsaV1,
        _ => return Err(DocumentError::field("predicateType", "neither SLSA provenance v0.2 nor v1")),
    };
    if !is_subject {
        return Err(DocumentError::OtherSubject);
    }
    Ok((format, builder))
}

fn has_digest(reader: &mut Reader<'_>, question: Question<'_>) -> Read<bool> {
    let mut has_it = false;
    reader.object(|reader, field| match field {
        "digest" => reader.object(|reader, field| {
            let value = if reader.is_text() { reader.text("subject.digest")? } else { reader.skip().map(|()| None)? };
            has_it |= value.and_then(|value| sha256_of(field, &value)).as_ref() == Some(question.sha256);
            Ok(())
        }),
        _ => reader.skip(),
    })?;
    Ok(has_it)
}

fn builder_of(reader: &mut Reader<'_>, builder: &mut Option<String>) -> Read<()> {
    reader.object(|reader, field| {
        match field {
            "id" => *builder = reader.text("predicate.builder.id")?,
            _ => reader.skip()?,
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use domain::values::Sha256Digest;

    use super::*;

    fn enveloped(statement: &str) -> Read<(DocumentFormat, Provenance)> {
        let payload = STANDARD.encode(statement);
        let envelope = format!(
            r#"{{"payloadType":"{PAYLOAD_TYPE}","payload":"{payload}","signatures":[{{"keyid":"x","sig":"c2ln"}}]}}"#
        );
        let sha256 = Sha256Digest::of(b"image");
        read(envelope.as_bytes(), Question { sha256: &sha256, product: None })
    }

    fn statement(of: &[u8], predicate_type: &str, predicate: &str) -> String {
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicateType":"{predicate_type}","subject":[{{"name":"f","digest":{{"sha256":"{}"}}}}],"predicate":{predicate}}}"#,
            Sha256Digest::of(of)
        )
    }

    #[test]
    fn a_statement_about_the_firmware_is_read_with_what_was_signed() {
        let v1 =
            statement(b"image", "https://slsa.dev/provenance/v1", r#"{"runDetails":{"builder":{"id":"https://ci"}}}"#);
        let (format, provenance) = enveloped(&v1).unwrap();
        assert_eq!((format, provenance.builder.as_deref()), (DocumentFormat::SlsaV1, Some("https://ci")));
        let signed = String::from_utf8(provenance.signed).unwrap();
        assert_eq!(signed, format!("DSSEv1 28 application/vnd.in-toto+json {} {v1}", v1.len()));
        let v02 = statement(b"image", "https://slsa.dev/provenance/v0.2", r#"{"builder":{"id":"b"}}"#);
        assert_eq!(enveloped(&v02).unwrap().0, DocumentFormat::SlsaV02);
    }

    #[test]
    fn other_statements_are_refused_with_the_reason() {
        let v1 = "https://slsa.dev/provenance/v1";
        assert_eq!(enveloped(&statement(b"other", v1, "{}")).err(), Some(DocumentError::OtherSubject));
        for (wrong, named) in [
            (statement(b"image", "https://slsa.dev/provenance/v0.1", "{}"), "predicateType"),
            (statement(b"image", v1, "{}").replace("Statement/v1", "Other"), "_type"),
            (statement(b"image", v1, "[]"), "an object"),
            (statement(b"image", v1, "{}").replace("\"name\":\"f\"", "\"digest\":{}"), "digest"),
        ] {
            let error = enveloped(&wrong).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
