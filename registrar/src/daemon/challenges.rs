//! How challenges are answered, from the configuration: the solver of all zones, and the responders that run for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::dns::{DnsConfig, Responder};
use acme_bridge::http01::HttpResponder;
use acme_bridge::solver::acme_dns::{AcmeDns, Registration};
use acme_bridge::solver::exec::Hook;
use acme_bridge::solver::rfc2136::{DnsUpdates, TsigKey, UpdateConfig};
use acme_bridge::solver::{Records, Way, ZoneSolver, Zones};
use acme_bridge::tls_alpn::TlsAlpn;
use acme_bridge::{AnswerStore, ChallengeType, Clock};
use anyhow::Context as _;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;

use super::issuers::system_anchors;
use crate::config::{AcmeDnsConfig, Config, Rfc2136Config, SolverConfig, ZoneConfig};
use crate::identity::read_certificates;

/// What solvers are built with.
pub(super) struct SolverBuilder<'a> {
    pub(super) provider: &'a Arc<CryptoProvider>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) answers: &'a Arc<dyn AnswerStore>,
}

impl SolverBuilder<'_> {
    /// The solver of all zones.
    pub(super) fn all(&self, zones: &BTreeMap<String, ZoneConfig>) -> anyhow::Result<Zones> {
        let solver = |(name, zone): (&String, &ZoneConfig)| {
            let way = self.way(&zone.solver).with_context(|| format!("zone.{name:?}"))?;
            Ok(ZoneSolver {
                zone: name.clone(),
                challenges: zone.challenges.clone(),
                alias: zone.alias.clone(),
                way,
            })
        };
        let solvers = zones.iter().map(solver).collect::<anyhow::Result<_>>()?;
        Ok(Zones::new(solvers, Arc::clone(self.answers)))
    }

    fn way(&self, solver: &SolverConfig) -> anyhow::Result<Way> {
        let records: Arc<dyn Records> = match solver {
            SolverConfig::BuiltIn { .. } => return Ok(Way::BuiltIn),
            SolverConfig::Manual => return Ok(Way::Lasting),
            SolverConfig::Rfc2136(updates) => Arc::new(dns_updates(updates, self.clock)?),
            SolverConfig::Exec(hook) => Arc::new(Hook::new(hook.clone())),
            SolverConfig::AcmeDns(acme_dns) => Arc::new(self.acme_dns(acme_dns)?),
        };
        Ok(Way::Records(records))
    }

    fn acme_dns(&self, acme_dns: &AcmeDnsConfig) -> anyhow::Result<AcmeDns> {
        let anchors = match &acme_dns.ca {
            None => system_anchors(),
            Some(path) => {
                let mut anchors = RootCertStore::empty();
                for certificate in read_certificates(path)? {
                    anchors.add(certificate.der().clone())?;
                }
                anchors
            }
        };
        let registration = Registration::load(&acme_dns.credentials)?;
        let (provider, answers) = (Arc::clone(self.provider), Arc::clone(self.answers));
        Ok(AcmeDns::new(provider, anchors, &acme_dns.url, registration, answers)?)
    }
}

/// Updates of a zone, with the key from its file.
pub(super) fn dns_updates(
    updates: &Rfc2136Config,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<DnsUpdates> {
    let config = UpdateConfig {
        server: updates.server.clone(),
        zone: updates.zone.clone(),
        name_servers: updates.name_servers.clone(),
        visible_within: updates.visible_within,
        key: TsigKey::load(&updates.tsig_key)?,
    };
    Ok(DnsUpdates::new(config, Arc::clone(clock)))
}

/// The responders on addresses of their own.
pub(super) struct Responders {
    pub(super) dns: Option<Responder>,
    pub(super) http: Option<HttpResponder>,
}

impl Responders {
    /// Starts those that have an address.
    pub(super) async fn start(
        config: &Config,
        answers: &Arc<dyn AnswerStore>,
    ) -> anyhow::Result<Self> {
        let dns = match config.listen.dns {
            None => None,
            Some(address) => {
                let config = DnsConfig {
                    address,
                    zones: config.zones.values().filter_map(ZoneConfig::served).cloned().collect(),
                    answers_per_second: config.limits.dns_answers_per_second,
                };
                let responder = Responder::start(config, Arc::clone(answers)).await;
                Some(responder.context("listen.dns")?)
            }
        };
        let http = match config.listen.http01 {
            None => None,
            Some(address) => {
                let zones = config.zones.iter().filter(|(_, zone)| zone.is_asked_over_http());
                let zones = zones.map(|(name, _)| name.clone()).collect();
                let responder = HttpResponder::start(address, zones, Arc::clone(answers)).await;
                Some(responder.context("listen.http01")?)
            }
        };
        Ok(Self { dns, http })
    }

    /// Takes no more questions, and stops.
    pub(super) async fn stop(self) {
        if let Some(dns) = self.dns {
            dns.stop().await;
        }
        if let Some(http) = self.http {
            http.stop().await;
        }
    }
}

/// What answers tls-alpn-01 on the listener of pledges, where a zone is proven so.
pub(super) fn tls_alpn(
    config: &Config,
    provider: &Arc<CryptoProvider>,
    answers: &Arc<dyn AnswerStore>,
) -> Option<TlsAlpn> {
    let mut zones = config.zones.values();
    zones
        .any(|zone| zone.challenges.contains(&ChallengeType::TlsAlpn01))
        .then(|| TlsAlpn::new(Arc::clone(provider), Arc::clone(answers)))
}
