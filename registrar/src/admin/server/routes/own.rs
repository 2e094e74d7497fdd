//! The registrar's own certificates and the roots of its domain.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::own::{CertificateRequest, IdentityView, NewIdentity, RotatedRoot};
use crate::admin::server::extract::Json;

/// Show the certificate and the roots in use
#[utoipa::path(get, path = "/v1/identity", operation_id = "showIdentity",
    responses((status = 200, description = "What the registrar shows of itself", body = IdentityView)))]
pub(super) async fn show(State { 0: service }: State) -> Answer<IdentityView> {
    service.identity().await.map(axum::Json)
}

/// Make a request for the registrar's next certificate (operator)
#[utoipa::path(post, path = "/v1/identity/request", operation_id = "requestIdentity",
    responses((status = 200, description = "For a domain CA that is elsewhere", body = CertificateRequest)))]
pub(super) async fn request(State { 0: service }: State) -> Answer<CertificateRequest> {
    service.identity_request().await.map(axum::Json)
}

/// Renew the registrar's certificate now (operator)
#[utoipa::path(post, path = "/v1/identity/renew", operation_id = "renewIdentity",
    responses((status = 200, description = "What the registrar shows from now on", body = IdentityView)))]
pub(super) async fn renew(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
) -> Answer<IdentityView> {
    service.renew_identity(&actor).await.map(axum::Json)
}

/// Install a certificate that the domain CA made elsewhere (operator)
#[utoipa::path(post, path = "/v1/identity/install", operation_id = "installIdentity",
    request_body = NewIdentity,
    responses((status = 200, description = "What the registrar shows from now on", body = IdentityView)))]
pub(super) async fn install(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewIdentity>,
) -> Answer<IdentityView> {
    service.install_identity(&actor, &new).await.map(axum::Json)
}

/// Make a new root of the domain (operator)
#[utoipa::path(post, path = "/v1/ca/rotate", operation_id = "rotateRoot",
    responses((status = 200, description = "The new root", body = RotatedRoot)))]
pub(super) async fn rotate(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
) -> Answer<RotatedRoot> {
    service.rotate_root(&actor).await.map(axum::Json)
}
