//! An HTTP client of the daemon's own, for notifications, spans and OpenID Connect: one request, one answer, both bounded.
//!
//! Redirects are not followed. MASAs and ACME CAs have clients of their own, with rules of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::observe::log::with_sources;

/// The longest answer that is read where nothing else is said, in octets.
const ANSWER_OCTETS: usize = 16 * 1024;

/// Which addresses a client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    /// `https` alone.
    Https,
    /// `http` too.
    HttpToo,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WebError {
    /// Nobody could be reached, or TLS failed.
    #[error("no answer: {}", with_sources(.0))]
    Request(#[from] hyper_util::client::legacy::Error),
    /// The answer is too long or broke off.
    #[error("the answer is longer than {0} octets or broke off")]
    Answer(usize),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// The client; it keeps connections open.
#[derive(Clone)]
pub struct WebClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    answer_octets: usize,
}

impl fmt::Debug for WebClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WebClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl WebClient {
    /// Builds a client. `timeout` bounds a whole request.
    ///
    /// # Errors
    /// If the provider cannot do TLS.
    pub fn new(
        provider: Arc<CryptoProvider>,
        anchors: RootCertStore,
        schemes: Schemes,
        timeout: Duration,
    ) -> Result<Self, rustls::Error> {
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let builder = HttpsConnectorBuilder::new().with_tls_config(configuration);
        let builder = match schemes {
            Schemes::Https => builder.https_only(),
            Schemes::HttpToo => builder.https_or_http(),
        };
        let connector = builder.enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, timeout, answer_octets: ANSWER_OCTETS })
    }

    /// The same client for answers of at most so many octets.
    #[must_use]
    pub fn with_answers(self, octets: usize) -> Self {
        Self { answer_octets: octets, ..self }
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`WebError`].
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WebError> {
        let exchange = async {
            let (parts, body) = self.client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, self.answer_octets).collect().await;
            let body = body.map_err(|_| WebError::Answer(self.answer_octets))?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(WebError::Timeout(self.timeout)),
        }
    }
}
