//! The read models over EVENTS, by name.

use crate::archive::ArchiveModel;
use crate::db::DbError;
use crate::fleet::FleetModel;
use crate::read_model::ReadModel;

/// The read model of this name.
pub(crate) fn by_name(name: &str) -> Result<&'static dyn ReadModel, DbError> {
    all().into_iter().find(|model| model.name() == name).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|model| model.name()).collect();
        DbError::Invalid(format!("there is no read model {name}; there are {}", names.join(", ")))
    })
}

/// Version of the rows that this program writes; none if the projection isn't over EVENTS.
pub(crate) fn version_of(name: &str) -> Option<i32> {
    all().into_iter().find(|model| model.name() == name).map(|model| model.version())
}

/// All read models over decoded events.
pub(crate) fn all() -> Vec<&'static dyn ReadModel> {
    vec![&FleetModel, &ArchiveModel]
}
