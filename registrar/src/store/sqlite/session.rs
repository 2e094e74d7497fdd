//! A connection to SQLite as a session.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, params_from_iter};

use crate::store::sql::session::{Cell, Dialect, Row, Session, SessionError, Value, storable};

/// A session of SQLite: every call is done when it returns.
pub(super) struct SqliteSession<'c>(pub(super) &'c mut Connection);

/// Runs a future that never waits.
pub(super) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A parameter as SQLite takes it.
struct Parameter<'a>(&'a Value<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Integer(value) => ToSqlOutput::Borrowed(ValueRef::Integer(*value)),
            Value::Text(text) => match storable(text) {
                std::borrow::Cow::Borrowed(text) => {
                    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
                }
                std::borrow::Cow::Owned(text) => ToSqlOutput::from(text),
            },
            Value::Blob(octets) => ToSqlOutput::Borrowed(ValueRef::Blob(octets)),
        })
    }
}

fn failed(error: rusqlite::Error) -> SessionError {
    match &error {
        rusqlite::Error::SqliteFailure(code, _)
            // SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_UNIQUE.
            if code.code == ErrorCode::ConstraintViolation
                && matches!(code.extended_code, 1555 | 2067) =>
        {
            SessionError::Unique
        }
        _ => SessionError::Database(Box::new(error)),
    }
}

/// SQLite numbers its placeholders with a question mark.
fn numbered(sql: &str) -> String {
    sql.replace('$', "?")
}

impl SqliteSession<'_> {
    fn run(&self, sql: &str, values: &[Value<'_>]) -> rusqlite::Result<usize> {
        let mut statement = self.0.prepare_cached(&numbered(sql))?;
        statement.execute(params_from_iter(values.iter().map(Parameter)))
    }

    fn rows(&self, sql: &str, values: &[Value<'_>]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(&numbered(sql))?;
        let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let mut found = statement.query(params_from_iter(values.iter().map(Parameter)))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let cells = (0..names.len())
                .map(|column| row.get_ref(column).map(cell))
                .collect::<rusqlite::Result<_>>()?;
            rows.push(Row::new(Arc::clone(&names), cells));
        }
        Ok(rows)
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        // No column of ours is REAL; what is there is shown, not understood.
        ValueRef::Real(value) => Cell::Text(value.to_string()),
        ValueRef::Text(octets) => Cell::Text(String::from_utf8_lossy(octets).into_owned()),
        ValueRef::Blob(octets) => Cell::Blob(octets.to_vec()),
    }
}

#[async_trait]
impl Session for SqliteSession<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn batch(&mut self, sql: &str) -> Result<(), SessionError> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.execute([]).map(|_| ()).map_err(failed)
    }

    async fn execute(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, SessionError> {
        let changed = self.run(sql, parameters).map_err(failed)?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    async fn query(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
    ) -> Result<Vec<Row>, SessionError> {
        self.rows(sql, parameters).map_err(failed)
    }
}
