//! How a CA reaches the owner of an account: URLs, of mail addresses most likely (RFC 8555 §7.3). Pure.
//!
//! They are judged where they are configured, so that the CA is told of none that it would have to refuse.

use thiserror::Error;

/// The most contacts of an account; CAs take fewer.
const CONTACTS: usize = 10;
/// The longest contact, in octets.
const OCTETS: usize = 330;
/// The longest part of an address before its '@', in octets (RFC 5321 §4.5.3.1.1).
const LOCAL_OCTETS: usize = 64;
/// The longest domain of an address, in octets (RFC 1035 §2.3.4).
const DOMAIN_OCTETS: usize = 253;
/// The longest label of a domain, in octets.
const LABEL_OCTETS: usize = 63;

/// Why something is no contact of an account.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// There are too many.
    #[error("there are {count} contacts, more than {CONTACTS}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One is too long.
    #[error("a contact has {octets} octets, more than {OCTETS}")]
    TooLong {
        /// How many.
        octets: usize,
    },
    /// It is no URL.
    #[error("{contact:?} is no URL, such as \"mailto:pki@example.org\" (RFC 8555 §7.3)")]
    NotUrl {
        /// What was written.
        contact: String,
    },
    /// It is a mail address with header fields.
    #[error(
        "{contact:?} has header fields after its '?', and a contact must have none (RFC 8555 §7.3)"
    )]
    HeaderFields {
        /// What was written.
        contact: String,
    },
    /// It is several mail addresses.
    #[error(
        "{contact:?} names several addresses, and each must be a contact of its own (RFC 8555 §7.3)"
    )]
    SeveralAddresses {
        /// What was written.
        contact: String,
    },
    /// It is no mail address.
    #[error("{contact:?} is no mail address: {reason} (RFC 6068 §2)")]
    Address {
        /// What was written.
        contact: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is there twice.
    #[error("{contact:?} is there twice")]
    Twice {
        /// What was written.
        contact: String,
    },
}

/// The contacts of an account, each of which a CA may take; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts(Vec<String>);

impl Contacts {
    /// Reads contacts as they are written.
    ///
    /// `urls`: absolute URLs, at most ten, of at most 330 octets each; a `mailto` URL has exactly one address, which
    /// needs no escapes, and no header fields. Other schemes are left to the CA.
    ///
    /// # Errors
    /// [`ContactError`] of the first that is none.
    ///
    /// RFC 8555 §7.3, RFC 6068 §2.
    pub fn parse(urls: Vec<String>) -> Result<Self, ContactError> {
        if urls.len() > CONTACTS {
            return Err(ContactError::TooMany { count: urls.len() });
        }
        let mut read = Vec::with_capacity(urls.len());
        for contact in urls {
            check(&contact)?;
            if read.contains(&contact) {
                return Err(ContactError::Twice { contact });
            }
            read.push(contact);
        }
        Ok(Self(read))
    }

    /// The URLs, as they were written.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.0
    }
}

fn check(contact: &str) -> Result<(), ContactError> {
    if contact.len() > OCTETS {
        return Err(ContactError::TooLong { octets: contact.len() });
    }
    let url = contact.split_once(':').filter(|(scheme, rest)| is_scheme(scheme) && is_rest(rest));
    let Some((scheme, rest)) = url else {
        return Err(ContactError::NotUrl { contact: contact.to_owned() });
    };
    if scheme.eq_ignore_ascii_case("mailto") { check_mailto(contact, rest) } else { Ok(()) }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || b"+-.".contains(&each))
}

/// Whether a text has only what URLs may have, and something of it (RFC 3986 §2).
fn is_rest(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|each| each.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&each))
}

fn check_mailto(contact: &str, to: &str) -> Result<(), ContactError> {
    let contact = || contact.to_owned();
    if to.contains('?') {
        return Err(ContactError::HeaderFields { contact: contact() });
    }
    if to.contains(',') || to.matches('@').count() > 1 {
        return Err(ContactError::SeveralAddresses { contact: contact() });
    }
    let wrong = |reason| Err(ContactError::Address { contact: contact(), reason });
    let Some((local, domain)) = to.split_once('@') else {
        return wrong("it has no '@'");
    };
    if local.len() > LOCAL_OCTETS {
        return wrong("there are more than 64 octets before its '@'");
    }
    if !local.split('.').all(is_atom) {
        return wrong("what is before its '@' is no name of a mailbox that needs no escapes");
    }
    if domain.len() > DOMAIN_OCTETS || !domain.split('.').all(is_label) {
        return wrong("what is after its '@' is no domain name");
    }
    Ok(())
}

/// What stands between the dots of a mailbox's name, of that which a URL may have as it is (RFC 5322 §3.2.3, RFC 6068 §2).
fn is_atom(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || b"!$'*+-_~".contains(&each))
}

/// A label of a host's name (RFC 1123 §2.1).
fn is_label(text: &str) -> bool {
    (1..=LABEL_OCTETS).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(contact: &str) -> Result<Contacts, ContactError> {
        Contacts::parse(vec![contact.to_owned()])
    }

    #[test]
    fn mail_addresses_and_other_urls_are_contacts() {
        for contact in [
            "mailto:pki@example.org",
            "MAILTO:pki@example.org",
            "mailto:first.last+acme@sub.example.org",
            "mailto:o'brien_~!$*@xn--bcher-kva.example",
            "mailto:root@localhost",
            "tel:+12025551212",
            "https://example.org/contact?team=pki",
        ] {
            assert_eq!(one(contact).unwrap().urls(), [contact]);
        }
        assert!(Contacts::parse(Vec::new()).unwrap().urls().is_empty());
    }

    #[test]
    fn header_fields_are_refused() {
        for contact in [
            "mailto:pki@example.org?subject=hello",
            "mailto:pki@example.org?",
            "mailto:?to=pki@example.org",
            "mailto:a@example.org,b@example.org?cc=c@example.org",
        ] {
            let error = one(contact).unwrap_err();
            assert!(matches!(error, ContactError::HeaderFields { .. }), "{contact}: {error}");
            assert!(error.to_string().contains("RFC 8555 §7.3"), "{error}");
        }
    }

    #[test]
    fn several_addresses_in_one_contact_are_refused() {
        for contact in [
            "mailto:a@example.org,b@example.org",
            "mailto:a@example.org,",
            "mailto:,",
            "mailto:a@b@example.org",
            "mailto:a@example.org;b@example.org",
        ] {
            let error = one(contact).unwrap_err();
            assert!(matches!(error, ContactError::SeveralAddresses { .. }), "{contact}: {error}");
            assert!(error.to_string().contains("RFC 8555 §7.3"), "{error}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for contact in [
            "",
            "pki@example.org",
            "mailto",
            "mailto:",
            ":pki@example.org",
            "1mailto:pki@example.org",
            "mail to:pki@example.org",
            "mailto: pki@example.org",
            "mailto:pki@example.org\n",
            "mailto:pki\u{0}@example.org",
            "mailto:<pki@example.org>",
            "mailto:\"p k i\"@example.org",
            "mailto:pki@bücher.example",
        ] {
            let error = one(contact).unwrap_err();
            assert!(matches!(error, ContactError::NotUrl { .. }), "{contact:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_mail_address_is_refused() {
        let (long, label) = (format!("mailto:{}@a", "a".repeat(65)), "a".repeat(64));
        for contact in [
            "mailto:pki",
            "mailto:@example.org",
            "mailto:pki@",
            "mailto:pki@.example.org",
            "mailto:pki@example..org",
            "mailto:pki@-example.org",
            "mailto:pki@example_.org",
            "mailto:pki@[192.0.2.1]",
            "mailto:.pki@example.org",
            "mailto:p..i@example.org",
            "mailto:a%2Cb@example.org",
            "mailto:pki@example.org#top",
            "mailto://pki@example.org",
            &long,
            &format!("mailto:pki@{label}.org"),
            &format!("mailto:pki@{}", ["a"; 130].join(".")),
        ] {
            let error = one(contact).unwrap_err();
            assert!(matches!(error, ContactError::Address { .. }), "{contact}: {error}");
        }
    }

    #[test]
    fn contacts_are_bounded_and_each_is_there_once() {
        let numbered = |count: usize| {
            Contacts::parse((0..count).map(|it| format!("mailto:pki-{it}@example.org")).collect())
        };
        assert_eq!(numbered(10).unwrap().urls().len(), 10);
        assert_eq!(numbered(11).unwrap_err(), ContactError::TooMany { count: 11 });
        let long = format!("https://example.org/{}", "a".repeat(330));
        assert_eq!(one(&long).unwrap_err(), ContactError::TooLong { octets: 350 });
        let twice = Contacts::parse(vec!["mailto:a@example.org".to_owned(); 2]).unwrap_err();
        assert!(matches!(twice, ContactError::Twice { .. }), "{twice}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_has_one_address(text in ".{0,80}", tail in "[ -~]{0,80}") {
            let _ = one(&text);
            if one(&format!("mailto:{tail}")).is_ok() {
                prop_assert_eq!(tail.matches('@').count(), 1);
                prop_assert!(!tail.contains(['?', ',', '%', ' ']));
            }
        }
    }
}
