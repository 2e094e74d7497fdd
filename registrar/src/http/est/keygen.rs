//! `/serverkeygen` (RFC 7030 §4.4): makes a key for a device, and gets its certificate as for every other CSR.

use std::borrow::Cow;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair,
};
use brski_est::csr::{Csr, KeyKind, ProvenCsr};
use brski_est::csr_builder::PrivateKey;
use brski_est::media_type;
use brski_est::server_keygen::{
    Boundary, EnvelopeRandom, GeneratedKey, KeyAnswerBody, KeyPart, Recipient, encrypt_key,
};
use brski_est::transfer::Folding;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tracing::warn;
use zeroize::Zeroizing;

use super::Asked;
use super::enroll::{self, Renewal};
use crate::config::{Config, Profile, ServerKeygen};
use crate::entropy::random_bytes;
use crate::flow::enroll::Wish;
use crate::flow::gate::Entrant;
use crate::flow::refusal::Refusal;
use crate::flow::{Decision, keygen};
use crate::http::admit::Attempts;
use crate::http::app::{App, Arrival, Refused};
use crate::http::headers;
use crate::policy::profile;
use crate::store::model::{Device, IssuedCertificate, SealedKey, Sha256};
use crate::store::{Conflict, StoreError};
use crate::vault::Vault;

const OPERATION: &str = "serverkeygen";
/// How often the key is looked for again when another node made one at the same moment.
const ATTEMPTS: u32 = 3;

/// Makes a key, or finds the one that was made for the same wish, and gives it with its certificate.
pub(super) async fn generate(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    content: &[u8],
    folding: Folding,
) -> Result<KeyAnswerBody, Refused> {
    require_offer(&app.config.load(), asked)?;
    let mut arrival = Cow::Borrowed(arrival);
    let mut attempts = Attempts::default();
    loop {
        let outcome = generate_once(app, &arrival, asked, content, folding).await;
        if !attempts.go_on(&outcome) {
            return outcome;
        }
        arrival = Cow::Owned(enroll::looked_at_again(app, &arrival).await?);
    }
}

async fn generate_once(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    content: &[u8],
    folding: Folding,
) -> Result<KeyAnswerBody, Refused> {
    let (entrant, device) = enroll::entrant(app, arrival).await?;
    give(app, arrival, asked, entrant, content, folding)
        .await
        .map_err(|refused| refused.about(device.as_ref()))
}

/// Refuses at once where no profile that may be meant makes keys, whoever asks.
fn require_offer(config: &Config, asked: &Asked<'_>) -> Result<(), Refusal> {
    let mut profiles = config.profiles.iter();
    let offers = profiles.any(|(name, profile)| {
        asked.label.is_none_or(|label| label.as_str() == name)
            && profile.server_keygen == ServerKeygen::Offered
    });
    match offers {
        true => Ok(()),
        false => Err(Refusal::NotOffered { operation: OPERATION }),
    }
}

async fn give(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    entrant: Entrant,
    content: &[u8],
    folding: Folding,
) -> Result<KeyAnswerBody, Refused> {
    asked.require_own_profile(&entrant.admitted)?;
    let rules = &*app.profile(&entrant.admitted.device().profile)?;
    if rules.server_keygen == ServerKeygen::Refused {
        return Err(Refusal::NotOffered { operation: OPERATION }.into());
    }
    headers::require_media_type(&asked.parts.headers, media_type::PKCS10)?;
    let csr = keygen::read(content)?;
    let recipient = keygen::recipient(&csr, arrival.identity.certificate())?;
    // All of it is checked again with the registrar's own CSR; but no key is made for nothing.
    profile::check_linking(&csr, arrival.exporter.as_ref(), rules.linking)?;
    profile::check_wish(&csr, entrant.admitted.name(), rules)?;
    let device = entrant.admitted.device().clone();
    let (key, wish, certificate) = certified(app, arrival, entrant, &csr, rules).await?;
    let part = match &recipient {
        None => KeyPart::Plain(GeneratedKey::from_pkcs8_der(&key)),
        Some(recipient) => KeyPart::Encrypted(encrypted(app, &key, recipient)?),
    };
    let (serial, is_encrypted) = (&certificate.serial, recipient.is_some());
    app.commit(keygen::sent(&arrival.visit, wish, &device.id, serial, is_encrypted)).await?;
    let boundary = Boundary::from_random(random_bytes());
    Ok(KeyAnswerBody::new(&part, &certificate.certificate, &boundary, folding))
}

/// The key of a wish, kept or made now, with its certificate.
async fn certified(
    app: &App,
    arrival: &Arrival,
    entrant: Entrant,
    csr: &Csr,
    rules: &Profile,
) -> Result<(Zeroizing<Vec<u8>>, Sha256, IssuedCertificate), Refused> {
    let device = entrant.admitted.device();
    let kind = *rules.key_types.first().ok_or_else(|| internal("the profile takes no key"))?;
    let wish = keygen::wish(&device.profile, &device.id, kind, csr);
    let vault = vault(app)?;
    let mut attempt = 1;
    loop {
        let (key, kept) = key(app, &vault, device, wish, kind).await?;
        let proven = sign(&key, csr)?;
        let mut beside = Decision { changes: entrant.changes.clone(), events: Vec::new() };
        if let Kept::No { over } = kept {
            let row = SealedKey {
                wish,
                device: device.id.clone(),
                enrollment: Wish::new(&device.profile, &device.id, &proven, None).key,
                sealed: vault
                    .seal(&key, &keygen::context(&wish, &device.id))
                    .map_err(|error| internal(&error.to_string()))?,
                created_at: arrival.visit.now,
                sent_at: None,
            };
            let made = keygen::made(&arrival.visit, row, kind, over.as_ref());
            beside.changes.extend(made.changes);
            beside.events.extend(made.events);
        }
        let admitted = entrant.admitted.clone();
        match enroll::certify(app, arrival, admitted, proven, Renewal::default(), beside).await {
            // Another request with the same wish was quicker: its key is the one.
            Err(Refused { refusal: Refusal::Store(StoreError::Conflict(conflict)), .. })
                if conflict == Conflict::SealedKey && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            result => return Ok((key, wish, result?)),
        }
    }
}

/// What keeps keys, under the registrar's own.
fn vault(app: &App) -> Result<Vault, Refusal> {
    Vault::of_private_key(own_key(app)?).map_err(|error| internal(&error.to_string()))
}

/// The octets of the registrar's key.
fn own_key(app: &App) -> Result<&[u8], Refusal> {
    let key = app.identity.key().octets().map(PrivatePkcs8KeyDer::secret_pkcs8_der);
    key.ok_or_else(|| internal("the registrar's key is in a token, which seals nothing"))
}

/// Whether a key is in the store.
enum Kept {
    Yes,
    No { over: Option<SealedKey> },
}

async fn key(
    app: &App,
    vault: &Vault,
    device: &Device,
    wish: Sha256,
    kind: KeyKind,
) -> Result<(Zeroizing<Vec<u8>>, Kept), Refused> {
    let stored = app.store.sealed_key(&wish).await?;
    if let Some(row) = stored.as_ref().filter(|row| !keygen::is_over(row, app.now())) {
        match vault.open(&row.sealed, &keygen::context(&wish, &device.id)) {
            Ok(key) => return Ok((key, Kept::Yes)),
            // The registrar has another key of its own since: the device gets another one, too.
            Err(error) => warn!(device = %device.id, %error, "a kept key is lost"),
        }
    }
    // An RSA key takes a while.
    let made = tokio::task::spawn_blocking(move || make(kind)).await;
    let made = made.map_err(|error| internal(&error.to_string()))?;
    let key = made.map_err(|_| internal("the cryptographic provider made no key"))?;
    Ok((key, Kept::No { over: stored }))
}

/// A fresh private key of this kind, PKCS#8, DER.
fn make(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let random = SystemRandom::new();
    let on_curve = |algorithm| EcdsaKeyPair::generate_pkcs8(algorithm, &random);
    let document = match kind {
        KeyKind::EcP256 => on_curve(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
        KeyKind::EcP384 => on_curve(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
        KeyKind::EcP521 => on_curve(&ECDSA_P521_SHA512_ASN1_SIGNING)?,
        KeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&random)?,
        KeyKind::Rsa => {
            let pair = rsa::KeyPair::generate(KeySize::Rsa2048)?;
            let der: Pkcs8V1Der<'static> = pair.as_der()?;
            return Ok(Zeroizing::new(der.as_ref().to_vec()));
        }
        // A kind that this program does not know is made for nobody.
        _ => return Err(Unspecified),
    };
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// The registrar's own CSR for the wish of a client, signed with the key that it made.
fn sign(key: &[u8], csr: &Csr) -> Result<ProvenCsr, Refusal> {
    let failed = |error: &dyn std::error::Error| internal(&error.to_string());
    let key = PrivateKey::from_pkcs8_der(key).map_err(|error| failed(&error))?;
    let der = keygen::request(csr).sign(&key).map_err(|error| failed(&error))?;
    Csr::parse(&der).and_then(Csr::prove).map_err(|error| failed(&error))
}

/// The key for its recipient alone, signed by the registrar.
fn encrypted(app: &App, key: &[u8], recipient: &Recipient) -> Result<Vec<u8>, Refusal> {
    let failed = |error: &dyn std::error::Error| internal(&error.to_string());
    let signer = PrivateKey::from_pkcs8_der(own_key(app)?).map_err(|error| failed(&error))?;
    let random = EnvelopeRandom::from_random(random_bytes());
    encrypt_key(key, recipient, &signer, app.identity.load().current().tls_chain(), random)
        .map_err(|error| failed(&error))
}

fn internal(reason: &str) -> Refusal {
    Refusal::Internal { reason: format!("/serverkeygen: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_key_of_each_kind_that_a_profile_can_take() {
        for kind in
            [KeyKind::EcP256, KeyKind::EcP384, KeyKind::EcP521, KeyKind::Rsa, KeyKind::Ed25519]
        {
            let (first, second) = (make(kind).unwrap(), make(kind).unwrap());
            assert_ne!(first, second);
            let wanted = brski_est::csr_builder::CsrRequest::new(&["a.example.org"]);
            let wanted = wanted.sign(&PrivateKey::from_pkcs8_der(&second).unwrap()).unwrap();
            let proven = sign(&first, &Csr::parse(&wanted).unwrap()).unwrap();
            assert_eq!(proven.key_algorithm().kind(), Some(kind));
            assert_ne!(proven.der(), wanted);
        }
    }
}
