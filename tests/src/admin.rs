//! The admin API as a program uses it: over the socket, over TLS, and by TCP for tools that know no sockets.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use brski_lab::http::{Answer, Connection};
use brski_lab::pki::Credential;
use brski_lab::pledge::tls::{self, TlsVersions};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;

/// An answer: its status and its body, `Null` where it is no JSON.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub content_type: String,
    /// The body.
    pub body: Value,
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Self { status: answer.status, content_type: answer.content_type, body }
    }
}

/// A request with a JSON body, if there is one.
///
/// # Errors
/// If it is no HTTP.
pub fn request(
    method: &str,
    target: &str,
    body: Option<&Value>,
    token: Option<&str>,
) -> anyhow::Result<Request<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Ok(request.body(body.map(Value::to_string).unwrap_or_default().into())?)
}

/// Asks over the socket in a registrar's folder.
///
/// # Errors
/// If nobody answers.
pub async fn over_socket(folder: &Path, request: Request<Bytes>) -> anyhow::Result<Reply> {
    let stream = UnixStream::connect(folder.join("admin.sock")).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = request.map(Full::new);
    request.headers_mut().insert("host", "registrar".parse()?);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type =
        content_type.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body = response.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Reply { status, content_type, body })
}

/// Opens a connection to an admin listener, with a certificate if there is one.
///
/// # Errors
/// If the handshake fails.
pub async fn over_tls(
    address: SocketAddr,
    credential: Option<&Credential>,
    versions: TlsVersions,
) -> anyhow::Result<Connection> {
    Ok(tls::provisional(address, credential, versions).await?.0)
}

/// A TCP port that leads to the socket, for tools that know no sockets; it closes when this is dropped.
pub struct Gate {
    /// The port.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Gate {
    /// Opens one.
    ///
    /// # Errors
    /// What the system says.
    pub async fn open(folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let socket: PathBuf = folder.join("admin.sock");
        let task = tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                let socket = socket.clone();
                tokio::spawn(async move {
                    let Ok(mut inside) = UnixStream::connect(socket).await else {
                        return;
                    };
                    // Either side may go first; what is left is of no interest.
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The text of a member.
///
/// # Errors
/// If there is none.
pub fn text<'a>(value: &'a Value, member: &str) -> anyhow::Result<&'a str> {
    value.get(member).and_then(Value::as_str).with_context(|| format!("{member} of {value}"))
}
