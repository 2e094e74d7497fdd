//! Lies in requests for certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::csr::GeneralName;
use brski_est::csr_builder::CsrRequest;
use brski_est::transfer::{self, Folding};
use brski_voucher::telemetry::Status;
use http::Method;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P521_SHA512};

use super::request::flip;
use super::workshop::{
    Device, FaultError, SIMPLE_ENROLL, Shot, Workshop, csr, encoded, expect, make,
};
use super::{Fault, Stage};
use crate::pki::{Credential, Manufacturer};

/// Turns an honest request into a lie.
pub(super) async fn distort(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    shot: &mut Shot,
) -> Result<(), FaultError> {
    match fault {
        Fault::EnrollNobody => shot.credential = None,
        Fault::EnrollWrongSecret => {
            shot.credential = None;
            shot.authorization = Some(format!("Basic {}", STANDARD.encode("nobody:secret")));
        }
        Fault::EnrollStranger => {
            let stranger = Manufacturer::new("stranger")?;
            let masa = workshop.masa.url();
            shot.credential = Some(stranger.authority.idevid(&device.serial, &masa)?);
        }
        Fault::EnrollUnvouchered => {
            let other = workshop.device(&format!("{}-EARLY", device.serial)).await?;
            shot.credential = Some(other.idevid);
        }
        Fault::ProxyEnrolls => {
            let proxy = workshop.device(&format!("{}-PROXY", device.serial)).await?;
            shot.credential = Some(proxy.idevid);
        }
        Fault::EnrollRejected => {
            let mut no = workshop.honest(device, Stage::VoucherStatus)?;
            no.body = Status::failure("a lie").to_json();
            expect(&workshop.send(&no).await?, "voucher_status")?;
        }
        Fault::EnrollType => shot.content_type = Some("application/json"),
        Fault::EnrollGet => shot.method = Method::GET,
        Fault::EnrollLabel => {
            shot.path = SIMPLE_ENROLL.replace("/est/", "/est/nosuchlabel/");
        }
        Fault::EnrollFull => "/.well-known/est/fullcmc".clone_into(&mut shot.path),
        Fault::RenewIdevid => shot.credential = Some(device.idevid.clone()),
        Fault::RenewStranger => shot.credential = Some(look_alike(device)?),
        Fault::RenewOther => {
            shot.body = csr(device, &CsrRequest::new(&[&format!("other-{}", device.name)]))?;
        }
        _ => shot.body = body(workshop, fault, device, &shot.body).await?,
    }
    Ok(())
}

/// A certificate with the name and the key of the device's own, which nobody issued.
fn look_alike(device: &Device) -> Result<Credential, FaultError> {
    let parameters = CertificateParams::new([device.name.clone()])?;
    let certificate = parameters.self_signed(&device.key)?;
    let key = device.key.serialize_der().into();
    Ok(Credential { certificate: certificate.der().clone(), key })
}

async fn body(
    workshop: &Workshop<'_>,
    fault: Fault,
    device: &Device,
    honest: &[u8],
) -> Result<Vec<u8>, FaultError> {
    let der = || transfer::decode(honest).map_err(make);
    let encode = |der: &[u8]| transfer::encode(der, Folding::Never).into_bytes();
    Ok(match fault {
        Fault::CsrEmpty => Vec::new(),
        Fault::CsrGarbage => b"!!! this is no base64 !!!".to_vec(),
        Fault::CsrCut => {
            let der = der()?;
            encode(der.get(..der.len() / 2).unwrap_or_default())
        }
        Fault::CsrTrailing => encode(&[&der()?[..], &[0]].concat()),
        Fault::CsrIsKey => encode(&device.key.serialize_der()),
        Fault::CsrLong => vec![b'A'; 64 * 1024 + 1],
        Fault::CsrSignature => {
            let mut der = der()?;
            flip(&mut der);
            encode(&der)
        }
        Fault::CsrStolenKey => encode(&stolen(device, &der()?)?),
        Fault::CsrHeldKey => {
            let mut other = workshop.device(&format!("{}-SIBLING", device.serial)).await?;
            workshop.bring(&mut other, Stage::Enroll).await?;
            let key = KeyPair::try_from(other.idevid.key.secret_pkcs8_der())?;
            encoded(&key, &CsrRequest::new(&[&device.name]))?
        }
        Fault::CsrKeyKind => {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?;
            encoded(&key, &CsrRequest::new(&[&device.name]))?
        }
        other => csr(device, &wish(other, &device.name)?)?,
    })
}

/// A CSR whose key was exchanged for another one after it was signed.
fn stolen(device: &Device, der: &[u8]) -> Result<Vec<u8>, FaultError> {
    use rcgen::PublicKeyData as _;
    let other = KeyPair::generate()?;
    let (from, to) = (device.key.subject_public_key_info(), other.subject_public_key_info());
    let place = der.windows(from.len()).position(|window| window == from);
    let mut der = der.to_vec();
    let target = place.and_then(|place| der.get_mut(place..place + from.len()));
    target.ok_or_else(|| make("the key is not in the CSR"))?.copy_from_slice(&to);
    Ok(der)
}

/// What a CSR asks for that it may not have.
fn wish(fault: Fault, name: &str) -> Result<CsrRequest, FaultError> {
    let own = || CsrRequest::new(&[name]);
    let only = |name: &str| CsrRequest::new(&[name]);
    let zone = name.split_once('.').map_or(name, |(_, zone)| zone);
    let usage = |usage: &str| own().with_extended_key_usages(&[usage]).map_err(make);
    let also = |name: GeneralName| own().with_alternative_name(&name).map_err(make);
    Ok(match fault {
        Fault::NameForeign => only(&format!("somebody-else.{zone}")),
        Fault::NameNone => CsrRequest::new(&[]),
        Fault::NameTwo => CsrRequest::new(&[name, "www.example.org"]),
        Fault::NameWild => only(&format!("*.{zone}")),
        Fault::NameBelow => only(&format!("below.{name}")),
        Fault::NameZone => only(zone),
        Fault::NameNul => only(&format!("{name}\0.example")),
        Fault::NameAddress => also(GeneralName::Ip([192, 0, 2, 7].into()))?,
        Fault::NameUri => also(GeneralName::Uri("urn:dev:1".to_owned()))?,
        Fault::NameCommon => own().with_common_name(&format!("somebody-else.{zone}")),
        Fault::AsksCa => own().with_ca_true(),
        Fault::AsksCertSign => own().with_extension(&[0x55, 0x1d, 15], &[3, 2, 2, 0x04]),
        Fault::AsksRa => usage("1.3.6.1.5.5.7.3.28")?,
        Fault::AsksAny => usage("2.5.29.37.0")?,
        Fault::AsksCode => usage("1.3.6.1.5.5.7.3.3")?,
        Fault::AsksPolicies => own().with_extension(&[0x55, 0x1d, 32], &[0x30, 0]),
        Fault::AsksConstraints => own().with_extension(&[0x55, 0x1d, 30], &[0x30, 0]),
        Fault::AsksUnknown => {
            own().with_critical_extension(&[0x2b, 6, 1, 4, 1, 0x83, 0x77, 1], &[0x05, 0])
        }
        Fault::CsrPassword => own().with_challenge_password(&STANDARD.encode([7; 32])),
        other => return Err(make(format!("nobody knows how {other:?} is told"))),
    })
}
