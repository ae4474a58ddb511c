//! Components of a firmware, from an SBOM of either format.

use std::collections::BTreeSet;

use crate::error::DocumentError;
use crate::json::Read;
use crate::kept::KeptBytes;
use crate::limits::COMPONENTS_MAX;
use crate::package::Package;

/// A part of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Component {
    /// Canonical package URL without version; none if the document has none that is valid.
    pub package: Option<String>,
    pub name: String,
    pub version: Option<String>,
}

/// The components of a document so far, each once.
#[derive(Default)]
pub(crate) struct Components {
    read: usize,
    kept: KeptBytes,
    different: BTreeSet<Component>,
}

impl Components {
    /// Counts before a component is read, so that memory is bounded.
    pub(crate) fn count(&mut self) -> Read<()> {
        self.read += 1;
        if self.read > COMPONENTS_MAX { Err(DocumentError::TooManyComponents) } else { Ok(()) }
    }

    /// Adds a component, with its package URL if the document has one. An invalid URL is left out: it can't be compared with others.
    pub(crate) fn add(&mut self, name: String, version: Option<String>, url: Option<&str>) -> Read<()> {
        let package: Option<Package> = url.and_then(|url| url.parse().ok());
        let (package, packaged) = package.map_or((None, None), |package| (Some(package.name), package.version));
        let version = packaged.or(version).filter(|text| !text.is_empty());
        self.kept.add([Some(name.as_str()), package.as_deref(), version.as_deref()].into_iter().flatten())?;
        self.different.insert(Component { package, name, version });
        Ok(())
    }

    pub(crate) fn all(self) -> Vec<Component> {
        self.different.into_iter().collect()
    }
}
