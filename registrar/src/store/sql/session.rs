//! One connection to a database, as the SQL of this store sees it: text in, values in, rows out.
//!
//! The same text runs on SQLite and on PostgreSQL: placeholders are `$1`, `$2`, …, and nothing else has a `$`.
//! A session of SQLite never waits, so its futures are ready at the first poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::store::StoreError;
use crate::store::model::{Id, Millis, Sha256};

/// What a query of the store gives.
pub(in crate::store) type Result<T> = std::result::Result<T, StoreError>;

/// A query that a session runs.
pub(in crate::store) type Pending<'s, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 's>>;

/// Where the two databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    /// One writer at a time.
    Sqlite,
    /// Several writers, row locks.
    Postgres,
}

/// Why a statement failed.
#[derive(Debug, Error)]
pub(in crate::store) enum SessionError {
    /// A unique index has the value already.
    #[error("the value is there already")]
    Unique,
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<SessionError> for StoreError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unique => Self::Database(error.into()),
            SessionError::Database(source) => Self::Database(source),
        }
    }
}

/// One connection.
#[async_trait]
pub(in crate::store) trait Session: Send {
    /// Which database it is.
    fn dialect(&self) -> Dialect;

    /// Runs statements without parameters, such as `BEGIN`.
    async fn batch(&mut self, sql: &str) -> std::result::Result<(), SessionError>;

    /// Runs a statement and says how many rows it changed.
    async fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
    ) -> std::result::Result<u64, SessionError>;

    /// Runs a query.
    async fn query(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
    ) -> std::result::Result<Vec<Row>, SessionError>;
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Value<'a> {
    /// SQL's NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// Text; PostgreSQL takes no NUL, so [`storable`] says what is kept of it.
    Text(&'a str),
    /// Octets.
    Blob(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<Millis> for Value<'_> {
    fn from(value: Millis) -> Self {
        Self::Integer(value.0)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a Id> for Value<'a> {
    fn from(value: &'a Id) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<'a> From<&'a Sha256> for Value<'a> {
    fn from(value: &'a Sha256) -> Self {
        Self::Blob(&value.0)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Text as both databases keep it: U+FFFD in the place of NUL, which PostgreSQL does not take.
pub(in crate::store) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

/// What stands in a column.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// One row of an answer; its columns are found by name.
#[derive(Clone, Debug)]
pub(in crate::store) struct Row {
    names: Arc<[String]>,
    cells: Vec<Cell>,
}

impl Row {
    pub(in crate::store) fn new(names: Arc<[String]>, cells: Vec<Cell>) -> Self {
        Self { names, cells }
    }

    fn cell(&mut self, name: &'static str) -> Cell {
        let position = self.names.iter().position(|each| each == name);
        let cell = position.and_then(|position| self.cells.get_mut(position));
        cell.map_or(Cell::Null, |cell| std::mem::replace(cell, Cell::Null))
    }

    /// Takes an optional integer; each column can be taken once.
    pub(in crate::store) fn optional_integer(&mut self, name: &'static str) -> Result<Option<i64>> {
        match self.cell(name) {
            Cell::Null => Ok(None),
            Cell::Integer(value) => Ok(Some(value)),
            other => Err(foreign(name, &other)),
        }
    }

    /// Takes an integer.
    pub(in crate::store) fn integer(&mut self, name: &'static str) -> Result<i64> {
        self.optional_integer(name)?.ok_or_else(|| foreign(name, &Cell::Null))
    }

    /// Takes a small number.
    pub(in crate::store) fn number(&mut self, name: &'static str) -> Result<u32> {
        let value = self.integer(name)?;
        u32::try_from(value).map_err(|_| foreign(name, &Cell::Integer(value)))
    }

    /// Takes a time.
    pub(in crate::store) fn millis(&mut self, name: &'static str) -> Result<Millis> {
        self.integer(name).map(Millis)
    }

    /// Takes an optional text.
    pub(in crate::store) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.cell(name) {
            Cell::Null => Ok(None),
            Cell::Text(value) => Ok(Some(value)),
            other => Err(foreign(name, &other)),
        }
    }

    /// Takes a text.
    pub(in crate::store) fn text(&mut self, name: &'static str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| foreign(name, &Cell::Null))
    }

    /// Takes an identifier of ours.
    pub(in crate::store) fn id(&mut self, name: &'static str) -> Result<Id> {
        self.text(name).map(Id::from_stored)
    }

    /// Takes optional octets.
    pub(in crate::store) fn optional_blob(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<u8>>> {
        match self.cell(name) {
            Cell::Null => Ok(None),
            Cell::Blob(value) => Ok(Some(value)),
            other => Err(foreign(name, &other)),
        }
    }

    /// Takes octets.
    pub(in crate::store) fn blob(&mut self, name: &'static str) -> Result<Vec<u8>> {
        self.optional_blob(name)?.ok_or_else(|| foreign(name, &Cell::Null))
    }

    /// Takes an optional digest.
    pub(in crate::store) fn optional_sha256(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Sha256>> {
        let Some(octets) = self.optional_blob(name)? else {
            return Ok(None);
        };
        let octets = octets.try_into().map_err(|octets| foreign(name, &Cell::Blob(octets)))?;
        Ok(Some(Sha256(octets)))
    }

    /// Takes a digest.
    pub(in crate::store) fn sha256(&mut self, name: &'static str) -> Result<Sha256> {
        self.optional_sha256(name)?.ok_or_else(|| foreign(name, &Cell::Null))
    }
}

/// A column that holds what this program never writes.
pub(in crate::store) fn corrupt(column: &'static str, value: &str) -> StoreError {
    StoreError::Corrupt { column, value: value.chars().take(60).collect() }
}

fn foreign(column: &'static str, cell: &Cell) -> StoreError {
    corrupt(column, &format!("{cell:?}"))
}

/// A database: it runs queries, and takes work for its one writer.
pub(in crate::store) trait Engine: Send + Sync + 'static {
    /// Runs a query on a connection of its own.
    fn read<T, Q>(&self, query: Q) -> impl Future<Output = Result<T>> + Send
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static;

    /// As [`Engine::read`], for a query that finds a few rows by an index: a database in this process answers it on the
    /// spot, since another thread would take longer to wake than it takes to answer.
    fn look_up<T, Q>(&self, query: Q) -> impl Future<Output = Result<T>> + Send
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut dyn Session) -> Pending<'s, T> + Send + 'static,
    {
        self.read(query)
    }

    /// Performs work in a durable transaction.
    fn write(
        &self,
        work: super::writer::Work,
    ) -> impl Future<Output = super::writer::Answer> + Send;
}

/// Runs a query whose every row is read by `read`.
pub(in crate::store) async fn all<T>(
    session: &mut dyn Session,
    sql: &str,
    parameters: &[Value<'_>],
    read: fn(&mut Row) -> Result<T>,
) -> Result<Vec<T>> {
    let rows = session.query(sql, parameters).await?;
    rows.into_iter().map(|mut row| read(&mut row)).collect()
}

/// Runs a query of which the first row, if any, is read by `read`.
pub(in crate::store) async fn one<T>(
    session: &mut dyn Session,
    sql: &str,
    parameters: &[Value<'_>],
    read: fn(&mut Row) -> Result<T>,
) -> Result<Option<T>> {
    let row = session.query(sql, parameters).await?.into_iter().next();
    row.map(|mut row| read(&mut row)).transpose()
}
