//! A CSR as a server asks for it: its CSR attributes, filled in with what the client knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::client::EstServer;
use brski_est::csr::GeneralName;
use brski_est::csr_attributes::{ClientFacts, CsrPlan, Linking, PlanError};
use brski_est::csr_builder::{BuildError, PrivateKey, Signer as _};
use brski_est::path::Operation;
use brski_est::server_keygen::EncryptionRequest;
use http::Request;
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use super::key::{Key, KeyError, KeyType};
use crate::http::Binding;

const COMMON_NAME: &str = "2.5.4.3";
/// The words for what stands in a subject, beside dotted identifiers.
const SUBJECT_WORDS: [(&str, &str); 6] = [
    ("CN", COMMON_NAME),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
];

/// Why there is no CSR.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server asks for something that is not known.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It cannot be signed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The server asks for a key that is not made here.
    #[error("the server asks for a key ({wish}) that is not made here")]
    KeyWish {
        /// What it asks for.
        wish: String,
    },
    /// The key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The operating system gave no random octets.
    #[error("there are no random octets")]
    Random,
}

/// What the client knows of itself, beside its key.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    names: Vec<String>,
    subject: Vec<(String, String)>,
    renews: Option<CertificateDer<'static>>,
}

/// A part of a subject as it stands on a command line: `CN=pump-1`, `2.5.4.5=SN-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPart {
    kind: String,
    text: String,
}

impl std::str::FromStr for SubjectPart {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        let (word, text) = written.split_once('=').ok_or("it is not KIND=TEXT")?;
        let kind = SUBJECT_WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let is_dotted = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let kind = match kind {
            Some((_, kind)) => *kind,
            None if is_dotted => word,
            None => {
                let words = SUBJECT_WORDS.map(|(word, _)| word).join(", ");
                return Err(format!("KIND is one of {words}, or a dotted object identifier"));
            }
        };
        if text.is_empty() {
            return Err("the text is empty".to_owned());
        }
        Ok(Self { kind: kind.to_owned(), text: text.to_owned() })
    }
}

impl Wishes {
    /// Wants these DNS names and this subject.
    #[must_use]
    pub fn new(names: &[String], subject: &[SubjectPart]) -> Self {
        let subject = subject.iter().map(|each| (each.kind.clone(), each.text.clone())).collect();
        Self { names: names.to_vec(), subject, renews: None }
    }

    /// Wants what a certificate says; names that were given beside it are not looked at.
    #[must_use]
    pub fn renewing(certificate: CertificateDer<'static>) -> Self {
        Self { renews: Some(certificate), ..Self::default() }
    }

    fn facts(&self, plan: &CsrPlan) -> Result<ClientFacts, PlanError> {
        if let Some(certificate) = &self.renews {
            return ClientFacts::renewing(certificate);
        }
        let mut facts = ClientFacts::new();
        for (kind, text) in &self.subject {
            facts = facts.with_subject(kind, text);
        }
        // A server that wants a common name and was given none gets the device's first name.
        let slots = || plan.subject().iter().flatten();
        let wants_name = slots().any(|slot| slot.kind() == COMMON_NAME && slot.value().is_none());
        let has_name = self.subject.iter().any(|(kind, _)| kind == COMMON_NAME);
        if let Some(name) = self.names.first().filter(|_| wants_name && !has_name) {
            facts = facts.with_subject(COMMON_NAME, name);
        }
        for name in &self.names {
            facts = facts.with_name(GeneralName::Dns(name.clone()));
        }
        Ok(facts)
    }

    /// What the server decides otherwise than these wishes, for people.
    #[must_use]
    pub fn overruled(&self, plan: &CsrPlan) -> Option<String> {
        let given: Vec<&str> = plan
            .given_names()
            .filter_map(|name| match name {
                GeneralName::Dns(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let is_lost = |name: &String| !given.iter().any(|each| each.eq_ignore_ascii_case(name));
        if given.is_empty() || !self.names.iter().any(is_lost) {
            return None;
        }
        Some(format!("the server gives the name {}, which goes into the CSR", given.join(", ")))
    }
}

/// A key as a server asks for it, unless a person has chosen one.
///
/// # Errors
/// [`RequestError::KeyWish`], [`RequestError::Key`].
pub fn key_for(plan: &CsrPlan, chosen: Option<KeyType>) -> Result<Key, RequestError> {
    let wished = match plan.key() {
        None => Some(KeyType::EcP256),
        Some(wish) => KeyType::of_wish(wish),
    };
    let wish = || RequestError::KeyWish { wish: format!("{:?}", plan.key()) };
    Ok(chosen.or(wished).ok_or_else(wish)?.generate()?)
}

/// All that a CSR is made of.
pub struct CsrMaker<'a> {
    plan: &'a CsrPlan,
    wishes: &'a Wishes,
    key: PrivateKey,
    encryption: Option<EncryptionRequest>,
    made: Option<Vec<u8>>,
}

impl<'a> CsrMaker<'a> {
    /// A CSR of this key, signed with the hash that the plan asks for.
    ///
    /// # Errors
    /// [`RequestError::Build`] where the key does not go with that hash.
    pub fn new(plan: &'a CsrPlan, wishes: &'a Wishes, key: &Key) -> Result<Self, RequestError> {
        let mut private = PrivateKey::from_pkcs8_der(key.pkcs8.secret_pkcs8_der())?;
        if let Some(hash) = plan.hash() {
            private = private.with_hash(hash)?;
        }
        Ok(Self { plan, wishes, key: private, encryption: None, made: None })
    }

    /// The same, which asks for the server's key to be encrypted.
    #[must_use]
    pub fn with_encryption(self, request: EncryptionRequest) -> Self {
        Self { encryption: Some(request), ..self }
    }

    /// The key's SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        self.key.spki_der().to_vec()
    }

    /// The CSR for a session: always the same octets, unless the server wants it linked to the session.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// RFC 7030 §3.5.
    pub fn csr(&mut self, binding: Option<&Binding>) -> Result<Vec<u8>, RequestError> {
        if let Some(made) = &self.made {
            return Ok(made.clone());
        }
        let mut facts = self.wishes.facts(self.plan)?;
        let is_linked = self.plan.linking() == Linking::Required;
        if let Some(binding) = binding.filter(|_| is_linked) {
            facts = facts.with_challenge_password(&STANDARD.encode(binding.octets()));
        }
        let mut request = self.plan.request(&facts)?;
        if let Some(encryption) = &self.encryption {
            request = request.with_encryption(encryption);
        }
        let csr = request.sign(&self.key)?;
        if !is_linked {
            self.made = Some(csr.clone());
        }
        Ok(csr)
    }

    /// The request of an operation, with the CSR for a session.
    ///
    /// # Errors
    /// As [`CsrMaker::csr`].
    pub fn request(
        &mut self,
        server: &EstServer,
        operation: Operation,
        binding: Option<&Binding>,
    ) -> Result<Request<Vec<u8>>, RequestError> {
        let csr = self.csr(binding)?;
        Ok(match operation {
            Operation::SimpleReenroll => server.simple_reenroll(&csr),
            Operation::ServerKeygen => server.server_keygen(&csr),
            _ => server.simple_enroll(&csr),
        })
    }
}

/// Random octets of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], RequestError> {
    let mut octets = [0; N];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| RequestError::Random)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use brski_est::csr::Csr;
    use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};

    use super::*;

    fn plan(attributes: &CsrAttributes) -> CsrPlan {
        CsrPlan::from_der(&attributes.to_der()).unwrap()
    }

    fn named(name: &str) -> Wishes {
        Wishes::new(&[name.to_owned()], &[])
    }

    #[test]
    fn a_server_decides_over_name_and_key() {
        let attributes = CsrAttributes {
            dns_name: Some("a.example.org".into()),
            key: Some(KeyTemplate::EcP384),
            linking: Linking::NotAsked,
        };
        let (plan, wishes) = (plan(&attributes), named("b.example.org"));
        assert!(wishes.overruled(&plan).unwrap().contains("a.example.org"));
        assert_eq!(named("A.example.org").overruled(&plan), None);
        let key = key_for(&plan, None).unwrap();
        let csr = CsrMaker::new(&plan, &wishes, &key).unwrap().csr(None).unwrap();
        let csr = Csr::parse(&csr).unwrap();
        assert_eq!(csr.subject_alt_names().unwrap(), [GeneralName::Dns("a.example.org".into())]);
        assert_eq!(csr.key_algorithm().to_string(), "ec-p384");
    }

    #[test]
    fn a_csr_stays_the_same_unless_it_is_linked_to_a_session() {
        let wishes = named("a.example.org");
        let free = CsrPlan::empty();
        let key = key_for(&free, None).unwrap();
        let mut maker = CsrMaker::new(&free, &wishes, &key).unwrap();
        assert_eq!(maker.csr(None).unwrap(), maker.csr(None).unwrap());
        let linked =
            plan(&CsrAttributes { linking: Linking::Required, ..CsrAttributes::default() });
        let mut maker = CsrMaker::new(&linked, &wishes, &key).unwrap();
        let refused = maker.csr(None);
        assert!(
            matches!(refused, Err(RequestError::Plan(PlanError::ChallengePassword))),
            "there is no binding, and none is made up: {refused:?}"
        );
    }

    #[test]
    fn a_hash_that_the_key_does_not_have_is_refused() {
        // The list, which has room for a hash: that of P-384, for a key on P-256.
        let attributes =
            CsrAttributes { key: Some(KeyTemplate::EcP384), ..CsrAttributes::default() };
        let wanted = CsrPlan::from_der(&attributes.to_list_der()).unwrap();
        let key = key_for(&wanted, Some(KeyType::EcP256)).unwrap();
        let wishes = named("a.example.org");
        let made = CsrMaker::new(&wanted, &wishes, &key);
        assert!(matches!(made.err(), Some(RequestError::Build(BuildError::Hash { .. }))));
    }

    #[test]
    fn parts_of_a_subject_are_read_or_refused() {
        let read = |text: &str| text.parse::<SubjectPart>();
        assert_eq!(
            read("cn=a=b").unwrap(),
            SubjectPart { kind: "2.5.4.3".into(), text: "a=b".into() }
        );
        assert_eq!(read("2.5.4.5=1").unwrap().kind, "2.5.4.5");
        for wrong in ["", "CN", "CN=", "=x", "colour=red", "2.5.4.5="] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
