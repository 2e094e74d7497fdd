//! Keys that a server makes and encrypts for the client.

use brski_est::csr::{Csr, KeyAlgorithm};
use brski_est::csr_builder::{CsrRequest, PrivateKey};
use brski_est::server_keygen::{
    DecryptionKey, EncryptionRequest, EnvelopeError, EnvelopeRandom, KeyProtection, OpenError,
    ProtectionError, Recipient, decrypt_key, encrypt_key,
};
use cms::content_info::ContentInfo;
use cms::enveloped_data::{EnvelopedData, RecipientInfo};
use der::Decode as _;
use rcgen::{CertificateParams, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;

use crate::support::{
    CURVES, Numbers, certificate_of, certificate_with_key_identifier, key, private, rsa,
};

const DECRYPT_KEY: &str = "1.2.840.113549.1.9.16.2.37";
const ASYMMETRIC_DECRYPT_KEY: &str = "1.2.840.113549.1.9.16.2.54";
const SMIME_CAPABILITIES: &str = "1.2.840.113549.1.9.15";
const OCTETS: &[u8] = &[4, 2, 7, 8];
/// One algorithm: id-aes256-wrap.
const AES256_WRAP: &[u8] = &[0x30, 13, 0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 45];
const ED25519_KEY: &[u8] = &[0x30, 0];

fn protection(request: &CsrRequest) -> Result<KeyProtection, ProtectionError> {
    KeyProtection::of(&Csr::parse(&request.sign(&key()).unwrap()).unwrap())
}

/// A client's wish, as it arrives at the server.
fn arrived(certificate: &CertificateDer<'_>) -> EncryptionRequest {
    let wish = EncryptionRequest::for_certificate(certificate).unwrap();
    match protection(&CsrRequest::new(&[]).with_encryption(&wish)).unwrap() {
        KeyProtection::Encrypted(read) => {
            assert_eq!(read, wish);
            read
        }
        other => panic!("{other:?}"),
    }
}

fn recipient(certificate: &CertificateDer<'_>) -> Recipient {
    arrived(certificate).recipient(&[certificate]).unwrap()
}

fn random() -> EnvelopeRandom {
    EnvelopeRandom::from_random([9; 48])
}

/// A server's key, and its certificate.
struct Server {
    signer: PrivateKey,
    chain: [CertificateDer<'static>; 1],
}

impl Server {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        Self { signer: private(&pair), chain: [certificate_of(&pair)] }
    }

    /// Encrypts a key for the owner of a certificate.
    fn encrypt(&self, made: &KeyPair, own: &CertificateDer<'_>) -> Vec<u8> {
        let recipient = recipient(own);
        encrypt_key(made.serialized_der(), &recipient, &self.signer, &self.chain, random()).unwrap()
    }
}

fn recipients() -> Vec<KeyPair> {
    CURVES.into_iter().map(|curve| KeyPair::generate_for(curve).unwrap()).chain([rsa()]).collect()
}

#[test]
fn a_key_comes_to_its_owner_whatever_its_kind() {
    let made = KeyPair::generate().unwrap();
    let server = Server::new();
    let certificates =
        |pair: &KeyPair| [certificate_of(pair), certificate_with_key_identifier(pair)];
    for (pair, own) in
        recipients().iter().flat_map(|pair| certificates(pair).map(|own| (pair, own)))
    {
        let message = server.encrypt(&made, &own);
        let contains = |octets: &[u8]| message.windows(octets.len()).any(|all| all == octets);
        assert!(!contains(&made.serialized_der()[30..60]), "the key is not readable");
        let key = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
        let opened = decrypt_key(&message, &key).unwrap();
        assert_eq!(opened.key().pkcs8_der(), made.serialized_der());
        assert_eq!(opened.signer(), server.chain);
        let shown = format!("{:?} {key:?}", opened.key());
        assert_eq!(shown, "GeneratedKey { .. } DecryptionKey { .. }");
    }
}

#[test]
fn every_kind_of_signer_signs() {
    let made = KeyPair::generate().unwrap();
    let pair = KeyPair::generate().unwrap();
    let own = certificate_of(&pair);
    let key = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
    for server in crate::support::pairs() {
        let chain = [certificate_of(&server), certificate_of(&made)];
        let message = encrypt_key(
            made.serialized_der(),
            &recipient(&own),
            &private(&server),
            &chain,
            random(),
        )
        .unwrap();
        assert_eq!(decrypt_key(&message, &key).unwrap().signer(), chain);
    }
}

/// A strict reader by another hand.
#[test]
fn the_envelope_is_der_to_the_letter() {
    let made = KeyPair::generate().unwrap();
    let server = Server::new();
    for pair in recipients() {
        let own = certificate_of(&pair);
        let message = server.encrypt(&made, &own);
        let content = ContentInfo::from_der(&message).unwrap();
        let enveloped: EnvelopedData = content.content.decode_as().unwrap();
        assert_eq!(enveloped.encrypted_content.content_type.to_string(), "1.2.840.113549.1.7.2");
        let recipients: Vec<_> = enveloped.recip_infos.0.iter().collect();
        let [only] = recipients.as_slice() else { panic!("one recipient") };
        match (only, CURVES.contains(&pair.algorithm())) {
            (RecipientInfo::Kari(_), true) | (RecipientInfo::Ktri(_), false) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_same_key_is_never_encrypted_to_the_same_octets() {
    let made = KeyPair::generate().unwrap();
    let server = Server::new();
    let own = certificate_of(&KeyPair::generate().unwrap());
    let (first, second) = (server.encrypt(&made, &own), server.encrypt(&made, &own));
    assert_ne!(first, second, "the key of the sender is fresh");
}

#[test]
fn nobody_else_opens_it() {
    let made = KeyPair::generate().unwrap();
    let server = Server::new();
    for pair in recipients() {
        let own = certificate_of(&pair);
        let message = server.encrypt(&made, &own);
        for other in recipients() {
            let key = DecryptionKey::from_pkcs8_der(other.serialized_der()).unwrap();
            let refused = decrypt_key(&message, &key).unwrap_err();
            assert_eq!(refused, OpenError::NotForThisKey);
        }
    }
    let refused = DecryptionKey::from_pkcs8_der(ED25519_KEY).unwrap_err();
    assert_eq!(refused, OpenError::Key);
}

/// Whatever octet is changed on the way: the key comes as it was, or not at all.
#[test]
fn a_changed_octet_never_yields_another_key() {
    let made = KeyPair::generate().unwrap();
    let server = Server::new();
    let pair = KeyPair::generate().unwrap();
    let own = certificate_of(&pair);
    let message = server.encrypt(&made, &own);
    let key = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
    for position in 0..message.len() {
        let mut changed = message.clone();
        changed[position] ^= 1;
        if let Ok(opened) = decrypt_key(&changed, &key) {
            assert_eq!(opened.key().pkcs8_der(), made.serialized_der(), "octet {position}");
            assert_eq!(opened.signer().len(), 1, "octet {position}");
        }
    }
}

#[test]
fn what_is_no_envelope_is_refused_by_name() {
    let pair = KeyPair::generate().unwrap();
    let key = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
    for octets in [&[][..], &[0x30, 0], &[0x30, 0x80, 0, 0], &certificate_of(&pair)] {
        let refused = decrypt_key(octets, &key).unwrap_err();
        assert!(matches!(refused, OpenError::Structure(_)), "{refused}");
    }
    let octets = 65 * 1024;
    let refused = decrypt_key(&vec![0x30; octets], &key).unwrap_err();
    assert_eq!(refused, OpenError::TooLong { octets });
    let mut numbers = Numbers::new();
    let server = Server::new();
    let made = KeyPair::generate().unwrap();
    let own = certificate_of(&pair);
    let message = server.encrypt(&made, &own);
    for _ in 0..2000 {
        let mut octets = message.clone();
        let position = numbers.next() % octets.len();
        octets[position] = u8::try_from(numbers.next() % 256).unwrap();
        octets.truncate(numbers.next() % (octets.len() + 1));
        let _ = decrypt_key(&octets, &key);
    }
}

#[test]
fn a_signer_signs_for_its_own_certificate_alone() {
    let made = KeyPair::generate().unwrap();
    let own = certificate_of(&made);
    let server = Server::new();
    let [foreign] = Server::new().chain;
    for chain in [vec![], vec![foreign], vec![vec![0x30, 0].into()]] {
        let refused =
            encrypt_key(made.serialized_der(), &recipient(&own), &server.signer, &chain, random());
        assert_eq!(refused, Err(EnvelopeError::SignerCertificate));
    }
}

#[test]
fn a_request_without_a_key_asks_for_tls_alone() {
    assert_eq!(protection(&CsrRequest::new(&[])), Ok(KeyProtection::TlsOnly));
}

#[test]
fn requests_that_cannot_be_met_are_refused_by_name() {
    let request = || CsrRequest::new(&[]);
    let symmetric = request().with_attribute(DECRYPT_KEY, &[OCTETS]).unwrap();
    let identifier = "0708".to_owned();
    assert_eq!(
        protection(&symmetric),
        Err(ProtectionError::SymmetricKey { identifier: identifier.clone() })
    );
    let both = symmetric.with_attribute(ASYMMETRIC_DECRYPT_KEY, &[OCTETS]).unwrap();
    assert_eq!(protection(&both), Err(ProtectionError::Ambiguous));
    let asymmetric = || request().with_attribute(ASYMMETRIC_DECRYPT_KEY, &[OCTETS]).unwrap();
    assert_eq!(protection(&asymmetric()), Err(ProtectionError::NoCapabilities));
    for value in [&[5, 0][..], &[0x30, 2, 5, 0]] {
        let broken = asymmetric().with_attribute(SMIME_CAPABILITIES, &[value]).unwrap();
        assert_eq!(protection(&broken), Err(ProtectionError::Capabilities));
    }
    let long = [&[4, 65][..], &[7; 65]].concat();
    for values in [&[][..], &[OCTETS, OCTETS], &[&[4, 0]], &[&[5, 0]], &[&long]] {
        for kind in [DECRYPT_KEY, ASYMMETRIC_DECRYPT_KEY] {
            let broken = request().with_attribute(kind, values).unwrap();
            assert_eq!(protection(&broken), Err(ProtectionError::Identifier), "{values:?}");
        }
    }
    let unknown = asymmetric().with_attribute(SMIME_CAPABILITIES, &[AES256_WRAP]).unwrap();
    let Ok(KeyProtection::Encrypted(unknown)) = protection(&unknown) else { panic!("it is read") };
    let own = certificate_of(&KeyPair::generate().unwrap());
    let refused = unknown.recipient(&[&own, &vec![0x30, 0].into()]);
    assert_eq!(refused, Err(ProtectionError::UnknownKey { identifier }));
}

#[test]
fn keys_that_nothing_can_be_encrypted_for_are_refused_by_name() {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let refused = EncryptionRequest::for_certificate(&certificate_of(&ed25519));
    assert_eq!(refused, Err(ProtectionError::KeyKind { kind: KeyAlgorithm::Ed25519 }));
    let refused = EncryptionRequest::for_certificate(&vec![0x30, 0].into());
    assert_eq!(refused, Err(ProtectionError::Certificate));
    for (pair, usage, is_right) in [
        (KeyPair::generate().unwrap(), KeyUsagePurpose::KeyAgreement, true),
        (KeyPair::generate().unwrap(), KeyUsagePurpose::DigitalSignature, false),
        (rsa(), KeyUsagePurpose::KeyEncipherment, true),
        (rsa(), KeyUsagePurpose::DigitalSignature, false),
    ] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.key_usages = vec![usage];
        let restricted = params.self_signed(&pair).unwrap();
        let refused = EncryptionRequest::for_certificate(restricted.der());
        assert_eq!(refused.is_ok(), is_right);
        if !is_right {
            assert_eq!(refused, Err(ProtectionError::KeyUsage));
            // A server holds a client to it that does not hold itself.
            let wish = arrived(&certificate_of(&pair));
            assert_eq!(wish.recipient(&[restricted.der()]), Err(ProtectionError::KeyUsage));
        }
    }
}

#[test]
fn a_client_that_lists_nothing_for_its_key_is_refused_by_name() {
    let rsa = rsa();
    let own = certificate_of(&rsa);
    let wish = EncryptionRequest::for_certificate(&own).unwrap();
    let length = u8::try_from(wish.key_identifier().len()).unwrap();
    let id = [&[4, length][..], wish.key_identifier()].concat();
    let request = CsrRequest::new(&[])
        .with_attribute(ASYMMETRIC_DECRYPT_KEY, &[&id])
        .unwrap()
        .with_attribute(SMIME_CAPABILITIES, &[AES256_WRAP])
        .unwrap();
    let Ok(KeyProtection::Encrypted(read)) = protection(&request) else { panic!("it is read") };
    let kind = KeyAlgorithm::Rsa(2048);
    assert_eq!(read.recipient(&[&own]), Err(ProtectionError::NoCommonAlgorithm { kind }));
}
