//! Vouchers: those fetched ahead, and what became of a device's last exchange.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::voucher::{NoncelessView, Prefetch, VoucherStory};
use crate::admin::api::{Page, PageQuery};
use crate::admin::server::extract::{Json, Path, Query};

/// List the vouchers that were fetched ahead
#[utoipa::path(get, path = "/v1/vouchers", operation_id = "listVouchers", params(PageQuery),
    responses((status = 200, description = "A page of them", body = Page<NoncelessView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<PageQuery>,
) -> Answer<Page<NoncelessView>> {
    service.vouchers(&query).await.map(axum::Json)
}

/// Show the vouchers of a device, and its audit log
#[utoipa::path(get, path = "/v1/vouchers/{device}", operation_id = "showVoucher",
    params(("device" = String, Path, description = "Its identifier, name or serial number")),
    responses((status = 200, description = "Its vouchers", body = VoucherStory)))]
pub(super) async fn show(State { 0: service }: State, Path(device): Path) -> Answer<VoucherStory> {
    service.voucher_story(&device).await.map(axum::Json)
}

/// Fetch a voucher ahead, for when the MASA cannot be reached (operator)
#[utoipa::path(post, path = "/v1/vouchers/{device}/prefetch", operation_id = "prefetchVoucher",
    params(("device" = String, Path, description = "Its identifier, name or serial number")),
    request_body = Prefetch,
    responses((status = 200, description = "What came of it", body = NoncelessView)))]
pub(super) async fn prefetch(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
    Json(wanted): Json<Prefetch>,
) -> Answer<NoncelessView> {
    service.prefetch(&actor, &device, &wanted).await.map(axum::Json)
}
