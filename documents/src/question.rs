//! The firmware that a document is to be about.

use domain::values::Sha256Digest;

/// Names a firmware to the readers of documents.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub sha256: &'a Sha256Digest,
    /// How a VEX names the firmware: a product id or a package URL. Without it, the product with the digest counts, or the only product.
    pub product: Option<&'a str>,
}
