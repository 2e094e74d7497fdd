//! Keys that the registrar makes for devices which cannot (RFC 7030 §4.4): what is asked for, and how long a key is kept.
//!
//! The client keeps no state: the same wish of the same device, while it waits or after its answer was lost, must get
//! the same key and the same certificate. So the key is kept, sealed, until the device has had time to fetch it
//! (docs/decisions/0005-generated-keys-are-kept-sealed.md).
//! Invariant: the key itself is in no [`Decision`], event or refusal; only its sealed form is in a change.

use brski_est::csr::{Csr, KeyKind};
use brski_est::csr_builder::CsrRequest;
use brski_est::server_keygen::{KeyProtection, Recipient};
use rustls_pki_types::CertificateDer;

use super::refusal::Refusal;
use super::{Decision, Visit, enroll};
use crate::store::Change;
use crate::store::model::{Id, Millis, SealedKey, Sha256, Verdict, hex};

/// How long a key is given again after it was sent for the first time: its answer may have been lost.
pub const SENT_MILLIS: i64 = 60 * 60 * 1000;
/// How long a key waits for a device that does not come back.
pub const WAITING_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Reads the CSR of a client whose key shall be made; its own key and signature prove nothing and are ignored
/// (RFC 7030 §4.4.1).
///
/// # Errors
/// [`Refusal::CsrUnreadable`].
pub fn read(body: &[u8]) -> Result<Csr, Refusal> {
    enroll::parse(body)
}

/// For whom the key must be encrypted, if the client wants it so. `own`: the certificate of its TLS session.
///
/// # Errors
/// [`Refusal::KeyProtection`].
pub fn recipient(
    csr: &Csr,
    own: Option<&CertificateDer<'static>>,
) -> Result<Option<Recipient>, Refusal> {
    match KeyProtection::of(csr).map_err(Refusal::KeyProtection)? {
        KeyProtection::TlsOnly => Ok(None),
        KeyProtection::Encrypted(request) => {
            let certificates: Vec<&CertificateDer<'static>> = own.into_iter().collect();
            request.recipient(&certificates).map(Some).map_err(Refusal::KeyProtection)
        }
        // A kind of protection that this program does not know is promised to nobody.
        _ => Err(Refusal::NotOffered { operation: "this protection of a generated key" }),
    }
}

/// SHA-256 of what the device wants, as a retry wants it again: neither the CSR's own key nor its signature counts,
/// since a client may make both anew each time.
///
/// `kind`: the kind of key that its profile gives.
#[must_use]
pub fn wish(profile: &str, device: &Id, kind: KeyKind, csr: &Csr) -> Sha256 {
    let mut extensions: Vec<&[u8]> = csr.extensions().iter().map(|each| each.der()).collect();
    extensions.sort_unstable();
    // Each extension is a DER value, which says where it ends, as does the subject.
    let asked = Sha256::of(&[&[csr.subject_der()], extensions.as_slice()].concat().concat());
    // None of these contains a NUL.
    Sha256::of(format!("serverkeygen\0{profile}\0{device}\0{kind}\0{asked}").as_bytes())
}

/// What the registrar's own CSR asks for: what the client's does, over the same session.
#[must_use]
pub fn request(csr: &Csr) -> CsrRequest {
    let request = CsrRequest::like(csr);
    match csr.challenge_password() {
        // It links the wish to this session, and is checked with the rest of the CSR.
        Some(password) => request.with_challenge_password(password),
        None => request,
    }
}

/// What a sealed key is sealed for: it opens for this wish of this device alone.
#[must_use]
pub fn context(wish: &Sha256, device: &Id) -> Vec<u8> {
    format!("{device}\0{}", hex(&wish.0)).into_bytes()
}

/// Whether a kept key is given no more.
#[must_use]
pub fn is_over(key: &SealedKey, now: Millis) -> bool {
    let was_sent_long_ago = key.sent_at.is_some_and(|sent| now >= sent.plus(SENT_MILLIS));
    was_sent_long_ago || now >= key.created_at.plus(WAITING_MILLIS)
}

/// Keeps a key that was made, in the place of one that is over.
#[must_use]
pub fn made(visit: &Visit, key: SealedKey, kind: KeyKind, over: Option<&SealedKey>) -> Decision {
    let detail = format!("a key of kind {kind} is made for the device");
    let event =
        visit.event("key-generated", Verdict::Done, "RFC 7030 §4.4", Some(&key.device), detail);
    let removed =
        over.map(|over| Change::RemoveSealedKey { wish: over.wish, enrollment: over.enrollment });
    let changes = removed.into_iter().chain([Change::KeepSealedKey(key)]).collect();
    Decision { changes, events: vec![event] }
}

/// Notes that a key goes to its device.
#[must_use]
pub fn sent(
    visit: &Visit,
    wish: Sha256,
    device: &Id,
    serial: &str,
    is_encrypted: bool,
) -> Decision {
    let how = if is_encrypted { "encrypted for its certificate" } else { "inside TLS" };
    let detail = format!("the key of certificate {serial} goes to the device, {how}");
    let event = visit.event("key-sent", Verdict::Done, "RFC 7030 §4.4.2", Some(device), detail);
    Decision { changes: vec![Change::NoteKeySent { wish, at: visit.now }], events: vec![event] }
}

#[cfg(test)]
mod tests {
    use brski_est::csr_builder::PrivateKey;

    use super::*;

    fn csr(request: &CsrRequest) -> Csr {
        let key = rcgen::KeyPair::generate().unwrap();
        let key = PrivateKey::from_pkcs8_der(key.serialized_der()).unwrap();
        Csr::parse(&request.sign(&key).unwrap()).unwrap()
    }

    fn id() -> Id {
        Id::from_stored("1".into())
    }

    fn wish_of(request: &CsrRequest, kind: KeyKind) -> Sha256 {
        wish("default", &id(), kind, &csr(request))
    }

    #[test]
    fn a_retry_with_another_throwaway_key_is_the_same_wish() {
        let request = CsrRequest::new(&["a.example.org"]);
        let first = wish_of(&request, KeyKind::EcP256);
        assert_eq!(wish_of(&request.clone().with_challenge_password("x"), KeyKind::EcP256), first);
        for other in [
            wish_of(&CsrRequest::new(&["b.example.org"]), KeyKind::EcP256),
            wish_of(&request.clone().with_common_name("a.example.org"), KeyKind::EcP256),
            wish_of(&request, KeyKind::Rsa),
            wish("other", &id(), KeyKind::EcP256, &csr(&request)),
            wish("default", &Id::from_stored("2".into()), KeyKind::EcP256, &csr(&request)),
        ] {
            assert_ne!(other, first);
        }
    }

    fn key(created_at: i64, sent_at: Option<i64>) -> SealedKey {
        SealedKey {
            wish: Sha256([1; 32]),
            device: id(),
            enrollment: Sha256([2; 32]),
            sealed: vec![0xab; 64],
            created_at: Millis(created_at),
            sent_at: sent_at.map(Millis),
        }
    }

    #[test]
    fn a_key_is_over_an_hour_after_it_was_sent_or_when_nobody_comes() {
        assert!(!is_over(&key(0, None), Millis(WAITING_MILLIS - 1)));
        assert!(is_over(&key(0, None), Millis(WAITING_MILLIS)));
        assert!(!is_over(&key(0, Some(10)), Millis(10 + SENT_MILLIS - 1)));
        assert!(is_over(&key(0, Some(10)), Millis(10 + SENT_MILLIS)));
    }

    #[test]
    fn neither_the_key_nor_its_sealed_form_is_printed() {
        let printed = format!("{:?}", key(0, None));
        assert!(!printed.contains("171") && !printed.contains("ab"), "{printed}");
    }
}
