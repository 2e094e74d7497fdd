//! Tells by posting to an HTTPS address: one JSON object a request, and 2xx means that it was taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Uri};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use thiserror::Error;
use tracing::debug;

use super::token::Token;
use super::{DeliveryError, Receiver};
use crate::config::PostConfig;
use crate::identity::{IdentityError, read_certificates};
use crate::web::{Schemes, WebClient};

/// Why nothing can be posted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PostError {
    /// The anchors cannot be read.
    #[error("notify.ca: {0}")]
    Anchors(#[from] IdentityError),
    /// TLS cannot be set up on our side.
    #[error("no TLS client can be made: {0}")]
    Tls(#[from] rustls::Error),
}

/// An address that is told.
#[derive(Clone, Debug)]
pub struct Post {
    url: Uri,
    token_file: Option<PathBuf>,
    client: WebClient,
}

impl Post {
    /// Tells this address, which has so long for one event. `system`: the anchors where none are configured.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn new(
        config: &PostConfig,
        provider: Arc<CryptoProvider>,
        system: RootCertStore,
        limit: Duration,
    ) -> Result<Self, PostError> {
        let anchors = match &config.ca {
            None => system,
            Some(path) => {
                let mut anchors = RootCertStore::empty();
                for certificate in read_certificates(path)? {
                    anchors.add(certificate.der().clone())?;
                }
                anchors
            }
        };
        let client = WebClient::new(provider, anchors, Schemes::Https, limit)?;
        Ok(Self { url: config.url.clone(), token_file: config.token_file.clone(), client })
    }

    fn request(&self, message: &str) -> Result<Request<Bytes>, DeliveryError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("brski-registrar/", env!("CARGO_PKG_VERSION")));
        // Read anew each time: a token that an operator exchanges is used at once.
        if let Some(file) = &self.token_file {
            request = request.header(AUTHORIZATION, Token::read(file)?.header());
        }
        Ok(request.body(Bytes::copy_from_slice(message.as_bytes()))?)
    }
}

#[async_trait]
impl Receiver for Post {
    async fn deliver(&self, message: &str) -> Result<(), DeliveryError> {
        let answer = self.client.send(self.request(message)?).await?;
        let (status, text) = (answer.status(), String::from_utf8_lossy(answer.body()));
        debug!(%status, answer = %text, "the address was told");
        if status.is_success() { Ok(()) } else { Err(DeliveryError::Status(status)) }
    }
}
