//! Vouchers as the MASA signs them, right or wrong.

use brski_voucher::artefact::{Assertion, Binding, Nonce, RegistrarRequest};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::SerialNumber;
use brski_voucher::masa;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::ValidityTime;
use brski_voucher::verify::{Unverified, Verified};
use rcgen::KeyPair;
use rustls_pki_types::UnixTime;

use super::options::{Misbehaviour, Pinning};
use super::{Shared, now};

/// Reads a registrar's request and verifies that it is of one piece.
pub(super) fn read(
    body: &[u8],
    encoding: Encoding,
    time: ValidityTime,
) -> Result<Verified<RegistrarRequest>, String> {
    Unverified::<RegistrarRequest>::parse_as(body, encoding, Strictness::Standard)
        .map_err(|error| error.to_string())?
        .verify_presented(time)
        .map_err(|error| error.to_string())
}

/// Checks a registrar's request and signs its voucher.
pub(super) fn issue(
    shared: &Shared,
    body: &[u8],
    encoding: Encoding,
    misbehaviour: Misbehaviour,
) -> Result<Vec<u8>, String> {
    let at = now();
    let time = ValidityTime::At(at);
    let request = read(body, encoding, time)?;
    let assertion = match request.nonce() {
        Some(_) => {
            masa::check_registrar_request(&request, &shared.devices, time)
                .map_err(|error| error.to_string())?;
            Assertion::Proximity
        }
        None => {
            if misbehaviour == Misbehaviour::NoRenewal
                && request.prior_signed_voucher_request().is_some()
            {
                return Err("a request without a nonce carries nothing of a pledge".to_owned());
            }
            masa::check_nonceless_request(&request, &shared.owners(), time)
                .map_err(|error| error.to_string())?;
            Assertion::Verified
        }
    };
    let pinned = match (misbehaviour, shared.options.pinning) {
        (Misbehaviour::WrongPin, _) => shared.authority.clone(),
        (_, Pinning::Own) => request.signer().clone(),
        (_, Pinning::Top) => top(&request),
    };
    let mut voucher =
        masa::voucher_fields(&request, assertion, &pinned, shared.options.lifetime, at);
    match misbehaviour {
        Misbehaviour::WrongNonce => voucher.binding = Binding::Nonce(Nonce::from_random([7; 16])),
        Misbehaviour::NoNonce => {
            let end = at.as_secs().saturating_add(shared.options.lifetime.as_secs());
            let end = std::time::Duration::from_secs(end);
            voucher.binding = Binding::ExpiresOn(UnixTime::since_unix_epoch(end));
        }
        Misbehaviour::WrongSerial => {
            voucher.serial_number =
                SerialNumber::parse("another device").map_err(|error| error.to_string())?;
        }
        _ => {}
    }
    let nonce = match &voucher.binding {
        Binding::Nonce(nonce) => Some(nonce.to_string()),
        _ => None,
    };
    let serial = request.serial_number().as_str();
    if misbehaviour == Misbehaviour::ForeignLog {
        shared.log.note(serial, &shared.authority, nonce.clone(), assertion.as_str(), at);
    }
    shared.log.note(serial, &pinned, nonce, assertion.as_str(), at);
    let (encoding, directions) = (request.encoding(), &shared.options.directions);
    let signed = match misbehaviour {
        Misbehaviour::WrongSigner => {
            let (key, certificate) = stranger()?;
            voucher.sign_with(directions, encoding, &key, &[certificate], at)
        }
        _ => voucher.sign_with(directions, encoding, &shared.signer, &shared.signer_chain, at),
    };
    signed.map_err(|error| error.to_string())
}

/// What the registrar shows of its chain is what it wants pinned: the top of it.
fn top(request: &Verified<RegistrarRequest>) -> Certificate {
    request.signer_chain().last().unwrap_or_else(|| request.signer()).clone()
}

/// A key and a certificate that nobody vouches for.
fn stranger() -> Result<(PrivateKey, Certificate), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = rcgen::CertificateParams::new(Vec::new())
        .and_then(|parameters| parameters.self_signed(&key))
        .map_err(|error| failed(&error))?;
    let certificate = Certificate::from_der(certificate.der()).map_err(|error| failed(&error))?;
    let key = PrivateKey::from_pkcs8_der(key.serialized_der()).map_err(|error| failed(&error))?;
    Ok((key, certificate))
}
