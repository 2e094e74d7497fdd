//! Lies below HTTP: of whoever carries a device's octets to the registrar, and carries others, or not all of them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Fault;
use super::run::Outcome;
use super::workshop::{FaultError, Shot, Workshop, make};
use crate::pledge::tls;

/// How long a registrar may bear it.
const LIMIT: Duration = Duration::from_secs(120);
/// How much of what it says is read.
const ANSWER_OCTETS: u64 = 64 * 1024;
/// What is no TLS: the beginning of another protocol.
const GARBAGE: &[u8] = b"SSH-2.0-lab\r\n\0\0\0\0\0\0\0\0";

/// Whether it is told below HTTP.
pub(super) fn is_told_on_the_link(fault: Fault) -> bool {
    matches!(fault, Fault::ProxyGarbage | Fault::ProxyCuts | Fault::ProxySlow)
}

/// Tells it; the status is 0 where the registrar closes the connection without an answer.
pub(super) async fn tell(workshop: &Workshop<'_>, fault: Fault, shot: &Shot) -> Outcome {
    let told = async {
        if fault == Fault::ProxyGarbage {
            let mut stream = TcpStream::connect(workshop.registrar).await.map_err(make)?;
            stream.write_all(GARBAGE).await.map_err(make)?;
            return heard(stream).await;
        }
        let mut stream = tls::raw(workshop.registrar, shot.credential.as_ref()).await?;
        let half = shot.body.get(..shot.body.len() / 2).unwrap_or_default();
        stream.write_all(&[head(shot).as_bytes(), half].concat()).await.map_err(make)?;
        stream.flush().await.map_err(make)?;
        if fault == Fault::ProxyCuts {
            stream.shutdown().await.map_err(make)?;
        }
        heard(stream).await
    };
    timeout(LIMIT, told).await.unwrap_or_else(|_| Err(make("the connection stays open")))
}

/// The request that announces the whole body.
fn head(shot: &Shot) -> String {
    format!(
        "{} {} HTTP/1.1\r\nHost: registrar\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        shot.method,
        shot.path,
        shot.content_type.unwrap_or_default(),
        shot.body.len()
    )
}

/// Reads to the end, and gives the status and what is behind the head.
async fn heard(stream: impl AsyncRead + Unpin) -> Outcome {
    let mut octets = Vec::new();
    // A connection that is reset is closed.
    let _ = stream.take(ANSWER_OCTETS).read_to_end(&mut octets).await;
    let text = String::from_utf8_lossy(&octets);
    let Some(line) = text.strip_prefix("HTTP/1.1 ") else {
        return Ok((0, "the connection was closed without an answer".to_owned()));
    };
    let status = line.split(' ').next().and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| FaultError::Make("the answer has no status".to_owned()))?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}
