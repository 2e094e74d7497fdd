//! Issuers from the configuration, each ACME one with the bridge that must run for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::account::{Account, Connect, DirectoryConfig};
use acme_bridge::bridge::{Bridge, BridgeConfig};
use acme_bridge::solver::Solver;
use acme_bridge::{Clock, IssuerName, OrderStore};
use anyhow::Context as _;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

use crate::config::{AcmeConfig, Config, IssuerConfig};
use crate::identity::read_certificates;
use crate::issue::Issuer;
use crate::issue::acme::AcmeIssuer;
use crate::issue::local::LocalIssuer;
use crate::observe::metrics::Metrics;

/// How long one request to an ACME CA may take.
const ACME_TIMEOUT: Duration = Duration::from_secs(30);

/// All issuers, and the bridges that must run for them.
#[derive(Default)]
pub(super) struct Issuers {
    pub(super) by_name: BTreeMap<String, Arc<dyn Issuer>>,
    pub(super) bridges: BTreeMap<String, Arc<Bridge>>,
    pub(super) locals: Vec<Arc<LocalIssuer>>,
}

/// The operating system's anchors; those that cannot be read are left out.
pub(super) fn system_anchors() -> RootCertStore {
    let mut anchors = RootCertStore::empty();
    anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    anchors
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = read_certificates(path)?;
    Ok(certificates.iter().map(|certificate| certificate.der().clone()).collect())
}

/// The account at an issuer's CA; nothing is sent yet.
pub(super) fn account(
    name: &str,
    acme: &AcmeConfig,
    provider: &Arc<CryptoProvider>,
    orders: &Arc<dyn OrderStore>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Account> {
    let anchors = match &acme.directory_ca {
        None => system_anchors(),
        Some(path) => {
            let mut anchors = RootCertStore::empty();
            anchors.add_parsable_certificates(certificates(path)?);
            anchors
        }
    };
    let directory = DirectoryConfig {
        url: acme.directory.clone(),
        anchors: Arc::new(anchors),
        account_key: acme.account_key.clone(),
        external_account: acme.eab_file.clone(),
        contacts: acme.contacts.clone(),
        timeout: ACME_TIMEOUT,
    };
    let (provider, orders, clock) = (Arc::clone(provider), Arc::clone(orders), Arc::clone(clock));
    Ok(Account::new(provider, directory, IssuerName::new(name), orders, clock)?)
}

/// What every issuer is built with.
pub(super) struct IssuerBuilder<'a> {
    pub(super) provider: &'a Arc<CryptoProvider>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) orders: &'a Arc<dyn OrderStore>,
    pub(super) solver: &'a Arc<dyn Solver>,
    pub(super) node: &'a str,
    pub(super) metrics: &'a Arc<Metrics>,
}

impl IssuerBuilder<'_> {
    /// Builds what the configuration names.
    pub(super) fn all(&self, config: &Config) -> anyhow::Result<Issuers> {
        let mut issuers = Issuers::default();
        let zones: Vec<String> = config.zones.keys().cloned().collect();
        for (name, issuer) in &config.issuers {
            let place = || format!("issuer.{name}");
            match issuer {
                IssuerConfig::Local(local) => {
                    let issuer = Arc::new(
                        LocalIssuer::load(name, local, Arc::clone(self.metrics))
                            .with_context(place)?,
                    );
                    issuers.by_name.insert(name.clone(), Arc::<LocalIssuer>::clone(&issuer));
                    issuers.locals.push(issuer);
                }
                IssuerConfig::Acme(acme) => {
                    let (issuer, bridge) = self.acme(name, acme, &zones).with_context(place)?;
                    issuers.by_name.insert(name.clone(), Arc::new(issuer));
                    issuers.bridges.insert(name.clone(), bridge);
                }
            }
        }
        Ok(issuers)
    }

    fn acme(
        &self,
        name: &str,
        acme: &AcmeConfig,
        zones: &[String],
    ) -> anyhow::Result<(AcmeIssuer, Arc<Bridge>)> {
        let configured = match &acme.root {
            Some(path) => Some(certificates(path)?),
            None => None,
        };
        let account = Arc::new(account(name, acme, self.provider, self.orders, self.clock)?);
        let connect: Arc<dyn Connect> = Arc::<Account>::clone(&account);
        let bridge = Arc::new(self.bridge(name, acme, zones, configured.as_deref(), connect));
        let served = configured.unwrap_or_default();
        Ok((AcmeIssuer::new(name, Arc::clone(&bridge), served, account), bridge))
    }

    fn bridge(
        &self,
        name: &str,
        acme: &AcmeConfig,
        zones: &[String],
        roots: Option<&[CertificateDer<'static>]>,
        account: Arc<dyn Connect>,
    ) -> Bridge {
        let roots = match roots {
            Some(roots) => roots.to_vec(),
            None => rustls_native_certs::load_native_certs().certs,
        };
        let config = BridgeConfig {
            orders_in_flight: acme.orders_in_flight,
            profile: acme.profile.clone(),
            zones: zones.to_vec(),
            registered_domains: acme.registered_domains.clone(),
            limits: acme.limits.clone(),
            lease: acme.lease,
            fallback_after: acme.fallback_after,
            ..BridgeConfig::new(IssuerName::new(name), self.node, roots)
        };
        let (orders, solver) = (Arc::clone(self.orders), Arc::clone(self.solver));
        Bridge::new(config, orders, solver, account, Arc::clone(self.clock))
    }
}
