//! Recognises the format of a document by its fields, and calls the reader of that format. The name of the file doesn't matter.

use domain::firmware::DocumentFormat;

use crate::error::DocumentError;
use crate::json::{Read, Reader};
use crate::provenance::Provenance;
use crate::question::Question;
use crate::sbom::Component;
use crate::vex::Statement;
use crate::{csaf, cyclonedx, openvex, provenance, spdx};

/// What a document says of a firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Sbom(Vec<Component>),
    Vex(Vec<Statement>),
    Provenance(Provenance),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub format: DocumentFormat,
    pub content: Content,
}

/// Reads a document of a firmware.
pub fn read(bytes: &[u8], question: Question<'_>) -> Result<Document, DocumentError> {
    let format = Marks::of(bytes)?.format()?;
    let content = match format {
        DocumentFormat::CycloneDx14 | DocumentFormat::CycloneDx15 | DocumentFormat::CycloneDx16 => {
            Content::Sbom(cyclonedx::read(bytes)?)
        }
        DocumentFormat::Spdx23 => Content::Sbom(spdx::read(bytes)?),
        DocumentFormat::OpenVex => Content::Vex(openvex::read(bytes, question)?),
        DocumentFormat::Csaf20 => Content::Vex(csaf::read(bytes, question)?),
        // The statement in the envelope says which version it is.
        DocumentFormat::SlsaV02 | DocumentFormat::SlsaV1 => {
            let (format, provenance) = provenance::read(bytes, question)?;
            return Ok(Document { format, content: Content::Provenance(provenance) });
        }
    };
    Ok(Document { format, content })
}

/// The fields that show the format.
#[derive(Default)]
struct Marks {
    bom_format: Option<String>,
    spec_version: Option<String>,
    spdx_version: Option<String>,
    context: Option<String>,
    csaf_version: Option<String>,
    payload_type: Option<String>,
}

impl Marks {
    /// Also checks the whole document, so the readers of the formats needn't look for its end.
    fn of(bytes: &[u8]) -> Read<Self> {
        let mut marks = Self::default();
        let mut reader = Reader::new(bytes)?;
        if !reader.is_object() {
            reader.skip()?;
            reader.end()?;
            return Err(DocumentError::UnknownFormat);
        }
        reader.object(|reader, field| {
            let mark = match field {
                "bomFormat" => &mut marks.bom_format,
                "specVersion" => &mut marks.spec_version,
                "spdxVersion" => &mut marks.spdx_version,
                "@context" => &mut marks.context,
                "payloadType" => &mut marks.payload_type,
                "document" if reader.is_object() => {
                    return reader.object(|reader, field| match field {
                        "csaf_version" if reader.is_text() => {
                            marks.csaf_version = reader.text("document.csaf_version")?;
                            Ok(())
                        }
                        _ => reader.skip(),
                    });
                }
                _ => return reader.skip(),
            };
            if !reader.is_text() {
                return reader.skip();
            }
            *mark = reader.text("the format")?;
            Ok(())
        })?;
        reader.end()?;
        Ok(marks)
    }

    fn format(self) -> Read<DocumentFormat> {
        let other = |format, version: Option<String>, read| {
            let version = version.unwrap_or_default().chars().take(32).collect();
            Err(DocumentError::OtherVersion { format, version, read })
        };
        match self {
            Self { bom_format: Some(name), spec_version, .. } if name == "CycloneDX" => match spec_version.as_deref() {
                Some("1.4") => Ok(DocumentFormat::CycloneDx14),
                Some("1.5") => Ok(DocumentFormat::CycloneDx15),
                Some("1.6") => Ok(DocumentFormat::CycloneDx16),
                _ => other("CycloneDX", spec_version, "1.4, 1.5 or 1.6"),
            },
            Self { spdx_version: Some(version), .. } => match version.as_str() {
                "SPDX-2.3" => Ok(DocumentFormat::Spdx23),
                _ => other("SPDX", Some(version), "SPDX-2.3"),
            },
            Self { context: Some(context), .. } if context.starts_with("https://openvex.dev/ns") => {
                Ok(DocumentFormat::OpenVex)
            }
            Self { context: Some(context), .. } if context.starts_with("https://spdx.org/rdf/3") => {
                other("SPDX", Some("3".to_owned()), "SPDX-2.3")
            }
            Self { csaf_version: Some(version), .. } => match version.as_str() {
                "2.0" => Ok(DocumentFormat::Csaf20),
                _ => other("CSAF", Some(version), "2.0"),
            },
            Self { payload_type: Some(payload_type), .. } if payload_type == provenance::PAYLOAD_TYPE => {
                Ok(DocumentFormat::SlsaV1)
            }
            _ => Err(DocumentError::UnknownFormat),
        }
    }
}
