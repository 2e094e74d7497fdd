//! When a device should renew (draft-ietf-lamps-est-renewal-info, the twin of RFC 9773): plain JSON, for everybody.

use axum::body::Body;
use axum::response::Response;
use brski_est::renewal_info::{CertificateId, RenewalInfo, Window};
use http::HeaderValue;
use http::header::{CONTENT_TYPE, RETRY_AFTER};

use crate::clock::unix_time;
use crate::flow::refusal::Refusal;
use crate::http::app::{App, Refused};
use crate::store::model::{IssuedCertificate, hex};

/// When a device should ask again: six hours, as RFC 9773 §4.3.3 has it.
const AGAIN_SECS: u32 = 6 * 60 * 60;

/// The window in which a certificate should be renewed: the CA's, where it suggests one.
pub(super) async fn answer(app: &App, id: Option<&CertificateId>) -> Result<Response, Refused> {
    let id = id.ok_or(Refusal::UnknownPath)?;
    let found = app.store.certificates_by_serial(&hex(id.serial())).await?;
    let certificate = found
        .into_iter()
        .find(|certificate| is_of(certificate, id))
        .ok_or(Refusal::UnknownCertificate)?;
    let suggested = match app.issuers.get(&certificate.issuer) {
        Some(issuer) => issuer.renewal_window(&certificate).await,
        None => None,
    };
    let window = suggested.or_else(|| own(&certificate)).ok_or_else(|| Refusal::Internal {
        reason: format!("certificate {} has no renewal time", certificate.serial),
    })?;
    let mut response = Response::new(Body::from(RenewalInfo::new(window).to_json()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from(AGAIN_SECS));
    Ok(response)
}

/// Whether the certificate's authority key identifier is the one that is asked for.
fn is_of(certificate: &IssuedCertificate, id: &CertificateId) -> bool {
    CertificateId::of(&certificate.certificate).is_ok_and(|own| own == *id)
}

/// Two thirds of its life; at once where it was revoked.
fn own(certificate: &IssuedCertificate) -> Option<Window> {
    let IssuedCertificate { not_before, not_after, revoked_at, .. } = certificate;
    match revoked_at {
        None => Window::of_validity(unix_time(*not_before), unix_time(*not_after)).ok(),
        Some(revoked) => Window::new(unix_time(*revoked), unix_time(revoked.plus(1000))).ok(),
    }
}
