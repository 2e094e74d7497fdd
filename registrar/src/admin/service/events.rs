//! The trail.

use std::collections::BTreeMap;

use brski_voucher::certificate::Certificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Service, limit};
use crate::admin::api::Page;
use crate::admin::api::event::{ChainView, EventQuery, EventView, TailQuery, Verify};
use crate::admin::cursor;
use crate::admin::problem::Problem;
use crate::store::model::{EventFilter, EventPlace, Millis};
use crate::trail;
use crate::trail::kinds::known;

/// How many events one answer to a follower has, at most, of each node.
const TAIL: u32 = 500;
/// The verdicts that events have.
const VERDICTS: [&str; 4] = ["done", "refused", "waiting", "failed"];

impl Service {
    /// A page of the events.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn events(&self, query: &EventQuery) -> Result<Page<EventView>, Problem> {
        let limit = limit(query.limit)?;
        let device = match query.device.as_deref() {
            Some(text) => Some(self.find(text).await?.device.id),
            None => None,
        };
        let since = query.since.as_deref().map(|text| since(text, self.now())).transpose()?;
        let after: Option<EventPlace> = query.after.as_deref().map(cursor::decode).transpose()?;
        let (kind, verdict) = (query.kind.clone(), query.verdict.clone());
        if let Some(kind) = kind.as_deref().filter(|kind| known(kind).is_none()) {
            let detail = format!("no event is ever of the kind {kind:?}");
            return Err(Problem::invalid(detail, "docs/OPERATING.md lists all kinds"));
        }
        if let Some(verdict) = verdict.as_deref().filter(|verdict| !VERDICTS.contains(verdict)) {
            let detail = format!("no event has the verdict {verdict:?}");
            return Err(Problem::invalid(detail, format!("verdicts: {}", VERDICTS.join(", "))));
        }
        let filter = EventFilter { device, since, kind, verdict };
        let rows = self.store.events(&filter, after.as_ref(), limit).await?;
        let is_forward = since.is_some() || after.is_some();
        let is_full = u32::try_from(rows.len()).is_ok_and(|length| length == limit);
        let next = rows.last().filter(|_| is_forward && is_full).map(|last| {
            let (time, node, seq) = (last.time, last.node.clone(), last.seq);
            cursor::encode(&EventPlace { time, node, seq })
        });
        Ok(Page { items: rows.into_iter().map(Into::into).collect(), next })
    }

    /// What all nodes wrote since the answer before. None is missed, since each node's numbers have no gaps.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn tail(&self, query: &TailQuery) -> Result<Page<EventView>, Problem> {
        let before: Option<BTreeMap<String, i64>> =
            query.after.as_deref().map(cursor::decode).transpose()?;
        let mut places = before.clone().unwrap_or_default();
        let mut rows = Vec::new();
        for node in self.store.nodes().await? {
            if before.is_none() {
                places.insert(node.clone(), self.store.head(&node).await?.seq);
                continue;
            }
            let after = places.get(&node).copied().unwrap_or(0);
            let new = self.store.chain(&node, after, TAIL).await?;
            if let Some(last) = new.last() {
                places.insert(node, last.seq);
            }
            rows.extend(new);
        }
        rows.sort_by(|a, b| (a.time, &a.node, a.seq).cmp(&(b.time, &b.node, b.seq)));
        let items = rows.into_iter().map(Into::into).collect();
        Ok(Page { items, next: Some(cursor::encode(&places)) })
    }

    /// Verifies the chains of all nodes.
    ///
    /// # Errors
    /// A problem with the given certificates, or the store's.
    pub async fn verify(&self, verify: &Verify) -> Result<Vec<ChainView>, Problem> {
        let mut keys = vec![self.key.clone()];
        for pem in &verify.certificates {
            let wrong = |reason: String| {
                let detail = format!("a certificate cannot be read: {reason}");
                Problem::invalid(detail, "give PEM files with certificates")
            };
            for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let der = der.map_err(|error| wrong(error.to_string()))?;
                let certificate =
                    Certificate::from_der(&der).map_err(|error| wrong(error.to_string()))?;
                keys.push(certificate.spki_der().to_vec());
            }
        }
        let reports = trail::verify(&*self.store, &keys).await?;
        Ok(reports.into_iter().map(Into::into).collect())
    }
}

/// A time, written as such or as an age.
fn since(text: &str, now: Millis) -> Result<Millis, Problem> {
    let age = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let number: u32 = number.parse().ok()?;
        Some(now.plus(-i64::from(number).saturating_mul(seconds).saturating_mul(1000)))
    };
    let moment = || {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Millis(moment.unix_timestamp().saturating_mul(1000)))
    };
    age().or_else(moment).ok_or_else(|| {
        Problem::invalid(
            format!("{text:?} is no time"),
            "give an age such as 15m, 24h or 7d, or a time such as 2026-01-31T09:00:00Z",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ages_and_times() {
        let now = Millis(1_000_000_000);
        for (text, millis) in [
            ("0s", 1_000_000_000),
            ("15m", 999_100_000),
            ("24h", 913_600_000),
            ("7d", 395_200_000),
            ("1970-01-01T00:00:05Z", 5_000),
            ("1970-01-01T01:00:05+01:00", 5_000),
        ] {
            assert_eq!(since(text, now).unwrap(), Millis(millis), "{text}");
        }
        for text in ["", "m", "-1h", "5w", "yesterday", "99999999999d", "ü"] {
            since(text, now).unwrap_err();
        }
    }
}
