//! The running daemon as the admin API sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use acme_bridge::dns;
use async_trait::async_trait;
use tracing::error;

use crate::admin::api::Counters;
use crate::admin::service::Observer;
use crate::http::app::App;
use crate::policy::manufacturers::ManufacturerDirectory;

/// The daemon as the admin socket sees it.
pub(super) struct Daemon {
    pub(super) app: Arc<App>,
    pub(super) dns: Option<Arc<dns::Counters>>,
}

#[async_trait]
impl Observer for Daemon {
    async fn manufacturers_changed(&self) {
        let rows = match self.app.store.manufacturers().await {
            Ok(rows) => rows,
            Err(error) => return error!(%error, "cannot read the manufacturers again"),
        };
        match ManufacturerDirectory::new(rows) {
            Ok(directory) => self.app.manufacturers.store(Arc::new(directory)),
            Err(error) => error!(%error, "the manufacturers stay as they were"),
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            requests: self.app.requests.load(Ordering::Relaxed),
            dns_queries: self.dns.as_ref().map_or(0, |dns| dns.queries()),
            dns_answers: self.dns.as_ref().map_or(0, |dns| dns.answers()),
        }
    }
}
