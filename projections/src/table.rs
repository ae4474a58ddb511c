//! Rows of read models as plain structs, loaded and saved in sets.
//!
//! A batch loads the rows it touches, changes them in memory and writes back the changed ones, each with one statement per table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::db::{DbError, ReadTx};
use crate::memory::Memory;
use crate::row::{Row, storable};

/// Most rows in one statement.
const STATEMENT_ROWS_MAX: usize = 2_000;

/// Rows of one table during a batch.
pub(crate) struct Rows<R> {
    rows: HashMap<Vec<String>, Entry<R>>,
}

/// The two are one until the row is changed.
struct Entry<R> {
    before: Option<Arc<R>>,
    now: Option<Arc<R>>,
}

impl<R: Row> Entry<R> {
    fn absent() -> Self {
        Self { before: None, now: None }
    }

    fn stored(row: Arc<R>) -> Self {
        Self { before: Some(row.clone()), now: Some(row) }
    }

    fn is_changed(&self) -> bool {
        match (&self.before, &self.now) {
            (Some(before), Some(now)) => !Arc::ptr_eq(before, now) && before != now,
            (before, now) => before.is_some() || now.is_some(),
        }
    }
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { rows: HashMap::new() }
    }
}

impl<R: Row> Rows<R> {
    /// Loads the rows with these keys. Keys without a row are kept as absent.
    pub(crate) async fn load(connection: &mut PgConnection, keys: Vec<Vec<String>>) -> Result<Self, DbError> {
        let mut rows = Self::default();
        rows.load_more(connection, keys).await?;
        Ok(rows)
    }

    /// Loads rows that aren't loaded yet.
    pub(crate) async fn load_more(
        &mut self,
        connection: &mut PgConnection,
        keys: Vec<Vec<String>>,
    ) -> Result<(), DbError> {
        let new: HashSet<Vec<String>> = keys.into_iter().filter(|key| !self.rows.contains_key(key)).collect();
        let wanted: Vec<&Vec<String>> = new.iter().collect();
        let sql = select_sql::<R>();
        let mut found = Vec::with_capacity(wanted.len());
        for page in wanted.chunks(STATEMENT_ROWS_MAX) {
            let mut query = sqlx::query(&sql);
            for column in 0..R::KEY.len() {
                query = query.bind(page.iter().map(|key| key[column].clone()).collect::<Vec<_>>());
            }
            for row in query.fetch_all(&mut *connection).await? {
                found.push(R::read(&row)?);
            }
        }
        self.rows.extend(new.into_iter().map(|key| (key, Entry::absent())));
        for row in found {
            self.rows.insert(row.key(), Entry::stored(Arc::new(row)));
        }
        Ok(())
    }

    /// Adds a row that was loaded otherwise, unless it is already there.
    pub(crate) fn know(&mut self, row: R) {
        self.rows.entry(row.key()).or_insert_with(|| Entry::stored(Arc::new(row)));
    }

    /// Rows that changed, with their values before.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Option<&R>, &R)> {
        let changed = self.rows.values().filter(|entry| entry.is_changed());
        changed.filter_map(|entry| Some((entry.before.as_deref(), entry.now.as_deref()?)))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &R> {
        self.rows.values().filter_map(|entry| entry.now.as_deref())
    }

    /// All rows that exist.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rows.values_mut().filter_map(|entry| entry.now.as_mut().map(Arc::make_mut))
    }

    pub(crate) fn get(&self, key: &[String]) -> Option<&R> {
        self.rows.get(key)?.now.as_deref()
    }

    /// The row before the batch.
    pub(crate) fn before(&self, key: &[String]) -> Option<&R> {
        self.rows.get(key)?.before.as_deref()
    }

    pub(crate) fn get_mut(&mut self, key: &[String]) -> Option<&mut R> {
        self.rows.get_mut(key)?.now.as_mut().map(Arc::make_mut)
    }

    pub(crate) fn put(&mut self, row: R) {
        let entry = self.rows.entry(row.key()).or_insert_with(Entry::absent);
        entry.now = Some(Arc::new(row));
    }

    /// Writes the rows that changed.
    pub(crate) async fn save(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        let changed: Vec<&R> = self.changes().map(|(_, now)| now).collect();
        let sql = upsert_sql::<R>();
        for page in changed.chunks(STATEMENT_ROWS_MAX) {
            R::bind(sqlx::query(&sql), page)?.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// With a memory.
impl<R: Row + 'static> Rows<R> {
    /// Loads the rows that aren't remembered.
    pub(crate) async fn recall(
        connection: &mut PgConnection,
        memory: &mut Memory,
        keys: Vec<Vec<String>>,
    ) -> Result<Self, DbError> {
        let mut rows = Self::default();
        rows.recall_more(connection, memory, keys).await?;
        Ok(rows)
    }

    /// The same for rows that aren't loaded yet.
    pub(crate) async fn recall_more(
        &mut self,
        connection: &mut PgConnection,
        memory: &mut Memory,
        keys: Vec<Vec<String>>,
    ) -> Result<(), DbError> {
        let remembered = memory.of::<R>();
        let mut missing = Vec::new();
        for key in keys.into_iter().filter(|key| !self.rows.contains_key(key)).collect::<HashSet<_>>() {
            match remembered.get(&key) {
                Some(row) => drop(self.rows.insert(key, Entry::stored(row))),
                None => missing.push(key),
            }
        }
        self.load_more(connection, missing).await
    }

    /// Writes the rows that changed, and remembers all of them.
    pub(crate) async fn keep(self, connection: &mut PgConnection, memory: &mut Memory) -> Result<(), DbError> {
        self.save(connection).await?;
        let remembered = memory.of::<R>();
        for (key, entry) in self.rows {
            entry.now.into_iter().for_each(|row| remembered.put(key.clone(), row));
        }
        Ok(())
    }
}

/// Selects rows by their keys, which come as one array of texts per column.
fn select_sql<R: Row>() -> String {
    let names: Vec<&str> = R::KEY.iter().map(|(name, _)| *name).collect();
    let arrays: Vec<String> =
        R::KEY.iter().enumerate().map(|(index, (_, kind))| format!("${}::text[]::{kind}[]", index + 1)).collect();
    let join: Vec<String> = names.iter().map(|name| format!("t.{name} = k.{name}")).collect();
    format!(
        "SELECT {} FROM UNNEST({}) AS k ({}) JOIN {} t ON {}",
        R::columns_of("t"),
        arrays.join(", "),
        names.join(", "),
        R::TABLE,
        join.join(" AND ")
    )
}

/// All columns of all rows, new or not.
fn upsert_sql<R: Row>() -> String {
    let key: Vec<&str> = R::KEY.iter().map(|(name, _)| *name).collect();
    let columns: Vec<&str> = R::columns().collect();
    let arrays: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    let others = columns.iter().filter(|column| !key.contains(column));
    let set: Vec<String> = others.map(|column| format!("{column} = EXCLUDED.{column}")).collect();
    format!(
        "INSERT INTO {} ({}) SELECT * FROM UNNEST({}) ON CONFLICT ({}) DO UPDATE SET {}",
        R::TABLE,
        columns.join(", "),
        arrays.join(", "),
        key.join(", "),
        set.join(", ")
    )
}

/// Inserts new rows that differ only in some columns, which are given with their types. All columns of the first row are bound first, then
/// one array for each of these.
pub(crate) fn insert_like_sql<R: Row>(varying: &[(&str, &str)]) -> String {
    let columns: Vec<&str> = R::columns().collect();
    let arrays: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    let of_each = varying.iter().zip(columns.len() + 1..).map(|((_, kind), number)| format!("${number}::{kind}[]"));
    let names: Vec<&str> = varying.iter().map(|(name, _)| *name).collect();
    let source = |column: &&str| if names.contains(column) { format!("v.{column}") } else { format!("f.{column}") };
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM UNNEST({}) AS f ({}) CROSS JOIN UNNEST({}) AS v ({})",
        R::TABLE,
        columns.join(", "),
        columns.iter().map(source).collect::<Vec<_>>().join(", "),
        arrays.join(", "),
        columns.join(", "),
        of_each.collect::<Vec<_>>().join(", "),
        names.join(", ")
    )
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<R> {
    pub items: Vec<R>,
    /// Key after which the next page begins; none at the end.
    pub next: Option<Vec<String>>,
    /// Number of all rows of the filter, if requested.
    pub total: Option<u64>,
}

/// A list's statement while it is built: conditions with their values, in order.
pub(crate) struct Select {
    columns: String,
    from: String,
    order: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Select {
    /// `from` must name the rows `t`.
    pub(crate) fn new(columns: String, from: impl Into<String>, order: &'static str) -> Self {
        Self { columns, from: from.into(), order, conditions: Vec::new(), values: Vec::new() }
    }

    /// Adds a condition; `$` is the value's parameter, as `jsonb`.
    pub(crate) fn filter(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(storable(value.into()));
        self.conditions.push(condition.replace('$', &format!("${}", self.values.len())));
    }

    /// Adds a condition that has no value.
    pub(crate) fn require(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    pub(crate) fn equals(&mut self, column: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.filter(&format!("{column} = $ #>> '{{}}'"), value.clone());
        }
    }

    /// A page of the rows after `after`. Reads one row more than `limit` to find out whether there is a next page.
    pub(crate) async fn page<R>(
        self,
        tx: &mut ReadTx,
        after: Option<(String, Vec<Value>)>,
        limit: usize,
        count: bool,
        read: impl Fn(&PgRow) -> Result<R, DbError>,
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
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {}",
            all.columns,
            all.from,
            all.condition(),
            all.order,
            limit + 1
        );
        let mut query = sqlx::query(&sql);
        for value in &all.values {
            query = query.bind(value);
        }
        let found = query.fetch_all(&mut *tx.0).await?;
        let more = found.len() > limit;
        let rows: Result<_, DbError> = found.iter().take(limit).map(read).collect();
        Ok((rows?, more, total))
    }

    /// The numbers of rows with the same values of `columns`, the largest first, each with the number of all rows. `$` in the columns is
    /// `value`, as a text.
    pub(crate) async fn grouped(
        mut self,
        tx: &mut ReadTx,
        columns: &[String],
        value: &str,
        limit: usize,
    ) -> Result<Vec<PgRow>, DbError> {
        self.values.push(Value::from(value));
        let value = format!("(${} #>> '{{}}')", self.values.len());
        let shown: Vec<String> = columns.iter().map(|column| column.replace('$', &value)).collect();
        let numbers: Vec<String> = (1..=columns.len()).map(|number| number.to_string()).collect();
        let sql = format!(
            "SELECT {}, count(*), (sum(count(*)) OVER ())::bigint FROM {} WHERE {} GROUP BY {numbers} ORDER BY count(*) DESC, {numbers} LIMIT {limit}",
            shown.join(", "),
            self.from,
            self.condition(),
            numbers = numbers.join(", "),
        );
        let mut query = sqlx::query(&sql);
        for value in &self.values {
            query = query.bind(value);
        }
        Ok(query.fetch_all(&mut *tx.0).await?)
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
