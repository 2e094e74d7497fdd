//! Devices: `{device}` in a path is an identifier, a name or a serial number.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::Page;
use crate::admin::api::device::{
    DeviceQuery, DeviceStory, DeviceView, Import, Imported, NewDevice, Rename, Replace, Retire,
};
use crate::admin::server::extract::{Json, Path, Query};

/// List the devices
#[utoipa::path(get, path = "/v1/devices", operation_id = "listDevices", params(DeviceQuery),
    responses((status = 200, description = "A page of them", body = Page<DeviceView>)))]
pub(super) async fn list(
    State { 0: service }: State,
    Query(query): Query<DeviceQuery>,
) -> Answer<Page<DeviceView>> {
    service.devices(&query).await.map(axum::Json)
}

/// Tell the story of a device
#[utoipa::path(get, path = "/v1/devices/{device}", operation_id = "showDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    responses((status = 200, description = "Its story", body = DeviceStory)))]
pub(super) async fn show(State { 0: service }: State, Path(device): Path) -> Answer<DeviceStory> {
    service.device(&device).await.map(axum::Json)
}

/// Let one device join (approver)
///
/// It is expected from now on; if it waits for an approval, it gets it.
#[utoipa::path(post, path = "/v1/devices", operation_id = "allowDevice",
    request_body = NewDevice,
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn allow(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Json(new): Json<NewDevice>,
) -> Answer<DeviceView> {
    service.allow(&actor, new).await.map(axum::Json)
}

/// Import devices from a CSV file (operator)
#[utoipa::path(post, path = "/v1/import", operation_id = "importDevices",
    request_body = Import,
    responses((status = 200, description = "What was imported", body = Imported)))]
pub(super) async fn import(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Json(import): Json<Import>,
) -> Answer<Imported> {
    service.import(&actor, &import).await.map(axum::Json)
}

/// Take a device out of service (operator)
///
/// Its certificates are revoked, its orders cancelled, EST is closed.
#[utoipa::path(post, path = "/v1/devices/{device}/retire", operation_id = "retireDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    request_body = Retire,
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn retire(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
    Json(how): Json<Retire>,
) -> Answer<DeviceView> {
    service.retire(&actor, &device, how).await.map(axum::Json)
}

/// Bar a device until it is restored (operator)
#[utoipa::path(post, path = "/v1/devices/{device}/block", operation_id = "blockDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn block(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
) -> Answer<DeviceView> {
    service.block(&actor, &device).await.map(axum::Json)
}

/// Let a retired or blocked device back in (operator)
#[utoipa::path(post, path = "/v1/devices/{device}/restore", operation_id = "restoreDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn restore(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
) -> Answer<DeviceView> {
    service.restore(&actor, &device).await.map(axum::Json)
}

/// Give a device another name (operator)
#[utoipa::path(post, path = "/v1/devices/{device}/rename", operation_id = "renameDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    request_body = Rename,
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn rename(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
    Json(rename): Json<Rename>,
) -> Answer<DeviceView> {
    service.rename(&actor, &device, &rename).await.map(axum::Json)
}

/// Put another device in the place of this one (operator)
///
/// This one is retired; the other one gets its name and profile.
#[utoipa::path(post, path = "/v1/devices/{device}/replace", operation_id = "replaceDevice",
    params(("device" = String, Path, description = "Identifier, name or serial number")),
    request_body = Replace,
    responses((status = 200, description = "The device that took the place", body = DeviceView)))]
pub(super) async fn replace(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(device): Path,
    Json(replace): Json<Replace>,
) -> Answer<DeviceView> {
    service.replace(&actor, &device, &replace).await.map(axum::Json)
}
