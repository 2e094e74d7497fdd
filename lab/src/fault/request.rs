//! Lies in voucher requests: of the pledge, and of whoever stands between.

use brski_voucher::artefact::{Assertion, Binding, Nonce, PledgeRequestFields, VoucherFields};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use http::Method;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;

use super::Fault;
use super::Stage;
use super::workshop::{Device, FaultError, Shot, Workshop, make};
use crate::masa::now;
use crate::pki::{Credential, IdevidOdds, Manufacturer};

/// Signs a voucher request with a device's key.
fn sign(
    by: &Credential,
    serial: &str,
    assertion: Assertion,
    seen: &CertificateDer<'static>,
) -> Result<Vec<u8>, FaultError> {
    let key = PrivateKey::from_pkcs8_der(by.key.secret_pkcs8_der()).map_err(make)?;
    let certificate = Certificate::from_der(&by.certificate).map_err(make)?;
    let fields = PledgeRequestFields {
        assertion,
        serial_number: SerialNumber::parse(serial).map_err(make)?,
        nonce: Nonce::from_random([0x5a; 16]),
        created_on: Some(now()),
        proximity_registrar_cert: seen.clone(),
    };
    fields.sign(&key, std::slice::from_ref(&certificate), now()).map_err(make)
}

/// A voucher that a device signs for itself.
fn own_voucher(device: &Device) -> Result<Vec<u8>, FaultError> {
    let key = PrivateKey::from_pkcs8_der(device.idevid.key.secret_pkcs8_der()).map_err(make)?;
    let certificate = Certificate::from_der(&device.idevid.certificate).map_err(make)?;
    let fields = VoucherFields {
        assertion: Assertion::Proximity,
        serial_number: SerialNumber::parse(&device.serial).map_err(make)?,
        binding: Binding::Nonce(Nonce::from_random([1; 16])),
        created_on: now(),
        idevid_issuer: None,
        pinned_domain_cert: device.registrar.clone(),
        domain_cert_revocation_checks: None,
    };
    fields.sign(&key, std::slice::from_ref(&certificate), now()).map_err(make)
}

/// An IDevID that no manufacturer made.
fn self_signed() -> Result<Credential, FaultError> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::default().self_signed(&key)?;
    Ok(Credential { certificate: certificate.der().clone(), key: key.serialize_der().into() })
}

/// Changes an octet of a text inside, whose length stays.
fn change(body: &mut [u8], text: &str) -> Result<(), FaultError> {
    let place = body.windows(text.len()).position(|window| window == text.as_bytes());
    let octet = place.and_then(|place| body.get_mut(place));
    octet.map(|octet| *octet ^= 1).ok_or_else(|| make(format!("{text:?} is not inside")))
}

/// Changes the last octet, which is one of the signature.
pub(super) fn flip(body: &mut [u8]) {
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
}

/// A device of an IDevID that differs from what RFC 8995 asks for, with its honest request.
async fn odd(
    workshop: &Workshop<'_>,
    device: &Device,
    odds: IdevidOdds<'_>,
) -> Result<Shot, FaultError> {
    let idevid = workshop.manufacturer.authority.odd_idevid(odds, &KeyPair::generate()?)?;
    let body = sign(&idevid, &device.serial, Assertion::Proximity, &device.registrar)?;
    let honest = workshop.honest(device, Stage::Voucher)?;
    Ok(Shot { credential: Some(idevid), body, ..honest })
}

/// Turns an honest request into a lie.
pub(super) async fn distort(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    shot: &mut Shot,
) -> Result<(), FaultError> {
    match fault {
        Fault::RequestEmpty => shot.body.clear(),
        Fault::RequestGarbage => shot.body = b"this is no voucher request".to_vec(),
        Fault::RequestCut => shot.body.truncate(shot.body.len() / 2),
        Fault::RequestTrailing => shot.body.push(0),
        Fault::RequestBase64 => {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(&shot.body);
            shot.body = text.into_bytes();
        }
        Fault::RequestIsVoucher => shot.body = own_voucher(device)?,
        Fault::RequestSignature => flip(&mut shot.body),
        Fault::RequestContent => change(&mut shot.body, &device.serial)?,
        Fault::RequestLong => shot.body = vec![0x30; 64 * 1024 + 1],
        Fault::RequestType => shot.content_type = Some("application/json"),
        Fault::RequestNoType => shot.content_type = None,
        Fault::RequestAccept => shot.accept = Some("text/html"),
        Fault::RequestGet => shot.method = Method::GET,
        Fault::RequestOldPath => "/.well-known/est/requestvoucher".clone_into(&mut shot.path),
        Fault::NoCertificate | Fault::ProxyBare => shot.credential = None,
        _ => return identity(workshop, fault, device, shot).await,
    }
    Ok(())
}

/// Lies about who it is, and what it saw.
async fn identity(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    shot: &mut Shot,
) -> Result<(), FaultError> {
    let (near, own) = (Assertion::Proximity, &device.idevid);
    let (serial, seen) = (device.serial.as_str(), &device.registrar);
    let masa = workshop.masa.url();
    let plain = IdevidOdds::new(serial, &masa);
    match fault {
        Fault::StrangeIdevid | Fault::ProxyStranger => {
            let stranger = Manufacturer::new("stranger")?.authority.idevid(serial, &masa)?;
            if fault == Fault::StrangeIdevid {
                shot.body = sign(&stranger, serial, near, seen)?;
            }
            shot.credential = Some(stranger);
        }
        Fault::SelfSignedIdevid => shot.credential = Some(self_signed()?),
        Fault::ExpiredIdevid => *shot = odd(workshop, device, plain.expired()).await?,
        Fault::EarlyIdevid => *shot = odd(workshop, device, plain.early()).await?,
        Fault::NamelessIdevid => *shot = odd(workshop, device, plain.nameless()).await?,
        Fault::MasalessIdevid => *shot = odd(workshop, device, plain.masaless()).await?,
        Fault::PlainMasaUrl => {
            let url = format!("127.0.0.2:{}", workshop.masa.address().port());
            *shot = odd(workshop, device, IdevidOdds::new(serial, &url)).await?;
        }
        Fault::TwinIdevid => {
            workshop.send(&workshop.honest(device, Stage::Voucher)?).await?;
            *shot = odd(workshop, device, plain).await?;
        }
        Fault::RequestStolen => {
            let other = workshop.device(&format!("{serial}-VICTIM")).await?;
            shot.body = workshop.honest(&other, Stage::Voucher)?.body;
        }
        Fault::ProxyDevice => {
            let proxy = workshop.device(&format!("{serial}-PROXY")).await?;
            shot.credential = Some(proxy.idevid);
        }
        Fault::ProxyResigns => {
            let proxy = workshop.device(&format!("{serial}-PROXY")).await?;
            shot.body = sign(&proxy.idevid, serial, near, seen)?;
            shot.credential = Some(proxy.idevid);
        }
        Fault::ProxySeen => {
            let proxy = self_signed()?;
            shot.body = sign(own, serial, near, &proxy.certificate)?;
        }
        Fault::RequestSerial => shot.body = sign(own, "ANOTHER", near, seen)?,
        Fault::RequestSerialCase => {
            shot.body = sign(own, &serial.to_lowercase(), near, seen)?;
        }
        Fault::RequestAssertion => shot.body = sign(own, serial, Assertion::Logged, seen)?,
        Fault::RequestProximityOwn => shot.body = sign(own, serial, near, &own.certificate)?,
        Fault::RequestProximityCa => {
            let authority = workshop.manufacturer.authority.certificate();
            shot.body = sign(own, serial, near, authority)?;
        }
        other => return Err(make(format!("nobody knows how {other:?} is told"))),
    }
    Ok(())
}
