//! The registrar's own certificates and the roots of its domain.

use std::sync::Arc;

use brski_voucher::certificate::Certificate;
use brski_voucher::trust::ValidityTime;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::own::{CertificateRequest, IdentityView, NewIdentity, RotatedRoot};
use crate::admin::problem::{Kind, Problem};
use crate::clock::unix_time;
use crate::config::IdentityFiles;
use crate::identity::custodian::renewed_event;
use crate::identity::domain::{self, DomainError};
use crate::identity::live::{Identities, record};
use crate::identity::{RegistrarIdentity, issue};
use crate::store::Change;
use crate::store::model::{OwnRecords, Sha256};

/// The longest list of certificates that is read, in characters of PEM.
const PEM_CHARACTERS: usize = 64 * 1024;

impl Service {
    /// What the registrar shows of itself.
    ///
    /// # Errors
    /// If its files or the store cannot be read.
    pub async fn identity(&self) -> Result<IdentityView, Problem> {
        let (identities, ..) = self.own().await?;
        Ok((&identities).into())
    }

    /// A request for the next certificate, for a domain CA that is elsewhere.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn identity_request(&self) -> Result<CertificateRequest, Problem> {
        let (identities, ..) = self.own().await?;
        let current = identities.current();
        let pem = issue::request(current.certificate(), current.key())
            .map_err(|error| refused(&error.into()))?;
        Ok(CertificateRequest { pem })
    }

    /// Renews the certificate now, with the same key.
    ///
    /// # Errors
    /// If the domain CA's key is not at hand.
    pub async fn renew_identity(&self, actor: &Actor) -> Result<IdentityView, Problem> {
        self.require_clock().await?;
        let (identities, records, files) = self.own().await?;
        let now = self.now();
        let renewed =
            domain::renew(&files, &identities, &records, now).map_err(|error| refused(&error))?;
        let event = renewed_event(&actor.name, &renewed.certificate, now);
        self.store.commit(vec![renewed.change], vec![event]).await?;
        self.observer.identity_changed().await;
        self.identity().await
    }

    /// Gives a certificate that the domain CA made elsewhere to all nodes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn install_identity(
        &self,
        actor: &Actor,
        new: &NewIdentity,
    ) -> Result<IdentityView, Problem> {
        let (identities, records, files) = self.own().await?;
        let certificates = read(&new.pem)?;
        let certificates = self.fitting(certificates, &identities, &files)?;
        let operator = actor.operator(self.now());
        let row = record(&certificates, &records, operator.now);
        let digest = certificates.first().map(|own| Sha256::of(own.der()).to_string());
        let detail = format!("certificate {} (SHA-256)", digest.unwrap_or_default());
        let event = operator.event("identity-installed", "RFC 8995 §5.5.4", None, detail);
        self.store.commit(vec![Change::AddOwnCertificate(row)], vec![event]).await?;
        self.observer.identity_changed().await;
        self.identity().await
    }

    /// Makes a new root of the domain, and the registrar's certificate under it.
    ///
    /// # Errors
    /// If the domain CA's key is not at hand, or another root is still on its way out.
    pub async fn rotate_root(&self, actor: &Actor) -> Result<RotatedRoot, Problem> {
        self.require_clock().await?;
        let (identities, records, files) = self.own().await?;
        if !identities.roots().earlier().is_empty() {
            return Err(Problem::new(
                Kind::Conflict,
                "an earlier root is still served",
                "it leaves when no voucher needs it, identity.old_root_days after the change at the earliest",
            ));
        }
        let operator = actor.operator(self.now());
        let rotated = domain::rotate(&files, &identities, &records, operator.now)
            .map_err(|error| refused(&error))?;
        let detail = format!(
            "root {} (SHA-256) took over from {}; its key is {}",
            Sha256::of(rotated.root.der()),
            Sha256::of(identities.roots().current().der()),
            rotated.key
        );
        let event = operator.event("domain-root-changed", "RFC 4210 §4.4", None, detail);
        let renewed = renewed_event(&actor.name, &rotated.certificate, operator.now);
        self.store.commit(rotated.changes, vec![event, renewed]).await?;
        self.observer.identity_changed().await;
        let identity = self.identity().await?;
        Ok(RotatedRoot { identity, key: rotated.key.to_string() })
    }

    /// What is in use, as files and store are at this moment.
    async fn own(&self) -> Result<(Identities, OwnRecords, IdentityFiles), Problem> {
        let files = self.config.load().identity.clone();
        let configured = RegistrarIdentity::load(&files).map_err(|error| {
            Problem::new(Kind::Unavailable, error.to_string(), "mend what it names and repeat")
        })?;
        let records = self.store.own_records().await?;
        let configured = Arc::new(configured);
        let identities = Identities::choose(&configured, files.pin, &records, self.now());
        Ok((identities, records, files))
    }

    /// The certificates, if all nodes would take them up: the right key, usages and root, and newer than what is in use.
    fn fitting(
        &self,
        certificates: Vec<Certificate>,
        identities: &Identities,
        files: &IdentityFiles,
    ) -> Result<Vec<Certificate>, Problem> {
        let hint = "'registrar identity request' makes a request for the right key and names";
        let wrong = |reason: String| Problem::invalid(format!("the certificate {reason}"), hint);
        let current = identities.current();
        let begin = certificates.first().map_or(0, Certificate::not_before);
        let mut reason = "has no root".to_owned();
        for root in identities.roots().served() {
            let below = certificates.iter().filter(|each| each.der() != root.der());
            let below: Vec<Certificate> = below.cloned().collect();
            let key = Arc::clone(current.key());
            let identity =
                RegistrarIdentity::new(below.clone(), root.clone(), Vec::new(), key, files.pin)
                    .map_err(wrong)?;
            match identity.verify(ValidityTime::At(unix_time(self.now()))) {
                Err(error) => reason = format!("does not chain to the root in use: {error}"),
                Ok(()) if begin <= current.certificate().not_before() => {
                    reason = "began no later than the one in use, which would stay in use".into();
                }
                Ok(()) => return Ok(below),
            }
        }
        Err(wrong(reason))
    }
}

fn read(pem: &str) -> Result<Vec<Certificate>, Problem> {
    let wrong = |reason: String| Problem::invalid(reason, "give the domain CA's answer, PEM");
    if pem.len() > PEM_CHARACTERS {
        return Err(wrong(format!("'pem' has more than {PEM_CHARACTERS} characters")));
    }
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| {
            let der = der.map_err(|error| wrong(format!("'pem' is not PEM: {error}")))?;
            Certificate::from_der(&der).map_err(|error| wrong(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    match certificates.is_empty() {
        true => Err(wrong("'pem' holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

fn refused(error: &DomainError) -> Problem {
    let hint = match error {
        DomainError::NoKey | DomainError::Intermediate => "",
        _ => "docs/OPERATING.md says where the key of the domain CA is looked for",
    };
    Problem::new(Kind::Conflict, error.to_string(), hint)
}
