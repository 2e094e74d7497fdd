//! The routes by the least role that may use them; one file for each thing.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::actor::Role;
use crate::admin::problem::Problem;
use crate::admin::service::Service;

mod accounts;
mod approvals;
mod certificates;
mod clock;
mod credentials;
mod daemon;
mod devices;
mod events;
mod manufacturers;
mod masa;
mod orders;
mod own;
mod vouchers;

/// What a handler gives: JSON, or a problem.
type Answer<T> = Result<axum::Json<T>, Problem>;

/// What handlers work on.
type State = axum::extract::State<Arc<Service>>;

/// The routes that this role is the least for.
fn all(role: Role) -> OpenApiRouter<Arc<Service>> {
    match role {
        Role::Viewer => OpenApiRouter::new()
            .routes(routes!(manufacturers::list))
            .routes(routes!(devices::list))
            .routes(routes!(devices::show))
            .routes(routes!(certificates::list))
            .routes(routes!(certificates::show))
            .routes(routes!(approvals::list))
            .routes(routes!(credentials::list))
            .routes(routes!(orders::list))
            .routes(routes!(orders::show))
            .routes(routes!(accounts::show))
            .routes(routes!(vouchers::list))
            .routes(routes!(vouchers::show))
            .routes(routes!(events::list))
            .routes(routes!(events::tail))
            .routes(routes!(events::verify))
            .routes(routes!(own::show))
            .routes(routes!(daemon::status)),
        Role::Approver => OpenApiRouter::new()
            .routes(routes!(devices::allow))
            .routes(routes!(approvals::grant))
            .routes(routes!(approvals::refuse)),
        Role::Operator => OpenApiRouter::new()
            .routes(routes!(manufacturers::add))
            .routes(routes!(masa::test))
            .routes(routes!(manufacturers::set))
            .routes(routes!(devices::import))
            .routes(routes!(devices::retire))
            .routes(routes!(devices::block))
            .routes(routes!(devices::restore))
            .routes(routes!(devices::rename))
            .routes(routes!(devices::replace))
            .routes(routes!(vouchers::prefetch))
            .routes(routes!(certificates::revoke))
            .routes(routes!(credentials::add))
            .routes(routes!(credentials::revoke))
            .routes(routes!(own::request))
            .routes(routes!(own::install))
            .routes(routes!(own::renew))
            .routes(routes!(own::rotate))
            .routes(routes!(clock::confirm))
            .routes(routes!(daemon::console_link))
            .routes(routes!(orders::retry))
            .routes(routes!(orders::cancel))
            .routes(routes!(accounts::rotate_key))
            .routes(routes!(accounts::deactivate))
            .routes(routes!(daemon::reload)),
    }
}

/// The routes of a role, to be served.
pub(super) fn of(role: Role) -> Router<Arc<Service>> {
    all(role).split_for_parts().0
}

/// The routes of a role, described.
pub(super) fn described(role: Role) -> OpenApi {
    all(role).split_for_parts().1
}
