//! What the registrar is at this moment: the certificate in use, earlier ones of the same key, and the roots.
//!
//! All nodes on one database choose the same: of the file's certificate and those in the store, the newest that is of
//! the registrar's key and verifies now, under the current root where there is one. TLS asks for it at each handshake,
//! so a new certificate needs no restart and ends no connection.

use std::sync::Arc;

use arc_swap::ArcSwap;
use brski_voucher::artefact::Proximity;
use brski_voucher::certificate::Certificate;
use brski_voucher::trust::ValidityTime;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;

use super::roots::DomainRoots;
use super::{IdentityError, RegistrarIdentity};
use crate::admin::api::certificate::pem;
use crate::clock::unix_time;
use crate::config::{IdentityFiles, Pin};
use crate::keys::Key;
use crate::store::model::{Millis, OwnCertificate, OwnRecords, Sha256};
use crate::store::{Change, Conflict, Store, StoreError};

/// How often the store is asked again where another node was quicker to write.
const ATTEMPTS: usize = 5;

/// Where the certificate in use comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file that the configuration names.
    File,
    /// The store: it was renewed or installed there.
    Store,
}

/// Why the daemon has no identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LiveError {
    /// A file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything of the registrar's own at one moment.
#[derive(Debug)]
pub struct Identities {
    current: Arc<RegistrarIdentity>,
    origin: Origin,
    /// Earlier ones that still verify.
    usable: Vec<Arc<RegistrarIdentity>>,
    /// Every certificate of the registrar's key that is known.
    known: Vec<Certificate>,
    roots: DomainRoots,
}

struct Candidate {
    identity: RegistrarIdentity,
    origin: Origin,
    /// How good it is: under which root (the current one is best), when it began, when it was stored.
    rank: (std::cmp::Reverse<usize>, i64, i64),
}

impl Identities {
    /// Chooses. `configured`: as the files are; `records`: as the store is.
    #[must_use]
    pub fn choose(
        configured: &Arc<RegistrarIdentity>,
        pin: Pin,
        records: &OwnRecords,
        now: Millis,
    ) -> Self {
        let key = configured.key();
        let roots = DomainRoots::follow(configured.domain_ca(), &records.roots);
        let own = Sha256::of(key.spki_der());
        let of_file = (configured.certificates().to_vec(), Origin::File, -1);
        let rows = records.certificates.iter().filter(|row| row.spki == own);
        let stored = rows.filter_map(|row| Some((chain(&row.chain)?, Origin::Store, row.seq)));
        let mut known: Vec<Certificate> = Vec::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (certificates, origin, seq) in std::iter::once(of_file).chain(stored) {
            let Some(first) = certificates.first().cloned() else {
                continue;
            };
            if known.iter().any(|each| each.der() == first.der()) {
                continue;
            }
            known.push(first);
            candidates.extend(candidate(certificates, origin, seq, &roots, key, pin, now));
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.rank));
        let mut candidates = candidates.into_iter();
        let (current, origin) = match candidates.next() {
            Some(best) => (Arc::new(best.identity), best.origin),
            // Nothing verifies: what is configured is as good as anything, and the log says so.
            None => (Arc::clone(configured), Origin::File),
        };
        let usable = candidates.map(|each| Arc::new(each.identity)).collect();
        Self { current, origin, usable, known, roots }
    }

    /// The one in use.
    #[must_use]
    pub fn current(&self) -> &Arc<RegistrarIdentity> {
        &self.current
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The roots of the domain.
    #[must_use]
    pub fn roots(&self) -> &DomainRoots {
        &self.roots
    }

    /// Which certificate of ours a pledge saw: an earlier one of the same key counts; else the one in use, with which
    /// what it saw is then compared.
    #[must_use]
    pub fn seen(&self, proximity: Option<&Proximity>) -> &Certificate {
        let seen =
            proximity.and_then(|proximity| self.known.iter().find(|own| proximity.is_of(own)));
        seen.unwrap_or_else(|| self.current.certificate())
    }

    /// The identity that a pledge's request is answered with: the one that the pledge saw, while that verifies.
    ///
    /// The voucher then pins a root to which the chain leads that the pledge kept.
    #[must_use]
    pub fn answering(&self, proximity: Option<&Proximity>) -> &Arc<RegistrarIdentity> {
        let seen = self.seen(proximity);
        let all = std::iter::once(&self.current).chain(&self.usable);
        let mut same = all.filter(|identity| identity.certificate().der() == seen.der());
        same.next().unwrap_or(&self.current)
    }
}

/// The certificates as an identity under the first served root that they verify under.
fn candidate(
    certificates: Vec<Certificate>,
    origin: Origin,
    seq: i64,
    roots: &DomainRoots,
    key: &Arc<Key>,
    pin: Pin,
    now: Millis,
) -> Option<Candidate> {
    let begin = certificates.first()?.not_before();
    let bridges = roots.bridges();
    roots.served().enumerate().find_map(|(place, root)| {
        let above = bridges.get(place..).unwrap_or_default().to_vec();
        let (certificates, key) = (certificates.clone(), Arc::clone(key));
        let identity = RegistrarIdentity::new(certificates, root.clone(), above, key, pin).ok()?;
        identity.verify(ValidityTime::At(unix_time(now))).ok()?;
        let rank = (std::cmp::Reverse(place), begin, seq);
        Some(Candidate { identity, origin, rank })
    })
}

/// Certificates in PEM, its own first; none if one of them cannot be read.
fn chain(pem: &str) -> Option<Vec<Certificate>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| Certificate::from_der(&der.ok()?).ok())
        .collect()
}

/// What is in use now, and what it is chosen from.
#[derive(Debug)]
pub struct LiveIdentity {
    key: Arc<Key>,
    configured: ArcSwap<(Arc<RegistrarIdentity>, Pin)>,
    identities: ArcSwap<Identities>,
}

impl LiveIdentity {
    /// Reads the files and the store. A certificate of the file that the store does not have is put there, so that
    /// all nodes take it up and know it later.
    ///
    /// # Errors
    /// [`LiveError`].
    pub async fn open(
        files: &IdentityFiles,
        store: &dyn Store,
        now: Millis,
    ) -> Result<Self, LiveError> {
        let key = Arc::new(Key::open(&files.key)?);
        let configured = Arc::new(RegistrarIdentity::with_key(files, Arc::clone(&key))?);
        let records = keep(&configured, store, now).await?;
        let identities = Identities::choose(&configured, files.pin, &records, now);
        Ok(Self {
            key,
            configured: ArcSwap::from_pointee((configured, files.pin)),
            identities: ArcSwap::from_pointee(identities),
        })
    }

    /// Reads the files alone, for whoever has no store to share certificates by.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn of_files(files: &IdentityFiles, now: Millis) -> Result<Self, LiveError> {
        let key = Arc::new(Key::open(&files.key)?);
        let configured = Arc::new(RegistrarIdentity::with_key(files, Arc::clone(&key))?);
        let records = OwnRecords::default();
        let identities = Identities::choose(&configured, files.pin, &records, now);
        Ok(Self {
            key,
            configured: ArcSwap::from_pointee((configured, files.pin)),
            identities: ArcSwap::from_pointee(identities),
        })
    }

    /// What is in use now.
    #[must_use]
    pub fn load(&self) -> Arc<Identities> {
        self.identities.load_full()
    }

    /// Certificate and key for a TLS handshake now.
    #[must_use]
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(self.identities.load().current.certified())
    }

    /// The key, which stays as long as the process.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Chooses again from what the store has; whether another certificate or root is in use since.
    ///
    /// # Errors
    /// If the store fails; then all stays as it was.
    pub async fn refresh(&self, store: &dyn Store, now: Millis) -> Result<bool, StoreError> {
        let records = store.own_records().await?;
        Ok(self.choose(&records, now))
    }

    /// Chooses from what the store had; whether another certificate or root is in use since.
    pub fn choose(&self, records: &OwnRecords, now: Millis) -> bool {
        let configured = self.configured.load();
        let new = Identities::choose(&configured.0, configured.1, records, now);
        let old = self.identities.load();
        let is_other = new.current.tls_chain() != old.current.tls_chain()
            || new.roots.certificates() != old.roots.certificates();
        self.identities.store(Arc::new(new));
        is_other
    }

    /// Reads the files again; whether another certificate or root is in use since. The key stays.
    ///
    /// # Errors
    /// [`LiveError`]; then all stays as it was.
    pub async fn reload(
        &self,
        files: &IdentityFiles,
        store: &dyn Store,
        now: Millis,
    ) -> Result<bool, LiveError> {
        let configured = Arc::new(RegistrarIdentity::with_key(files, Arc::clone(&self.key))?);
        let records = keep(&configured, store, now).await?;
        self.configured.store(Arc::new((configured, files.pin)));
        Ok(self.choose(&records, now))
    }
}

impl ResolvesServerCert for LiveIdentity {
    /// The same certificate for any or no SNI (RFC 8995 §5.1).
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for LiveIdentity {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Puts the certificate of the file into the store, if it is not there.
async fn keep(
    configured: &RegistrarIdentity,
    store: &dyn Store,
    now: Millis,
) -> Result<OwnRecords, StoreError> {
    let own = configured.certificate().der();
    for _ in 0..ATTEMPTS {
        let records = store.own_records().await?;
        let mut stored = records.certificates.iter().filter_map(|row| chain(&row.chain));
        if stored.any(|chain| chain.first().is_some_and(|first| first.der() == own)) {
            return Ok(records);
        }
        let row = record(configured.certificates(), &records, now);
        match store.commit(vec![Change::AddOwnCertificate(row)], Vec::new()).await {
            // Another node was quicker.
            Err(StoreError::Conflict(Conflict::OwnCertificate)) => {}
            result => result?,
        }
    }
    store.own_records().await
}

/// The next row of the store. `certificates`: its own first.
#[must_use]
pub fn record(certificates: &[Certificate], records: &OwnRecords, now: Millis) -> OwnCertificate {
    let newest = records.certificates.iter().map(|row| row.seq).max().unwrap_or(0);
    let spki = certificates.first().map(Certificate::spki_der).unwrap_or_default();
    OwnCertificate {
        seq: newest + 1,
        spki: Sha256::of(spki),
        chain: certificates.iter().map(|each| pem(each.der())).collect(),
        created_at: now,
    }
}
