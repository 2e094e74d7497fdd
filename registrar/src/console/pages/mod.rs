//! The pages, one file each: what the service gives, as HTML.

pub(super) mod approvals;
mod artefacts;
pub(super) mod bulk;
pub(super) mod device;
pub(super) mod devices;
pub(super) mod events;
pub(super) mod export;
pub(super) mod health;
pub(super) mod import;
pub(super) mod manufacturers;
pub(super) mod now;
pub(super) mod orders;

use std::sync::Arc;

use axum::extract::State;

use super::Console;

/// What handlers work on.
type Shared = State<Arc<Console>>;
