//! Rows of read models as plain structs, loaded and saved in sets.
//!
//! A batch loads the rows it touches, changes them in memory and writes back the changed ones, each with one statement per table.

use std::collections::HashMap;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{PgConnection, Row as _};

use crate::db::{DbError, ReadTx};

/// Most rows in one statement.
const STATEMENT_ROWS_MAX: usize = 2_000;

/// A row: its fields are the table's columns.
pub(crate) trait Row: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync {
    const TABLE: &'static str;
    /// Columns of the primary key with their types.
    const KEY: &'static [(&'static str, &'static str)];

    /// Values of the key's columns as text.
    fn key(&self) -> Vec<String>;
}

/// Rows of one table during a batch.
pub(crate) struct Rows<R> {
    rows: HashMap<Vec<String>, Entry<R>>,
    kind: PhantomData<R>,
}

struct Entry<R> {
    before: Option<R>,
    now: Option<R>,
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { rows: HashMap::new(), kind: PhantomData }
    }
}

impl<R: Row> Rows<R> {
    /// Loads the rows with these keys; keys without a row are remembered as absent.
    pub(crate) async fn load(connection: &mut PgConnection, keys: Vec<Vec<String>>) -> Result<Self, DbError> {
        let mut rows: HashMap<Vec<String>, Entry<R>> =
            keys.into_iter().map(|key| (key, Entry { before: None, now: None })).collect();
        let wanted: Vec<Value> = rows.keys().map(|key| object(R::KEY, key)).collect();
        let columns: Vec<String> = R::KEY.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let join: Vec<String> = R::KEY.iter().map(|(name, _)| format!("t.{name} = k.{name}")).collect();
        let sql = format!(
            "SELECT to_jsonb(t) FROM {} t JOIN jsonb_to_recordset($1) AS k({}) ON {}",
            R::TABLE,
            columns.join(", "),
            join.join(" AND ")
        );
        for page in wanted.chunks(STATEMENT_ROWS_MAX) {
            for found in sqlx::query(&sql).bind(Value::Array(page.to_vec())).fetch_all(&mut *connection).await? {
                let row: R = serde_json::from_value(found.try_get(0)?)?;
                let key = row.key();
                rows.insert(key, Entry { before: Some(row.clone()), now: Some(row) });
            }
        }
        Ok(Self { rows, kind: PhantomData })
    }

    pub(crate) fn get(&self, key: &[String]) -> Option<&R> {
        self.rows.get(key)?.now.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: &[String]) -> Option<&mut R> {
        self.rows.get_mut(key)?.now.as_mut()
    }

    pub(crate) fn put(&mut self, row: R) {
        let entry = self.rows.entry(row.key()).or_insert(Entry { before: None, now: None });
        entry.now = Some(row);
    }

    /// Writes the rows that changed.
    pub(crate) async fn save(self, connection: &mut PgConnection) -> Result<(), DbError> {
        let changed: Vec<Value> = self
            .rows
            .into_values()
            .filter(|entry| entry.now != entry.before)
            .filter_map(|entry| entry.now)
            .map(|row| serde_json::to_value(row).map(storable))
            .collect::<Result<_, _>>()?;
        let Some(Value::Object(first)) = changed.first() else { return Ok(()) };
        let columns: Vec<&str> = first.keys().map(String::as_str).collect();
        let key: Vec<&str> = R::KEY.iter().map(|(name, _)| *name).collect();
        let set: Vec<String> = columns
            .iter()
            .filter(|column| !key.contains(column))
            .map(|column| format!("{column} = EXCLUDED.{column}"))
            .collect();
        let sql = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, $1) ON CONFLICT ({key}) DO UPDATE SET {set}",
            table = R::TABLE,
            columns = columns.join(", "),
            key = key.join(", "),
            set = set.join(", ")
        );
        for page in changed.chunks(STATEMENT_ROWS_MAX) {
            sqlx::query(&sql).bind(Value::Array(page.to_vec())).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// PostgreSQL takes no NUL in texts; a device may well send one.
fn storable(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(storable).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(name, value)| (name.replace('\0', "\u{fffd}"), storable(value))).collect(),
        ),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => value,
    }
}

fn object(columns: &[(&str, &str)], values: &[String]) -> Value {
    columns.iter().zip(values).map(|((name, _), value)| ((*name).to_owned(), Value::String(value.clone()))).collect()
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<R> {
    pub items: Vec<R>,
    /// Key behind which the next page begins; none at the end.
    pub next: Option<Vec<String>>,
    /// All rows of the filter, when asked for.
    pub total: Option<u64>,
}

/// A list's statement in the making: conditions with their values, in order.
pub(crate) struct Select {
    from: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Select {
    /// `from` names the rows as `t`.
    pub(crate) fn from(from: &'static str) -> Self {
        Self { from, conditions: Vec::new(), values: Vec::new() }
    }

    /// Adds a condition; `$` stands for the value's place, as `jsonb`.
    pub(crate) fn filter(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(storable(value.into()));
        self.conditions.push(condition.replace('$', &format!("${}", self.values.len())));
    }

    pub(crate) fn equals(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.filter(&format!("{column} = $ #>> '{{}}'"), value.clone());
        }
    }

    /// One more than `limit` rows are read, to know whether there is a next page.
    pub(crate) async fn page<R: DeserializeOwned>(
        self,
        tx: &mut ReadTx,
        columns: &str,
        order: &str,
        after: Option<(String, Vec<Value>)>,
        limit: usize,
        count: bool,
    ) -> Result<(Vec<R>, bool, Option<u64>), DbError> {
        let total = if count { Some(self.count(tx).await?) } else { None };
        let mut all = self;
        if let Some((condition, values)) = after {
            let first = all.values.len();
            let mut condition = condition;
            for (index, value) in values.into_iter().enumerate() {
                condition = condition.replacen('$', &format!("\u{1}{}", first + index + 1), 1);
                all.values.push(storable(value));
            }
            all.conditions.push(condition.replace('\u{1}', "$"));
        }
        let sql = format!(
            "SELECT {columns} FROM {} WHERE {} ORDER BY {order} LIMIT {}",
            all.from,
            all.condition(),
            limit + 1
        );
        let mut query = sqlx::query(&sql);
        for value in &all.values {
            query = query.bind(value);
        }
        let found = query.fetch_all(&mut *tx.0).await?;
        let more = found.len() > limit;
        let rows = found.iter().take(limit).map(|row| Ok(serde_json::from_value(row.try_get(0)?)?));
        Ok((rows.collect::<Result<_, DbError>>()?, more, total))
    }

    async fn count(&self, tx: &mut ReadTx) -> Result<u64, DbError> {
        let sql = format!("SELECT count(*) FROM {} WHERE {}", self.from, self.condition());
        let mut query = sqlx::query_scalar::<_, i64>(&sql);
        for value in &self.values {
            query = query.bind(value);
        }
        Ok(query.fetch_one(&mut *tx.0).await? as u64)
    }

    fn condition(&self) -> String {
        if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" AND ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_postgresql_would_refuse_are_stored_without_the_offence() {
        let told = serde_json::json!({"attributes": {"a\u{0}b": "c\u{0}"}, "n": [1, "x"]});
        let kept = serde_json::json!({"attributes": {"a\u{fffd}b": "c\u{fffd}"}, "n": [1, "x"]});
        assert_eq!(storable(told), kept);
    }
}
