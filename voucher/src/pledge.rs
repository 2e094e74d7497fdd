//! The pledge's decisions: on a voucher, and on the registrar whose TLS certificate it kept (RFC 8995 §5.6).

use thiserror::Error;

use crate::artefact::{Assertion, Nonce, Voucher};
use crate::certificate::{Certificate, hex, sha256};
use crate::idevid::{self, SerialNumber};
use crate::trust::{Anchors, ChainError, ValidityTime, verify_chain};
use crate::verify::Verified;

/// Why a chain does not fit a voucher's pin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PinError {
    /// The voucher pins nothing.
    #[error("the voucher has no pinned-domain-cert, and no key instead (RFC 8995 §5.6.2)")]
    NoPin,
    /// What it pins is no certificate.
    #[error("the pinned-domain-cert is no certificate (RFC 8995 §5.6.2)")]
    Unreadable,
    /// There is no chain.
    #[error("there is no certificate of the registrar (RFC 8995 §5.6.2)")]
    NoChain,
    /// None of the registrar's certificates has the key that is pinned.
    #[error(
        "the registrar's certificates have keys (SHA-256 {registrar}), and none is the pinned-domain-pubk \
         ({pinned}) (RFC 8995 §5.6.2)"
    )]
    ForeignKey {
        /// SHA-256 of the key of each.
        registrar: String,
        /// SHA-256 of what is pinned.
        pinned: String,
    },
    /// The registrar's certificate does not lead to what is pinned.
    #[error(
        "the registrar's certificate (SHA-256 {registrar}) does not lead to the pinned-domain-cert \
         ({pinned}) (RFC 8995 §5.6.2): {reason}"
    )]
    Chain {
        /// SHA-256 of the registrar's certificate.
        registrar: String,
        /// SHA-256 of what is pinned.
        pinned: String,
        /// What the path check says.
        reason: ChainError,
    },
}

/// What a voucher pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A certificate of the domain (RFC 8366 §5.3).
    Certificate(Certificate),
    /// A SubjectPublicKeyInfo of the domain, DER (draft-ietf-anima-rfc8366bis §5).
    PublicKey(Vec<u8>),
    /// SHA-256 of one (draft-ietf-anima-rfc8366bis §5).
    PublicKeySha256(Vec<u8>),
}

impl Pin {
    /// Reads what a voucher pins; of several, the digest of a key, else the key, else the certificate.
    ///
    /// # Errors
    /// [`PinError::NoPin`], [`PinError::Unreadable`].
    ///
    /// draft-ietf-anima-rfc8366bis §5.
    pub fn of(voucher: &Voucher) -> Result<Self, PinError> {
        if let Some(digest) = voucher.pinned_domain_pubk_sha256() {
            return Ok(Self::PublicKeySha256(digest.to_vec()));
        }
        if let Some(key) = voucher.pinned_domain_pubk() {
            return Ok(Self::PublicKey(key.to_vec()));
        }
        pinned_certificate(voucher).map(Self::Certificate)
    }

    /// Checks that the registrar's certificate leads to what is pinned, as [`check_registrar_chain`] does.
    ///
    /// A pinned key is that of a certificate of the chain: the registrar's own, or one that it leads to.
    ///
    /// # Errors
    /// [`PinError`].
    ///
    /// RFC 8995 §5.6.2.
    pub fn check(&self, chain: &[Certificate], time: ValidityTime) -> Result<(), PinError> {
        let is_pinned = |certificate: &&Certificate| match self {
            Self::Certificate(_) => false,
            Self::PublicKey(key) => certificate.spki_der() == key,
            Self::PublicKeySha256(digest) => sha256(certificate.spki_der()) == digest[..],
        };
        match (self, chain.iter().find(is_pinned)) {
            (Self::Certificate(pinned), _) => check_registrar_chain(pinned, chain, time),
            (_, Some(pinned)) => check_registrar_chain(pinned, chain, time),
            (_, None) if chain.is_empty() => Err(PinError::NoChain),
            (Self::PublicKey(key), None) => Err(PinError::foreign_key(&sha256(key), chain)),
            (Self::PublicKeySha256(digest), None) => Err(PinError::foreign_key(digest, chain)),
        }
    }
}

impl PinError {
    fn foreign_key(pinned: &[u8], chain: &[Certificate]) -> Self {
        let keys: Vec<String> =
            chain.iter().map(|certificate| hex(&sha256(certificate.spki_der()))).collect();
        Self::ForeignKey { registrar: keys.join(", "), pinned: hex(pinned) }
    }
}

/// Reads the certificate that a voucher pins.
///
/// # Errors
/// [`PinError::NoPin`], [`PinError::Unreadable`].
///
/// RFC 8366 §5.3.
pub fn pinned_certificate(voucher: &Voucher) -> Result<Certificate, PinError> {
    let pinned = voucher.pinned_domain_cert().ok_or(PinError::NoPin)?;
    Certificate::from_der(pinned).map_err(|_| PinError::Unreadable)
}

/// Checks that the registrar's certificate chains to what a voucher pins, the sole anchor for this once.
///
/// Pinning the registrar's own certificate will do, or another one of the same key: the key is what is pinned.
/// `chain`: as kept from TLS, the registrar's certificate first.
///
/// # Errors
/// [`PinError`].
///
/// RFC 8995 §5.6.2.
pub fn check_registrar_chain(
    pinned: &Certificate,
    chain: &[Certificate],
    time: ValidityTime,
) -> Result<(), PinError> {
    let (own, above) = chain.split_first().ok_or(PinError::NoChain)?;
    // The TLS handshake proved the key; a certificate of this key is as good as the pinned one while its dates fit.
    let pin = if own.spki_der() == pinned.spki_der() { own } else { pinned };
    let anchors = Anchors::new(&[pin.der().clone()]).map_err(|_| PinError::Unreadable)?;
    verify_chain(own, above, &anchors, time).map_err(|reason| PinError::Chain {
        registrar: hex(&own.fingerprint()),
        pinned: hex(&pinned.fingerprint()),
        reason,
    })
}

/// Why a pledge refuses a voucher.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VoucherRefusal {
    /// It is for another device.
    #[error(
        "the voucher is for serial number {voucher:?}, this device is {own:?} (RFC 8995 §5.6.1)"
    )]
    SerialNumberMismatch {
        /// In the voucher.
        voucher: String,
        /// The pledge's own.
        own: String,
    },
    /// It answers another request.
    #[error("the voucher has nonce {voucher:?}, the request had {request:?} (RFC 8995 §5.6.1)")]
    NonceMismatch {
        /// In the voucher; empty if it has none.
        voucher: String,
        /// In the request.
        request: String,
    },
    /// It is for an IDevID of another issuer.
    #[error(
        "the voucher has idevid-issuer {voucher}, this device's IDevID has {own} (hex, RFC 8366 §5.3)"
    )]
    IdevidIssuerMismatch {
        /// In the voucher.
        voucher: String,
        /// Of the pledge's IDevID.
        own: String,
    },
    /// It has a nonce, and no request was made.
    #[error("the voucher has nonce {voucher:?}, and none was expected (RFC 8366 §5.3)")]
    UnexpectedNonce {
        /// In the voucher.
        voucher: String,
    },
    /// It asserts less than the pledge wants.
    #[error("the voucher asserts {voucher}, the pledge accepts {accepted} (RFC 8366 §5.3)")]
    Assertion {
        /// What it asserts.
        voucher: String,
        /// What the pledge accepts.
        accepted: String,
    },
    /// It is over.
    #[error("the voucher expired at {expired}, it is {now} (Unix seconds, RFC 8366 §5.3)")]
    Expired {
        /// Its expires-on.
        expired: i64,
        /// The pledge's time.
        now: i64,
    },
}

/// Checks a verified voucher against the request that it answers.
///
/// A nonceless voucher answers no request: see [`check_nonceless_voucher`]. What it asserts is a matter of policy:
/// see [`check_assertion`]. `now`: [`ValidityTime::IgnoringExpiry`] for a pledge without a clock.
///
/// # Errors
/// [`VoucherRefusal`].
///
/// RFC 8995 §5.6.1, RFC 8366 §5.3.
pub fn check_voucher(
    voucher: &Verified<Voucher>,
    serial: &SerialNumber,
    nonce: &Nonce,
    idevid: &Certificate,
    now: ValidityTime,
) -> Result<(), VoucherRefusal> {
    check_serial_number(voucher, serial)?;
    check_nonce(voucher, nonce)?;
    check_idevid_issuer(voucher, idevid)?;
    check_expiry(voucher, now)
}

/// Checks a verified voucher that answers no request: one that was made ahead, for whoever owns the device.
///
/// Whether a pledge takes such a voucher at all is its policy.
///
/// # Errors
/// [`VoucherRefusal`].
///
/// RFC 8995 §5.6.1, §7.2.
pub fn check_nonceless_voucher(
    voucher: &Verified<Voucher>,
    serial: &SerialNumber,
    idevid: &Certificate,
    now: ValidityTime,
) -> Result<(), VoucherRefusal> {
    check_serial_number(voucher, serial)?;
    if let Some(nonce) = voucher.nonce() {
        return Err(VoucherRefusal::UnexpectedNonce { voucher: nonce.to_string() });
    }
    check_idevid_issuer(voucher, idevid)?;
    check_expiry(voucher, now)
}

/// Checks that a voucher asserts what the pledge accepts.
///
/// # Errors
/// [`VoucherRefusal::Assertion`].
///
/// RFC 8366 §5.3.
pub fn check_assertion(voucher: &Voucher, accepted: &[Assertion]) -> Result<(), VoucherRefusal> {
    if voucher.assertion().is_some_and(|assertion| accepted.contains(&assertion)) {
        return Ok(());
    }
    let accepted: Vec<&str> = accepted.iter().map(|each| each.as_str()).collect();
    Err(VoucherRefusal::Assertion {
        voucher: voucher.assertion().map_or("nothing", Assertion::as_str).to_owned(),
        accepted: accepted.join(" or "),
    })
}

/// Checks that a voucher is for this device.
///
/// # Errors
/// [`VoucherRefusal::SerialNumberMismatch`].
///
/// RFC 8995 §5.6.1.
pub fn check_serial_number(voucher: &Voucher, own: &SerialNumber) -> Result<(), VoucherRefusal> {
    if voucher.serial_number() == own {
        return Ok(());
    }
    Err(VoucherRefusal::SerialNumberMismatch {
        voucher: voucher.serial_number().to_string(),
        own: own.to_string(),
    })
}

/// Checks that a voucher answers the request with this nonce.
///
/// # Errors
/// [`VoucherRefusal::NonceMismatch`].
///
/// RFC 8995 §5.6.1.
pub fn check_nonce(voucher: &Voucher, request: &Nonce) -> Result<(), VoucherRefusal> {
    if voucher.nonce() == Some(request) {
        return Ok(());
    }
    Err(VoucherRefusal::NonceMismatch {
        voucher: voucher.nonce().map_or_else(String::new, Nonce::to_string),
        request: request.to_string(),
    })
}

/// Checks that a voucher which names the issuer of an IDevID means this one's.
///
/// # Errors
/// [`VoucherRefusal::IdevidIssuerMismatch`].
///
/// RFC 8366 §5.3.
pub fn check_idevid_issuer(voucher: &Voucher, idevid: &Certificate) -> Result<(), VoucherRefusal> {
    match voucher.idevid_issuer() {
        Some(sent) if idevid::issuer_form(sent, idevid).is_none() => {
            Err(VoucherRefusal::IdevidIssuerMismatch {
                voucher: hex(sent),
                own: hex(&idevid::issuer(idevid)),
            })
        }
        _ => Ok(()),
    }
}

/// Checks that a voucher is not over; a pledge without a clock cannot.
///
/// # Errors
/// [`VoucherRefusal::Expired`].
///
/// RFC 8366 §5.3.
pub fn check_expiry(voucher: &Voucher, now: ValidityTime) -> Result<(), VoucherRefusal> {
    let (ValidityTime::At(now), Some(expires_on)) = (now, voucher.expires_on()) else {
        return Ok(());
    };
    let (expired, now) = (expires_on.seconds(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    if expired < now {
        return Err(VoucherRefusal::Expired { expired, now });
    }
    Ok(())
}
