//! `/exposure`: which devices a vulnerability or a package concerns, now or at an earlier time.

mod devices;
mod model;
mod question;
mod report;

pub(crate) use devices::{__path_exposed_devices, exposed_devices};
pub(crate) use report::{__path_exposure_report, exposure_report};
