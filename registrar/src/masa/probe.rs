//! What a MASA looks like from here, for an operator: may it be called, is it there, is its certificate right, does it
//! answer. No voucher is asked for (RFC 8995 §5.4 says how it would be).
//!
//! It is called as for a device: the same hosts are allowed, the same anchors trusted, the same certificate shown.

use std::time::Instant;

use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::MasaUrl;
use brski_voucher::media_type;
use bytes::Bytes;
use http::Method;
use rustls::{CertificateError, Error, ProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{MasaClient, MasaRequest, Operation, Visit, credentials, resolve};
use super::error::MasaError;
use super::line::Line;
use crate::observe::log::with_sources;
use crate::store::model::{Manufacturer, MasaClientCertificate};

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// May the host be called at all?
    Host,
    /// Has its name an address?
    Name,
    /// Does somebody listen there?
    Connection,
    /// Does it prove to be this host, to anchors that count here?
    Tls,
    /// Does it answer?
    Http,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Host, Self::Name, Self::Connection, Self::Tls, Self::Http];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

/// What came of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Works,
    /// It may be, or not: a real request would tell.
    Unclear,
    /// No device would get a voucher.
    Fails,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Unclear => "unclear",
            Self::Fails => "failed",
        }
    }
}

/// What was found at one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one.
    pub stage: Stage,
    /// What came of it.
    pub outcome: Outcome,
    /// In plain words.
    pub detail: String,
}

impl MasaClient {
    /// Looks at a MASA, as far as it gets, within the time that a call may take.
    ///
    /// What is given ends with the first stage that failed.
    pub async fn probe(&self, url: &MasaUrl, manufacturer: &Manufacturer) -> Vec<Found> {
        let mut found = Vec::new();
        let probe = Probe { client: self, url, manufacturer };
        if tokio::time::timeout(self.timeout, probe.look(&mut found)).await.is_err() {
            let stage = Stage::ALL.get(found.len()).copied().unwrap_or(Stage::Http);
            let detail = format!("nothing came within {} s", self.timeout.as_secs());
            found.push(Found { stage, outcome: Outcome::Fails, detail });
        }
        found
    }
}

struct Probe<'a> {
    client: &'a MasaClient,
    url: &'a MasaUrl,
    manufacturer: &'a Manufacturer,
}

impl Probe<'_> {
    /// Stops where there is no way on.
    async fn look(&self, found: &mut Vec<Found>) -> Option<()> {
        let (host, port) = (self.url.host(), self.url.port());
        let mut note = |stage, outcome, detail| found.push(Found { stage, outcome, detail });
        let resolved = resolve(host, port, &self.manufacturer.masa_hosts).await;
        match &resolved {
            Err(
                error @ (MasaError::HostRefused { .. }
                | MasaError::AddressRefused { .. }
                | MasaError::Host { .. }),
            ) => {
                note(Stage::Host, Outcome::Fails, with_sources(error));
                return None;
            }
            _ => note(Stage::Host, Outcome::Works, self.allowed()),
        }
        let addresses = match resolved {
            Ok(addresses) => addresses,
            Err(error) => {
                let detail = format!("the name {host} has no address: {}", with_sources(&error));
                note(Stage::Name, Outcome::Fails, detail);
                return None;
            }
        };
        let texts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        note(Stage::Name, Outcome::Works, format!("{host} is at {}", texts.join(", ")));
        let since = Instant::now();
        let stream = match TcpStream::connect(addresses.as_slice()).await {
            Ok(stream) => stream,
            Err(error) => {
                let detail = format!("nobody can be reached at port {port}: {error}");
                note(Stage::Connection, Outcome::Fails, detail);
                return None;
            }
        };
        let at = stream.peer_addr().map_or_else(|_| host.to_owned(), |at| at.to_string());
        let detail = format!("{at} answers after {} ms", since.elapsed().as_millis());
        note(Stage::Connection, Outcome::Works, detail);
        let (outcome, detail, stream) = self.secure(stream).await;
        note(Stage::Tls, outcome, detail);
        let (outcome, detail) = self.ask(stream?).await;
        note(Stage::Http, outcome, detail);
        Some(())
    }

    fn allowed(&self) -> String {
        let hosts = &self.manufacturer.masa_hosts;
        match hosts.is_empty() {
            true => "any public host may be called for this manufacturer".to_owned(),
            false => format!("it is among those allowed: {}", hosts.join(", ")),
        }
    }

    async fn secure(&self, stream: TcpStream) -> (Outcome, String, Option<TlsStream<TcpStream>>) {
        let host = self.url.host();
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            let error = MasaError::Host { host: host.to_owned() };
            return (Outcome::Fails, error.to_string(), None);
        };
        let (configuration, watcher) = match self.client.configurations.watched(self.manufacturer) {
            Ok(both) => both,
            Err(error) => return (Outcome::Fails, with_sources(&error), None),
        };
        let stream = TlsConnector::from(std::sync::Arc::new(configuration)).connect(name, stream);
        match stream.await {
            Ok(stream) => {
                let version = match stream.get_ref().1.protocol_version() {
                    Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                    _ => "TLS 1.2",
                };
                let detail = format!(
                    "{version}; its certificate: {}; {}; it may have {}",
                    described(&watcher.seen()),
                    self.trusted(),
                    self.shown(),
                );
                (Outcome::Works, detail, Some(stream))
            }
            Err(error) => {
                let reason = self.reason(&error);
                let detail = match watcher.seen().as_slice() {
                    [] => reason,
                    seen => format!("{reason}; its certificate: {}", described(seen)),
                };
                (Outcome::Fails, detail, None)
            }
        }
    }

    fn trusted(&self) -> String {
        match self.manufacturer.masa_anchors.len() {
            0 => "it chains to an anchor of the operating system".to_owned(),
            _ => "it chains to the CA that was added with the manufacturer".to_owned(),
        }
    }

    fn shown(&self) -> String {
        match &self.manufacturer.masa.client {
            MasaClientCertificate::Registrar => "the registrar's own certificate".to_owned(),
            MasaClientCertificate::None => "no certificate of ours".to_owned(),
            MasaClientCertificate::Files { certificate, .. } => {
                format!("our certificate {certificate}")
            }
        }
    }

    /// Why TLS failed, in words for somebody who can mend it.
    fn reason(&self, error: &std::io::Error) -> String {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                match self.manufacturer.masa_anchors.is_empty() {
                    true => {
                        "its certificate comes from no CA that the operating system trusts; \
                             a private CA is given when the manufacturer is added (--masa-ca)"
                    }
                    false => {
                        "its certificate comes from another CA than the one that was added \
                              with the manufacturer (--masa-ca)"
                    }
                }
                .to_owned()
            }
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!("its certificate is not for {}", self.url.host()),
            Some(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => "its certificate has expired".to_owned(),
            Some(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => "its certificate is not valid yet; is this machine's clock right?".to_owned(),
            Some(Error::AlertReceived(alert)) => {
                format!(
                    "it ended the TLS handshake and said {alert:?}; it may have {}",
                    self.shown()
                )
            }
            _ => format!("TLS failed: {error}"),
        }
    }

    /// Asks by GET, which no MASA takes for a request.
    async fn ask(&self, stream: TlsStream<TcpStream>) -> (Outcome, String) {
        let path = self.url.path(Operation::RequestVoucher.as_str());
        let request = MasaRequest {
            url: self.url,
            manufacturer: self.manufacturer,
            operation: Operation::RequestVoucher,
            media_type: media_type::VOUCHER_CMS,
            accept: media_type::VOUCHER_CMS,
            body: Bytes::new(),
        };
        let asked = async {
            let credentials = credentials(self.manufacturer)?;
            let has_password = credentials.is_some();
            let line = Some(Line::begin(stream, self.client.timeout).await?);
            let mut visit = Visit { client: self.client, request: &request, credentials, line };
            let (answer, _) = visit.send(&Method::GET, &path).await?;
            Ok::<_, MasaError>((answer.status, has_password))
        };
        match asked.await {
            Ok((status, has_password)) => judged(status, &path, has_password.into()),
            Err(error) => {
                let detail = format!("{}; it may have {}", with_sources(&error), self.shown());
                (Outcome::Fails, detail)
            }
        }
    }
}

/// Whether a name and a password are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Password {
    Configured,
    Missing,
}

impl From<bool> for Password {
    fn from(is_there: bool) -> Self {
        if is_there { Self::Configured } else { Self::Missing }
    }
}

/// What a status says of a MASA that was asked nothing.
fn judged(status: u16, path: &str, password: Password) -> (Outcome, String) {
    let (outcome, words) = match (status, password) {
        (405, _) => (Outcome::Works, format!("it takes POST alone at {path}, as a MASA does")),
        (401, Password::Missing) => {
            (Outcome::Fails, "it wants a name and a password (--masa-credential)".to_owned())
        }
        (401, Password::Configured) => {
            (Outcome::Fails, "it refuses our name and password (--masa-credential)".to_owned())
        }
        (403, _) => (Outcome::Fails, "it knows who we are, or wants to, and says no".to_owned()),
        (404 | 410, _) => (
            Outcome::Unclear,
            format!(
                "there is nothing to read at {path}; if a request fails too, its path is wrong"
            ),
        ),
        (300..400, _) => {
            (Outcome::Fails, "it sends us elsewhere, and redirects are not followed".to_owned())
        }
        (500.., _) => (Outcome::Fails, "it says that it cannot answer now".to_owned()),
        (200..300 | 400 | 406 | 415, _) => (Outcome::Works, format!("it answers at {path}")),
        _ => (Outcome::Unclear, format!("it answers at {path}, in a way that tells little")),
    };
    (outcome, format!("HTTP {status}: {words}"))
}

/// The certificates that a server showed, in a line.
fn described(chain: &[CertificateDer<'_>]) -> String {
    let Some(own) = chain.first() else {
        return "none".to_owned();
    };
    let Ok(own) = Certificate::from_der(own) else {
        return "one that cannot be read".to_owned();
    };
    let end = OffsetDateTime::from_unix_timestamp(own.not_after())
        .ok()
        .and_then(|end| end.format(&Rfc3339).ok())
        .unwrap_or_else(|| own.not_after().to_string());
    format!(
        "{} by {}, for {}, until {end}, with {} above it",
        own.subject_text(),
        own.issuer_text(),
        own.dns_names().join(", "),
        chain.len().saturating_sub(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_whether_a_request_would_be_taken() {
        for (status, password, outcome, words) in [
            (405, Password::Missing, Outcome::Works, "POST alone at /x"),
            (200, Password::Missing, Outcome::Works, "answers"),
            (415, Password::Missing, Outcome::Works, "answers"),
            (401, Password::Missing, Outcome::Fails, "wants a name"),
            (401, Password::Configured, Outcome::Fails, "refuses our name"),
            (403, Password::Missing, Outcome::Fails, "says no"),
            (302, Password::Missing, Outcome::Fails, "redirects are not followed"),
            (404, Password::Missing, Outcome::Unclear, "nothing to read at /x"),
            (503, Password::Missing, Outcome::Fails, "cannot answer"),
            (418, Password::Missing, Outcome::Unclear, "tells little"),
        ] {
            let (found, text) = judged(status, "/x", password);
            assert_eq!(found, outcome, "{status}");
            assert!(
                text.contains(words) && text.starts_with(&format!("HTTP {status}: ")),
                "{text}"
            );
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_said_to_be_so() {
        assert_eq!(described(&[]), "none");
        let garbage = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(described(&[garbage]), "one that cannot be read");
    }
}
