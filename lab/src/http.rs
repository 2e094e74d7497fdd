//! One HTTPS connection as the lab's clients use it: requests one after the other, answers read whole.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// The longest answer that is read, in octets.
const ANSWER_OCTETS: usize = 1024 * 1024;
/// How long a request may take; registrars hold requests for up to a minute.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// What the lab calls itself: current Pebble answers nobody without a name.
const OUR_NAME: &str = concat!("brski-lab/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No TLS.
    #[error("TLS with {address} failed: {source}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// No HTTP.
    #[error("HTTP failed: {0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be expressed in HTTP.
    #[error("the request is not HTTP: {0}")]
    Request(#[from] http::Error),
    /// The answer is too long or broke off.
    #[error("the answer is too long or broke off")]
    Answer,
    /// It took too long.
    #[error("no answer within {REQUEST_LIMIT:?}")]
    Timeout,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type; empty if there was none.
    pub content_type: String,
    /// The Retry-After header; empty if there was none.
    pub retry_after: String,
    /// The WWW-Authenticate header; empty if there was none.
    pub authenticate: String,
    /// The Allow header; empty if there was none.
    pub allow: String,
    /// Whether the server closes the connection after it.
    pub connection: String,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// Whom to connect to, and from which address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    to: SocketAddr,
    from: Option<IpAddr>,
}

impl Route {
    /// To an address, from the one that the system chooses.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self { to: address, from: None }
    }

    /// The same, from this address, if there is one.
    #[must_use]
    pub fn from(self, source: Option<IpAddr>) -> Self {
        Self { from: source, ..self }
    }

    /// Whom to connect to.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.to
    }

    async fn connect(self) -> io::Result<TcpStream> {
        let Some(source) = self.from else {
            return TcpStream::connect(self.to).await;
        };
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(self.to).await
    }
}

impl From<SocketAddr> for Route {
    fn from(address: SocketAddr) -> Self {
        Self::to(address)
    }
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    binding: Option<Binding>,
}

/// What ties a message to a TLS 1.3 session: its exporter `EXPORTER-Channel-Binding` (RFC 9266 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding([u8; 32]);

impl Binding {
    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// TLS 1.2 has no binding that is safe to use.
    fn of(session: &rustls::ClientConnection) -> Option<Self> {
        if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let exported =
            session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        exported.ok().map(Self)
    }
}

impl Connection {
    /// Opens a connection with this TLS configuration; `name` is what SNI and the name check use.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn open(
        route: impl Into<Route>,
        name: ServerName<'static>,
        configuration: Arc<ClientConfig>,
    ) -> Result<Self, HttpError> {
        let route = route.into();
        let address = route.to;
        let stream = route
            .connect()
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| HttpError::Connect { address, source })?;
        let stream = TlsConnector::from(configuration)
            .connect(name, stream)
            .await
            .map_err(|source| HttpError::Tls { address, source })?;
        let binding = Binding::of(stream.get_ref().1);
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address, binding })
    }

    /// What ties a message to this TLS session; nothing before TLS 1.3.
    #[must_use]
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// Whether the server has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn get(&mut self, path: &str) -> Result<Answer, HttpError> {
        self.send(Method::GET, path, "", Bytes::new()).await
    }

    /// Sends a POST.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, HttpError> {
        self.send(Method::POST, path, content_type, body.into()).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<Answer, HttpError> {
        let mut request = Request::builder().method(method).uri(path).header(USER_AGENT, OUR_NAME);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        self.request(request.body(body)?).await
    }

    /// Sends any request; the Host header is added where there is none.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn request(&mut self, request: Request<Bytes>) -> Result<Answer, HttpError> {
        let (parts, body) = self.exchange(request).await?.into_parts();
        let text = |name: http::HeaderName| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok(Answer {
            status: parts.status.as_u16(),
            content_type: text(CONTENT_TYPE),
            retry_after: text(RETRY_AFTER),
            authenticate: text(http::header::WWW_AUTHENTICATE),
            allow: text(http::header::ALLOW),
            connection: text(http::header::CONNECTION),
            body,
        })
    }

    /// As [`Connection::request`], and gives the answer with all its headers.
    ///
    /// # Errors
    /// [`HttpError`].
    pub async fn exchange<B: Into<Bytes>>(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Bytes>, HttpError> {
        let mut request = request.map(|body| Full::new(body.into()));
        if !request.headers().contains_key(HOST) {
            let host =
                HeaderValue::try_from(self.address.to_string()).map_err(http::Error::from)?;
            request.headers_mut().insert(HOST, host);
        }
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_OCTETS).collect().await;
            let body = body.map_err(|_| HttpError::Answer)?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        tokio::time::timeout(REQUEST_LIMIT, exchange).await.unwrap_or(Err(HttpError::Timeout))
    }
}
