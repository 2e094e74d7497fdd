//! What goes over the admin API, as JSON: one file for each thing.
//!
//! Times are RFC 3339 in UTC. Lists come in pages: `next` of one page is `after` of the next one.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::{IntoParams, ToSchema};

use crate::store::model::Millis;

pub mod account;
pub mod approval;
pub mod certificate;
pub mod clock;
pub mod credential;
pub mod device;
pub mod event;
pub mod manufacturer;
pub mod masa;
pub mod order;
pub mod own;
pub mod status;
pub mod voucher;

/// How many things a page has where nobody says how many.
pub const PAGE: u32 = 100;
/// How many things a page may have.
pub const MOST: u32 = 1000;

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The things on it.
    pub items: Vec<T>,
    /// Where the next page begins; none: this is the last.
    pub next: Option<String>,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many things, at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// RFC 3339 in UTC, to the second.
#[must_use]
pub fn moment(at: Millis) -> String {
    OffsetDateTime::from_unix_timestamp(at.seconds())
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.0.to_string())
}
