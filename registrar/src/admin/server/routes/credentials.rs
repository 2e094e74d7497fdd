//! Credentials of devices without an IDevID.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::credential::{CredentialView, MadeCredential, NewCredential};
use crate::admin::server::extract::{Json, Path};

/// List the credentials
#[utoipa::path(get, path = "/v1/credentials", operation_id = "listCredentials",
    responses((status = 200, description = "All of them, by name", body = Vec<CredentialView>)))]
pub(super) async fn list(State { 0: service }: State) -> Answer<Vec<CredentialView>> {
    service.credentials().await.map(axum::Json)
}

/// Make a credential (operator)
#[utoipa::path(post, path = "/v1/credentials", operation_id = "addCredential",
    request_body = NewCredential,
    responses((status = 200, description = "Its secret, shown this once", body = MadeCredential)))]
pub(super) async fn add(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewCredential>,
) -> Answer<MadeCredential> {
    service.add_credential(&actor, new).await.map(axum::Json)
}

/// Revoke a credential (operator)
#[utoipa::path(post, path = "/v1/credentials/{name}/revoke", operation_id = "revokeCredential",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The credential", body = CredentialView)))]
pub(super) async fn revoke(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(name): Path,
) -> Answer<CredentialView> {
    service.revoke_credential(&actor, &name).await.map(axum::Json)
}
