//! A simulated pledge: what RFC 8995 and RFC 7030 ask of a device, step by step.
//!
//! [`journey`] takes all steps in order, as a device does; tests call the single steps of [`Pledge`], right or wrong.

pub mod discover;
pub mod journey;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use brski_voucher::artefact::{Assertion, Nonce, PledgeRequestFields, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::pledge;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::Unverified;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use self::tls::{RetainedChain, TlsVersions};
use crate::http::{Answer, Connection, HttpError, Route};
use crate::masa::now;
use crate::pki::Credential;

/// Why a pledge gives up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PledgeError {
    /// The connection failed.
    #[error("{step}: {source}")]
    Http {
        /// What it was doing.
        step: &'static str,
        /// What failed.
        #[source]
        source: HttpError,
    },
    /// The registrar said no.
    #[error("{step}: the registrar answered {status}: {reason}")]
    Refused {
        /// What it was doing.
        step: &'static str,
        /// The HTTP status.
        status: u16,
        /// What the registrar said.
        reason: String,
    },
    /// What came is not what it should be.
    #[error("{step}: {reason}")]
    Check {
        /// What it was doing.
        step: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The registrar never finished.
    #[error("{step}: the registrar said 'come back' {times} times")]
    Patience {
        /// What it was doing.
        step: &'static str,
        /// How often.
        times: u32,
    },
}

impl PledgeError {
    /// Something that was checked and is wrong.
    pub(crate) fn check(step: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Check { step, reason: error.to_string() }
    }
}

/// A device fresh from the factory.
pub struct Pledge {
    credential: Credential,
    idevid: Certificate,
    serial: SerialNumber,
    key: PrivateKey,
    manufacturer: Anchors,
    signers: Vec<Certificate>,
    versions: TlsVersions,
    encoding: Encoding,
    source: Option<IpAddr>,
}

/// A voucher request and the nonce in it.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    /// The request as it is sent: CMS in DER, unless the pledge writes otherwise.
    pub der: Vec<u8>,
    /// The nonce.
    pub nonce: Nonce,
}

impl Pledge {
    /// A device with this IDevID, which trusts the CA of its manufacturer.
    ///
    /// # Errors
    /// If the IDevID has no serial number or its key is of an unknown kind.
    pub fn new(
        credential: Credential,
        manufacturer: &CertificateDer<'static>,
    ) -> Result<Self, PledgeError> {
        let step = "factory";
        let idevid = Certificate::from_der(&credential.certificate)
            .map_err(|error| PledgeError::check(step, error))?;
        Ok(Self {
            serial: idevid::serial_number(&idevid)
                .map_err(|error| PledgeError::check(step, error))?,
            key: PrivateKey::from_pkcs8_der(credential.key.secret_pkcs8_der())
                .map_err(|error| PledgeError::check(step, error))?,
            manufacturer: Anchors::new(std::slice::from_ref(manufacturer))
                .map_err(|error| PledgeError::check(step, error))?,
            idevid,
            credential,
            signers: Vec::new(),
            versions: TlsVersions::default(),
            encoding: Encoding::default(),
            source: None,
        })
    }

    /// The same device, which writes its requests in this encoding.
    #[must_use]
    pub fn writing(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// The same device, which knows the certificate of its MASA's voucher signer from the factory:
    /// in COSE a voucher does not carry it (draft-ietf-anima-constrained-voucher §6.8).
    ///
    /// # Errors
    /// [`PledgeError::Check`] if it cannot be read.
    pub fn knowing(mut self, signer: &CertificateDer<'_>) -> Result<Self, PledgeError> {
        let signer = Certificate::from_der(signer);
        self.signers.push(signer.map_err(|error| PledgeError::check("factory", error))?);
        Ok(self)
    }

    /// The media type of its requests.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        self.encoding.media_type()
    }

    /// The same device, which speaks these versions of TLS only.
    #[must_use]
    pub fn speaking(self, versions: TlsVersions) -> Self {
        Self { versions, ..self }
    }

    /// The same device, at this address of the machine.
    #[must_use]
    pub fn living_at(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Its serial number.
    #[must_use]
    pub fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// Its IDevID.
    #[must_use]
    pub fn idevid(&self) -> &Certificate {
        &self.idevid
    }

    /// Opens a provisional connection: any server, whose chain is kept (RFC 8995 §5.1).
    ///
    /// # Errors
    /// [`PledgeError::Http`].
    pub async fn connect(
        &self,
        registrar: SocketAddr,
    ) -> Result<(Connection, RetainedChain), PledgeError> {
        tls::provisional(self.route(registrar), Some(&self.credential), self.versions)
            .await
            .map_err(|source| PledgeError::Http { step: "provisional TLS", source })
    }

    /// Makes and signs a voucher request for the registrar with this certificate (RFC 8995 §5.2).
    ///
    /// # Errors
    /// [`PledgeError::Check`] if it cannot be signed.
    pub fn voucher_request(
        &self,
        registrar: &CertificateDer<'_>,
    ) -> Result<SignedRequest, PledgeError> {
        self.voucher_request_as(self.serial.clone(), registrar)
    }

    /// As [`Pledge::voucher_request`], claiming another serial number.
    ///
    /// # Errors
    /// As [`Pledge::voucher_request`].
    pub fn voucher_request_as(
        &self,
        serial_number: SerialNumber,
        registrar: &CertificateDer<'_>,
    ) -> Result<SignedRequest, PledgeError> {
        let step = "voucher request";
        let nonce = Nonce::from_random(random()?);
        let request = PledgeRequestFields {
            assertion: Assertion::Proximity,
            serial_number,
            nonce: nonce.clone(),
            created_on: Some(now()),
            proximity_registrar_cert: registrar.clone().into_owned(),
        };
        let chain = std::slice::from_ref(&self.idevid);
        let der = request
            .sign_as(self.encoding, &self.key, chain, now())
            .map_err(|error| PledgeError::check(step, error))?;
        Ok(SignedRequest { der, nonce })
    }

    /// Verifies a voucher and the registrar's chain against it; gives the pinned certificate (RFC 8995 §5.6).
    ///
    /// # Errors
    /// [`PledgeError::Check`].
    pub fn verify_voucher(
        &self,
        voucher: &[u8],
        nonce: &Nonce,
        chain: &RetainedChain,
    ) -> Result<Certificate, PledgeError> {
        let step = "voucher";
        let time = ValidityTime::At(now());
        let voucher = Unverified::<Voucher>::parse_as(voucher, self.encoding, Strictness::Standard)
            .map_err(|error| PledgeError::check(step, error))?
            .verify_by_anchors_among(&self.manufacturer, &self.signers, time)
            .map_err(|error| PledgeError::check(step, error))?;
        pledge::check_voucher(&voucher, &self.serial, nonce, &self.idevid, time)
            .map_err(|error| PledgeError::check(step, error))?;
        let chain: Vec<Certificate> =
            chain.certificates().iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        let pinned = pledge::pinned_certificate(&voucher)
            .map_err(|error| PledgeError::check(step, error))?;
        pledge::check_registrar_chain(&pinned, &chain, time)
            .map_err(|error| PledgeError::check(step, error))?;
        Ok(pinned)
    }

    /// Opens a connection to a registrar that the pinned certificate vouches for.
    ///
    /// # Errors
    /// [`PledgeError::Http`].
    pub async fn reconnect(
        &self,
        registrar: SocketAddr,
        pinned: &Certificate,
        credential: &Credential,
    ) -> Result<Connection, PledgeError> {
        tls::pinned(self.route(registrar), pinned.der(), credential, self.versions)
            .await
            .map_err(|source| PledgeError::Http { step: "TLS", source })
    }

    fn route(&self, registrar: SocketAddr) -> Route {
        Route::to(registrar).from(self.source)
    }

    /// Its IDevID and key.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// Random octets of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], PledgeError> {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets)
        .map_err(|_| PledgeError::check("factory", "no random octets"))?;
    Ok(octets)
}

/// The answer, if it has this status.
pub(crate) fn expect(
    step: &'static str,
    status: u16,
    answer: Answer,
) -> Result<Answer, PledgeError> {
    if answer.status == status {
        return Ok(answer);
    }
    Err(PledgeError::Refused { step, status: answer.status, reason: answer.text() })
}

/// A provider for TLS.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
