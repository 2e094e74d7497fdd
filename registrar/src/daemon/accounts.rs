//! The accounts at ACME CAs as operators reach them: through the bridges of a daemon, or by themselves where none runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::bridge::Bridge;
use acme_bridge::{Clock, OrderStore};
use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;

use super::issuers::account;
use crate::clock::SystemClock;
use crate::config::{Config, IssuerConfig};
use crate::issue::desk::CaAccount;
use crate::issue::orders::Orders;
use crate::observe::metrics::Metrics;
use crate::store::Store;
use crate::store::model::Millis;

/// The accounts of these bridges.
pub(super) fn driven(bridges: &BTreeMap<String, Arc<Bridge>>) -> BTreeMap<String, CaAccount> {
    let driven = |(name, bridge): (&String, &Arc<Bridge>)| {
        (name.clone(), CaAccount::Driven(Arc::clone(bridge)))
    };
    bridges.iter().map(driven).collect()
}

/// The accounts of a configuration that no daemon runs on.
pub(crate) fn idle(
    config: &Config,
    store: &Arc<dyn Store>,
) -> anyhow::Result<BTreeMap<String, CaAccount>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Nobody reads what this process counts.
    let metrics = Arc::new(Metrics::new([], Millis(0)));
    let orders: Arc<dyn OrderStore> = Arc::new(Orders::new(Arc::clone(store), metrics));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut accounts = BTreeMap::new();
    for (name, issuer) in &config.issuers {
        if let IssuerConfig::Acme(acme) = issuer {
            let account = account(name, acme, &provider, &orders, &clock);
            let account = account.with_context(|| format!("issuer.{name}"))?;
            accounts.insert(name.clone(), CaAccount::Idle(Arc::new(account)));
        }
    }
    Ok(accounts)
}
