//! Each signature algorithm in each encoding, signed by others and read here, signed here and read by others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use brski_tests::programs;
use brski_voucher::artefact::{Assertion, Binding, Nonce, Voucher, VoucherFields};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Quirk, Strictness};
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::{PrivateKey, SignatureAlgorithm, Signer as _};
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::{Unverified, Verified};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::artefacts::ask;
use crate::{assert_success, run};

const JSON: &[u8] = br#"{"ietf-voucher:voucher":{"serial-number":"ORACLE-1"}}"#;
/// The same in CBOR: 2451 is the container, 11 the serial number.
const CBOR: &[u8] = b"\xa1\x19\x09\x93\xa1\x0b\x68ORACLE-1";
/// The content type of vouchers, for OpenSSL.
const CONTENT_TYPE: [&str; 2] = ["-econtent_type", "1.2.840.113549.1.9.16.1.40"];

/// 2026-06-01.
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_780_272_000))
}

/// Reads what somebody signed with the key of this certificate; why not, if that fails.
fn read(file: &Path, encoding: Encoding, certificate: &Path) -> Result<Verified<Voucher>, String> {
    let octets = std::fs::read(file).map_err(|error| error.to_string())?;
    let anchor = CertificateDer::from_pem_file(certificate).map_err(|error| error.to_string())?;
    let anchors = Anchors::new(&[anchor]).map_err(|error| error.to_string())?;
    let voucher = Unverified::<Voucher>::parse_as(&octets, encoding, Strictness::Standard);
    // Whatever the machine's clock said when OpenSSL made the certificate.
    let verified = voucher
        .map_err(|error| error.to_string())?
        .verify_by_anchors(&anchors, ValidityTime::IgnoringExpiry)
        .map_err(|error| error.to_string())?;
    assert_eq!(verified.serial_number().as_str(), "ORACLE-1");
    Ok(verified)
}

/// OpenSSL in a folder with a key and its certificate, signed by itself.
struct OpenSsl {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl OpenSsl {
    fn with_key(program: &Path, key: &[&str]) -> anyhow::Result<Self> {
        let this = Self { program: program.to_owned(), folder: tempfile::tempdir()? };
        std::fs::write(this.file("content"), JSON)?;
        assert_success(&this.run(&[&["genpkey", "-out", "key.pem"], key].concat())?);
        let request = ["req", "-x509", "-new", "-key", "key.pem", "-out", "own.pem"];
        assert_success(&this.run(&[&request[..], &["-subj", "/CN=oracle"]].concat())?);
        Ok(this)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        run(&self.program, arguments, self.folder.path())
    }

    /// Signs the content; `options` of `openssl cms -sign`.
    fn sign(&self, options: &[&str]) -> anyhow::Result<Result<Verified<Voucher>, String>> {
        let sign = ["cms", "-sign", "-binary", "-nosmimecap", "-outform", "DER", "-in", "content"];
        let who = ["-signer", "own.pem", "-inkey", "key.pem", "-out", "voucher"];
        assert_success(&self.run(&[&sign[..], &who, options].concat())?);
        Ok(read(&self.file("voucher"), Encoding::Cms, &self.file("own.pem")))
    }
}

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const K256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"];
const RSA_1024: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
const RSA_2048: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA_3072: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
const PSS: [&str; 4] = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"];
const LONG_SALT: [&str; 4] = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:max"];

#[test]
fn reads_cms_that_openssl_signs_with_each_key_and_hash() -> anyhow::Result<()> {
    let Some(program) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    for key in [P256, P384, P521, RSA_2048, RSA_3072] {
        let openssl = OpenSsl::with_key(&program, &key)?;
        let paddings: &[&[&str]] = if key[1] == "RSA" { &[&[], &PSS] } else { &[&[]] };
        for padding in paddings {
            for hash in ["sha256", "sha384", "sha512"] {
                let options = [&["-nodetach", "-md", hash], *padding, &CONTENT_TYPE].concat();
                let read = openssl.sign(&options)?;
                let read = read.unwrap_or_else(|why| panic!("{key:?} {padding:?} {hash}: {why}"));
                assert_eq!(read.forgiven(), [], "{key:?} {padding:?} {hash}");
                assert_eq!(read.payload(), JSON);
            }
        }
    }
    Ok(())
}

#[test]
fn reads_the_other_ways_in_which_openssl_writes_cms_and_says_what_it_forgave() -> anyhow::Result<()>
{
    let Some(program) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let openssl = OpenSsl::with_key(&program, &P256)?;
    let voucher = CONTENT_TYPE;
    for (options, forgiven) in [
        (&["-nodetach"][..], &[Quirk::ContentTypeData][..]),
        (&["-nodetach", voucher[0], voucher[1], "-keyid"], &[]),
        (&["-nodetach", voucher[0], voucher[1], "-nocerts"], &[]),
        (&["-nodetach", voucher[0], voucher[1], "-stream"], &[Quirk::Ber]),
        (&["-nodetach", "-stream", "-keyid"], &[Quirk::ContentTypeData, Quirk::Ber]),
    ] {
        let read = openssl.sign(options)?.unwrap_or_else(|why| panic!("{options:?}: {why}"));
        assert_eq!(read.forgiven(), forgiven, "{options:?}");
    }
    Ok(())
}

#[test]
fn refuses_cms_of_openssl_that_is_weak_or_lacks_something() -> anyhow::Result<()> {
    let Some(program) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let voucher = CONTENT_TYPE;
    for (key, options, reason) in [
        (RSA_1024, &["-nodetach", voucher[0], voucher[1]][..], "RSA of 1024 bits"),
        (K256, &["-nodetach", voucher[0], voucher[1]], "another kind of key"),
        (P256, &["-nodetach", voucher[0], voucher[1], "-md", "sha1"], "unknown or too weak"),
        (P256, &["-nodetach", voucher[0], voucher[1], "-md", "sha224"], "unknown or too weak"),
        (P256, &["-nodetach", "-noattr"], "no signed attributes"),
        (P256, &[voucher[0], voucher[1]], "no content inside"),
        (P256, &["-nodetach", "-econtent_type", "1.2.3.4"], "neither id-ct-animaJSONVoucher"),
    ] {
        let refusal = OpenSsl::with_key(&program, &key)?.sign(options)?.unwrap_err();
        assert!(refusal.contains(reason), "{key:?} {options:?}: {refusal}");
    }
    let openssl = OpenSsl::with_key(&program, &RSA_2048)?;
    let refusal = openssl.sign(&[&["-nodetach"], &LONG_SALT[..]].concat())?.unwrap_err();
    assert!(refusal.contains("algorithm is unknown"), "a salt longer than the hash: {refusal}");
    Ok(())
}

/// Runs sign.py; reads what it signed.
fn signed_by_python(
    python: &Path,
    encoding: Encoding,
    algorithm: &str,
    how: &[&str],
) -> anyhow::Result<Result<Verified<Voucher>, String>> {
    let folder = tempfile::tempdir()?;
    let payload = if encoding == Encoding::Cose { CBOR } else { JSON };
    std::fs::write(folder.path().join("payload"), payload)?;
    let script = programs::workspace().join("tests/oracles/sign.py");
    let script = script.to_string_lossy();
    let arguments = [&script, encoding.as_str(), algorithm, "payload", "message", "own.pem"];
    assert_success(&run(python, &[&arguments[..], how].concat(), folder.path())?);
    let file = |name: &str| folder.path().join(name);
    let read = read(&file("message"), encoding, &file("own.pem"));
    Ok(read.inspect(|voucher| assert_eq!(voucher.payload(), payload)))
}

#[test]
fn reads_jws_that_jwcrypto_signs_with_each_algorithm_and_refuses_others() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    for algorithm in ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"] {
        let read = signed_by_python(&python, Encoding::Jws, algorithm, &[])?;
        let read = read.unwrap_or_else(|why| panic!("{algorithm}: {why}"));
        assert_eq!(read.forgiven(), [], "{algorithm}");
    }
    for algorithm in ["RS384", "RS512", "PS384", "PS512", "ES256K"] {
        let refusal = signed_by_python(&python, Encoding::Jws, algorithm, &[])?.unwrap_err();
        assert!(refusal.contains(&format!("the algorithm {algorithm:?}")), "{refusal}");
    }
    Ok(())
}

#[test]
fn reads_cose_that_pycose_signs_with_each_algorithm_and_refuses_others() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let plain = ["x5chain", "unprotected", "alone"];
    for algorithm in ["ES256", "ES384", "ES512", "EdDSA", "PS256"] {
        let read = signed_by_python(&python, Encoding::Cose, algorithm, &plain)?;
        assert!(read.is_ok(), "{algorithm}: {read:?}");
    }
    for algorithm in ["PS384", "PS512"] {
        let refusal = signed_by_python(&python, Encoding::Cose, algorithm, &plain)?.unwrap_err();
        assert!(refusal.contains("algorithm that is absent or unknown"), "{refusal}");
    }
    Ok(())
}

#[test]
fn finds_the_signer_wherever_pycose_puts_its_certificate() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    for parameter in ["x5chain", "x5bag"] {
        for place in ["protected", "unprotected"] {
            for (form, carried) in [("alone", 1), ("listed", 2)] {
                let how = [parameter, place, form];
                let read = signed_by_python(&python, Encoding::Cose, "ES256", &how)?;
                let read = read.unwrap_or_else(|why| panic!("{how:?}: {why}"));
                assert_eq!(read.certificates().len(), carried, "{how:?}");
                // What is protected is signed, and stays; the rest is not for the pledge.
                let stays = if place == "protected" { carried } else { 0 };
                let forwarded = read.for_pledge();
                let forwarded = Unverified::<Voucher>::parse_as(
                    &forwarded,
                    Encoding::Cose,
                    Strictness::Standard,
                )?;
                assert_eq!(forwarded.certificates().len(), stays, "{how:?}");
            }
        }
    }
    Ok(())
}

/// A fresh key of each algorithm, with its certificate, in a file too.
fn signers(folder: &Path) -> anyhow::Result<Vec<(PrivateKey, Certificate, PathBuf)>> {
    let keys = [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?,
        KeyPair::generate_for(&PKCS_ED25519)?,
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
    ];
    let mut signers = Vec::new();
    for key in &keys {
        let own = CertificateParams::default().self_signed(key)?;
        let certificate = Certificate::from_der(own.der())?;
        let read = || PrivateKey::from_pkcs8_der(&key.serialize_der());
        for signer in [read()?, read()?.with_pss()] {
            let file = folder.join(format!("{:?}.pem", signer.algorithm()));
            std::fs::write(&file, own.pem())?;
            signers.push((signer, certificate.clone(), file));
        }
    }
    // PSS is for RSA alone.
    signers.dedup_by_key(|(signer, ..)| signer.algorithm());
    assert_eq!(signers.len(), 6);
    Ok(signers)
}

fn voucher(certificate: &Certificate) -> anyhow::Result<VoucherFields> {
    Ok(VoucherFields {
        assertion: Assertion::Logged,
        serial_number: SerialNumber::parse("ORACLE-1")?,
        binding: Binding::Nonce(Nonce::from_random([5; 16])),
        created_on: now(),
        idevid_issuer: None,
        pinned_domain_cert: certificate.der().clone(),
        domain_cert_revocation_checks: Some(false),
    })
}

#[test]
fn openssl_verifies_cms_of_each_algorithm_that_it_knows() -> anyhow::Result<()> {
    let Some(openssl) = programs::outside("openssl", "openssl") else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for (signer, certificate, file) in signers(folder.path())? {
        if signer.algorithm() == SignatureAlgorithm::Ed25519 {
            // OpenSSL 3.0 has no EdDSA in CMS; the library's own tests take it apart.
            continue;
        }
        let chain = std::slice::from_ref(&certificate);
        let signed = voucher(&certificate)?.sign(&signer, chain, now())?;
        std::fs::write(folder.path().join("voucher"), signed)?;
        let file = file.to_string_lossy();
        // The certificate is its own anchor, so that the chain is checked too.
        let arguments = ["cms", "-verify", "-binary", "-inform", "DER", "-in", "voucher"];
        let trust = ["-CAfile", &file, "-purpose", "any", "-no_check_time"];
        let output = run(&openssl, &[&arguments[..], &trust].concat(), folder.path())?;
        assert_success(&output);
        assert!(output.stdout.starts_with(b"{\"ietf-voucher:voucher\""));
    }
    Ok(())
}

#[test]
fn jwcrypto_and_pycose_verify_each_algorithm() -> anyhow::Result<()> {
    let Some(python) = programs::python() else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    for (signer, certificate, file) in signers(folder.path())? {
        for encoding in [Encoding::Jws, Encoding::Cose] {
            let chain = std::slice::from_ref(&certificate);
            let signed = voucher(&certificate)?.sign_as(encoding, &signer, chain, now());
            let algorithm = format!("{:?}", signer.algorithm());
            if (algorithm.as_str(), encoding) == ("RsaPkcs1Sha256", Encoding::Cose) {
                assert!(signed.is_err(), "COSE has no such algorithm");
                continue;
            }
            let message = folder.path().join("message");
            std::fs::write(&message, signed?)?;
            let payload = ask(&python, encoding.as_str(), &message, &file)?;
            let (root, serial) = match encoding {
                Encoding::Cose => ("2451", "11"),
                _ => ("ietf-voucher:voucher", "serial-number"),
            };
            assert_eq!(payload[root][serial], "ORACLE-1", "{algorithm} {encoding:?}");
        }
    }
    Ok(())
}
