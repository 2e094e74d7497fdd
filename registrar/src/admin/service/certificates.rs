//! Issued certificates.

use super::{Service, limit};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::certificate::{CertificateDetail, CertificateQuery, CertificateView};
use crate::admin::cursor;
use crate::admin::problem::{Kind, Problem};
use crate::flow::operator::revoke_certificate;
use crate::store::model::{IssuedCertificate, Millis, Sha256};

/// The shortest beginning of a fingerprint that names a certificate, in digits.
const LEAST_DIGITS: usize = 8;

impl Service {
    /// A page of the certificates, those that end first first.
    ///
    /// # Errors
    /// A problem with the query, or the store's.
    pub async fn certificates(
        &self,
        query: &CertificateQuery,
    ) -> Result<Page<CertificateView>, Problem> {
        let limit = limit(query.limit)?;
        let now = self.now();
        let (begin, ends_before) = match query.expires_within_secs {
            None => (Millis(i64::MIN), Millis(i64::MAX)),
            Some(secs) => (now, now.plus(i64::from(secs).saturating_mul(1000))),
        };
        let after: Option<(Millis, String)> =
            query.after.as_deref().map(cursor::decode).transpose()?;
        let after = match after {
            None => (begin, Sha256([0; 32])),
            Some((end, fingerprint)) => (end, range(&fingerprint)?.0),
        };
        let rows = self.store.certificates(ends_before, after, limit).await?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|length| length == limit);
        let next = rows
            .last()
            .filter(|_| is_full)
            .map(|last| cursor::encode(&(last.not_after, last.fingerprint.to_string())));
        Ok(Page { items: rows.iter().map(Into::into).collect(), next })
    }

    /// The certificate whose fingerprint begins with these digits.
    ///
    /// # Errors
    /// If none or several do.
    pub async fn certificate(&self, fingerprint: &str) -> Result<CertificateDetail, Problem> {
        Ok((&self.one_certificate(fingerprint).await?).into())
    }

    /// Revokes a certificate: nobody may use it here any more.
    ///
    /// # Errors
    /// If none or several fit, or it is revoked already.
    pub async fn revoke_certificate(
        &self,
        actor: &Actor,
        fingerprint: &str,
    ) -> Result<CertificateView, Problem> {
        let certificate = self.one_certificate(fingerprint).await?;
        let operator = actor.operator(self.now());
        self.commit(revoke_certificate(&operator, &certificate)?).await?;
        Ok((&IssuedCertificate { revoked_at: Some(operator.now), ..certificate }).into())
    }

    async fn one_certificate(&self, digits: &str) -> Result<IssuedCertificate, Problem> {
        let (least, most) = range(digits)?;
        let mut found = self.store.certificates_between(&least, &most, 2).await?;
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Problem::new(
                Kind::NotFound,
                format!("no certificate has a SHA-256 that begins with {digits:?}"),
                "'registrar certificate list' shows all of them",
            )),
            (Some(_), false) => Err(Problem::new(
                Kind::Ambiguous,
                format!("more than one certificate has a SHA-256 that begins with {digits:?}"),
                "give more digits",
            )),
        }
    }
}

/// The first and the last digest that begin with these digits; colons and case do not matter.
fn range(digits: &str) -> Result<(Sha256, Sha256), Problem> {
    let wrong = || {
        Problem::invalid(
            format!("{digits:?} is no beginning of a certificate's SHA-256"),
            format!("give at least {LEAST_DIGITS} hexadecimal digits of it"),
        )
    };
    let plain: String = digits.chars().filter(|each| *each != ':').collect();
    let is_hexadecimal = plain.chars().all(|each| each.is_ascii_hexdigit());
    if !is_hexadecimal || !(LEAST_DIGITS..=64).contains(&plain.len()) {
        return Err(wrong());
    }
    let filled = |filler: char| {
        let text: String = plain.chars().chain(std::iter::repeat(filler)).take(64).collect();
        Sha256::parse(&text)
    };
    filled('0').zip(filled('f')).ok_or_else(wrong)
}
