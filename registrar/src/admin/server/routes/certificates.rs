//! Issued certificates: `{fingerprint}` in a path is the beginning of a SHA-256, 8 digits or more.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::certificate::{CertificateDetail, CertificateQuery, CertificateView};
use crate::admin::server::extract::{Path, Query};

/// List the certificates, those that end first first
#[utoipa::path(get, path = "/v1/certificates", operation_id = "listCertificates",
    params(CertificateQuery),
    responses((status = 200, description = "A page of them", body = Page<CertificateView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<CertificateQuery>,
) -> Answer<Page<CertificateView>> {
    service.certificates(&query).await.map(axum::Json)
}

/// Show a certificate
#[utoipa::path(get, path = "/v1/certificates/{fingerprint}", operation_id = "showCertificate",
    params(("fingerprint" = String, Path, description = "The beginning of its SHA-256")),
    responses((status = 200, description = "The certificate", body = CertificateDetail)))]
pub(super) async fn show(
    State { 0: service }: State,
    Path(fingerprint): Path,
) -> Answer<CertificateDetail> {
    service.certificate(&fingerprint).await.map(axum::Json)
}

/// Revoke a certificate (operator)
#[utoipa::path(post, path = "/v1/certificates/{fingerprint}/revoke",
    operation_id = "revokeCertificate",
    params(("fingerprint" = String, Path, description = "The beginning of its SHA-256")),
    responses((status = 200, description = "The certificate", body = CertificateView)))]
pub(super) async fn revoke(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(fingerprint): Path,
) -> Answer<CertificateView> {
    service.revoke_certificate(&actor, &fingerprint).await.map(axum::Json)
}
