//! The tables, version by version: written once in SQLite's types, and given PostgreSQL's for it.

use refinery::{Migration, Runner};

use super::session::Dialect;

/// Each version's name and statements; a version that was released never changes.
const VERSIONS: [(&str, &str); 11] = [
    ("V1__state", include_str!("../../../migrations/V1__state.sql")),
    ("V2__answers", include_str!("../../../migrations/V2__answers.sql")),
    ("V3__orders", include_str!("../../../migrations/V3__orders.sql")),
    ("V4__generated_keys", include_str!("../../../migrations/V4__generated_keys.sql")),
    (
        "V5__certificate_authorities",
        include_str!("../../../migrations/V5__certificate_authorities.sql"),
    ),
    ("V6__account_keys", include_str!("../../../migrations/V6__account_keys.sql")),
    ("V7__node_settings", include_str!("../../../migrations/V7__node_settings.sql")),
    ("V8__idevid_options", include_str!("../../../migrations/V8__idevid_options.sql")),
    ("V9__failures", include_str!("../../../migrations/V9__failures.sql")),
    ("V10__device_certificates", include_str!("../../../migrations/V10__device_certificates.sql")),
    ("V11__account_contacts", include_str!("../../../migrations/V11__account_contacts.sql")),
];

/// The newest version that this program knows.
pub(in crate::store) fn newest() -> i64 {
    VERSIONS.iter().filter_map(|(name, _)| number(name)).max().unwrap_or_default()
}

/// Whether a database of this version knows what nodes say of their settings; one of an unknown version is not asked.
pub(in crate::store) fn has_node_settings(version: i64) -> bool {
    has("node_settings", version)
}

/// Whether a database of this version knows what CAs were told of the owners of accounts.
pub(in crate::store) fn has_account_contacts(version: i64) -> bool {
    has("account_contacts", version)
}

fn has(what: &str, version: i64) -> bool {
    let name = VERSIONS.iter().map(|(name, _)| *name).find(|name| name.ends_with(what));
    (name.and_then(number).unwrap_or(i64::MAX)..=newest()).contains(&version)
}

/// The number in a version's name.
fn number(name: &str) -> Option<i64> {
    name.strip_prefix('V')?.split_once("__")?.0.parse().ok()
}

/// What brings a database up to date.
pub(in crate::store) fn runner(dialect: Dialect) -> Result<Runner, refinery::Error> {
    let migrations = VERSIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, &statements(sql, dialect)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Runner::new(&migrations).set_abort_missing(true).set_abort_divergent(true))
}

fn statements(sql: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => sql.to_owned(),
        // Texts are compared octet by octet, as SQLite does, whatever the database's locale is.
        Dialect::Postgres => sql
            .replace(") STRICT;", ");")
            .replace(" INTEGER", " BIGINT")
            .replace(" BLOB", " BYTEA")
            .replace(" TEXT", " TEXT COLLATE \"C\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_the_last_is_the_newest() {
        let numbers: Vec<i64> = VERSIONS.iter().map(|(name, _)| number(name).unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&newest()));
        assert!(has_node_settings(newest()) && has_node_settings(7));
        assert!(!has_node_settings(6) && !has_node_settings(newest() + 1));
        assert!(has_account_contacts(newest()) && !has_account_contacts(10));
    }
}
