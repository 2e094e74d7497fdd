//! Who may use a route: asked in one place, before the body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};

use crate::admin::actor::{Actor, Role};
use crate::admin::problem::{Kind, Problem};
use crate::admin::service::Service;
use crate::entropy::random_id;
use crate::store::model::{Event, Verdict};

/// What a group of routes asks for.
#[derive(Clone)]
pub(super) struct Access {
    /// The least role.
    pub(super) role: Role,
    /// Where refusals are recorded.
    pub(super) service: Arc<Service>,
}

/// Lets a request through whose actor has the role, and writes one line about what came of a change.
pub(super) async fn require(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let Some(actor) = request.extensions().get::<Actor>().cloned() else {
        let detail = "the request carries nothing that says who asks";
        return Problem::new(Kind::Unauthenticated, detail, "").into_response();
    };
    if actor.role < access.role {
        let detail = format!(
            "{} has the role {}; {method} {path} needs {}",
            actor.name,
            actor.role.as_str(),
            access.role.as_str()
        );
        record(&access.service, "admin-forbidden", &actor.name, detail.clone()).await;
        let hint = "ask somebody with that role, or have it given to you in [admin]";
        return Problem::new(Kind::Forbidden, detail, hint).into_response();
    }
    let response = next.run(request).await;
    if access.role > Role::Viewer {
        let (actor, path) = (actor.name.escape_debug(), path.escape_debug());
        info!(%actor, %method, %path, status = response.status().as_u16(), "admin");
    }
    response
}

/// Writes a refusal into the trail.
pub(crate) async fn record(service: &Service, kind: &'static str, peer: &str, detail: String) {
    let event = Event {
        time: service.now(),
        kind,
        verdict: Verdict::Refused,
        device: None,
        peer: peer.to_owned(),
        clause: "RFC 9110 §15.5",
        detail,
        correlation: random_id().to_string(),
    };
    if let Err(error) = service.store().commit(Vec::new(), vec![event]).await {
        warn!(%error, kind, "a refusal was not recorded");
    }
}
