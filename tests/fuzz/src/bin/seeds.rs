//! Writes the first inputs of each fuzz target: artefacts of every kind and encoding, made with fresh keys.
//!
//! `cargo run --manifest-path tests/fuzz/Cargo.toml --bin seeds` in the root of the project.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use brski_est::certs_only;
use brski_est::csr::GeneralName;
use brski_est::csr_attributes::{CsrAttributes, CsrPlan, KeyTemplate, Linking};
use brski_est::csr_builder::{CsrRequest, PrivateKey};
use brski_est::renewal_info::{CertificateId, RenewalInfo, Window};
use brski_est::server_keygen::{
    Boundary, EncryptionRequest, EnvelopeRandom, GeneratedKey, KeyAnswerBody, KeyPart, encrypt_key,
};
use brski_est::transfer::{self, Folding};
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequest, PledgeRequestFields, RegistrarRequestFields,
    VoucherFields,
};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Strictness};
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::signature::PrivateKey as VoucherKey;
use brski_voucher::telemetry::Status;
use brski_voucher::verify::Unverified;
use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};
use rustls_pki_types::UnixTime;

/// Writes a file of a corpus: the target, the file's name, what is in it.
type Write<'a> = &'a dyn Fn(&str, &str, &[u8]) -> Result<(), Box<dyn Error>>;

/// A template whose common name, address and extended key usage the client fills in.
const TEMPLATE: &[u8] = &[
    0x30, 99, 0x30, 97, 6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 16, 2, 61, 0x31, 82, 0x30, 80, 2, 1, 0, 0x30,
    9, 0x31, 7, 0x30, 5, 6, 3, 0x55, 4, 3, 0xa0, 21, 0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 0xa1, 41, 0x30, 39, 6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 16, 2, 62,
    0x31, 24, 0x30, 22, 0x30, 13, 6, 3, 0x55, 0x1d, 17, 4, 6, 0x30, 4, 0x82, 0, 0x87, 0, 0x30, 5, 6, 3, 0x55, 0x1d,
    37,
];

#[path = "../decoders.rs"]
mod decoders;

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
    let signer = VoucherKey::from_pkcs8_der(pair.serialized_der())?;
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
    est(&write)?;
    Ok(())
}

/// What EST's messages begin with.
fn est(write: Write<'_>) -> Result<(), Box<dyn Error>> {
    let pair = KeyPair::generate()?;
    let key = PrivateKey::from_pkcs8_der(pair.serialized_der())?;
    let fixed = KeyPair::try_from(decoders::fixed_key())?;
    let mut params = CertificateParams::new(vec!["lab.example".to_owned()])?;
    params.use_authority_key_identifier_extension = true;
    let own = params.self_signed(&fixed)?;
    let server = [params.self_signed(&pair)?.der().clone()];
    let encryption = EncryptionRequest::for_certificate(own.der())?;

    let csr = CsrRequest::new(&["lab.example"]).with_common_name("lab.example");
    let plain = csr.sign(&key)?;
    write("csr", "request", &plain)?;
    let all = csr
        .with_subject_attribute("2.5.4.5", "LAB-1")?
        .with_alternative_name(&GeneralName::Ip([192, 0, 2, 1].into()))?
        .with_alternative_name(&GeneralName::Uri("urn:lab:1".to_owned()))?
        .with_extended_key_usages(&["1.3.6.1.5.5.7.3.1"])?
        .with_critical_extension(&[0x55, 0x1d, 15], &[3, 2, 5, 0xa0])
        .with_challenge_password("x")
        .with_encryption(&encryption)
        .sign(&key)?;
    write("csr", "all-that-it-can-ask", &all)?;
    let line = transfer::encode(&plain, Folding::Never);
    let armoured = format!("-----BEGIN CERTIFICATE REQUEST-----\n{line}-----END CERTIFICATE REQUEST-----\n");
    write("transfer", "line", line.as_bytes())?;
    write("transfer", "folded", transfer::encode(&[7; 1000], Folding::WhenLong).as_bytes())?;
    write("transfer", "armoured", armoured.as_bytes())?;
    write("transfer", "der", &plain)?;

    let message = certs_only::encode(&[own.der(), &server[0]]);
    write("certs_only", "two", &message)?;
    let frame = [&[0x30, 0x80][..], &message[4..15], &[0xa0, 0x80], &message[19..], &[0; 4]];
    write("certs_only", "indefinite", &frame.concat())?;
    for (name, key) in [("name-and-key", KeyTemplate::EcP256), ("rsa", KeyTemplate::Rsa2048)] {
        let attributes = CsrAttributes {
            dns_name: Some("lab.example".to_owned()),
            key: Some(key),
            linking: Linking::Required,
        };
        write("csr_attributes", name, &attributes.to_der())?;
        write("csr_attributes", &format!("{name}-list"), &attributes.to_list_der())?;
    }
    CsrPlan::from_der(TEMPLATE)?;
    write("csr_attributes", "template-to-fill", TEMPLATE)?;

    let id = CertificateId::of(own.der())?;
    write("est_path", "cacerts", b"/.well-known/est/cacerts")?;
    write("est_path", "label", b"/.well-known/est/plant-7/simpleenroll")?;
    write("est_path", "escaped", b"/%2Ewell-known/est/plant%2d7/ca%63erts/")?;
    write("est_path", "renewal-info", format!("/.well-known/est/renewal-info/{id}").as_bytes())?;
    let info = RenewalInfo::new(Window::of_certificate(own.der())?);
    let info = info.with_explanation_url("https://lab.example/why")?;
    write("renewal_info", "answer", &info.to_json())?;
    write("renewal_info", "id", id.to_string().as_bytes())?;
    write("renewal_info", "certificate", own.der())?;

    // What is committed holds no secrets.
    let made = decoders::fixed_key();
    let random = EnvelopeRandom::from_random([7; 48]);
    let recipient = encryption.recipient(&[own.der()])?;
    let envelope = encrypt_key(&made, &recipient, &key, &server, random)?;
    write("server_keygen", "envelope", &envelope)?;
    let boundary = Boundary::parse("b")?;
    let parts = [KeyPart::Plain(GeneratedKey::from_pkcs8_der(&made)), KeyPart::Encrypted(envelope)];
    for (name, part) in ["plain", "encrypted"].into_iter().zip(&parts) {
        let answer = KeyAnswerBody::new(part, own.der(), &boundary, Folding::WhenLong);
        write("server_keygen", &format!("answer-{name}"), answer.body())?;
    }

    // The first octet chooses the status, then comes a line of headers, then the body.
    let answer = |status: u16, header: &str, body: &[u8]| {
        let choice = decoders::STATUSES.iter().position(|each| *each == status);
        let choice = choice.and_then(|choice| u8::try_from(choice).ok()).unwrap_or_default();
        [&[choice], header.as_bytes(), b"\n", body].concat()
    };
    write("est_answer", "certificates", &answer(200, "", &message))?;
    write("est_answer", "wait", &answer(202, "Sun, 06 Nov 2044 08:49:37 GMT", b"later"))?;
    write("est_answer", "elsewhere", &answer(302, "https://lab.example/x", b""))?;
    let challenge = "Digest realm=\"est\", nonce=\"n\", qop=\"auth\", Basic realm=\"est\"";
    write("est_answer", "challenge", &answer(401, challenge, b"<p>no</p>"))?;
    write("est_answer", "renewal-info", &answer(200, "60", &info.to_json()))?;
    let answer = answer(200, "multipart/mixed; boundary=b", b"--b\n\nx\n--b--");
    write("est_answer", "multipart", &answer)?;
    Ok(())
}
