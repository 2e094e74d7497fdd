//! The pledge's voucher request (RFC 8995 §5.2).

use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Assertion, Nonce, Timestamp, date, sealed, serial_number};
use crate::certificate::Certificate;
use crate::content::{ContentError, Leaf, Leaves, Module, Value};
use crate::encoding::Encoding;
use crate::idevid::SerialNumber;
use crate::signature::{SignError, Signer};

/// What the pledge saw of the registrar in TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proximity {
    /// Its certificate, DER (RFC 8995 §5.2).
    Certificate(Vec<u8>),
    /// Its SubjectPublicKeyInfo, DER (draft-ietf-anima-rfc8366bis §6).
    PublicKey(Vec<u8>),
    /// SHA-256 of its SubjectPublicKeyInfo (draft-ietf-anima-rfc8366bis §6).
    PublicKeySha256(Vec<u8>),
}

impl Proximity {
    /// Whether this is what a pledge sees of the registrar with this certificate.
    #[must_use]
    pub fn is_of(&self, registrar: &Certificate) -> bool {
        match self {
            Self::Certificate(seen) => seen == registrar.der().as_ref(),
            Self::PublicKey(_) | Self::PublicKeySha256(_) => self.is_key_of(registrar),
        }
    }

    /// Whether this names the key of this certificate, whichever way.
    #[must_use]
    pub fn is_key_of(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Certificate(seen) => Certificate::from_der(seen)
                .is_ok_and(|seen| seen.spki_der() == certificate.spki_der()),
            Self::PublicKey(seen) => seen == certificate.spki_der(),
            Self::PublicKeySha256(seen) => {
                *seen == crate::certificate::sha256(certificate.spki_der())
            }
        }
    }

    /// Its octets, for people to compare.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Certificate(octets) | Self::PublicKey(octets) | Self::PublicKeySha256(octets) => {
                octets
            }
        }
    }
}

/// A pledge's voucher request, as read (RFC 8995 §5.2).
///
/// Members that are not legal in it are ignored (RFC 8995 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PledgeRequest {
    assertion: Option<Assertion>,
    serial_number: SerialNumber,
    nonce: Option<Nonce>,
    created_on: Option<Timestamp>,
    proximity: Option<Proximity>,
}

impl PledgeRequest {
    /// What the pledge asserts; it should be proximity.
    #[must_use]
    pub fn assertion(&self) -> Option<Assertion> {
        self.assertion
    }

    /// The pledge's serial number, as it says.
    #[must_use]
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// What ties the voucher to this request.
    #[must_use]
    pub fn nonce(&self) -> Option<&Nonce> {
        self.nonce.as_ref()
    }

    /// When the pledge made it, if it has a clock.
    #[must_use]
    pub fn created_on(&self) -> Option<&Timestamp> {
        self.created_on.as_ref()
    }

    /// What the pledge saw of the registrar in TLS; of several, the most specific.
    #[must_use]
    pub fn proximity(&self) -> Option<&Proximity> {
        self.proximity.as_ref()
    }
}

#[allow(private_interfaces, reason = "nobody outside can name this trait")]
impl sealed::Sealed for PledgeRequest {
    const MODULE: Module = Module::VoucherRequest;
    const LEAVES: &[Leaf] = &[
        Leaf::Assertion,
        Leaf::CreatedOn,
        Leaf::Nonce,
        Leaf::ProximityRegistrarCert,
        Leaf::ProximityRegistrarPubk,
        Leaf::ProximityRegistrarPubkSha256,
        Leaf::SerialNumber,
    ];

    fn from_leaves(mut leaves: Leaves) -> Result<Self, ContentError> {
        let certificate = leaves.octets(Leaf::ProximityRegistrarCert).map(Proximity::Certificate);
        let key = leaves.octets(Leaf::ProximityRegistrarPubk).map(Proximity::PublicKey);
        let digest =
            leaves.octets(Leaf::ProximityRegistrarPubkSha256).map(Proximity::PublicKeySha256);
        Ok(Self {
            assertion: leaves.assertion(),
            serial_number: serial_number(&mut leaves)?,
            nonce: leaves.nonce(),
            created_on: leaves.date(Leaf::CreatedOn),
            proximity: certificate.or(key).or(digest),
        })
    }
}

/// A pledge's voucher request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PledgeRequestFields {
    /// What the pledge asserts: proximity.
    pub assertion: Assertion,
    /// The pledge's serial number.
    pub serial_number: SerialNumber,
    /// Fresh for every attempt.
    pub nonce: Nonce,
    /// Now, if the pledge has a clock.
    pub created_on: Option<UnixTime>,
    /// The registrar's certificate that the pledge saw in TLS.
    pub proximity_registrar_cert: CertificateDer<'static>,
}

impl PledgeRequestFields {
    /// Signs it with the key of the IDevID, in CMS. `chain`: the IDevID first. `at`: the signing time.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(
        &self,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        self.sign_as(Encoding::Cms, signer, chain, at)
    }

    /// Signs it as [`sign`](Self::sign) does, in this encoding.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_as(
        &self,
        encoding: Encoding,
        signer: &dyn Signer,
        chain: &[Certificate],
        at: UnixTime,
    ) -> Result<Vec<u8>, SignError> {
        let leaves = Leaves::default()
            .with(Leaf::Assertion, Some(Value::Assertion(self.assertion)))
            .with(Leaf::CreatedOn, self.created_on.map(date).transpose()?)
            .with(Leaf::SerialNumber, Some(Value::Text(self.serial_number.to_string())))
            .with(Leaf::Nonce, Some(Value::Nonce(self.nonce.clone())))
            .with(
                Leaf::ProximityRegistrarCert,
                Some(Value::Octets(self.proximity_registrar_cert.to_vec())),
            );
        super::sign(&leaves, Module::VoucherRequest, encoding, signer, chain, at)
    }
}
