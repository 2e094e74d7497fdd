//! The daemon itself.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::status::{ConsoleLink, Counters, Reloaded};

/// How the daemon does
#[utoipa::path(get, path = "/v1/status", operation_id = "showStatus",
    responses((status = 200, description = "Counters since its start", body = Counters)))]
pub(super) async fn status(State { 0: service }: State) -> Answer<Counters> {
    service.counters().map(axum::Json)
}

/// Read the configuration again (operator)
#[utoipa::path(post, path = "/v1/reload", operation_id = "reloadConfiguration",
    responses((status = 200, description = "What applies now and what does not", body = Reloaded)))]
pub(super) async fn reload(State { 0: service }: State) -> Answer<Reloaded> {
    service.reload().await.map(axum::Json)
}

/// Make a link that logs its reader in to the console as you, once (operator)
#[utoipa::path(post, path = "/v1/console/links", operation_id = "makeConsoleLink",
    responses((status = 200, description = "The link, good for ten minutes", body = ConsoleLink)))]
pub(super) async fn console_link(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
) -> Answer<ConsoleLink> {
    service.console_link(&actor).map(axum::Json)
}
