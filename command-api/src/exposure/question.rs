//! Reads the question from the parameters: a vulnerability, a package, or both, and the time.

use chrono::{DateTime, Utc};
use documents::{Package, vulnerability_id};
use projections::exposure::ExposureQuery;
use runtime::clock;

use crate::http::Problem;
use crate::http::query::refused;

/// Reads the parameters `cve`, `purl` and `at`.
pub(super) fn question(
    cve: Option<&str>,
    purl: Option<&str>,
    at: Option<DateTime<Utc>>,
) -> Result<ExposureQuery, Problem> {
    if cve.is_none() && purl.is_none() {
        return Err(refused("cve", "cve or purl is needed"));
    }
    let id = |text: &str| vulnerability_id(text).ok_or_else(|| refused("cve", "not a name such as CVE-2022-3602"));
    let vulnerability = cve.map(id).transpose()?;
    let package = purl.map(str::parse::<Package>).transpose().map_err(|error| refused("purl", &error.to_string()))?;
    let (package, version) = package.map_or((None, None), |package| (Some(package.name), package.version));
    let now = clock::now();
    if at.is_some_and(|at| at > now) {
        return Err(refused("at", "is in the future"));
    }
    Ok(ExposureQuery { vulnerability, package, version, at: at.unwrap_or(now), in_service: at.is_none() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_a_vulnerability_or_a_package() {
        let asked = |cve, purl| question(cve, purl, None);
        assert!(
            asked(None, None).is_err() && asked(Some("two words"), None).is_err() && asked(None, Some("x")).is_err()
        );
        let both = asked(Some("cve-2022-3602"), Some("pkg:generic/openssl@3.0.6?arch=x")).unwrap();
        assert_eq!(both.vulnerability.as_deref(), Some("CVE-2022-3602"));
        assert_eq!((both.package.as_deref(), both.version.as_deref()), (Some("pkg:generic/openssl"), Some("3.0.6")));
        let future = clock::now() + chrono::TimeDelta::days(1);
        assert!(question(Some("CVE-1"), None, Some(future)).is_err());
    }
}
