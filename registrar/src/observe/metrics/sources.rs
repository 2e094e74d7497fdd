//! Numbers that others keep and that are read when somebody asks: the DNS responder's, and the CAs' limits.

use std::fmt;
use std::sync::{Arc, OnceLock};

use acme_bridge::dns;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::labels::LimitLabels;
use crate::issue::Issuer;

/// The issuers by their names, whose CAs may tell how much they still allow.
pub type NamedIssuers = Vec<(String, Arc<dyn Issuer>)>;

/// What is read when somebody asks; each source is named once, when it is there.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) dns: OnceLock<Arc<dns::Counters>>,
    pub(super) issuers: OnceLock<NamedIssuers>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let dns = self.dns.get();
        for (name, help, value) in [
            ("dns_queries", "DNS queries that came", dns.map_or(0, |dns| dns.queries())),
            (
                "dns_answers",
                "DNS queries that were answered with a challenge's value",
                dns.map_or(0, |dns| dns.answers()),
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let help = "How much a CA still allows before its limit; absent where it is not known";
        let left: Vec<(LimitLabels, u64)> = self
            .issuers
            .get()
            .into_iter()
            .flatten()
            .flat_map(|(issuer, source)| {
                source.limits_left().into_iter().map(move |left| {
                    (LimitLabels { issuer: issuer.clone(), limit: left.limit }, left.left)
                })
            })
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let mut family =
            encoder.encode_descriptor("ca_limit_left", help, None, MetricType::Gauge)?;
        for (labels, left) in left {
            ConstGauge::new(left).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
