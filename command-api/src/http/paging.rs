//! Lists: `{items, next_cursor, total?}`, in a stable order, at most [`LIMIT_MAX`] items at once.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, Utc};
use domain::values::is_usable_time;
use projections::Page;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::as_of::AsOf;
use super::cursor::{self, Binding};
use super::problem::Problem;
use super::query::{self, COMMON};

/// Most items of one page.
pub(crate) const LIMIT_MAX: usize = 200;
/// Items of a page that names no limit.
pub(crate) const LIMIT_DEFAULT: usize = 50;
const FOREIGN_CURSOR: &str = "the cursor is not valid";

/// Parameters of every list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Paging` reads by hand")]
pub(crate) struct PageParams {
    /// Items per page, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, with the same filters.
    cursor: Option<String>,
    /// Whether to count all matching items.
    #[param(default = false)]
    count: Option<bool>,
    /// Wait, up to 2 s, until the read model has reached this position; also as header `Waybill-Min-Position`.
    min_position: Option<String>,
}

/// A page of items.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    items: Vec<T>,
    /// Null on the last page.
    next_cursor: Option<String>,
    /// With `count=true` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// The log that the items show. Not on every list.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

impl<T> List<T> {
    /// Says which log the items show.
    #[must_use]
    pub(crate) fn showing(self, as_of: AsOf) -> Self {
        Self { as_of: Some(as_of), ..self }
    }
}

/// The requested page.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    /// Keys of the item after which the page begins.
    pub(crate) after: Option<Vec<String>>,
    pub(crate) count: bool,
    binding: Binding,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let (common, filters): (Vec<_>, Vec<_>) =
            query::pairs(parts)?.into_iter().partition(|(name, _)| COMMON.contains(&name.as_str()));
        let find = |name: &str| common.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let limit = match find("limit").map(str::parse) {
            None => LIMIT_DEFAULT,
            Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
            Some(_) => return Err(Problem::bad_request(format!("limit is a number from 1 to {LIMIT_MAX}"))),
        };
        let count = match find("count") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::bad_request("count is true or false")),
        };
        let binding = Binding::of(parts.uri.path(), filters);
        let after = find("cursor").map(|text| cursor::decode(binding, text)).transpose();
        Ok(Self { limit, after: after.map_err(Problem::bad_request)?, count, binding })
    }
}

impl Paging {
    /// A page of a read model.
    pub(crate) fn list<R, T>(&self, page: Page<R>, convert: impl Fn(R) -> T) -> List<T> {
        List {
            items: page.items.into_iter().map(convert).collect(),
            next_cursor: page.next.map(|keys| cursor::encode(self.binding, keys)),
            total: page.total,
            as_of: None,
        }
    }

    /// A page of a numbered list: the cursor is the number of the next item.
    pub(crate) fn numbered<T>(&self, items: Vec<T>, next: Option<u64>, total: Option<u64>) -> List<T> {
        let next_cursor = next.map(|next| cursor::encode(self.binding, vec![next.to_string()]));
        List { items, next_cursor, total, as_of: None }
    }

    /// A page whose next one begins after the item with these keys; none on the last page.
    pub(crate) fn keyed<T>(&self, items: Vec<T>, next: Option<Vec<String>>) -> List<T> {
        List { items, next_cursor: next.map(|keys| cursor::encode(self.binding, keys)), total: None, as_of: None }
    }

    /// Number of the first item of a numbered page, from 1.
    pub(crate) fn first_number(&self) -> Result<u64, Problem> {
        match &self.after {
            None => Ok(1),
            Some(keys) => {
                keys.first().and_then(|number| number.parse().ok()).ok_or_else(|| Problem::bad_request(FOREIGN_CURSOR))
            }
        }
    }

    /// A number in the cursor, as PostgreSQL can compare it.
    pub(crate) fn number<T: TryFrom<i64>>(text: &str) -> Result<T, Problem> {
        let number = text.parse::<i64>().ok().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| Problem::bad_request(FOREIGN_CURSOR))
    }

    /// A time in the cursor, as PostgreSQL can compare it.
    pub(crate) fn time(text: &str) -> Result<String, Problem> {
        let time = text.parse::<DateTime<Utc>>().ok().filter(|time| is_usable_time(*time));
        time.map(|time| time.to_rfc3339()).ok_or_else(|| Problem::bad_request(FOREIGN_CURSOR))
    }

    /// A day in the cursor, as PostgreSQL can compare it.
    pub(crate) fn day(text: &str) -> Result<NaiveDate, Problem> {
        text.parse().map_err(|_| Problem::bad_request(FOREIGN_CURSOR))
    }

    /// The keys of the cursor, if it has as many as the list sorts by.
    pub(crate) fn keys<const N: usize>(&self) -> Result<Option<[&str; N]>, Problem> {
        let Some(keys) = &self.after else { return Ok(None) };
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.try_into().map(Some).map_err(|_| Problem::bad_request(FOREIGN_CURSOR))
    }
}
