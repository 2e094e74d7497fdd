//! The operators' web page: what joins, what waits, what fails and why, and one click to decide.
//!
//! It is served on the admin listener over TLS, where the configuration says so, from the same
//! [`Service`] as the admin API. A request goes through `guard`: the session of its
//! cookie says who asks, and what they may do is looked up anew. `pages` turn what the service gives into HTML on the
//! server; every text in it is escaped by the template. Scripts add live updates and nothing else.
//!
//! Invariant: nothing here reads or changes the store but through the service or by a query without effect, and no
//! page holds a script or a style of its own, so that the content security policy can refuse all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::bridge::Bridge;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::sync::{Mutex, Semaphore, watch};

use self::session::Sessions;
use crate::admin::registry::Registry;
use crate::admin::service::Service;
use crate::observe::health::Health;
use crate::policy::attempts::Attempts;
use crate::store::StoreError;
use crate::store::model::{CertificateEnds, Millis};

mod assets;
mod chart;
mod form;
mod guard;
mod layout;
mod live;
mod login;
pub mod openid;
mod pages;
mod search;
pub mod session;

/// How long a count of certificates is good for.
const CALENDAR_MILLIS: i64 = 60_000;
/// How many weeks the calendar has.
const WEEKS: i64 = 12;
const WEEK_MILLIS: i64 = 7 * 86_400_000;
/// The longest form, in octets: an import of a hundred thousand devices.
const FORM_OCTETS: usize = 16 * 1024 * 1024;

/// What the pages are made from.
pub struct Console {
    /// The operators' side of the registrar.
    pub service: Arc<Service>,
    /// Who may log in.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Who is logged in.
    pub sessions: Arc<Sessions>,
    /// Whether the daemon can do its work.
    pub health: Arc<Health>,
    /// The bridges to ACME CAs, by their issuers' names.
    pub bridges: BTreeMap<String, Arc<Bridge>>,
    /// Where people may log in elsewhere.
    #[cfg(feature = "openid")]
    pub openid: Option<openid::provider::Provider>,
    /// How often somebody failed to log in, by address.
    pub attempts: Attempts<std::net::IpAddr>,
    /// Room for live pages.
    pub streams: Arc<Semaphore>,
    /// True when the daemon ends.
    pub shutdown: watch::Receiver<bool>,
    /// When which certificates end, counted last.
    pub counted: Mutex<Option<(Millis, Calendar)>>,
}

/// When the newest certificates of all devices end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// How many have ended.
    pub ended: u64,
    /// How many end in each week from now on.
    pub weeks: Vec<u64>,
    /// How many end after these weeks.
    pub later: u64,
}

impl Console {
    /// The calendar as it was counted last, which takes a while where there are many certificates: nobody waits for
    /// it but the very first who asks, and once a minute it is counted anew behind their back.
    async fn calendar(self: &Arc<Self>) -> Result<Calendar, StoreError> {
        let now = self.service.now();
        let mut counted = self.counted.lock().await;
        let Some((at, calendar)) = counted.as_mut() else {
            let calendar = self.count(now).await?;
            *counted = Some((now, calendar.clone()));
            return Ok(calendar);
        };
        if now.0.saturating_sub(at.0) >= CALENDAR_MILLIS {
            // Whoever asks meanwhile begins no other count.
            *at = now;
            let console = Arc::clone(self);
            tokio::spawn(async move {
                // What a store that is away does not count is counted a minute later.
                if let Ok(calendar) = console.count(now).await {
                    *console.counted.lock().await = Some((now, calendar));
                }
            });
        }
        Ok(calendar.clone())
    }

    async fn count(&self, now: Millis) -> Result<Calendar, StoreError> {
        let weeks =
            (0..=WEEKS).map(|week| Millis(now.0.saturating_add(WEEK_MILLIS.saturating_mul(week))));
        let ends = self.service.store().certificate_ends(&weeks.collect::<Vec<_>>()).await?;
        Ok(Calendar::of(&ends))
    }
}

impl Calendar {
    fn of(ends: &CertificateEnds) -> Self {
        let last = ends.before.last().copied().unwrap_or(0);
        let weeks = ends.before.windows(2).map(|pair| match pair {
            [before, after] => after.saturating_sub(*before),
            _ => 0,
        });
        Self {
            ended: ends.before.first().copied().unwrap_or(0),
            weeks: weeks.collect(),
            later: ends.all.saturating_sub(last),
        }
    }
}

/// How many pages may be live at once; above it a page is as it was when it was opened.
pub const STREAMS: usize = 32;

/// All pages, below `/console`. Requests carry their [`Peer`](crate::tls::peer::Peer).
pub fn router(console: Arc<Console>) -> Router {
    let first = Arc::clone(&console);
    // Before anybody asks; a store that is away is asked again by whoever looks at the page.
    tokio::spawn(async move { first.calendar().await.ok() });
    let inside = Router::new()
        .route("/console/now", get(pages::now::show))
        .route("/console/devices", get(pages::devices::list).post(pages::bulk::post))
        .route("/console/devices.csv", get(pages::export::csv))
        .route("/console/devices/import", get(pages::import::form).post(pages::import::post))
        .route("/console/devices/{id}", get(pages::device::show).post(pages::device::post))
        .route("/console/approvals", get(pages::approvals::list))
        .route("/console/approvals/{id}", post(pages::approvals::post))
        .route("/console/orders", get(pages::orders::list))
        .route("/console/orders/{id}", get(pages::orders::show).post(pages::orders::post))
        .route("/console/manufacturers", get(pages::manufacturers::list))
        .route("/console/manufacturers/add", post(pages::manufacturers::add))
        .route("/console/manufacturers/{name}/test", post(pages::manufacturers::test))
        .route("/console/events", get(pages::events::list))
        .route("/console/events/verify", post(pages::events::verify))
        .route("/console/health", get(pages::health::show))
        .route("/console/live", get(live::stream))
        .route("/console/logout", post(login::logout))
        .layer(from_fn_with_state(Arc::clone(&console), guard::recognise));
    Router::new()
        .route("/console", get(login::front))
        .route("/console/login", get(login::page).post(login::post))
        .route("/console/assets/{name}", get(assets::serve))
        .merge(openid::routes())
        .merge(inside)
        .layer(axum::middleware::from_fn(guard::headers))
        .layer(DefaultBodyLimit::max(FORM_OCTETS))
        .with_state(console)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_tells_what_ended_what_ends_in_each_week_and_the_rest() {
        let ends = CertificateEnds { before: vec![2, 5, 5, 9], all: 20 };
        let calendar = Calendar { ended: 2, weeks: vec![3, 0, 4], later: 11 };
        assert_eq!(Calendar::of(&ends), calendar);
        assert_eq!(Calendar::of(&CertificateEnds::default()), Calendar::default());
    }
}
