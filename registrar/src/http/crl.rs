//! The local issuers' lists of revoked certificates, over plain HTTP (RFC 5280 §4.2.1.13, RFC 2585 §3).
//!
//! A list is signed when it is asked for, and kept for a moment: those who ask are not authenticated.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::Clock;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use thiserror::Error;
use tokio::sync::Mutex;
use tracing::error;

use crate::issue::local::LocalIssuer;
use crate::store::model::Millis;
use crate::store::{Store, StoreError};

/// How long a signed list is given again, in milliseconds.
const KEPT_MILLIS: i64 = 60_000;
/// How long a cache may keep it: as long as it is given again.
const MAX_AGE: &str = "public, max-age=60";

/// Why there is no list now.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CrlError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device CA cannot sign it.
    #[error("the revocation list of issuer {issuer:?} cannot be signed: {source}")]
    Sign {
        /// The issuer, by its name in the configuration.
        issuer: String,
        /// What the signing says.
        #[source]
        source: rcgen::Error,
    },
}

/// A signed list, and when it was signed.
type Kept = (Millis, Arc<Vec<u8>>);

/// The lists of all local issuers.
pub struct Lists {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    issuers: BTreeMap<String, Arc<LocalIssuer>>,
    kept: Mutex<BTreeMap<String, Kept>>,
}

impl Lists {
    /// The lists of these issuers.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        issuers: impl IntoIterator<Item = Arc<LocalIssuer>>,
    ) -> Self {
        let issuers =
            issuers.into_iter().map(|issuer| (issuer.name().to_owned(), issuer)).collect();
        Self { store, clock, issuers, kept: Mutex::default() }
    }

    /// The list of an issuer, DER; none if there is no such local issuer.
    ///
    /// # Errors
    /// [`CrlError`].
    pub async fn list(&self, issuer: &str) -> Result<Option<Arc<Vec<u8>>>, CrlError> {
        let Some(issuer) = self.issuers.get(issuer) else {
            return Ok(None);
        };
        let now = Millis(self.clock.now());
        // Held while it is signed, so that many who ask at once have one signed.
        let mut kept = self.kept.lock().await;
        if let Some((since, list)) = kept.get(issuer.name())
            && (0..KEPT_MILLIS).contains(&now.0.saturating_sub(since.0))
        {
            return Ok(Some(Arc::clone(list)));
        }
        let revoked = self.store.revoked_certificates(issuer.name(), now).await?;
        let list = issuer
            .revocation_list(&revoked, now)
            .map_err(|source| CrlError::Sign { issuer: issuer.name().to_owned(), source })?;
        let list = Arc::new(list);
        kept.insert(issuer.name().to_owned(), (now, Arc::clone(&list)));
        Ok(Some(list))
    }
}

/// The route of the lists: `/crl/NAME.crl`.
pub fn routes(lists: Arc<Lists>) -> Router {
    Router::new().route("/crl/{file}", get(answer)).with_state(lists)
}

async fn answer(State(lists): State<Arc<Lists>>, Path(file): Path<String>) -> Response {
    let mut response = Response::new(Body::empty());
    let Some(issuer) = file.strip_suffix(".crl") else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    match lists.list(issuer).await {
        Ok(Some(list)) => {
            *response.body_mut() = Body::from(list.as_ref().clone());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pkix-crl"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(MAX_AGE));
        }
        Ok(None) => *response.status_mut() = StatusCode::NOT_FOUND,
        Err(failure) => {
            error!(%failure, "no revocation list");
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
    }
    response
}
