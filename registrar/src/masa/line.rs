//! Connections to MASAs, kept for a while: a pledge's audit log is asked for a moment after its voucher, and in a burst
//! many pledges have one MASA. A TLS handshake costs more than all else that is asked of it (RFC 8995 §5).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::address::HostRule;
use super::error::MasaError;

/// How long after it was opened a connection is used again: servers keep idle ones longer, most of them.
const AGE: Duration = Duration::from_secs(15);
/// How many connections are kept, to all MASAs together.
const KEPT_MOST: usize = 64;

/// Where a connection leads, and who the registrar is on it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    /// What its address may be: what one manufacturer is allowed is not another's.
    pub(super) rule: HostRule,
    /// Whom it trusts; another one if the manufacturer's anchors or files changed.
    pub(super) configuration: Arc<ClientConfig>,
    /// The registrar's own certificate: after a renewal no request goes out under the one before.
    pub(super) own: Arc<CertifiedKey>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port == other.port
            && self.rule == other.rule
            && Arc::ptr_eq(&self.configuration, &other.configuration)
            && Arc::ptr_eq(&self.own, &other.own)
    }
}

/// A connection, which ends with this.
pub(super) struct Line {
    pub(super) sender: SendRequest<Full<Bytes>>,
    opened: Instant,
    task: AbortHandle,
}

impl Line {
    /// Speaks HTTP over a connection, which ends by itself when it is too old to be used again and `longest`, the limit
    /// of one call, is over.
    pub(super) async fn begin(
        stream: TlsStream<TcpStream>,
        longest: Duration,
    ) -> Result<Self, MasaError> {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(MasaError::Http)?;
        let bounded = tokio::time::timeout(AGE.saturating_add(longest), connection);
        Ok(Self { sender, opened: Instant::now(), task: tokio::spawn(bounded).abort_handle() })
    }

    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.opened.elapsed() < AGE
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connections that nobody uses at the moment.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<(Place, Line)>>);

impl Lines {
    /// Takes one to this place, the one that was used last.
    pub(super) fn take(&self, place: &Place) -> Option<Line> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, line)| line.is_usable());
        let position = kept.iter().rposition(|(there, _)| there == place)?;
        Some(kept.remove(position).1)
    }

    /// Keeps one whose last answer was read whole.
    pub(super) fn keep(&self, place: Place, line: Line) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, line)| line.is_usable());
        if kept.len() >= KEPT_MOST {
            kept.remove(0);
        }
        kept.push((place, line));
    }
}
