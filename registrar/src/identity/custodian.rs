//! The task that looks after the registrar's own certificate and the roots of its domain, year after year.
//!
//! Every node runs it. The store lets one of them through: a renewed certificate has a number that no other row may
//! have, and a warning is written once. A node without the domain CA's key warns ahead of time instead.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::Clock;
use arc_swap::ArcSwap;
use brski_voucher::artefact::Voucher;
use brski_voucher::certificate::Certificate;
use brski_voucher::verify::Unverified;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::domain::{self, DomainError};
use super::live::{Identities, LiveIdentity};
use super::roots::Earlier;
use crate::config::{Config, IdentityFiles};
use crate::entropy::random_id;
use crate::observe::metrics::Metrics;
use crate::policy::timekeeping;
use crate::store::model::{Event, Id, Millis, OwnRecords, Sha256, Verdict};
use crate::store::{Change, Conflict, Store, StoreError};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(60);
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// With so many days left somebody is told again that a certificate was not renewed.
const WARNINGS: [i64; 3] = [30, 7, 1];
/// With so many days left somebody is told that the root ends.
const ROOT_WARNINGS: [i64; 4] = [365, 90, 30, 7];
/// How long a pledge goes on with one request (RFC 8995 §5.6), in days.
const PLEDGE_DAYS: i64 = 4;
/// How many vouchers are read at once.
const PAGE: u32 = 500;
/// Who does what nobody asked for.
const PEER: &str = "registrar";

/// What the task needs.
pub struct Custodian {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is in use.
    pub live: Arc<LiveIdentity>,
    /// The configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// Where the ends of certificates are shown.
    pub metrics: Arc<Metrics>,
}

impl Custodian {
    /// Looks at once, and then every minute until `shutdown` turns true.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut looking = interval(LOOK);
        looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looking.tick() => {
                    if let Err(error) = self.look().await {
                        warn!(%error, "the registrar's own certificates are not looked after now");
                    }
                }
                () = stopped(&mut shutdown) => return,
            }
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`StoreError`]; what was not done is done at the next look.
    pub async fn look(&self) -> Result<(), StoreError> {
        let now = Millis(self.clock.now());
        // What is judged and what is written go by one reading, so that a node that was slower is refused.
        let records = self.store.own_records().await?;
        self.live.choose(&records, now);
        let files = self.config.load().identity.clone();
        let identities = self.live.load();
        let newest = self.store.newest_event_time().await?;
        if timekeeping::judge(now, newest).is_ok()
            && is_due(identities.current().certificate(), &files, now)
        {
            self.renew(&files, &identities, &records, now).await?;
        }
        let identities = self.live.load();
        self.metrics.set_own_ends(
            Millis(identities.current().certificate().not_after().saturating_mul(1000)),
            Millis(identities.roots().current().not_after().saturating_mul(1000)),
        );
        self.warn_of_root(identities.roots().current(), now).await?;
        if let Some(oldest) = identities.roots().earlier().last() {
            self.retire(oldest, &files, now).await?;
        }
        Ok(())
    }

    async fn renew(
        &self,
        files: &IdentityFiles,
        identities: &Identities,
        records: &OwnRecords,
        now: Millis,
    ) -> Result<(), StoreError> {
        let renewed = match domain::renew(files, identities, records, now) {
            Ok(renewed) => renewed,
            Err(reason) => {
                return self.warn_of_end(identities.current().certificate(), &reason, now).await;
            }
        };
        let event = renewed_event(PEER, &renewed.certificate, now);
        match self.store.commit(vec![renewed.change], vec![event]).await {
            Ok(()) => info!("the registrar's certificate is renewed"),
            // Another node was quicker: its certificate is the one.
            Err(StoreError::Conflict(Conflict::OwnCertificate)) => {}
            Err(error) => return Err(error),
        }
        self.live.refresh(&*self.store, now).await?;
        Ok(())
    }

    /// Says, once for all nodes and a few times in all, that the certificate ends and nobody renews it.
    async fn warn_of_end(
        &self,
        own: &Certificate,
        reason: &DomainError,
        now: Millis,
    ) -> Result<(), StoreError> {
        let days = days_left(own, now);
        // The first time is when it was due.
        let stage = WARNINGS.iter().filter(|limit| days <= **limit).min().copied();
        let about = format!("certificate {} {}", Sha256::of(own.der()), stage.unwrap_or(i64::MAX));
        let detail = format!("the registrar's certificate ends in {days} days: {reason}");
        error!("{detail}");
        let kind = "identity-renewal-failed";
        self.warn(about, event(PEER, kind, Verdict::Failed, "RFC 8995 §5.5.4", detail, now)).await
    }

    async fn warn_of_root(&self, root: &Certificate, now: Millis) -> Result<(), StoreError> {
        let days = days_left(root, now);
        let Some(stage) = ROOT_WARNINGS.iter().filter(|limit| days <= **limit).min() else {
            return Ok(());
        };
        let about = format!("root {} {stage}", Sha256::of(root.der()));
        let detail =
            format!("the root of the domain ends in {days} days: run 'registrar ca rotate'");
        let kind = "domain-root-expiring";
        self.warn(about, event(PEER, kind, Verdict::Waiting, "RFC 4210 §4.4", detail, now)).await
    }

    async fn warn(&self, about: String, event: Event) -> Result<(), StoreError> {
        match self.store.commit(vec![Change::NoteWarning { about }], vec![event]).await {
            Err(StoreError::Conflict(Conflict::Warned)) => Ok(()),
            result => result,
        }
    }

    /// Lets an earlier root go that nothing needs any more.
    async fn retire(
        &self,
        oldest: &Earlier,
        files: &IdentityFiles,
        now: Millis,
    ) -> Result<(), StoreError> {
        let has_ended = oldest.root.not_after() <= now.seconds();
        if !has_ended {
            let days = i64::from(files.old_root_days).saturating_mul(DAY_MILLIS);
            if now < oldest.since.plus(days) || self.is_needed(oldest, now).await? {
                return Ok(());
            }
        }
        let detail = format!(
            "the root {} (SHA-256) is served no more; nothing pins it that is in force",
            Sha256::of(oldest.root.der())
        );
        let event = event(PEER, "domain-root-left", Verdict::Done, "RFC 7030 §4.1.3", detail, now);
        let change = Change::RetireRoot { seq: oldest.seq, at: now };
        match self.store.commit(vec![change], vec![event]).await {
            Ok(()) | Err(StoreError::Conflict(Conflict::Missing)) => {}
            Err(error) => return Err(error),
        }
        self.live.refresh(&*self.store, now).await?;
        Ok(())
    }

    /// Whether a pledge is on its way that began under the earlier root, or a voucher is in force that pins it.
    async fn is_needed(&self, earlier: &Earlier, now: Millis) -> Result<bool, StoreError> {
        let active = now.plus(-PLEDGE_DAYS * DAY_MILLIS);
        if self.store.is_exchange_open(earlier.since, active).await? {
            return Ok(true);
        }
        if self.is_pinned_ahead(earlier, now).await? {
            return Ok(true);
        }
        let mut after: Option<Id> = None;
        loop {
            let page = self.store.vouchers(earlier.since, after.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(false);
            };
            if page.iter().any(|(_, voucher)| pins(voucher, &earlier.root, now)) {
                return Ok(true);
            }
            after = Some(last.clone());
        }
    }
}

impl Custodian {
    /// Whether a voucher that was fetched ahead pins the earlier root; it is given for as long as it holds.
    async fn is_pinned_ahead(&self, earlier: &Earlier, now: Millis) -> Result<bool, StoreError> {
        let mut after = (Id::from_random([0; 16]), "");
        loop {
            let page = self.store.nonceless_vouchers((&after.0, after.1), PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(false);
            };
            let mut current = page.iter().filter_map(|row| row.current(now));
            if current.any(|voucher| pins(voucher, &earlier.root, now)) {
                return Ok(true);
            }
            after = (last.device.clone(), last.encoding.as_str());
        }
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone is a daemon that is gone.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Whether a voucher that has an end, and has not reached it, pins this root.
fn pins(voucher: &[u8], root: &Certificate, now: Millis) -> bool {
    let Ok(voucher) = Unverified::<Voucher>::parse(voucher) else {
        return false;
    };
    let voucher = voucher.content();
    let is_in_force = voucher.expires_on().is_some_and(|end| end.seconds() > now.seconds());
    let of_certificate = || {
        let pinned = Certificate::from_der(voucher.pinned_domain_cert()?).ok()?;
        Some(pinned.spki_der() == root.spki_der())
    };
    let of_key = || voucher.pinned_domain_pubk() == Some(root.spki_der());
    let digest = Sha256::of(root.spki_der()).0;
    let of_digest = || voucher.pinned_domain_pubk_sha256() == Some(digest.as_slice());
    is_in_force && (of_certificate().unwrap_or(false) || of_key() || of_digest())
}

/// Whether a certificate is to be renewed: so many days before its end as is configured, at most a third of its life.
#[must_use]
pub fn is_due(own: &Certificate, files: &IdentityFiles, now: Millis) -> bool {
    let life = own.not_after().saturating_sub(own.not_before());
    let ahead = (i64::from(files.renew_before_days) * (DAY_MILLIS / 1000)).min(life / 3);
    now.seconds() >= own.not_after().saturating_sub(ahead)
}

fn days_left(certificate: &Certificate, now: Millis) -> i64 {
    certificate.not_after().saturating_sub(now.seconds()).div_euclid(DAY_MILLIS / 1000)
}

/// The event of a renewed certificate.
#[must_use]
pub fn renewed_event(peer: &str, certificate: &Certificate, now: Millis) -> Event {
    let detail = format!(
        "certificate {} (SHA-256) of the same key, for {} days",
        Sha256::of(certificate.der()),
        days_left(certificate, now)
    );
    event(peer, "identity-renewed", Verdict::Done, "RFC 8995 §5.5.4", detail, now)
}

fn event(
    peer: &str,
    kind: &'static str,
    verdict: Verdict,
    clause: &'static str,
    detail: String,
    now: Millis,
) -> Event {
    Event {
        time: now,
        kind,
        verdict,
        device: None,
        peer: peer.to_owned(),
        clause,
        detail,
        correlation: random_id().to_string(),
    }
}
