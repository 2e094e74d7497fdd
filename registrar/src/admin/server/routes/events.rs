//! The trail.

use super::{Answer, State};
use crate::admin::api::Page;
use crate::admin::api::event::{ChainView, EventQuery, EventView, TailQuery, Verify};
use crate::admin::server::extract::{Json, Query};

/// List events
#[utoipa::path(get, path = "/v1/events", operation_id = "listEvents", params(EventQuery),
    responses((status = 200, description = "A page of them", body = Page<EventView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<EventQuery>,
) -> Answer<Page<EventView>> {
    service.events(&query).await.map(axum::Json)
}

/// Follow the events of all nodes
///
/// `next` is always there; ask again with it after a pause.
#[utoipa::path(get, path = "/v1/tail", operation_id = "followEvents", params(TailQuery),
    responses((status = 200, description = "What is new", body = Page<EventView>)))]
pub(super) async fn tail(
    State { 0: service }: State,
    Query(query): Query<TailQuery>,
) -> Answer<Page<EventView>> {
    service.tail(&query).await.map(axum::Json)
}

/// Verify the hash chains of the events
#[utoipa::path(post, path = "/v1/verification", operation_id = "verifyEvents",
    request_body = Verify,
    responses((status = 200, description = "A report for each node", body = Vec<ChainView>)))]
pub(super) async fn verify(
    State { 0: service }: State,
    Json(verify): Json<Verify>,
) -> Answer<Vec<ChainView>> {
    service.verify(&verify).await.map(axum::Json)
}
