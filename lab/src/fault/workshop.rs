//! Where lies are made: devices fresh from the factory, the honest request of each stage, and the sending.

use std::net::SocketAddr;

use brski_est::csr_builder::{CsrRequest, PrivateKey};
use brski_est::media_type as est_media_type;
use brski_est::transfer::{self, Folding};
use brski_voucher::telemetry::Status;
use brski_voucher::{media_type, path};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use super::{Fault, Liar, Stage};
use crate::acme::{AcmeCa, CaLie};
use crate::http::{Answer, HttpError};
use crate::masa::{Masa, Misbehaviour};
use crate::pki::{Credential, Manufacturer};
use crate::pledge::journey::{self, Label};
use crate::pledge::tls::{self, TlsVersions};
use crate::pledge::{Pledge, PledgeError};

pub(super) const SIMPLE_ENROLL: &str = "/.well-known/est/simpleenroll";
const SIMPLE_REENROLL: &str = "/.well-known/est/simplereenroll";

/// Why a fault could not be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FaultError {
    /// A device cannot be made.
    #[error("no device can be made: {0}")]
    Factory(#[from] rcgen::Error),
    /// What goes before the lie went wrong.
    #[error("before the lie: {0}")]
    Before(#[from] PledgeError),
    /// The lie cannot be put into words.
    #[error("the lie cannot be made: {0}")]
    Make(String),
    /// The registrar did not answer.
    #[error("no answer: {0}")]
    Http(#[from] HttpError),
}

/// Something that cannot be made, in words.
pub(super) fn make(error: impl std::fmt::Display) -> FaultError {
    FaultError::Make(error.to_string())
}

/// A target, and what is needed to lie to it.
pub struct Workshop<'a> {
    /// The registrar.
    pub registrar: SocketAddr,
    /// A manufacturer that it knows.
    pub manufacturer: &'a Manufacturer,
    /// That manufacturer's MASA.
    pub masa: &'a Masa,
    /// The ACME CA of the registrar, if it is one that lies on demand.
    pub ca: Option<&'a AcmeCa>,
    /// What serial numbers begin with; each run needs another.
    pub prefix: String,
}

/// A device, and how far it came.
pub(super) struct Device {
    pub(super) pledge: Pledge,
    pub(super) idevid: Credential,
    pub(super) serial: String,
    /// The registrar's own certificate, as TLS showed it.
    pub(super) registrar: CertificateDer<'static>,
    /// The name that it was given, where it may enroll.
    pub(super) name: String,
    /// Its key for a certificate.
    pub(super) key: KeyPair,
    /// Its certificate, where it has one.
    pub(super) issued: Option<Credential>,
}

/// A request before it is sent.
#[derive(Clone)]
pub(super) struct Shot {
    pub(super) credential: Option<Credential>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: Option<&'static str>,
    pub(super) accept: Option<&'static str>,
    pub(super) authorization: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Shot {
    fn post(
        credential: &Credential,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Self {
        Self {
            credential: Some(credential.clone()),
            method: Method::POST,
            path: path.to_owned(),
            content_type: Some(content_type),
            accept: None,
            authorization: None,
            body,
        }
    }
}

impl Workshop<'_> {
    /// Whether a lie can be told: one of a CA needs a CA.
    #[must_use]
    pub fn can_tell(&self, fault: Fault) -> bool {
        fault.card().liar != Liar::Ca || self.ca.is_some()
    }

    /// From now on nobody lies.
    pub(super) fn hush(&self) {
        self.masa.behave(Misbehaviour::None);
        if let Some(ca) = self.ca {
            ca.behave(CaLie::None);
        }
    }

    /// Makes a device.
    pub(super) async fn device(&self, serial: &str) -> Result<Device, FaultError> {
        let idevid = self.manufacturer.authority.idevid(serial, &self.masa.url())?;
        self.device_of(idevid, serial).await
    }

    /// Makes a device of an IDevID.
    pub(super) async fn device_of(
        &self,
        idevid: Credential,
        serial: &str,
    ) -> Result<Device, FaultError> {
        let authority = self.manufacturer.authority.certificate();
        let pledge = Pledge::new(idevid.clone(), authority)?;
        let (_, chain) = tls::provisional(self.registrar, None, TlsVersions::Any).await?;
        let registrar =
            chain.own().cloned().ok_or_else(|| make("the server has no certificate"))?;
        let key = KeyPair::generate()?;
        let (serial, name) = (serial.to_owned(), String::new());
        Ok(Device { pledge, idevid, serial, registrar, name, key, issued: None })
    }

    /// Takes a device to where a stage begins.
    pub(super) async fn bring(&self, device: &mut Device, stage: Stage) -> Result<(), FaultError> {
        match stage {
            Stage::Voucher => {}
            Stage::VoucherStatus => {
                let answer = self.send(&self.honest(device, Stage::Voucher)?).await?;
                expect(&answer, "requestvoucher")?;
            }
            Stage::Enroll => {
                journey::bootstrap(&device.pledge, self.registrar).await?;
                device.name = self.name(device).await?;
            }
            Stage::Reenroll | Stage::EnrollStatus => {
                let label = Label::default();
                let enrolled = journey::run(&device.pledge, self.registrar, &label).await?;
                let names = enrolled.certificate.dns_names();
                device.name = names.first().copied().unwrap_or_default().to_owned();
                device.issued = Some(enrolled.credential);
            }
        }
        Ok(())
    }

    /// The name that the registrar gives a device.
    async fn name(&self, device: &Device) -> Result<String, FaultError> {
        let mut shot = Shot::post(&device.idevid, "/.well-known/est/csrattrs", "", Vec::new());
        (shot.method, shot.content_type) = (Method::GET, None);
        let answer = self.send(&shot).await?;
        expect(&answer, "csrattrs")?;
        let der = transfer::decode(&answer.body).map_err(make)?;
        let plan = brski_est::csr_attributes::CsrPlan::from_der(&der).map_err(make)?;
        let name = plan.given_names().find_map(|name| match name {
            brski_est::csr::GeneralName::Dns(name) => Some(name.clone()),
            _ => None,
        });
        name.ok_or_else(|| make("the registrar gave no name"))
    }

    /// The honest request of a stage.
    pub(super) fn honest(&self, device: &Device, stage: Stage) -> Result<Shot, FaultError> {
        let idevid = &device.idevid;
        let success = || Status::success().to_json();
        Ok(match stage {
            Stage::Voucher => {
                let body = device.pledge.voucher_request(&device.registrar)?.der;
                Shot::post(idevid, path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body)
            }
            Stage::VoucherStatus => {
                Shot::post(idevid, path::VOUCHER_STATUS, "application/json", success())
            }
            Stage::Enroll => {
                let body = csr(device, &CsrRequest::new(&[&device.name]))?;
                Shot::post(idevid, SIMPLE_ENROLL, est_media_type::PKCS10, body)
            }
            Stage::Reenroll => {
                let issued = device.issued.as_ref().unwrap_or(idevid);
                let body = csr(device, &CsrRequest::new(&[&device.name]))?;
                Shot::post(issued, SIMPLE_REENROLL, est_media_type::PKCS10, body)
            }
            Stage::EnrollStatus => {
                let issued = device.issued.as_ref().unwrap_or(idevid);
                Shot::post(issued, path::ENROLL_STATUS, "application/json", success())
            }
        })
    }

    /// Sends a request over a connection of its own.
    pub(super) async fn send(&self, shot: &Shot) -> Result<Answer, FaultError> {
        let credential = shot.credential.as_ref();
        let (mut connection, _) =
            tls::provisional(self.registrar, credential, TlsVersions::Any).await?;
        let mut request = Request::builder().method(shot.method.clone()).uri(&shot.path);
        for (name, value) in [(CONTENT_TYPE, shot.content_type), (ACCEPT, shot.accept)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(value) = &shot.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Bytes::from(shot.body.clone())).map_err(make)?;
        Ok(connection.request(request).await?)
    }
}

/// Signs a CSR with a device's key, as EST sends it.
pub(super) fn csr(device: &Device, request: &CsrRequest) -> Result<Vec<u8>, FaultError> {
    encoded(&device.key, request)
}

/// Signs a CSR with a key, as EST sends it.
pub(super) fn encoded(key: &KeyPair, request: &CsrRequest) -> Result<Vec<u8>, FaultError> {
    Ok(transfer::encode(&signed(key, request)?, Folding::Never).into_bytes())
}

/// Signs a CSR with a key: DER.
pub(super) fn signed(key: &KeyPair, request: &CsrRequest) -> Result<Vec<u8>, FaultError> {
    let key = PrivateKey::from_pkcs8_der(&key.serialize_der()).map_err(make)?;
    request.sign(&key).map_err(make)
}

/// An answer of what goes before a lie must be good.
pub(super) fn expect(answer: &Answer, step: &'static str) -> Result<(), FaultError> {
    match answer.status {
        200 => Ok(()),
        status => Err(PledgeError::Refused { step, status, reason: answer.text() }.into()),
    }
}
