//! Numbers that others keep: the DNS responder's, read when somebody asks, and those of the bridges to ACME CAs, as they
//! were when they were looked at last.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use acme_bridge::dns;
use acme_bridge::quota::LimitLeft;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::labels::{IssuerLabel, LimitLabels};

/// What a bridge to an ACME CA did since its start, and what its CA still allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeNumbers {
    /// Orders that were lost at the CA and placed anew.
    pub lost: u64,
    /// Orders that went to another CA.
    pub fallbacks: u64,
    /// Certificates that were revoked.
    pub revoked: u64,
    /// For how long the CA has failed; zero if it does not.
    pub down_for: Duration,
    /// How much of its limits is left, where limits are known.
    pub limits: Vec<LimitLeft>,
}

/// What others keep.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) dns: OnceLock<Arc<dns::Counters>>,
    /// By the issuers' names in the configuration.
    pub(super) bridges: Mutex<BTreeMap<String, BridgeNumbers>>,
}

/// A name, a help text and a unit.
type About<'a> = (&'a str, &'a str, Option<Unit>);

/// Writes a family, unless it has no sample.
fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): About<'_>,
    kind: MetricType,
    samples: &[(L, M)],
) -> fmt::Result {
    if samples.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
    samples.iter().try_for_each(|(labels, sample)| sample.encode(family.encode_family(labels)?))
}

impl Sources {
    fn encode_dns(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let queries = "DNS queries that came";
        let answers = "DNS queries that were answered with a challenge's value";
        let limited = "DNS queries that were not answered in full because too many came";
        let unanswered = "DNS queries that were not answered because the store failed";
        let silent = Arc::default();
        let counters = self.dns.get().unwrap_or(&silent);
        for (name, help, value) in [
            ("dns_queries", queries, counters.queries()),
            ("dns_answers", answers, counters.answers()),
            ("dns_limited", limited, counters.limited()),
            ("dns_unanswered", unanswered, counters.unanswered()),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let encoder = &mut encoder;
        self.encode_dns(encoder)?;
        let bridges = self.bridges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counters = |read: fn(&BridgeNumbers) -> u64| -> Vec<_> {
            let each = |(issuer, numbers): (&String, &BridgeNumbers)| {
                (IssuerLabel { issuer: issuer.clone() }, ConstCounter::new(read(numbers)))
            };
            bridges.iter().map(each).collect()
        };
        let lost = ("ca_lost_orders", "Orders that were lost at the CA and placed anew", None);
        family(encoder, lost, MetricType::Counter, &counters(|numbers| numbers.lost))?;
        let fallback = ("ca_fallback_orders", "Orders that went to another CA", None);
        family(encoder, fallback, MetricType::Counter, &counters(|numbers| numbers.fallbacks))?;
        let revoked = ("ca_revoked_certificates", "Certificates that the CA revoked for us", None);
        family(encoder, revoked, MetricType::Counter, &counters(|numbers| numbers.revoked))?;
        let down: Vec<_> = bridges
            .iter()
            .map(|(issuer, numbers)| {
                let gauge = ConstGauge::new(numbers.down_for.as_secs_f64());
                (IssuerLabel { issuer: issuer.clone() }, gauge)
            })
            .collect();
        let help = "For how long the CA has failed; 0 if it does not";
        family(encoder, ("ca_down", help, Some(Unit::Seconds)), MetricType::Gauge, &down)?;
        let limits = |read: fn(&LimitLeft) -> u32| -> Vec<_> {
            let each = |(issuer, numbers): (&String, &BridgeNumbers)| -> Vec<_> {
                let labels = |limit: &LimitLeft| LimitLabels {
                    issuer: issuer.clone(),
                    limit: limit.limit.clone(),
                };
                let gauge = |limit| (labels(limit), ConstGauge::new(u64::from(read(limit))));
                numbers.limits.iter().map(gauge).collect()
            };
            bridges.iter().flat_map(each).collect()
        };
        let orders = || Some(Unit::Other("orders".to_owned()));
        let help = "How many orders a CA takes in the time of its limit";
        family(encoder, ("ca_limit", help, orders()), MetricType::Gauge, &limits(|each| each.of))?;
        let help = "How many orders a CA still takes now";
        let left = ("ca_limit_left", help, orders());
        family(encoder, left, MetricType::Gauge, &limits(|each| each.left))
    }
}
