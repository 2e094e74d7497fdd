//! Manufacturers whose devices may join.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::manufacturer::{ManufacturerChanges, ManufacturerView, NewManufacturer};
use crate::admin::server::extract::{Json, Path};

/// List the manufacturers
#[utoipa::path(get, path = "/v1/manufacturers", operation_id = "listManufacturers",
    responses((status = 200, description = "All of them, by name", body = Vec<ManufacturerView>)))]
pub(super) async fn list(State { 0: service }: State) -> Answer<Vec<ManufacturerView>> {
    service.manufacturers().await.map(axum::Json)
}

/// Let the devices of a manufacturer join (operator)
#[utoipa::path(post, path = "/v1/manufacturers", operation_id = "addManufacturer",
    request_body = NewManufacturer,
    responses((status = 200, description = "It was added", body = ManufacturerView)))]
pub(super) async fn add(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewManufacturer>,
) -> Answer<ManufacturerView> {
    service.add_manufacturer(&actor, new).await.map(axum::Json)
}

/// Change the settings of a manufacturer (operator)
///
/// What is left out stays as it is.
#[utoipa::path(post, path = "/v1/manufacturers/{manufacturer}/set",
    operation_id = "changeManufacturer",
    params(("manufacturer" = String, Path, description = "The operator's name for it")),
    request_body = ManufacturerChanges,
    responses((status = 200, description = "The manufacturer", body = ManufacturerView)))]
pub(super) async fn set(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(manufacturer): Path,
    Json(changes): Json<ManufacturerChanges>,
) -> Answer<ManufacturerView> {
    service.change_manufacturer(&actor, &manufacturer, changes).await.map(axum::Json)
}
