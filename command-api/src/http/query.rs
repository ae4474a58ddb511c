//! Query strings. Unknown parameters are refused, because a misspelt filter must not list everything.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::{FieldError, Problem};

/// Parameters that belong to paging and positions, not to an endpoint's filters.
pub(crate) const COMMON: [&str; 4] = ["limit", "cursor", "count", "min_position"];

/// The parameters of a request, in order.
pub(crate) fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    read(parts.uri.query())
}

/// The parameters of a query string, in order.
pub(crate) fn read(text: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    serde_urlencoded::from_str(text.unwrap_or_default())
        .map_err(|error| Problem::bad_request(format!("the query can't be read: {error}")))
}

/// 400 that names a parameter.
pub(crate) fn refused(name: &str, reason: &str) -> Problem {
    Problem::bad_request(format!("{name}: {reason}")).with_errors(vec![FieldError::new(name, reason)])
}

/// Whether `?include=deleted` is given; by default lists leave deleted resources out.
pub(crate) fn includes_deleted(include: Option<&str>) -> Result<bool, Problem> {
    match include {
        None => Ok(false),
        Some("deleted") => Ok(true),
        Some(_) => Err(refused("include", "can only be deleted")),
    }
}

/// The value of a parameter that has two names. Both may be given if they agree.
pub(crate) fn either(names: [&str; 2], values: [Option<String>; 2]) -> Result<Option<String>, Problem> {
    match values {
        [Some(one), Some(other)] if one != other => {
            let [name, other_name] = names;
            Err(Problem::bad_request(format!("{name} differs from {other_name}, which means the same")))
        }
        [one, other] => Ok(one.or(other)),
    }
}

/// The parameters that an endpoint filters by.
pub(crate) trait FilterSet: DeserializeOwned + Send {
    /// Parameters that may be given more than once.
    const REPEATABLE: &'static [&'static str] = &[];

    /// Sets the values of a repeatable parameter.
    fn set(&mut self, _name: &str, _values: Vec<String>) {}
}

/// An endpoint's filters, read from the query.
pub(crate) struct Filters<T>(pub(crate) T);

impl<T: FilterSet, S: Send + Sync> FromRequestParts<S> for Filters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parse(pairs(parts)?).map(Self)
    }
}

/// For lists without filters, which must refuse unknown parameters, too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilters {}

impl FilterSet for NoFilters {}

fn parse<T: FilterSet>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    let mut single = Vec::new();
    let mut repeated: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        if T::REPEATABLE.contains(&name.as_str()) {
            repeated.entry(name).or_default().push(value);
        } else if !COMMON.contains(&name.as_str()) {
            single.push((name, value));
        }
    }
    let mut filters: T = read_as(&single)?;
    for (name, values) in repeated {
        filters.set(&name, values);
    }
    Ok(filters)
}

/// Reads a type from parameters. On failure each is tried alone, to name the one at fault.
fn read_as<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Problem> {
    let read = |pairs: &[(String, String)]| -> Result<T, String> {
        let text = serde_urlencoded::to_string(pairs).map_err(|error| error.to_string())?;
        serde_urlencoded::from_str(&text).map_err(|error| error.to_string())
    };
    read(pairs).map_err(|reason| {
        let alone = pairs.iter().find(|pair| read(std::slice::from_ref(pair)).is_err());
        match alone {
            Some((name, _)) => refused(name, &reason),
            None => Problem::bad_request(format!("the query: {reason}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        wave: Option<u16>,
        #[serde(skip)]
        ids: Vec<String>,
    }

    impl FilterSet for Sample {
        const REPEATABLE: &'static [&'static str] = &["id"];
        fn set(&mut self, _name: &str, values: Vec<String>) {
            self.ids = values;
        }
    }

    fn read(query: &str) -> Result<Sample, Problem> {
        parse(serde_urlencoded::from_str(query).unwrap())
    }

    #[test]
    fn filters_repeat_where_they_may_and_unknown_ones_are_refused() {
        let sample = read("id=a&wave=2&id=b&limit=3").unwrap();
        assert_eq!((sample.wave, sample.ids), (Some(2), vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read("colour=red").unwrap_err().status().as_u16(), 400);
        let wrong = read("id=a&wave=x").unwrap_err();
        assert_eq!((wrong.status().as_u16(), wrong.errors()[0].field.as_str()), (400, "wave"));
        let none = |query: &str| parse::<NoFilters>(serde_urlencoded::from_str(query).unwrap());
        assert!(none("limit=3&min_position=1-1").is_ok());
        assert_eq!(none("phase=failed").unwrap_err().status().as_u16(), 400);
    }

    #[test]
    fn two_names_of_one_parameter_must_agree() {
        let either = |one: Option<&str>, other: Option<&str>| {
            super::either(["firmware", "firmware_id"], [one.map(str::to_owned), other.map(str::to_owned)])
        };
        assert_eq!(either(None, None).unwrap(), None);
        for (one, other) in [(Some("a"), None), (None, Some("a")), (Some("a"), Some("a"))] {
            assert_eq!(either(one, other).unwrap().as_deref(), Some("a"));
        }
        let problem = either(Some("a"), Some("b")).unwrap_err();
        assert_eq!(problem.status().as_u16(), 400);
        assert!(problem.detail().contains("firmware_id"), "{}", problem.detail());
    }
}
