//! What the servers of others will say when an order needs them, asked before one does.
//!
//! An update is tried for real: one TXT record at a name that no device has is added and removed again.

use std::sync::Arc;

use acme_bridge::solver::rfc2136::UpdateError;
use acme_bridge::{ChallengeType, Clock};

use super::challenges::dns_updates;
use crate::clock::SystemClock;
use crate::config::{Config, Problem, Rfc2136Config, SolverConfig, ZoneConfig};
use crate::entropy::random_id;

/// The label of the name at which an update is tried.
const LABEL: &str = "registrar-check";

/// Asks the DNS servers of all zones whether they take updates, and says which key of the configuration is wrong.
pub(crate) async fn zones(config: &Config) -> Vec<Problem> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut problems = Vec::new();
    for (name, zone) in &config.zones {
        let SolverConfig::Rfc2136(updates) = &zone.solver else {
            continue;
        };
        if let Some((key, reason)) = try_update(name, zone, updates, &clock).await {
            let key = format!("zone.{name:?}.{key}");
            problems.push(Problem { file: config.file.clone(), key, reason });
        }
    }
    problems
}

async fn try_update(
    name: &str,
    zone: &ZoneConfig,
    updates: &Rfc2136Config,
    clock: &Arc<dyn Clock>,
) -> Option<(&'static str, String)> {
    // A key file that cannot be read was told of already.
    let solver = dns_updates(updates, clock).ok()?;
    let prefix = match zone.challenges.first() {
        Some(ChallengeType::DnsPersist01) => "_validation-persist",
        _ => "_acme-challenge",
    };
    let owner = zone.alias.clone().unwrap_or_else(|| format!("{prefix}.{LABEL}.{name}"));
    let error = solver.probe(&owner, &format!("{LABEL}-{}", random_id())).await.err()?;
    let key = match &error {
        UpdateError::BadKey { .. }
        | UpdateError::BadSignature { .. }
        | UpdateError::Refused { .. }
        | UpdateError::Unsigned { .. } => "tsig_key",
        UpdateError::NotAuthoritative { .. } | UpdateError::NotInZone { .. } => "update_zone",
        _ => "server",
    };
    Some((key, error.to_string()))
}
