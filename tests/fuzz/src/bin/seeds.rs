//! Writes the first inputs of each fuzz target: artefacts of every kind and encoding, made with fresh keys.
//!
//! `cargo run --manifest-path tests/fuzz/Cargo.toml --bin seeds` in the root of the project.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_est::csr_builder::{CsrRequest, EcdsaKey};
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequest, PledgeRequestFields, RegistrarRequestFields,
    VoucherFields,
};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::signature::PrivateKey;
use brski_voucher::telemetry::Status;
use brski_voucher::verify::Unverified;
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};
use rustls_pki_types::UnixTime;

const AUDIT_LOG: &[u8] = br#"{"version":"1","events":[{"date":"2026-01-01T00:00:00Z","domainID":"AAAA","nonce":null,"assertion":"logged","truncated":1}],"truncation":{"nonced duplicates":"0","arbitrary":2}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, octets: &[u8]| -> Result<(), Box<dyn Error>> {
        std::fs::create_dir_all(corpus.join(target))?;
        Ok(std::fs::write(corpus.join(target).join(name), octets)?)
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000));
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["lab.example".to_owned()])?;
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "LAB-1");
    let url = [&[0x16, 12][..], b"masa.example"].concat();
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 32], url)];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.self_signed(&pair)?;
    let own = Certificate::from_der(certificate.der())?;
    let signer = PrivateKey::from_pkcs8_der(pair.serialized_der())?;
    let chain = [own.clone()];
    let (serial, nonce) = (SerialNumber::parse("LAB-1")?, Nonce::from_random([7; 16]));
    for encoding in [Encoding::Cms, Encoding::CmsIdData, Encoding::Jws, Encoding::Cose] {
        let (target, suffix) =
            (encoding.as_str(), if encoding == Encoding::CmsIdData { "-id-data" } else { "" });
        let pledge = PledgeRequestFields {
            assertion: Assertion::Proximity,
            serial_number: serial.clone(),
            nonce: nonce.clone(),
            created_on: Some(now),
            proximity_registrar_cert: own.der().clone(),
        }
        .sign_as(encoding, &signer, &chain, now)?;
        let read = Unverified::<PledgeRequest>::parse_as(&pledge, encoding, Strictness::Standard)?;
        let registrar = RegistrarRequestFields {
            assertion: read.content().assertion(),
            serial_number: serial.clone(),
            nonce: Some(nonce.clone()),
            created_on: now,
            idevid_issuer: idevid::issuer(&own),
            prior_signed_voucher_request: Some(pledge.clone()),
        }
        .sign_as(encoding, &signer, &chain, now)?;
        let voucher = VoucherFields {
            assertion: Assertion::Logged,
            serial_number: serial.clone(),
            binding: Binding::Nonce(nonce.clone()),
            created_on: now,
            idevid_issuer: Some(idevid::issuer(&own)),
            pinned_domain_cert: own.der().clone(),
            domain_cert_revocation_checks: Some(false),
        }
        .sign_as(encoding, &signer, &chain, now)?;
        write(target, &format!("pledge-request{suffix}"), &pledge)?;
        write(target, &format!("registrar-request{suffix}"), &registrar)?;
        write(target, &format!("voucher{suffix}"), &voucher)?;
    }
    write("certificate", "idevid", own.der())?;
    write("audit_log", "numbers-and-strings", AUDIT_LOG)?;
    write("telemetry", "success", &Status::success().to_json())?;
    write("telemetry", "failure", &Status::failure("no").to_json())?;
    let key = EcdsaKey::from_pkcs8_der(pair.serialized_der())?;
    let csr = CsrRequest::new(&["lab.example"]).with_common_name("lab.example").sign(&key)?;
    write("csr", "request", &csr)?;
    write("certs_only", "two", &brski_est::certs_only::encode(&[own.der(), own.der()]))?;
    let attributes =
        CsrAttributes { dns_name: Some("lab.example".to_owned()), key: Some(KeyTemplate::EcP256) };
    write("csr_attributes", "name-and-key", &attributes.to_der())?;
    Ok(())
}
