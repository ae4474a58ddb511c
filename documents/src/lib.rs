//! Documents of firmware: SBOMs (CycloneDX, SPDX), VEX (OpenVEX, CSAF) and provenance (SLSA in DSSE), read within bounds; and what their
//! statements make of a firmware. No IO.
//!
//! Invariants: nothing is read of a document that breaks a bound of [`limits`], memory is in proportion to its bytes, and reading never
//! depends on anything but the bytes and the question. Start at [`read`].

mod csaf;
mod cyclonedx;
mod document;
mod error;
#[cfg(test)]
mod hostile_tests;
mod json;
pub mod limits;
mod openvex;
mod package;
mod products;
mod provenance;
mod sbom;
mod spdx;
mod verdict;
mod vex;

pub use document::{Content, Document, Question, read};
pub use error::DocumentError;
pub use package::{InvalidPackage, Package};
pub use provenance::Provenance;
pub use sbom::Component;
pub use verdict::{Exposure, Told, exposure_of};
pub use vex::{Statement, VexStatus, vulnerability_id};
