//! Rows of tables as plain structs. One declaration per table ([`row!`]) defines its columns, how rows are written and how one is read.
//!
//! Rows are sent as one array per column, never as JSON: PostgreSQL neither parses texts nor plans a join for them.

use chrono::{DateTime, Utc};
use domain::campaign::CampaignStatus;
use domain::device::{
    CodeClass, CommandReportStatus, CommandState, Exclusion, Lifecycle, Outcome, Reachability, SyncState, UpdateKind,
    WaitReason,
};
use domain::fuota::{DeploymentPhase, MulticastClass, TransferOutcome};
use domain::group::GroupKind;
use domain::lorawan::Region;
use domain::values::{Priority, Transport};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;

use crate::db::DbError;

/// A NUL in JSON.
const NUL_IN_JSON: &str = "\\u0000";

/// A row of a table. Implemented by [`row!`].
pub(crate) trait Row: Clone + PartialEq + Send + Sync {
    const TABLE: &'static str;
    /// Columns of the primary key with their types.
    const KEY: &'static [(&'static str, &'static str)];
    /// All columns with their fields, in the order in which they are read and bound.
    const COLUMNS: &'static [&'static [&'static str]];

    /// Values of the key's columns as text.
    fn key(&self) -> Vec<String>;

    /// A row of a query that selects [`Self::columns`] first.
    fn read(row: &PgRow) -> Result<Self, DbError> {
        Self::read_from(row, 0)
    }

    /// A row of a query that selects [`Self::columns`] from the column `first` on.
    fn read_from(row: &PgRow, first: usize) -> Result<Self, DbError>;

    /// Binds one array per column.
    fn bind<'q>(query: ArrayQuery<'q>, rows: &[&Self]) -> Result<ArrayQuery<'q>, DbError>;

    fn columns() -> impl Iterator<Item = &'static str> {
        Self::COLUMNS.iter().flat_map(|columns| columns.iter().copied())
    }

    /// The columns of the table that a query calls `name`, for its SELECT.
    fn columns_of(name: &str) -> String {
        Self::columns().map(|column| format!("{name}.{column}")).collect::<Vec<_>>().join(", ")
    }
}

/// A field of a row that has several columns.
pub(crate) trait ColumnGroup: Sized {
    const COLUMNS: &'static [&'static str];

    /// Reads its columns from `first` on.
    fn read(row: &PgRow, first: usize) -> Result<Self, DbError>;

    fn bind<'q>(query: ArrayQuery<'q>, values: &[&Self]) -> Result<ArrayQuery<'q>, DbError>;
}

/// A statement whose parameters are arrays.
pub(crate) type ArrayQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A value of a column that PostgreSQL has a type for.
pub(crate) trait ColumnValue: Sized {
    /// The type that is sent.
    type Wire;

    fn to_wire(&self) -> Self::Wire;

    fn from_wire(wire: Self::Wire) -> Result<Self, DbError>;
}

/// Types that are sent unchanged.
macro_rules! plain {
    ($($value:ty),+) => {$(
        impl ColumnValue for $value {
            type Wire = Self;

            fn to_wire(&self) -> Self {
                *self
            }

            fn from_wire(wire: Self) -> Result<Self, DbError> {
                Ok(wire)
            }
        }
    )+};
}
plain!(bool, i64, f64, DateTime<Utc>);

/// Unsigned numbers are sent as `bigint`.
macro_rules! unsigned {
    ($($value:ty),+) => {$(
        impl ColumnValue for $value {
            type Wire = i64;

            fn to_wire(&self) -> i64 {
                i64::try_from(*self).unwrap_or(i64::MAX)
            }

            fn from_wire(wire: i64) -> Result<Self, DbError> {
                Self::try_from(wire).map_err(|_| DbError::Invalid(format!("{wire} is no {}", stringify!($value))))
            }
        }
    )+};
}
unsigned!(u8, u16, u32, u64);

impl ColumnValue for String {
    type Wire = Self;

    fn to_wire(&self) -> Self {
        storable_text(self)
    }

    fn from_wire(wire: Self) -> Result<Self, DbError> {
        Ok(wire)
    }
}

/// Enums are sent as their words.
macro_rules! words {
    ($($value:ty),+) => {$(
        impl ColumnValue for $value {
            type Wire = String;

            fn to_wire(&self) -> String {
                self.word().to_owned()
            }

            fn from_wire(wire: String) -> Result<Self, DbError> {
                Self::from_word(&wire).ok_or_else(|| DbError::Invalid(format!("{wire:?} is no {}", stringify!($value))))
            }
        }
    )+};
}
words!(
    CampaignStatus,
    CodeClass,
    CommandReportStatus,
    CommandState,
    DeploymentPhase,
    Exclusion,
    GroupKind,
    Lifecycle,
    MulticastClass,
    Outcome,
    Priority,
    Reachability,
    Region,
    TransferOutcome,
    SyncState,
    Transport,
    UpdateKind,
    WaitReason
);

impl<T: ColumnValue> ColumnValue for Option<T> {
    type Wire = Option<T::Wire>;

    fn to_wire(&self) -> Self::Wire {
        self.as_ref().map(T::to_wire)
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, DbError> {
        wire.map(T::from_wire).transpose()
    }
}

/// A value of a `jsonb` column; null for JSON's null.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Option<Json<Box<RawValue>>>, DbError> {
    let mut raw = to_raw_value(value)?;
    if raw.get().contains(NUL_IN_JSON) {
        raw = to_raw_value(&storable(serde_json::to_value(value)?))?;
    }
    Ok((raw.get() != "null").then_some(Json(raw)))
}

pub(crate) fn from_json<T: DeserializeOwned>(wire: Option<Json<Box<RawValue>>>) -> Result<T, DbError> {
    Ok(serde_json::from_str(wire.as_ref().map_or("null", |json| json.0.get()))?)
}

/// Removes NUL, which PostgreSQL refuses in texts. A device may send one.
pub(crate) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The same for all texts within a value.
pub(crate) fn storable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(storable_text(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (storable_text(&name), storable(value))).collect())
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => value,
    }
}

/// An id or another value of the domain, from its text.
pub(crate) fn parse<T: TryFrom<String, Error: std::fmt::Display>>(text: String) -> Result<T, DbError> {
    T::try_from(text).map_err(|error| DbError::Invalid(error.to_string()))
}

/// The JSON word of a unit variant.
pub(crate) fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Implements [`Row`] for a struct: its table, its key with the types, its other fields, those that are `jsonb`, and those with several
/// columns ([`ColumnGroup`]).
macro_rules! row {
    (
        $row:ty = $table:literal key { $($key:ident: $kind:literal),+ $(,)? }
        columns { $($field:ident),* $(,)? }
        json { $($json:ident),* $(,)? }
        $(groups { $($group:ident: $of:ty),* $(,)? })?
    ) => {
        impl $crate::row::Row for $row {
            const TABLE: &'static str = $table;
            const KEY: &'static [(&'static str, &'static str)] = &[$((stringify!($key), $kind)),+];
            const COLUMNS: &'static [&'static [&'static str]] = &[
                &[$(stringify!($key),)+ $(stringify!($field),)* $(stringify!($json),)*],
                $($(<$of as $crate::row::ColumnGroup>::COLUMNS,)*)?
            ];

            fn key(&self) -> Vec<String> {
                vec![$(self.$key.to_string()),+]
            }

            fn read_from(row: &sqlx::postgres::PgRow, first: usize) -> Result<Self, $crate::db::DbError> {
                // Fields are read in the order in which they are written here.
                let mut columns = first..;
                let mut next = || columns.next().unwrap_or_default();
                Ok(Self {
                    $($key: $crate::row::ColumnValue::from_wire(sqlx::Row::try_get(row, next())?)?,)+
                    $($field: $crate::row::ColumnValue::from_wire(sqlx::Row::try_get(row, next())?)?,)*
                    $($json: $crate::row::from_json(sqlx::Row::try_get(row, next())?)?,)*
                    $($($group: {
                        let first = next();
                        (1..<$of as $crate::row::ColumnGroup>::COLUMNS.len()).for_each(|_| {
                            next();
                        });
                        $crate::row::ColumnGroup::read(row, first)?
                    },)*)?
                })
            }

            fn bind<'q>(
                query: $crate::row::ArrayQuery<'q>,
                rows: &[&Self],
            ) -> Result<$crate::row::ArrayQuery<'q>, $crate::db::DbError> {
                use $crate::row::ColumnValue as _;
                let query = query
                    $(.bind(rows.iter().map(|row| row.$key.to_wire()).collect::<Vec<_>>()))+
                    $(.bind(rows.iter().map(|row| row.$field.to_wire()).collect::<Vec<_>>()))*
                    $(.bind(
                        rows.iter().map(|row| $crate::row::to_json(&row.$json)).collect::<Result<Vec<_>, _>>()?,
                    ))*;
                $($(let query = $crate::row::ColumnGroup::bind(
                    query,
                    &rows.iter().map(|row| &row.$group).collect::<Vec<_>>(),
                )?;)*)?
                Ok(query)
            }
        }
    };
}
pub(crate) use row;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_stored_without_what_postgresql_refuses() {
        let told = serde_json::json!({"attributes": {"a\u{0}b": "c\u{0}"}, "n": [1, "x"]});
        let kept = serde_json::json!({"attributes": {"a\u{fffd}b": "c\u{fffd}"}, "n": [1, "x"]});
        assert_eq!(storable(told.clone()), kept);
        let Json(raw) = to_json(&told).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(raw.get()).unwrap(), kept);
        assert_eq!("a\u{0}".to_owned().to_wire(), "a\u{fffd}");
    }

    #[test]
    fn json_null_is_null_in_its_column() {
        assert!(to_json(&None::<u32>).unwrap().is_none());
        assert_eq!(from_json::<Option<u32>>(None).unwrap(), None);
    }
}
