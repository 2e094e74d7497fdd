//! The HTTP client under the ACME client: HTTPS only, with TCP_NODELAY, bounded in size and time.
//!
//! Without TCP_NODELAY each POST waits 40 ms for the CA's acknowledgement.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};

/// The longest answer that is read, in octets.
const ANSWER_OCTETS: usize = 256 * 1024;

/// An HTTPS client with the anchors of one ACME directory.
#[derive(Clone)]
pub(crate) struct AcmeHttpClient {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    timeout: Duration,
}

impl AcmeHttpClient {
    pub(crate) fn new(
        provider: Arc<CryptoProvider>,
        anchors: Arc<RootCertStore>,
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
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(configuration)
            .https_only()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), timeout })
    }
}

impl HttpClient for AcmeHttpClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.client.request(request);
        let timeout = self.timeout;
        Box::pin(async move {
            let read = async {
                let (parts, body) =
                    answer.await.map_err(|error| Error::Other(Box::new(error)))?.into_parts();
                let body =
                    Limited::new(body, ANSWER_OCTETS).collect().await.map_err(Error::Other)?;
                let body = Full::new(body.to_bytes());
                Ok(BytesResponse::from(Response::from_parts(parts, body)))
            };
            tokio::time::timeout(timeout, read)
                .await
                .unwrap_or_else(|_| Err(Error::Other("the CA did not answer in time".into())))
        })
    }
}
