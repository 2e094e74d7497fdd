//! Devices that wait for a person.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::approval::{Grant, WaitingView};
use crate::admin::api::device::DeviceView;
use crate::admin::api::{Page, PageQuery};
use crate::admin::server::extract::{Json, Path, Query};

/// List what waits, the oldest first
#[utoipa::path(get, path = "/v1/approvals", operation_id = "listApprovals", params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<WaitingView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<PageQuery>,
) -> Answer<Page<WaitingView>> {
    service.approvals(&query).await.map(axum::Json)
}

/// Say yes (approver)
#[utoipa::path(post, path = "/v1/approvals/{approval}/grant", operation_id = "grantApproval",
    params(("approval" = String, Path, description = "Its identifier")),
    request_body = Grant,
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn grant(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(approval): Path,
    Json(grant): Json<Grant>,
) -> Answer<DeviceView> {
    service.grant(&actor, &approval, grant).await.map(axum::Json)
}

/// Say no (approver)
#[utoipa::path(post, path = "/v1/approvals/{approval}/refuse", operation_id = "refuseApproval",
    params(("approval" = String, Path, description = "Its identifier")),
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn refuse(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(approval): Path,
) -> Answer<DeviceView> {
    service.refuse(&actor, &approval).await.map(axum::Json)
}
