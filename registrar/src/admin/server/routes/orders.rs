//! Orders at ACME CAs: `{order}` in a path is an identifier.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::order::{OrderDetail, OrderQuery, OrderView};
use crate::admin::server::extract::{Path, Query};

/// List the orders, the newest first
#[utoipa::path(get, path = "/v1/orders", operation_id = "listOrders", params(OrderQuery),
    responses((status = 200, description = "A page of them", body = Page<OrderView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<OrderQuery>,
) -> Answer<Page<OrderView>> {
    service.orders(&query).await.map(axum::Json)
}

/// Show an order with its history and what the CA said
#[utoipa::path(get, path = "/v1/orders/{order}", operation_id = "showOrder",
    params(("order" = String, Path, description = "Its identifier")),
    responses((status = 200, description = "The order", body = OrderDetail)))]
pub(super) async fn show(State { 0: service }: State, Path(order): Path) -> Answer<OrderDetail> {
    service.order(&order).await.map(axum::Json)
}

/// Look at an order now that waits, or begin one anew that ended without a certificate (operator)
#[utoipa::path(post, path = "/v1/orders/{order}/retry", operation_id = "retryOrder",
    params(("order" = String, Path, description = "Its identifier")),
    responses((status = 200, description = "The order", body = OrderDetail)))]
pub(super) async fn retry(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(order): Path,
) -> Answer<OrderDetail> {
    service.retry_order(&actor, &order).await.map(axum::Json)
}

/// End an order and its enrollment, if the CA was not asked to issue yet (operator)
#[utoipa::path(post, path = "/v1/orders/{order}/cancel", operation_id = "cancelOrder",
    params(("order" = String, Path, description = "Its identifier")),
    responses((status = 200, description = "The order", body = OrderDetail)))]
pub(super) async fn cancel(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(order): Path,
) -> Answer<OrderDetail> {
    service.cancel_order(&actor, &order).await.map(axum::Json)
}
