//! Issuers from the configuration, each ACME one with the bridge that must run for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::account::{Account, DirectoryConfig};
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
pub(super) struct Issuers {
    pub(super) by_name: BTreeMap<String, Arc<dyn Issuer>>,
    pub(super) bridges: Vec<Arc<Bridge>>,
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

/// An issuer, and the bridge that must run for it.
struct Built {
    issuer: Arc<dyn Issuer>,
    bridge: Option<Arc<Bridge>>,
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
        let mut issuers = Issuers { by_name: BTreeMap::new(), bridges: Vec::new() };
        for (name, issuer) in &config.issuers {
            let Built { issuer, bridge } =
                self.issuer(name, issuer).with_context(|| format!("issuer.{name}"))?;
            issuers.by_name.insert(name.clone(), issuer);
            issuers.bridges.extend(bridge);
        }
        Ok(issuers)
    }

    fn issuer(&self, name: &str, issuer: &IssuerConfig) -> anyhow::Result<Built> {
        match issuer {
            IssuerConfig::Local { certificate, key, validity_days } => {
                let metrics = Arc::clone(self.metrics);
                let issuer = LocalIssuer::load(name, certificate, key, *validity_days, metrics)?;
                Ok(Built { issuer: Arc::new(issuer), bridge: None })
            }
            IssuerConfig::Acme(acme) => {
                let configured = match &acme.root {
                    Some(path) => Some(certificates(path)?),
                    None => None,
                };
                let bridge = Arc::new(self.bridge(name, acme, configured.as_deref())?);
                let served = configured.unwrap_or_default();
                let issuer = AcmeIssuer::new(name, Arc::clone(&bridge), served);
                Ok(Built { issuer: Arc::new(issuer), bridge: Some(bridge) })
            }
        }
    }

    fn bridge(
        &self,
        name: &str,
        acme: &AcmeConfig,
        roots: Option<&[CertificateDer<'static>]>,
    ) -> anyhow::Result<Bridge> {
        let anchors = match &acme.directory_ca {
            None => system_anchors(),
            Some(path) => {
                let mut anchors = RootCertStore::empty();
                anchors.add_parsable_certificates(certificates(path)?);
                anchors
            }
        };
        let roots = match roots {
            Some(roots) => roots.to_vec(),
            None => rustls_native_certs::load_native_certs().certs,
        };
        let issuer = IssuerName::new(name);
        let directory = DirectoryConfig {
            url: acme.directory.clone(),
            anchors: Arc::new(anchors),
            account_key: acme.account_key.clone(),
            timeout: ACME_TIMEOUT,
        };
        let (provider, orders) = (Arc::clone(self.provider), Arc::clone(self.orders));
        let account = Account::new(provider, directory, issuer.clone(), Arc::clone(&orders))?;
        let config = BridgeConfig {
            issuer,
            node: self.node.to_owned(),
            roots,
            orders_in_flight: acme.orders_in_flight,
        };
        let solver = Arc::clone(self.solver);
        Ok(Bridge::new(config, orders, solver, Arc::new(account), Arc::clone(self.clock)))
    }
}
