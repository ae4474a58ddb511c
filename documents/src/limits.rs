//! The bounds of documents. A document beyond one of them is refused; nothing is cut off.

/// Largest document, in bytes. An SBOM with 100,000 components and their licenses and hashes has some 50 MB.
pub const DOCUMENT_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting of objects and lists.
pub const DEPTH_MAX: usize = 64;
/// Longest text, in bytes as written. SBOMs may contain whole licenses.
pub const TEXT_MAX_BYTES: usize = 1024 * 1024;
/// Longest text that is kept, such as a name or version, in bytes.
pub const KEPT_TEXT_MAX_BYTES: usize = 1_024;
/// Longest package without version in its canonical form, in bytes. A longer one is no valid package URL. PostgreSQL takes at most 2,704 bytes
/// in a row of an index.
pub const PACKAGE_MAX_BYTES: usize = 2_048;
/// Longest number, in characters.
pub const NUMBER_MAX_CHARS: usize = 64;
/// Most fields of one object.
pub const FIELDS_MAX: usize = 10_000;
/// Most components of an SBOM.
pub const COMPONENTS_MAX: usize = 100_000;
/// Most statements of a VEX. A statement counts once for each pair of a vulnerability and a product or component of the firmware.
pub const STATEMENTS_MAX: usize = 100_000;
/// Most products that a VEX names.
pub const PRODUCTS_MAX: usize = 10_000;
/// Most bytes of the names, versions, packages and justifications that are kept of one document. A text counts once for each entry that
/// has it.
pub const KEPT_BYTES_MAX: usize = DOCUMENT_MAX_BYTES;
/// Largest DSSE envelope of a provenance, in bytes.
pub const ENVELOPE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most signatures of an envelope that are tried.
pub const ENVELOPE_SIGNATURES_MAX: usize = 16;
/// Most subjects of a provenance.
pub const SUBJECTS_MAX: usize = 10_000;
