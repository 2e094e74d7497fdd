//! The MASAs of manufacturers.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::masa::{MasaTest, MasaTestView};
use crate::admin::server::extract::{Json, Path};

/// Look where the MASA of a manufacturer should be (operator)
///
/// It is called as for a device, at a host that it may have; no voucher is asked for.
#[utoipa::path(post, path = "/v1/manufacturers/{manufacturer}/test", operation_id = "testMasa",
    params(("manufacturer" = String, Path, description = "Its name")),
    request_body = MasaTest,
    responses((status = 200, description = "What was found", body = MasaTestView)))]
pub(super) async fn test(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
    Path(manufacturer): Path,
    Json(test): Json<MasaTest>,
) -> Answer<MasaTestView> {
    service.test_masa(&actor, &manufacturer, test).await.map(axum::Json)
}
