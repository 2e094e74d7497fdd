//! CSRs: read from every maker, proven or refused by name.

use std::net::IpAddr;

use brski_est::csr::{Csr, CsrError, GeneralName, KeyAlgorithm, KeyKind};
use brski_est::csr_builder::{CsrRequest, Hash, PrivateKey, Signer};
use brski_est::transfer;
use rcgen::{CertificateParams, KeyPair};

use crate::support::{csr, key, pairs, private, rsa, vector};

const UNSTRUCTURED_NAME: &str = "1.2.840.113549.1.9.2";
const MICROSOFT_OS_VERSION: &str = "1.3.6.1.4.1.311.13.2.3";
const MICROSOFT_EXTENSION_REQUEST: &str = "1.3.6.1.4.1.311.2.1.14";
const UTF8_X: &[u8] = &[0x0c, 1, b'x'];

fn refused(request: &CsrRequest) -> CsrError {
    Csr::parse(&request.sign(&key()).unwrap()).unwrap_err()
}

#[test]
fn a_csr_says_what_it_was_built_with() {
    let csr = Csr::parse(&csr()).unwrap();
    assert_eq!(csr.common_names(), ["dev-1.iot.example.org"]);
    assert_eq!(csr.subject_attributes()[0].kind(), "2.5.4.3");
    let dns = GeneralName::Dns("dev-1.iot.example.org".into());
    assert_eq!(csr.subject_alt_names().unwrap(), [dns]);
    assert_eq!(csr.key_algorithm(), KeyAlgorithm::EcP256);
    assert_eq!(csr.challenge_password(), None);
    let [extensions] = csr.attributes() else { panic!("one attribute") };
    assert_eq!(extensions.oid(), "1.2.840.113549.1.9.14");
    csr.prove().unwrap();
}

#[test]
fn every_kind_of_key_proves_its_csr() {
    for pair in pairs() {
        let key = private(&pair);
        let read = Csr::parse(&CsrRequest::new(&["a.example.org"]).sign(&key).unwrap()).unwrap();
        assert_eq!(read.spki_der(), key.spki_der());
        assert!(read.key_algorithm().kind().is_some());
        read.prove().unwrap();
    }
}

#[test]
fn rsa_signs_with_the_hash_that_is_asked_for_and_curves_with_their_own() {
    let pair = rsa();
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let key = private(&pair).with_hash(hash).unwrap();
        let csr = CsrRequest::new(&["a.example.org"]).sign(&key).unwrap();
        let proven = Csr::parse(&csr).unwrap().prove().unwrap();
        assert_eq!(proven.key_algorithm(), KeyAlgorithm::Rsa(2048));
    }
    private(&KeyPair::generate().unwrap()).with_hash(Hash::Sha256).unwrap();
    private(&KeyPair::generate().unwrap()).with_hash(Hash::Sha384).unwrap_err();
    PrivateKey::from_pkcs8_der(b"no key").unwrap_err();
}

#[test]
fn a_csr_of_another_library_is_read_alike() {
    for pair in pairs() {
        let parameters = CertificateParams::new(vec!["b.example.org".to_owned()]).unwrap();
        let csr = parameters.serialize_request(&pair).unwrap();
        let csr = Csr::parse(csr.der()).unwrap().prove().unwrap();
        assert_eq!(csr.subject_alt_names().unwrap().len(), 1);
        assert_ne!(csr.key_algorithm(), KeyAlgorithm::Unknown);
    }
}

#[test]
fn reads_the_published_csrs_and_refuses_their_sha1() {
    for (name, password) in [
        ("rfc7030/a3_simpleenroll_request.b64", "+rrCir/7+EYu50T4"),
        ("rfc7030/a4_serverkeygen_request.b64", "dFsAXmJnjokBtDvr"),
    ] {
        let Some(body) = vector(name) else { return };
        let csr = Csr::parse(&transfer::decode_csr(&body).unwrap()).unwrap();
        assert_eq!(csr.challenge_password(), Some(password));
        assert_eq!(csr.key_algorithm(), KeyAlgorithm::Rsa(2048));
        assert_eq!(csr.prove(), Err(CsrError::WeakHash { hash: "SHA-1" }));
    }
}

#[test]
fn a_changed_octet_never_proves() {
    for pair in pairs() {
        let csr = CsrRequest::new(&["a.example.org"]).sign(&private(&pair)).unwrap();
        for position in 0..csr.len() {
            let mut changed = csr.clone();
            changed[position] ^= 1;
            if let Ok(read) = Csr::parse(&changed) {
                assert!(read.prove().is_err(), "octet {position}");
            }
        }
    }
}

#[test]
fn the_same_wish_has_the_same_digest_whatever_its_signature() {
    let key = key();
    let digest = |request: &CsrRequest| {
        Csr::parse(&request.sign(&key).unwrap()).unwrap().prove().unwrap().enrollment_digest()
    };
    let plain = CsrRequest::new(&["a.example.org"]);
    assert_eq!(digest(&plain), digest(&plain));
    assert_eq!(digest(&plain), digest(&plain.clone().with_challenge_password("x")));
    assert_ne!(digest(&plain), digest(&CsrRequest::new(&["b.example.org"])));
    assert_ne!(digest(&plain), digest(&plain.clone().with_common_name("a.example.org")));
}

#[test]
fn the_hash_of_a_key_is_the_keys_alone() {
    let (first, second) = (key(), key());
    let hash = |request: &CsrRequest, key: &PrivateKey| {
        Csr::parse(&request.sign(key).unwrap()).unwrap().spki_sha256()
    };
    let (a, b) = (CsrRequest::new(&["a.example.org"]), CsrRequest::new(&["b.example.org"]));
    assert_eq!(hash(&a, &first), hash(&b, &first));
    assert_ne!(hash(&a, &first), hash(&a, &second));
}

#[test]
fn refuses_what_is_there_twice() {
    let names: (&[u8], &[u8]) = (&[0x55, 0x1d, 17], &[0x30, 3, 0x82, 1, b'x']);
    let twice = CsrRequest::new(&["a.example.org"]).with_extension(names.0, names.1);
    assert_eq!(refused(&twice), CsrError::Twice("extension 2.5.29.17".to_owned()));
    let one = CsrRequest::new(&["a.example.org"]);
    let passwords = one.clone().with_challenge_password("x");
    let twice = passwords.with_attribute("1.2.840.113549.1.9.7", &[UTF8_X]).unwrap();
    assert_eq!(refused(&twice), CsrError::Twice("challengePassword".to_owned()));
    let twice = one.clone().with_attribute("1.2.840.113549.1.9.7", &[UTF8_X, UTF8_X]).unwrap();
    assert_eq!(refused(&twice), CsrError::Twice("challengePassword".to_owned()));
    let unstructured = one.with_attribute(UNSTRUCTURED_NAME, &[UTF8_X]).unwrap();
    let twice = unstructured.with_attribute(UNSTRUCTURED_NAME, &[UTF8_X]).unwrap();
    assert_eq!(refused(&twice), CsrError::Twice(format!("attribute {UNSTRUCTURED_NAME}")));
}

/// OpenSSL takes extensions from Windows' attribute too, so a CA might.
#[test]
fn extensions_hide_in_no_other_attribute() {
    let ca_true: &[u8] = &[0x30, 14, 0x30, 12, 6, 3, 0x55, 0x1d, 19, 4, 5, 0x30, 3, 1, 1, 0xff];
    let hidden = CsrRequest::new(&[]).with_attribute(MICROSOFT_EXTENSION_REQUEST, &[ca_true]);
    let csr = Csr::parse(&hidden.unwrap().sign(&key()).unwrap()).unwrap();
    assert!(csr.basic_constraints().unwrap().unwrap().is_ca());
    let both = CsrRequest::new(&["a.example.org"])
        .with_attribute(MICROSOFT_EXTENSION_REQUEST, &[ca_true])
        .unwrap();
    assert_eq!(refused(&both), CsrError::Twice("extensionRequest".to_owned()));
}

#[test]
fn attributes_that_ask_for_nothing_pass() {
    let csr = CsrRequest::new(&["a.example.org"])
        .with_attribute(UNSTRUCTURED_NAME, &[UTF8_X])
        .unwrap()
        .with_attribute(MICROSOFT_OS_VERSION, &[UTF8_X])
        .unwrap()
        .sign(&key())
        .unwrap();
    let csr = Csr::parse(&csr).unwrap().prove().unwrap();
    let kinds: Vec<&str> = csr.attributes().iter().map(|attribute| attribute.oid()).collect();
    assert_eq!(kinds, [UNSTRUCTURED_NAME, MICROSOFT_OS_VERSION, "1.2.840.113549.1.9.14"]);
    assert_eq!(csr.attributes()[0].values(), [UTF8_X]);
}

#[test]
fn reads_names_of_every_kind() {
    let names = [
        GeneralName::Dns("*.example.org".into()),
        GeneralName::Email("a@example.org".into()),
        GeneralName::Uri("urn:dev:1".into()),
        GeneralName::Ip(IpAddr::from([192, 0, 2, 1])),
        GeneralName::Ip(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
        GeneralName::Directory(vec![0x30, 0]),
        GeneralName::OtherName { kind: "1.3.6.1.5.5.7.8.10".into(), value: UTF8_X.to_vec() },
        GeneralName::RegisteredId("1.2.3".into()),
    ];
    let mut request = CsrRequest::new(&[]);
    for name in &names {
        request = request.with_alternative_name(name).unwrap();
        assert!(!name.to_string().is_empty());
    }
    let csr = Csr::parse(&request.sign(&key()).unwrap()).unwrap();
    assert_eq!(csr.subject_alt_names().unwrap(), names);
    CsrRequest::new(&[]).with_alternative_name(&GeneralName::Other(3)).unwrap_err();
}

#[test]
fn refuses_names_that_are_not_what_they_say() {
    for (name, kind) in [
        (&[0x82, 1, 0xff][..], "dNSName"),
        (&[0x81, 1, 0xff], "rfc822Name"),
        (&[0x86, 1, 0xff], "uniformResourceIdentifier"),
        (&[0x87, 3, 1, 2, 3], "iPAddress"),
        (&[0xa0, 2, 5, 0], "otherName"),
        (&[0x02, 1, b'x'], "GeneralName"),
    ] {
        let list = [&[0x30, u8::try_from(name.len()).unwrap()], name].concat();
        let request = CsrRequest::new(&[]).with_extension(&[0x55, 0x1d, 17], &list);
        let csr = Csr::parse(&request.sign(&key()).unwrap()).unwrap();
        assert_eq!(csr.subject_alt_names(), Err(CsrError::Structure(kind)));
    }
}

#[test]
fn refuses_rsa_keys_that_are_too_small_by_name() {
    // 1024 bits: no library here makes one any more, so its numbers alone are real.
    let modulus = [&[0x02, 0x81, 0x81, 0, 0x80][..], &[1; 127]].concat();
    let key = [&[0x30, 0x81, 0x89][..], &modulus, &[2, 3, 1, 0, 1]].concat();
    let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let spki = [&[0x30, 0x81, 0x9f][..], &algorithm, &[3, 0x81, 0x8d, 0], &key].concat();
    let csr = CsrRequest::new(&["a.example.org"]).sign(&Foreign { spki }).unwrap();
    let csr = Csr::parse(&csr).unwrap();
    assert_eq!(csr.key_algorithm(), KeyAlgorithm::Rsa(1024));
    assert_eq!(csr.prove(), Err(CsrError::RsaSize { bits: 1024 }));
}

#[test]
fn refuses_keys_of_unknown_kinds_by_name() {
    // secp256k1, 1.3.132.0.10.
    let point = [&[3, 66, 0, 4][..], &[1; 64]].concat();
    let algorithm =
        [0x30, 16, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 10];
    let spki = [&[0x30, 86][..], &algorithm, &point].concat();
    let csr = CsrRequest::new(&["a.example.org"]).sign(&Foreign { spki }).unwrap();
    assert_eq!(Csr::parse(&csr).unwrap().prove(), Err(CsrError::UnknownKey));
}

#[test]
fn refuses_a_signature_by_another_key() {
    let (own, other) = (key(), key());
    let csr = CsrRequest::new(&["a.example.org"]).sign(&Borrowed { own: &own, signs: &other });
    assert_eq!(Csr::parse(&csr.unwrap()).unwrap().prove(), Err(CsrError::Signature));
}

#[test]
fn refuses_octets_that_are_no_csr_by_name() {
    let csr = csr();
    assert_eq!(Csr::parse(&vec![0x30; 40_000]), Err(CsrError::TooLong { octets: 40_000 }));
    assert!(matches!(Csr::parse(&[]), Err(CsrError::Structure("end"))));
    assert!(matches!(Csr::parse(&csr[..csr.len() - 1]), Err(CsrError::Encoding(_))));
    assert!(matches!(Csr::parse(&[csr.as_slice(), &[0]].concat()), Err(CsrError::Encoding(_))));
    assert_eq!(Csr::parse(&[0x30, 0]), Err(CsrError::Structure("frame")));
    let mut many = CsrRequest::new(&[]);
    for number in 0..65 {
        many = many.with_attribute(&format!("1.2.3.{number}"), &[UTF8_X]).unwrap();
    }
    assert_eq!(refused(&many), CsrError::TooMany { what: "attributes", most: 64 });
    let mut many = CsrRequest::new(&[]);
    for number in 0..65 {
        many = many.with_extension(&[0x2a, number], UTF8_X);
    }
    assert_eq!(refused(&many), CsrError::TooMany { what: "extensions", most: 64 });
    let broken = CsrRequest::new(&[]).with_attribute("1.2.840.113549.1.9.14", &[UTF8_X]).unwrap();
    assert_eq!(refused(&broken), CsrError::Structure("extensionRequest"));
    let empty = CsrRequest::new(&[]).with_attribute("1.2.840.113549.1.9.7", &[]).unwrap();
    assert_eq!(refused(&empty), CsrError::Structure("challengePassword"));
}

#[test]
fn a_csr_without_the_empty_attributes_is_read() {
    let csr = CsrRequest::new(&[]).sign(&key()).unwrap();
    // The last two octets of the CertificationRequestInfo are the empty attributes.
    let info_length = usize::from(csr[if csr[1] < 0x80 { 3 } else { 4 }]);
    assert!(info_length < 0x80, "the lengths are short");
    let start = if csr[1] < 0x80 { 2 } else { 3 };
    let mut without = csr.clone();
    let end = start + 2 + info_length;
    assert_eq!(without[end - 2..end], [0xa0, 0]);
    without.drain(end - 2..end);
    without[start + 1] -= 2;
    without[start - 1] -= 2;
    let read = Csr::parse(&without).unwrap();
    assert!(read.attributes().is_empty() && read.extensions().is_empty());
    assert_eq!(read.prove(), Err(CsrError::Signature), "the signature covers them");
}

#[test]
fn kinds_of_keys_have_names() {
    assert_eq!(KeyAlgorithm::Rsa(3072).to_string(), "rsa of 3072 bits");
    assert_eq!(KeyAlgorithm::Unknown.to_string(), "of an unknown kind");
    for (kind, name) in [
        (KeyKind::EcP256, "ec-p256"),
        (KeyKind::EcP384, "ec-p384"),
        (KeyKind::EcP521, "ec-p521"),
        (KeyKind::Rsa, "rsa"),
        (KeyKind::Ed25519, "ed25519"),
    ] {
        assert_eq!(kind.to_string(), name);
    }
}

/// A key that this library cannot sign with; what it makes is no signature.
struct Foreign {
    spki: Vec<u8>,
}

impl Signer for Foreign {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> brski_est::csr_builder::SignatureAlgorithm {
        brski_est::csr_builder::SignatureAlgorithm::RsaSha256
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, brski_est::csr_builder::BuildError> {
        Ok(vec![7; 128])
    }
}

/// One key's name over another's signature.
struct Borrowed<'a> {
    own: &'a PrivateKey,
    signs: &'a PrivateKey,
}

impl Signer for Borrowed<'_> {
    fn spki_der(&self) -> &[u8] {
        self.own.spki_der()
    }

    fn algorithm(&self) -> brski_est::csr_builder::SignatureAlgorithm {
        self.signs.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, brski_est::csr_builder::BuildError> {
        self.signs.sign(message)
    }
}
