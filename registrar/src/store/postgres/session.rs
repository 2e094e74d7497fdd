//! A connection to PostgreSQL as a session.

use std::error::Error;
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use deadpool_postgres::tokio_postgres::{self, Client, Statement};

use crate::store::sql::session::{Cell, Dialect, Row, Session, SessionError, Value, storable};

/// A connection that keeps the statements that it prepared.
#[async_trait]
pub(super) trait Connection: Deref<Target = Client> + Send + Sync {
    /// The statement of this text.
    async fn statement(&self, sql: &str) -> Result<Statement, tokio_postgres::Error>;
}

/// A session of PostgreSQL.
pub(super) struct PostgresSession<C> {
    client: C,
}

impl<C: Connection> PostgresSession<C> {
    pub(super) fn new(client: C) -> Self {
        Self { client }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

fn failed(error: tokio_postgres::Error) -> SessionError {
    match error.code() {
        Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION) => SessionError::Unique,
        _ => SessionError::Database(Box::new(error)),
    }
}

/// A parameter as PostgreSQL takes it.
#[derive(Debug)]
struct Parameter<'a>(&'a Value<'a>);

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) => value.to_sql(kind, out),
            Value::Text(text) => storable(text).as_ref().to_sql(kind, out),
            Value::Blob(octets) => octets.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) => value.to_sql_checked(kind, out),
            Value::Text(text) => storable(text).as_ref().to_sql_checked(kind, out),
            Value::Blob(octets) => octets.to_sql_checked(kind, out),
        }
    }
}

fn cell(row: &tokio_postgres::Row, column: usize) -> Result<Cell, tokio_postgres::Error> {
    let kind = row.columns().get(column).map(|column| column.type_().clone());
    Ok(match kind {
        Some(Type::INT8) => row.try_get::<_, Option<i64>>(column)?.map(Cell::Integer),
        Some(Type::INT4) => {
            row.try_get::<_, Option<i32>>(column)?.map(|value| Cell::Integer(i64::from(value)))
        }
        Some(Type::BYTEA) => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Cell::Blob),
        _ => row.try_get::<_, Option<String>>(column)?.map(Cell::Text),
    }
    .unwrap_or(Cell::Null))
}

#[async_trait]
impl<C: Connection> Session for PostgresSession<C> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn batch(&mut self, sql: &str) -> Result<(), SessionError> {
        self.client.batch_execute(sql).await.map_err(failed)
    }

    async fn execute(&mut self, sql: &str, parameters: &[Value<'_>]) -> Result<u64, SessionError> {
        let statement = self.client.statement(sql).await.map_err(failed)?;
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(Parameter).collect();
        self.client.execute_raw(&statement, parameters.iter().map(dynamic)).await.map_err(failed)
    }

    async fn query(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
    ) -> Result<Vec<Row>, SessionError> {
        let statement = self.client.statement(sql).await.map_err(failed)?;
        let names: Arc<[String]> =
            statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let parameters: Vec<Parameter<'_>> = parameters.iter().map(Parameter).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(dynamic).collect();
        let found = self.client.query(&statement, &parameters).await.map_err(failed)?;
        found
            .iter()
            .map(|row| {
                let cells = (0..names.len()).map(|column| cell(row, column));
                let cells = cells.collect::<Result<_, _>>().map_err(failed)?;
                Ok(Row::new(Arc::clone(&names), cells))
            })
            .collect()
    }
}

fn dynamic<'a>(parameter: &'a Parameter<'a>) -> &'a (dyn ToSql + Sync) {
    parameter
}
