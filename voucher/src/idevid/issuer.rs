//! The idevid-issuer: which authority issued an IDevID (RFC 8366 §5.3, draft-ietf-anima-rfc8366bis §6.1).

use aws_lc_rs::digest;

use crate::certificate::Certificate;
use crate::tlv::{OCTET_STRING, SEQUENCE, only, tagged};

/// Tag of keyIdentifier in an authority key identifier (RFC 5280 §4.2.1.1).
const KEY_IDENTIFIER: u8 = 0x80;

/// The idevid-issuer of an IDevID: its authority key identifier with the OCTET STRING around it, verbatim.
///
/// Where it has none, one is made of the SHA-1 of the IDevID's own public key.
///
/// draft-ietf-anima-rfc8366bis §6.1.
#[must_use]
pub fn issuer(idevid: &Certificate) -> Vec<u8> {
    if let Some(identifier) = idevid.authority_key_identifier() {
        return tagged(OCTET_STRING, identifier);
    }
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, idevid.public_key());
    tagged(OCTET_STRING, &tagged(SEQUENCE, &tagged(KEY_IDENTIFIER, sha1.as_ref())))
}

/// The idevid-issuer of the IDevIDs that an authority issues, as far as its own certificate tells: by its subject key
/// identifier, or by the SHA-1 of its public key where it has none.
///
/// For requests about a device whose IDevID was not seen; one with another authority key identifier has another.
///
/// RFC 5280 §4.2.1.1.
#[must_use]
pub fn issuer_of(authority: &Certificate) -> Vec<u8> {
    let sha1 = || digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, authority.public_key());
    let identifier = match authority.subject_key_identifier() {
        Some(identifier) => tagged(KEY_IDENTIFIER, identifier),
        None => tagged(KEY_IDENTIFIER, sha1().as_ref()),
    };
    tagged(OCTET_STRING, &tagged(SEQUENCE, &identifier))
}

/// The ways in which an idevid-issuer is found in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerForm {
    /// The value of the extension with its OCTET STRING, as draft-ietf-anima-rfc8366bis §6.1 asks.
    ExtensionValue,
    /// The authority key identifier without the OCTET STRING.
    AuthorityKeyIdentifier,
    /// The key identifier in it, bare or as an OCTET STRING.
    KeyIdentifier,
    /// The issuer's name as text.
    Name,
}

/// In which form an idevid-issuer that somebody sent means this IDevID's issuer, if it does.
#[must_use]
pub fn issuer_form(sent: &[u8], idevid: &Certificate) -> Option<IssuerForm> {
    let own = issuer(idevid);
    if sent == own {
        return Some(IssuerForm::ExtensionValue);
    }
    let identifier = only(&own, OCTET_STRING).ok()?.contents;
    if sent == identifier {
        return Some(IssuerForm::AuthorityKeyIdentifier);
    }
    let key_identifier = only(identifier, SEQUENCE)
        .and_then(|fields| fields.inside().expect(KEY_IDENTIFIER))
        .map(|identifier| identifier.contents);
    let sent_bare = only(sent, OCTET_STRING).map_or(sent, |wrapped| wrapped.contents);
    if key_identifier.is_ok_and(|own| !own.is_empty() && (own == sent || own == sent_bare)) {
        return Some(IssuerForm::KeyIdentifier);
    }
    let name = idevid.issuer_text();
    (!name.is_empty() && std::str::from_utf8(sent).is_ok_and(|sent| is_same_name(sent, &name)))
        .then_some(IssuerForm::Name)
}

/// Compares names of which one may have been written in the other order, or as OpenSSL's one line does.
fn is_same_name(sent: &str, own: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text
            .split([',', '/'])
            .map(|part| part.trim().replace(" = ", "="))
            .filter(|part| !part.is_empty())
            .collect();
        parts.sort_unstable();
        parts
    };
    parts(sent) == parts(own)
}
