//! The one place where a refusal becomes an HTTP status.
//!
//! RFC 8995 §5.2–§5.7, RFC 7030 §4.2.3; docs/CONFORMANCE.md has the table.
//! The body is plain text in UTF-8 that says why, as RFC 8995 §5.6 asks.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::issuer_problem;
use crate::flow::refusal::Refusal;
use crate::observe::metrics::labels::Outcome;
use crate::policy::quota::{Holder, Spent};

/// How long a peer waits after a failure of the store, in seconds.
const STORE_RETRY_SECS: u32 = 10;
/// How long a peer waits for this node's clock to be right, in seconds.
const CLOCK_RETRY_SECS: u32 = 60;

/// What a client without a certificate is asked for.
const BASIC: &str = "Basic realm=\"EST\", charset=\"UTF-8\"";

/// The status of a refusal.
#[must_use]
pub fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NoClientCertificate
        | Refusal::Proximity { .. }
        | Refusal::NoCredential
        | Refusal::CredentialRefused { .. } => StatusCode::UNAUTHORIZED,
        Refusal::TooManyAttempts { .. }
        | Refusal::QuotaSpent(Spent { holder: Holder::Device, .. }) => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Refusal::UnknownManufacturer { .. }
        | Refusal::IdevidNeeded
        | Refusal::CertificateRevoked
        | Refusal::CertificateNotValid { .. }
        | Refusal::CredentialSpent { .. }
        | Refusal::NameTaken { .. }
        | Refusal::RenewalWithoutCertificate
        | Refusal::LinkingMissing
        | Refusal::SerialNumberUnusable { .. }
        | Refusal::KeyChanged { .. }
        | Refusal::DeviceBarred { .. }
        | Refusal::Unexpected
        | Refusal::RequestSignature { .. }
        | Refusal::RequestSerial { .. }
        | Refusal::MasaUnusable { .. }
        | Refusal::LabelNotAllowed { .. }
        | Refusal::NoVoucher
        | Refusal::CsrName(_)
        | Refusal::OrderCancelled { .. }
        | Refusal::ChallengePassword => StatusCode::FORBIDDEN,
        Refusal::IssuerRefused { problem, .. } => problem
            .as_ref()
            .map_or(StatusCode::FORBIDDEN, |problem| issuer_problem::answer(problem).status),
        Refusal::IssuerFailed { problem, .. } => problem
            .as_ref()
            .map_or(StatusCode::SERVICE_UNAVAILABLE, |it| issuer_problem::answer(it).status),
        Refusal::UnknownPath
        | Refusal::RuleRefused { .. }
        | Refusal::UnknownCertificate
        | Refusal::UnknownLabel { .. }
        | Refusal::NothingToReport => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::NotOffered { .. } => StatusCode::NOT_IMPLEMENTED,
        Refusal::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::NotAcceptable { .. }
        | Refusal::AuditLog { .. }
        | Refusal::RequestUnreadable { .. }
        | Refusal::RequestEnded => StatusCode::NOT_ACCEPTABLE,
        Refusal::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        Refusal::BodyUnreadable
        | Refusal::StatusUnreadable { .. }
        | Refusal::CsrUnreadable { .. }
        | Refusal::CsrSignature { .. }
        | Refusal::CsrKey(_)
        | Refusal::CsrKeyHeld { .. }
        | Refusal::CsrRenewalKey { .. }
        | Refusal::KeyProtection(_)
        | Refusal::CsrExtension(_) => StatusCode::BAD_REQUEST,
        Refusal::MasaRefused { status, .. } => mirrored(*status),
        Refusal::MasaWaiting { .. }
        | Refusal::ApprovalWaiting { .. }
        | Refusal::CertificateWaiting { .. } => StatusCode::ACCEPTED,
        Refusal::MasaUnauthorized { .. } | Refusal::VoucherUnusable { .. } => {
            StatusCode::BAD_GATEWAY
        }
        // What the others of its kind did is not this device's fault.
        Refusal::TooManyWaiting { .. }
        | Refusal::QuotaSpent(Spent { holder: Holder::Manufacturer, .. })
        | Refusal::MasaUnavailable { .. }
        | Refusal::ClockBehind(_)
        | Refusal::Store(_)
        | Refusal::KeyUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The MASA's status as the pledge gets it: its 4xx as it is, anything else as a bad gateway.
fn mirrored(masa: u16) -> StatusCode {
    StatusCode::from_u16(masa)
        .ok()
        .filter(StatusCode::is_client_error)
        .unwrap_or(StatusCode::BAD_GATEWAY)
}

/// The whole answer to a refused request.
#[must_use]
pub fn response(refusal: &Refusal) -> Response {
    let mut response = Response::new(Body::from(format!("{refusal}\n")));
    *response.status_mut() = status(refusal);
    // For whoever counts; nothing of it is sent.
    response.extensions_mut().insert(Outcome::of(refusal));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if let Some(seconds) = retry_after_secs(refusal) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal {
        // RFC 8995 §5.2: the registrar responds and closes the connection.
        Refusal::Proximity { .. }
        | Refusal::BodyTooLong { .. }
        | Refusal::BodyTooSlow { .. }
        | Refusal::BodyUnreadable => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // RFC 7030 §3.2.3: clients may come without credentials first, and learn here what to bring.
        Refusal::NoCredential | Refusal::CredentialRefused { .. } => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(BASIC));
        }
        Refusal::MethodNotAllowed { allowed } => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    response
}

/// When to try again, in whole seconds: the only form that EST clients read.
fn retry_after_secs(refusal: &Refusal) -> Option<u32> {
    match refusal {
        Refusal::MasaUnavailable { retry_after_secs, .. }
        | Refusal::MasaWaiting { retry_after_secs }
        | Refusal::TooManyAttempts { retry_after_secs }
        | Refusal::TooManyWaiting { retry_after_secs, .. }
        | Refusal::QuotaSpent(Spent { retry_after_secs, .. })
        | Refusal::ApprovalWaiting { retry_after_secs }
        | Refusal::CertificateWaiting { retry_after_secs } => Some(*retry_after_secs),
        Refusal::IssuerFailed { retry_after_secs, problem, .. } => {
            let asked = problem.as_ref().and_then(|it| issuer_problem::answer(it).retry_after_secs);
            // Not before the failure is forgotten here.
            asked.max(Some(*retry_after_secs))
        }
        Refusal::ClockBehind(_) => Some(CLOCK_RETRY_SECS),
        Refusal::Store(_) | Refusal::KeyUnavailable { .. } => Some(STORE_RETRY_SECS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_the_connection_of_a_foreign_proximity_certificate() {
        let refusal = Refusal::Proximity { reason: "a is not b".into() };
        let response = response(&refusal);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers().get(CONNECTION).unwrap(), "close");
    }

    #[test]
    fn mirrors_what_the_masa_refuses_and_hides_its_failures() {
        for (masa, pledge) in
            [(403, 403), (404, 404), (406, 406), (500, 502), (302, 502), (99, 502)]
        {
            let refusal = Refusal::MasaRefused { status: masa, text: String::new() };
            assert_eq!(status(&refusal).as_u16(), pledge);
        }
    }

    #[test]
    fn waiting_is_202_with_whole_seconds() {
        let response = response(&Refusal::CertificateWaiting { retry_after_secs: 7 });
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "7");
    }
}
