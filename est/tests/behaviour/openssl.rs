//! OpenSSL reads what this library writes, and the other way round.

use std::path::Path;
use std::process::{Command, Output};

use brski_est::csr::{Csr, CsrError};
use brski_est::csr_builder::CsrRequest;
use brski_est::server_keygen::{
    DecryptionKey, EncryptionRequest, EnvelopeRandom, decrypt_key, encrypt_key,
};
use brski_est::{certs_only, transfer};
use rcgen::KeyPair;
use tempfile::TempDir;

use crate::support::{
    CURVES, NAME, certificate_of, certificate_with_key_identifier, pairs, private, rsa, skip,
};

/// A folder to work in, or nothing where there is no OpenSSL.
fn folder() -> Option<TempDir> {
    match Command::new("openssl").arg("version").output() {
        Ok(output) if output.status.success() => Some(TempDir::new().unwrap()),
        _ => {
            skip("skipped: no openssl");
            None
        }
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl").args(arguments).current_dir(folder).output().unwrap()
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    output.stdout
}

#[expect(clippy::disallowed_methods, reason = "OpenSSL reads files")]
fn write(folder: &Path, name: &str, octets: &[u8]) {
    std::fs::write(folder.join(name), octets).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "OpenSSL writes files")]
fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

fn write_certificate(folder: &Path, name: &str, der: &[u8]) {
    write(folder, &format!("{name}.der"), der);
    openssl(folder, &words(&format!("x509 -inform DER -in {name}.der -out {name}.pem")));
}

/// ContentInfo around SignedData, with two octets for each length.
fn framed(content: &[u8]) -> Vec<u8> {
    let signed_data = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2];
    let length = |octets: usize| u16::try_from(octets).unwrap().to_be_bytes();
    let wrapped = [&[0xa0, 0x82][..], &length(content.len()), content].concat();
    let inside = [&signed_data[..], &wrapped].concat();
    [&[0x30, 0x82][..], &length(inside.len()), &inside].concat()
}

#[test]
fn it_verifies_csrs_of_every_kind_of_key() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    for pair in pairs() {
        let csr = CsrRequest::new(&[NAME]).with_common_name(NAME).with_challenge_password("x");
        write(folder, "csr.der", &csr.sign(&private(&pair)).unwrap());
        let text =
            openssl(folder, &["req", "-inform", "DER", "-in", "csr.der", "-verify", "-text"]);
        assert!(String::from_utf8_lossy(&text).contains(&format!("DNS:{NAME}")));
    }
}

#[test]
fn its_csrs_are_read_in_every_form_and_proven() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    for key in [
        &["-newkey", "rsa:2048"][..],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
        &["-newkey", "ed25519"],
    ] {
        let subject = format!("subjectAltName=DNS:{NAME}");
        let common = ["req", "-new", "-nodes", "-keyout", "key.pem", "-subj", "/CN=x", "-addext"];
        let arguments = [&common[..], &[&subject], key].concat();
        let pem = openssl(folder, &arguments);
        let text = openssl(folder, &[&arguments[..], &["-text"]].concat());
        let der = openssl(folder, &[&arguments[..], &["-outform", "DER"]].concat());
        for body in [pem, text, der] {
            let csr = Csr::parse(&transfer::decode_csr(&body).unwrap()).unwrap();
            assert_eq!(csr.subject_alt_names().unwrap().len(), 1);
            csr.prove().unwrap();
        }
    }
}

#[test]
fn its_weak_csrs_are_refused_by_name() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    let csr = |key: &[&str]| {
        let common = ["req", "-new", "-nodes", "-keyout", "key.pem", "-subj", "/CN=x"];
        let pem = openssl(folder, &[&common[..], key].concat());
        Csr::parse(&transfer::decode_csr(&pem).unwrap()).unwrap().prove().unwrap_err()
    };
    assert_eq!(csr(&["-newkey", "rsa:1024"]), CsrError::RsaSize { bits: 1024 });
    let sha1 = csr(&["-newkey", "rsa:2048", "-sha1"]);
    assert_eq!(sha1, CsrError::WeakHash { hash: "SHA-1" });
    let md5 = csr(&["-newkey", "rsa:2048", "-md5"]);
    assert_eq!(md5, CsrError::WeakHash { hash: "MD5" });
    let curve = ["-newkey", "ec", "-pkeyopt"];
    let sha1 = csr(&[&curve[..], &["ec_paramgen_curve:P-256", "-sha1"]].concat());
    assert_eq!(sha1, CsrError::WeakHash { hash: "SHA-1" });
    let secp256k1 = csr(&[&curve[..], &["ec_paramgen_curve:secp256k1"]].concat());
    assert_eq!(secp256k1, CsrError::UnknownKey);
}

#[test]
fn certs_only_messages_go_both_ways() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    let certificates = [KeyPair::generate().unwrap(), rsa()].map(|pair| certificate_of(&pair));
    write(folder, "certs.p7", &certs_only::encode(&certificates.iter().collect::<Vec<_>>()));
    let pkcs7 = ["pkcs7", "-inform", "DER", "-in", "certs.p7", "-print_certs"];
    let pem = openssl(folder, &pkcs7);
    assert_eq!(String::from_utf8_lossy(&pem).matches("BEGIN CERTIFICATE").count(), 2);
    write(folder, "certs.pem", &pem);
    for extra in [&["-outform", "DER"][..], &["-outform", "PEM"]] {
        let made = ["crl2pkcs7", "-nocrl", "-certfile", "certs.pem"];
        let made = openssl(folder, &[&made[..], extra].concat());
        let read = certs_only::decode(&transfer::decode(&made).unwrap()).unwrap();
        assert_eq!(read, certificates);
    }
}

/// The server's half: what is encrypted here is decrypted there, and the signature inside holds.
#[test]
fn it_decrypts_generated_keys_and_verifies_their_signature() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    let made = KeyPair::generate().unwrap();
    let server = KeyPair::generate().unwrap();
    let chain = [certificate_of(&server)];
    write_certificate(folder, "server", &chain[0]);
    for pair in CURVES.map(|curve| KeyPair::generate_for(curve).unwrap()).into_iter().chain([rsa()])
    {
        write(folder, "own.key", pair.serialize_pem().as_bytes());
        // Named by issuer and serial number, and by the identifier of the key.
        for own in [certificate_of(&pair), certificate_with_key_identifier(&pair)] {
            write_certificate(folder, "own", &own);
            let wish = EncryptionRequest::for_certificate(&own).unwrap();
            let recipient = wish.recipient(&[&own]).unwrap();
            let random = EnvelopeRandom::from_random([5; 48]);
            let key = made.serialized_der();
            let message = encrypt_key(key, &recipient, &private(&server), &chain, random).unwrap();
            write(folder, "message.der", &message);
            let decrypt = "cms -decrypt -inform DER -in message.der -inkey own.key -recip own.pem";
            openssl(folder, &words(&format!("{decrypt} -out signed")));
            write(folder, "signed.der", &framed(&read(folder, "signed")));
            let verify = "cms -verify -inform DER -in signed.der -certfile server.pem -noverify";
            openssl(folder, &words(&format!("{verify} -binary -out package")));
            let package = read(folder, "package");
            assert!(package.ends_with(key), "the package holds the key alone");
            assert_eq!(package.len() - key.len(), if package[1] < 0x80 { 2 } else { 3 });
        }
    }
}

/// The client's half: keys that OpenSSL encrypted, in DER and in BER, signed and unsigned, for every kind of key.
#[test]
fn keys_that_it_encrypted_are_decrypted() {
    let Some(folder) = folder() else { return };
    let folder = folder.path();
    let made = KeyPair::generate().unwrap();
    write(folder, "made.der", made.serialized_der());
    let server = KeyPair::generate().unwrap();
    write(folder, "server.key", server.serialize_pem().as_bytes());
    write_certificate(folder, "server", &certificate_of(&server));
    let sign = ["cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-in", "made.der"];
    let by = ["-signer", "server.pem", "-inkey", "server.key", "-outform", "DER", "-out", "signed"];
    openssl(folder, &[&sign[..], &by].concat());
    let mut ways: Vec<(KeyPair, Vec<&str>)> = CURVES
        .map(|curve| (KeyPair::generate_for(curve).unwrap(), vec![]))
        .into_iter()
        .chain([(rsa(), vec![]), (rsa(), vec!["-keyopt", "rsa_padding_mode:oaep"])])
        .collect();
    let sha256 = vec!["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"];
    ways.push((rsa(), sha256));
    // Another hash for the agreed key than the curve's own.
    ways.push((KeyPair::generate().unwrap(), vec!["-keyopt", "ecdh_kdf_md:sha384"]));
    for (pair, options) in ways {
        write_certificate(folder, "own", &certificate_with_key_identifier(&pair));
        let key = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
        for (content, cipher, extra) in [
            ("made.der", "-aes256", &[][..]),
            ("signed", "-aes128", &["-stream"]),
            ("signed", "-aes256", &["-keyid"]),
        ] {
            let encrypt = ["cms", "-encrypt", "-binary", cipher, "-in", content, "-outform", "DER"];
            let for_whom = ["-recip", "own.pem"];
            let message = openssl(folder, &[&encrypt[..], extra, &for_whom, &options].concat());
            let opened = decrypt_key(&message, &key)
                .unwrap_or_else(|error| panic!("{content} {cipher} {options:?}: {error}"));
            assert_eq!(opened.key().pkcs8_der(), made.serialized_der());
            assert_eq!(opened.signer().is_empty(), content == "made.der");
        }
    }
}
