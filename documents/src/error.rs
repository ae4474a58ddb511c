//! Why a document is refused.

use crate::limits::{
    COMPONENTS_MAX, DEPTH_MAX, DOCUMENT_MAX_BYTES, ENVELOPE_MAX_BYTES, ENVELOPE_SIGNATURES_MAX, FIELDS_MAX,
    KEPT_BYTES_MAX, KEPT_TEXT_MAX_BYTES, NUMBER_MAX_CHARS, PRODUCTS_MAX, STATEMENTS_MAX, SUBJECTS_MAX, TEXT_MAX_BYTES,
};

/// A sentence for the sender. Of the document it repeats only short names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("larger than {DOCUMENT_MAX_BYTES} bytes")]
    TooLarge,
    #[error("it is compressed: send the JSON itself")]
    Compressed,
    #[error("not UTF-8")]
    NotText,
    #[error("not JSON at byte {at}: {expected} is missing")]
    NotJson { at: usize, expected: &'static str },
    #[error("nested deeper than {DEPTH_MAX} levels at byte {at}")]
    TooDeep { at: usize },
    #[error("a text is longer than {TEXT_MAX_BYTES} bytes at byte {at}")]
    LongText { at: usize },
    #[error("a number has more than {NUMBER_MAX_CHARS} characters at byte {at}")]
    LongNumber { at: usize },
    #[error("the field {name:?} is given twice in one object at byte {at}")]
    DuplicateField { name: String, at: usize },
    #[error("an object has more than {FIELDS_MAX} fields at byte {at}")]
    TooManyFields { at: usize },
    #[error("neither CycloneDX, SPDX, OpenVEX, CSAF nor a DSSE envelope with a provenance")]
    UnknownFormat,
    #[error("{format} {version:?} is not read: {read} is")]
    OtherVersion { format: &'static str, version: String, read: &'static str },
    #[error("{field}: {reason}")]
    Field { field: &'static str, reason: String },
    #[error("more than {COMPONENTS_MAX} components")]
    TooManyComponents,
    #[error("more than {STATEMENTS_MAX} statements")]
    TooManyStatements,
    #[error("its entries have more than {KEPT_BYTES_MAX} bytes of text together")]
    TooMuchText,
    #[error("more than {PRODUCTS_MAX} products")]
    TooManyProducts,
    #[error("more than {SUBJECTS_MAX} subjects")]
    TooManySubjects,
    #[error("an envelope larger than {ENVELOPE_MAX_BYTES} bytes")]
    LargeEnvelope,
    #[error("more than {ENVELOPE_SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("none of its subjects has the SHA-256 of the firmware")]
    OtherSubject,
    #[error("it names {products} products, and none with the SHA-256 of the firmware: say which one the firmware is")]
    WhichProduct { products: usize },
    #[error("it doesn't name this product")]
    UnknownProduct,
}

impl DocumentError {
    pub(crate) fn field(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Field { field, reason: reason.into() }
    }

    pub(crate) fn long_value(field: &'static str) -> Self {
        Self::field(field, format!("longer than {KEPT_TEXT_MAX_BYTES} bytes"))
    }

    /// Whether the question is at fault, not the document.
    pub fn is_of_product(&self) -> bool {
        matches!(self, Self::WhichProduct { .. } | Self::UnknownProduct)
    }
}
