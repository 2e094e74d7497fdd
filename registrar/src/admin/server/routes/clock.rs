//! The clock.

use axum::Extension;

use super::{Answer, State};
use crate::admin::actor::Actor;
use crate::admin::api::clock::ClockConfirmed;

/// Vouch for the clock, against the times of earlier events (operator)
#[utoipa::path(post, path = "/v1/clock/confirm", operation_id = "confirmClock",
    responses((status = 200, description = "What counted until now", body = ClockConfirmed)))]
pub(super) async fn confirm(
    State { 0: service }: State,
    Extension(actor): Extension<Actor>,
) -> Answer<ClockConfirmed> {
    service.confirm_clock(&actor).await.map(axum::Json)
}
