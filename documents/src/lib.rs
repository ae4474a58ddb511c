//! Reads documents of firmware within bounds: SBOMs (CycloneDX, SPDX), VEX (OpenVEX, CSAF) and provenance (SLSA in DSSE). Decides from
//! their statements whether a firmware is affected. No IO.
//!
//! Invariants: a document that breaks a bound of [`limits`] is refused, the bounds limit memory and time, and the result depends only on
//! the bytes and the [`Question`]. Start at [`read`].

mod csaf;
mod cyclonedx;
mod document;
mod error;
#[cfg(test)]
mod hostile_tests;
mod json;
mod kept;
pub mod limits;
mod openvex;
mod package;
mod products;
mod provenance;
mod question;
mod sbom;
mod spdx;
mod verdict;
mod vex;

pub use document::{Content, Document, read};
pub use error::DocumentError;
pub use package::{InvalidPackage, Package};
pub use provenance::Provenance;
pub use question::Question;
pub use sbom::Component;
pub use verdict::{Evidence, Exposure, exposure_of};
pub use vex::{Statement, VexStatus, vulnerability_id};
