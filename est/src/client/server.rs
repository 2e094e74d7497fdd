//! An EST server as a client sees it: what to send to it, and what its answers mean.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::{Authority, Uri};
use http::{HeaderValue, Request, Response, StatusCode};
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;

use super::reply::{self, Reply};
use super::{ReadError, RetryAfter, certificates};
use crate::csr_attributes::CsrPlan;
use crate::csr_builder::{PrivateKey, Signer as _};
use crate::media_type;
use crate::path::{self, Label, Operation, PathError};
use crate::renewal_info::{CertificateId, RenewalInfo};
use crate::server_keygen::{DecryptionKey, GeneratedKey, KeyAnswer, KeyPart, decrypt_key};
use crate::transfer::{self, Folding};

/// Why a URL names no EST server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// It is no URL, or not one of HTTPS, or has a user name, a query or the like.
    #[error("the URL is not https://HOST[:PORT]")]
    Url,
    /// Its path is none under which EST servers are.
    #[error("the path of the URL is neither empty nor {} with at most a label", path::PREFIX)]
    Path,
    /// Its label is none.
    #[error("the label in the URL cannot be one: {0}")]
    Label(#[from] PathError),
}

/// A server, and perhaps one of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstServer {
    authority: Authority,
    label: Option<Label>,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    certificate: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
}

impl Issued {
    /// The certificate of the CSR's key.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What was sent beside it, in the order sent: nothing, or its chain.
    #[must_use]
    pub fn others(&self) -> &[CertificateDer<'static>] {
        &self.others
    }
}

/// How a client expects a key that the server makes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeyDelivery<'a> {
    /// As it is, inside TLS.
    Plain,
    /// Encrypted for this key: one that comes otherwise is refused.
    Encrypted(&'a DecryptionKey),
}

/// A key that the server made, with its certificate.
#[derive(Clone, Debug)]
pub struct Generated {
    key: GeneratedKey,
    issued: Issued,
    signer: Vec<CertificateDer<'static>>,
}

impl Generated {
    /// The private key.
    #[must_use]
    pub fn key(&self) -> &GeneratedKey {
        &self.key
    }

    /// Its certificate.
    #[must_use]
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The certificates of who signed an encrypted key, its own first; empty where nobody did. The signature holds;
    /// whether that is somebody who may make keys is for the caller to say.
    #[must_use]
    pub fn signer(&self) -> &[CertificateDer<'static>] {
        &self.signer
    }
}

/// When to renew, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    info: RenewalInfo,
    ask_again: RetryAfter,
}

impl Renewal {
    /// When to renew.
    #[must_use]
    pub fn info(&self) -> &RenewalInfo {
        &self.info
    }

    /// When to ask again: 1 minute to 1 day, 6 hours where the server does not say (RFC 9773 §4.3).
    #[must_use]
    pub fn ask_again(&self) -> RetryAfter {
        self.ask_again
    }
}

impl EstServer {
    /// The server at a host and port.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        Self { authority, label: None }
    }

    /// Reads `https://HOST[:PORT]`, with nothing behind it, or `/.well-known/est`, or that and a label.
    ///
    /// # Errors
    /// [`ServerUrlError`].
    pub fn from_url(url: &str) -> Result<Self, ServerUrlError> {
        let uri: Uri = url.parse().map_err(|_| ServerUrlError::Url)?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
        let authority = authority.filter(|authority| !authority.as_str().contains('@'));
        // What follows a host is a port; one that is none must not become another one.
        let authority = authority.filter(|authority| {
            authority.port_u16().is_some() || authority.as_str() == authority.host()
        });
        let server = Self::new(
            authority.filter(|_| uri.query().is_none()).ok_or(ServerUrlError::Url)?.clone(),
        );
        let path = uri.path().trim_end_matches('/');
        match path.strip_prefix(path::PREFIX) {
            None if path.is_empty() => Ok(server),
            Some("") => Ok(server),
            Some(rest) => {
                let label = rest.strip_prefix('/').ok_or(ServerUrlError::Path)?;
                Ok(server.with_label(Label::parse(label)?))
            }
            None => Err(ServerUrlError::Path),
        }
    }

    /// The same server, by a label.
    #[must_use]
    pub fn with_label(self, label: Label) -> Self {
        Self { label: Some(label), ..self }
    }

    /// Its host and port.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its label, if there is one.
    #[must_use]
    pub fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// Asks for the CA certificates (RFC 7030 §4.1.2).
    #[must_use]
    pub fn ca_certs(&self) -> Request<Vec<u8>> {
        self.get(&path::of(self.label(), Operation::CaCerts))
    }

    /// Asks what to put into a CSR (RFC 7030 §4.5.1).
    #[must_use]
    pub fn csr_attrs(&self) -> Request<Vec<u8>> {
        self.get(&path::of(self.label(), Operation::CsrAttrs))
    }

    /// Asks for a first certificate. `csr`: PKCS#10, DER (RFC 7030 §4.2.1).
    #[must_use]
    pub fn simple_enroll(&self, csr: &[u8]) -> Request<Vec<u8>> {
        self.post(Operation::SimpleEnroll, csr)
    }

    /// Asks for another certificate in place of the one that the TLS session shows (RFC 7030 §4.2.2).
    #[must_use]
    pub fn simple_reenroll(&self, csr: &[u8]) -> Request<Vec<u8>> {
        self.post(Operation::SimpleReenroll, csr)
    }

    /// Asks for a certificate and its key (RFC 7030 §4.4.1).
    #[must_use]
    pub fn server_keygen(&self, csr: &[u8]) -> Request<Vec<u8>> {
        self.post(Operation::ServerKeygen, csr)
    }

    /// Asks when to renew a certificate (draft-ietf-lamps-est-renewal-info).
    #[must_use]
    pub fn renewal_info(&self, certificate: &CertificateId) -> Request<Vec<u8>> {
        let path = path::of(self.label(), Operation::RenewalInfo);
        self.get(&format!("{path}/{certificate}"))
    }

    /// Reads the CA certificates, in the order sent.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_ca_certs<B: AsRef<[u8]>>(
        &self,
        response: &Response<B>,
        now: UnixTime,
    ) -> Result<Reply<Vec<CertificateDer<'static>>>, ReadError> {
        match reply::unless_done(response, &self.authority, now) {
            Some(reply) => Ok(reply),
            None => certificates::read(response.body().as_ref()).map(Reply::Done),
        }
    }

    /// Reads what to put into a CSR. A server that says nothing, in any of the ways to say it, has it not available.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// RFC 7030 §4.5.2: 204 and 404, 501, and an empty list all mean the same.
    pub fn read_csr_attrs<B: AsRef<[u8]>>(
        &self,
        response: &Response<B>,
        now: UnixTime,
    ) -> Result<Reply<CsrPlan>, ReadError> {
        if is_not_available(response.status()) {
            return Ok(Reply::NotAvailable);
        }
        if let Some(reply) = reply::unless_done(response, &self.authority, now) {
            return Ok(reply);
        }
        let body = response.body().as_ref();
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Reply::NotAvailable);
        }
        let plan = CsrPlan::from_der(&transfer::decode(body)?)?;
        Ok(if plan.is_empty() { Reply::NotAvailable } else { Reply::Done(plan) })
    }

    /// Reads a certificate. `spki`: SubjectPublicKeyInfo of the CSR, DER, by which the certificate is found among those
    /// sent.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_enrolled<B: AsRef<[u8]>>(
        &self,
        response: &Response<B>,
        spki: &[u8],
        now: UnixTime,
    ) -> Result<Reply<Issued>, ReadError> {
        if let Some(reply) = reply::unless_done(response, &self.authority, now) {
            return Ok(reply);
        }
        let all = certificates::read(response.body().as_ref())?;
        let (certificate, others) = certificates::of_key(all, spki)?;
        Ok(Reply::Done(Issued { certificate, others }))
    }

    /// Reads a certificate and its key, which must belong together.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::NotEncrypted`] and [`ReadError::Encrypted`] where the key comes otherwise than
    /// expected.
    pub fn read_generated<B: AsRef<[u8]>>(
        &self,
        response: &Response<B>,
        expected: KeyDelivery<'_>,
        now: UnixTime,
    ) -> Result<Reply<Generated>, ReadError> {
        if is_not_available(response.status()) {
            return Ok(Reply::NotAvailable);
        }
        if let Some(reply) = reply::unless_done(response, &self.authority, now) {
            return Ok(reply);
        }
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answer = KeyAnswer::parse(content_type, response.body().as_ref())?;
        let (key, signer) = match (answer.key(), expected) {
            (KeyPart::Plain(key), KeyDelivery::Plain) => (key.clone(), Vec::new()),
            (KeyPart::Encrypted(message), KeyDelivery::Encrypted(key)) => {
                let opened = decrypt_key(message, key)?;
                (opened.key().clone(), opened.signer().to_vec())
            }
            (KeyPart::Plain(_), KeyDelivery::Encrypted(_)) => return Err(ReadError::NotEncrypted),
            (KeyPart::Encrypted(_), KeyDelivery::Plain) => return Err(ReadError::Encrypted),
        };
        let own = PrivateKey::from_pkcs8_der(key.pkcs8_der()).map_err(ReadError::GeneratedKey)?;
        let (certificate, others) =
            certificates::of_key(answer.certificates().to_vec(), own.spki_der())?;
        Ok(Reply::Done(Generated { key, issued: Issued { certificate, others }, signer }))
    }

    /// Reads when to renew.
    ///
    /// # Errors
    /// [`ReadError::RenewalInfo`]: to be taken as if no answer had come.
    pub fn read_renewal_info<B: AsRef<[u8]>>(
        &self,
        response: &Response<B>,
        now: UnixTime,
    ) -> Result<Reply<Renewal>, ReadError> {
        if is_not_available(response.status()) {
            return Ok(Reply::NotAvailable);
        }
        if let Some(reply) = reply::unless_done(response, &self.authority, now) {
            return Ok(reply);
        }
        let info = RenewalInfo::from_json(response.body().as_ref())?;
        let told = RetryAfter::of(response.headers(), now);
        let ask_again = told.map_or(RetryAfter::RENEWAL_INFO_DEFAULT, |told| {
            told.max(RetryAfter::RENEWAL_INFO_LEAST)
        });
        Ok(Reply::Done(Renewal { info, ask_again }))
    }

    fn get(&self, path: &str) -> Request<Vec<u8>> {
        let mut request = Request::new(Vec::new());
        // A path of EST has letters, digits and a few marks alone, so it always is one.
        *request.uri_mut() = path.parse().unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(self.authority.as_str()) {
            request.headers_mut().insert(HOST, host);
        }
        request
    }

    /// The body is one line: older servers and newer ones read that, and a Content-Transfer-Encoding says nothing
    /// (RFC 8951 §3).
    fn post(&self, operation: Operation, csr: &[u8]) -> Request<Vec<u8>> {
        let body = transfer::encode(csr, Folding::Never).into_bytes();
        let mut request = self.get(&path::of(self.label(), operation));
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type::PKCS10));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        *request.body_mut() = body;
        request
    }
}

/// Whether an operation that a server need not offer is not offered (RFC 7030 §4.3.2, §4.5.2).
fn is_not_available(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND, StatusCode::NOT_IMPLEMENTED].contains(&status)
}
