//! Components, as both formats of SBOMs name them.

use std::collections::BTreeSet;

use crate::error::DocumentError;
use crate::json::Read;
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
    different: BTreeSet<Component>,
}

impl Components {
    /// Counts before a component is read, so that memory is bounded.
    pub(crate) fn count(&mut self) -> Read<()> {
        self.read += 1;
        if self.read > COMPONENTS_MAX { Err(DocumentError::TooManyComponents) } else { Ok(()) }
    }

    /// A component with the package URL that the document gives it, if any. A URL that is not valid can't be compared with others.
    pub(crate) fn add(&mut self, name: String, version: Option<String>, url: Option<&str>) {
        let package: Option<Package> = url.and_then(|url| url.parse().ok());
        let (package, packaged) = package.map_or((None, None), |package| (Some(package.name), package.version));
        self.different.insert(Component {
            package,
            name,
            version: packaged.or(version).filter(|text| !text.is_empty()),
        });
    }

    pub(crate) fn all(self) -> Vec<Component> {
        self.different.into_iter().collect()
    }
}
