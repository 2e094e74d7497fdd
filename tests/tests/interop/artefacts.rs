//! Each artefact, signed with the published keys, is verified by somebody else's library:
//! CMS by OpenSSL, JWS by jwcrypto, COSE by pycose.

use std::path::{Path, PathBuf};
use std::time::Duration;

use brski_tests::programs;
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequestFields, RegistrarRequestFields, VoucherFields,
};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::signature::PrivateKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde_json::Value;

use crate::{assert_success, run};

const SERIAL: &str = "ORACLE-1";

/// A published key with its certificate, and a time at which that is valid.
struct Party {
    certificate_file: PathBuf,
    certificate: Certificate,
    key: PrivateKey,
    at: UnixTime,
}

impl Party {
    fn read(folder: &Path, certificate: &str, key: &str, seconds: u64) -> anyhow::Result<Self> {
        let certificate_file = folder.join(certificate);
        let der = CertificateDer::from_pem_file(&certificate_file)?;
        let key = PrivateKeyDer::from_pem_file(folder.join(key))?;
        Ok(Self {
            certificate: Certificate::from_der(&der)?,
            key: PrivateKey::from_der(&key)?,
            at: UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            certificate_file,
        })
    }

    /// Each artefact, signed by this party: its name and its octets.
    fn sign_all(&self, encoding: Encoding) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let chain = std::slice::from_ref(&self.certificate);
        let (serial, nonce) = (SerialNumber::parse(SERIAL)?, Nonce::from_random([5; 16]));
        let pledge = PledgeRequestFields {
            assertion: Assertion::Proximity,
            serial_number: serial.clone(),
            nonce: nonce.clone(),
            created_on: Some(self.at),
            proximity_registrar_cert: self.certificate.der().clone(),
        }
        .sign_as(encoding, &self.key, chain, self.at)?;
        let registrar = RegistrarRequestFields {
            assertion: Some(Assertion::Proximity),
            serial_number: serial.clone(),
            nonce: Some(nonce.clone()),
            created_on: self.at,
            idevid_issuer: idevid::issuer(&self.certificate),
            prior_signed_voucher_request: Some(pledge.clone()),
        }
        .sign_as(encoding, &self.key, chain, self.at)?;
        let voucher = VoucherFields {
            assertion: Assertion::Logged,
            serial_number: serial,
            binding: Binding::Nonce(nonce),
            created_on: self.at,
            idevid_issuer: None,
            pinned_domain_cert: self.certificate.der().clone(),
            domain_cert_revocation_checks: Some(false),
        }
        .sign_as(encoding, &self.key, chain, self.at)?;
        Ok(vec![("pledge-request", pledge), ("registrar-request", registrar), ("voucher", voucher)])
    }
}

/// Runs the oracle on a file; gives the payload that it verified, as JSON.
pub(crate) fn ask(
    python: &Path,
    kind: &str,
    file: &Path,
    certificate: &Path,
) -> anyhow::Result<Value> {
    let script = programs::workspace().join("tests/oracles/verify.py");
    let arguments = [&script, Path::new(kind), file, certificate];
    let arguments: Vec<&str> = arguments.iter().filter_map(|each| each.to_str()).collect();
    let output = run(python, &arguments, Path::new("."))?;
    assert_success(&output);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn openssl_verifies_cms_of_the_published_keys() -> anyhow::Result<()> {
    let Some(openssl) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let Some(vectors) = programs::vectors("rfc8995") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let outside = PrivateKeyDer::from_pem_file(vectors.join("server_secp256k1.key"))?;
    assert!(PrivateKey::from_der(&outside).is_err(), "a curve that BRSKI does not have");
    // 2021-05-01.
    for (certificate, key) in [
        ("idevid_00-D0-E5-F2-00-02.crt", "idevid_00-D0-E5-F2-00-02.key"),
        ("jrc_prime256v1.crt", "jrc_prime256v1.key"),
        ("masa.crt", "masa.key"),
        ("masa_secp384r1.crt", "masa_secp384r1.key"),
        ("vendor.crt", "vendor.key"),
        ("ownerca_secp384r1.crt", "ownerca_secp384r1.key"),
    ] {
        let party = Party::read(&vectors, certificate, key, 1_619_827_200)?;
        for encoding in [Encoding::Cms, Encoding::CmsIdData] {
            for (name, octets) in party.sign_all(encoding)? {
                std::fs::write(folder.path().join(name), &octets)?;
                // The signer's certificate is given, so that the question is the signature alone.
                let signer = party.certificate_file.to_string_lossy();
                let arguments =
                    ["cms", "-verify", "-binary", "-inform", "DER", "-in", name, "-noverify"];
                let arguments: Vec<&str> =
                    arguments.into_iter().chain(["-certfile", &signer]).collect();
                let output = run(&openssl, &arguments, folder.path())?;
                assert_success(&output);
                let content: Value = serde_json::from_slice(&output.stdout)?;
                let container = content.as_object().and_then(|root| root.values().next());
                assert_eq!(container.map(|leaves| &leaves["serial-number"]), Some(&SERIAL.into()));
            }
        }
    }
    Ok(())
}

#[test]
fn jwcrypto_verifies_jws_of_the_published_keys() -> anyhow::Result<()> {
    let (Some(python), Some(vectors)) = (programs::python(), programs::vectors("jws-voucher"))
    else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for (certificate, key) in [
        ("01-certificate.pem", "00-private-key.pem"),
        ("04-certificate.pem", "03-private-key.pem"),
        ("07-certificate.pem", "06-private-key.pem"),
    ] {
        // 2024-12-01.
        let party = Party::read(&vectors, certificate, key, 1_733_011_200)?;
        for (name, octets) in party.sign_all(Encoding::Jws)? {
            let file = folder.path().join(name);
            std::fs::write(&file, &octets)?;
            let payload = ask(&python, "jws", &file, &party.certificate_file)?;
            let root = if name == "voucher" {
                "ietf-voucher:voucher"
            } else {
                "ietf-voucher-request:voucher"
            };
            assert_eq!(payload[root]["serial-number"], SERIAL);
        }
    }
    Ok(())
}

#[test]
fn pycose_verifies_cose_of_the_published_keys() -> anyhow::Result<()> {
    let (Some(python), Some(vectors)) =
        (programs::python(), programs::vectors("constrained-voucher"))
    else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for (certificate, key) in [
        ("pledge.pem", "keys/privkey_pledge.pem"),
        ("registrar.pem", "keys/privkey_registrar.pem"),
        ("domain_ca.pem", "keys/privkey_domain_ca.pem"),
        ("masa.pem", "keys/privkey_masa.pem"),
        ("masa_ca.pem", "keys/privkey_masa_ca.pem"),
    ] {
        // 2023-01-01.
        let party = Party::read(&vectors, certificate, key, 1_672_531_200)?;
        for (name, octets) in party.sign_all(Encoding::Cose)? {
            let file = folder.path().join(name);
            std::fs::write(&file, &octets)?;
            let payload = ask(&python, "cose", &file, &party.certificate_file)?;
            // draft-ietf-anima-rfc8366bis §9: the container, and the serial number in it.
            let (root, serial) = if name == "voucher" { ("2451", "11") } else { ("2501", "13") };
            assert_eq!(payload[root][serial], SERIAL, "{payload}");
        }
    }
    Ok(())
}
