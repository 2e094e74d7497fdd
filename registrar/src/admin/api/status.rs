//! How a running daemon does.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a running daemon does.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// Requests answered since the start.
    pub requests: u64,
    /// DNS queries since the start.
    pub dns_queries: u64,
    /// DNS queries that were answered with a challenge's value.
    pub dns_answers: u64,
    /// By how many seconds the clock is earlier than the newest event; 0 if it is right. Meanwhile nothing is issued.
    #[serde(default)]
    pub clock_behind_secs: i64,
    /// Other nodes on the database whose settings differ where they must not, each with the keys.
    pub settings_differing: Vec<String>,
}

/// A link that logs its reader in to the console, once, within ten minutes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLink {
    /// The address.
    pub url: String,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The keys whose new value applies now.
    pub applied: Vec<String>,
    /// The keys whose new value applies after a restart.
    pub needs_restart: Vec<String>,
}
