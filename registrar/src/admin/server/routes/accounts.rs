//! The accounts at ACME CAs: `{issuer}` in a path is an issuer's name in the configuration.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::account::AccountView;
use crate::admin::server::extract::Path;

/// Show the account at an issuer's CA, as the CA shows it now
#[utoipa::path(get, path = "/v1/accounts/{issuer}", operation_id = "showAccount",
    params(("issuer" = String, Path, description = "The issuer's name in the configuration")),
    responses((status = 200, description = "The account", body = AccountView)))]
pub(super) async fn show(State { 0: service }: State, Path(issuer): Path) -> Answer<AccountView> {
    service.account(&issuer).await.map(axum::Json)
}

/// Give the account at an issuer's CA a new key (operator)
#[utoipa::path(post, path = "/v1/accounts/{issuer}/rotate-key", operation_id = "rotateAccountKey",
    params(("issuer" = String, Path, description = "The issuer's name in the configuration")),
    responses((status = 200, description = "The account", body = AccountView)))]
pub(super) async fn rotate_key(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(issuer): Path,
) -> Answer<AccountView> {
    service.rotate_key(&actor, &issuer).await.map(axum::Json)
}

/// End the account at an issuer's CA for good (operator)
#[utoipa::path(post, path = "/v1/accounts/{issuer}/deactivate", operation_id = "deactivateAccount",
    params(("issuer" = String, Path, description = "The issuer's name in the configuration")),
    responses((status = 200, description = "The account", body = AccountView)))]
pub(super) async fn deactivate(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(issuer): Path,
) -> Answer<AccountView> {
    service.deactivate_account(&actor, &issuer).await.map(axum::Json)
}
