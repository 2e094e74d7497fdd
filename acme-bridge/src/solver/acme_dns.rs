//! TXT records at an acme-dns server, to whose name `_acme-challenge.<name>` is a CNAME.
//!
//! Such a server keeps the two newest values of a registration and lets an update push the older one out.
//! So at most two names are proven at once, and a value that is still needed is sent again before a new one, which then
//! takes the place of a value that nobody needs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

use super::secret_file::{self, SecretFileError};
use super::{Records, SolverError, Turn, TxtRecord};
use crate::answer::{AnswerStore, Place};

/// How many values a registration holds.
const VALUES: usize = 2;
/// The longest answer that is read, in octets, and how long it may take.
const ANSWER_OCTETS: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a value is not at the acme-dns server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcmeDnsError {
    /// It cannot be reached.
    #[error("the acme-dns server {server} cannot be used: {reason}")]
    Unreachable {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// It does not know the credentials, or does not take requests from here.
    #[error("the acme-dns server {server} refuses the credentials ({status})")]
    Credentials {
        /// The server.
        server: String,
        /// Its status.
        status: StatusCode,
    },
    /// Another answer.
    #[error("the acme-dns server {server} answers {status}")]
    Status {
        /// The server.
        server: String,
        /// Its status.
        status: StatusCode,
    },
    /// Two names are being proven already.
    #[error("{owner} holds the values of two other orders; acme-dns keeps no third")]
    Full {
        /// The registration's name.
        owner: String,
    },
}

impl From<AcmeDnsError> for SolverError {
    fn from(error: AcmeDnsError) -> Self {
        match &error {
            AcmeDnsError::Full { .. } => Self::Busy(Box::new(error)),
            AcmeDnsError::Unreachable { .. } => Self::Passing(Box::new(error)),
            AcmeDnsError::Status { status, .. }
                if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
            {
                Self::Passing(Box::new(error))
            }
            AcmeDnsError::Status { .. } | AcmeDnsError::Credentials { .. } => {
                Self::Configuration(Box::new(error))
            }
        }
    }
}

/// What an acme-dns server gives to `POST /register`. It prints its name and nothing else.
#[derive(Clone, Deserialize)]
pub struct Registration {
    fulldomain: String,
    subdomain: String,
    username: String,
    password: String,
}

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Registration({})", self.fulldomain)
    }
}

impl Registration {
    /// Reads the JSON document of a registration from a file, mode 0600.
    ///
    /// # Errors
    /// [`SecretFileError`].
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        let wrong = |reason| SecretFileError::Format { path: path.to_owned(), reason };
        let mut read: Self = serde_json::from_str(&secret_file::read(path)?).map_err(|_| {
            wrong("it is no JSON object with fulldomain, subdomain, username and password")
        })?;
        read.fulldomain = read.fulldomain.trim_end_matches('.').to_ascii_lowercase();
        let is_header = |text: &str| http::HeaderValue::from_str(text).is_ok();
        if read.fulldomain.is_empty() || !is_header(&read.username) || !is_header(&read.password) {
            return Err(wrong("its fulldomain, username or password cannot be used"));
        }
        Ok(read)
    }

    /// The name that `_acme-challenge.<name>` must be a CNAME to.
    #[must_use]
    pub fn full_domain(&self) -> &str {
        &self.fulldomain
    }
}

/// Checks the URL of an acme-dns server: HTTPS, or HTTP to this very machine, since the password goes with each request.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    let host = uri.host().unwrap_or_default();
    let is_local = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match uri.scheme() {
        _ if host.is_empty() => Err("names no host"),
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(()),
        Some(scheme) if *scheme == Scheme::HTTP && is_local => Ok(()),
        _ => Err("must begin with https://"),
    }
}

#[derive(Serialize)]
struct Update<'a> {
    subdomain: &'a str,
    txt: &'a str,
}

/// One registration at one server.
pub struct AcmeDns {
    url: String,
    registration: Registration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    store: Arc<dyn AnswerStore>,
    /// One update at a time: which values a server keeps depends on their order.
    updating: Arc<Mutex<()>>,
}

impl AcmeDns {
    /// A client. `url`: the server's, as [`check_url`] wants it. `anchors`: of the server's TLS certificate.
    ///
    /// # Errors
    /// If the provider has no usable protocol version.
    pub fn new(
        provider: Arc<CryptoProvider>,
        anchors: RootCertStore,
        url: &str,
        registration: Registration,
        store: Arc<dyn AnswerStore>,
    ) -> Result<Self, rustls::Error> {
        let configuration = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(anchors)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(PATIENCE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(configuration)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, registration, client, store, updating: Arc::default() })
    }

    /// The values of other orders; few enough that one more has room.
    async fn others(&self, record: &TxtRecord) -> Result<Vec<String>, SolverError> {
        let mut others = self.store.in_force_at(&record.owner).await?;
        others.retain(|value| *value != record.value);
        match others.len() < VALUES {
            true => Ok(others),
            false => Err(AcmeDnsError::Full { owner: record.owner.clone() }.into()),
        }
    }

    async fn update(&self, value: &str) -> Result<(), AcmeDnsError> {
        let server = || self.url.clone();
        let unreachable = |reason: String| AcmeDnsError::Unreachable { server: server(), reason };
        let update = Update { subdomain: &self.registration.subdomain, txt: value };
        let body = serde_json::to_vec(&update).map_err(|error| unreachable(error.to_string()))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/update", self.url))
            .header("content-type", "application/json")
            .header("x-api-user", &self.registration.username)
            .header("x-api-key", &self.registration.password)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreachable(error.to_string()))?;
        let exchange = async {
            let (head, body) =
                self.client.request(request).await.map_err(|error| error.to_string())?.into_parts();
            // Read to its end, so that the connection can be used again.
            let body = Limited::new(body, ANSWER_OCTETS).collect().await;
            body.map_err(|error| error.to_string())?;
            Ok(head.status)
        };
        let status = tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
            .map_err(unreachable)?;
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(AcmeDnsError::Credentials { server: server(), status })
            }
            status => Err(AcmeDnsError::Status { server: server(), status }),
        }
    }
}

#[async_trait]
impl Records for AcmeDns {
    fn place(&self) -> Place {
        Place::AcmeDns
    }

    fn fixed_owner(&self) -> Option<&str> {
        Some(&self.registration.fulldomain)
    }

    async fn turn(&self, record: &TxtRecord) -> Result<Turn, SolverError> {
        let turn = Turn::alone(Arc::clone(&self.updating).lock_owned().await);
        self.others(record).await?;
        Ok(turn)
    }

    /// Looks for room again: another node may have taken it since the turn came.
    async fn add(&self, record: &TxtRecord) -> Result<(), SolverError> {
        for other in self.others(record).await? {
            self.update(&other).await?;
        }
        Ok(self.update(&record.value).await?)
    }

    /// There is nothing to do: a value stays until newer ones push it out, and answers no question any more.
    async fn remove(&self, _record: &TxtRecord) -> Result<(), SolverError> {
        Ok(())
    }
}
