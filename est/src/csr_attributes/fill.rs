//! How a client does what it is asked: its own facts go where the plan leaves room for them.

use rustls_pki_types::CertificateDer;
use thiserror::Error;

use super::Linking;
use super::plan::{CsrPlan, ExtensionSlot, ExtensionValue, NameKind, NameSlot, SubjectSlot};
use crate::certificate::Fields;
use crate::csr::{GeneralName, subject_attributes};
use crate::csr_builder::{CsrRequest, critical_extension, extension, subject_text};
use crate::oid;
use crate::tlv::{SEQUENCE, SET, inside, object_identifier, sequence, tagged};

/// What only the client can know, to fill in where a plan asks for it.
#[derive(Clone, Debug, Default)]
pub struct ClientFacts {
    subject: Vec<(String, String)>,
    /// RelativeDistinguishedNames, DER, where the whole subject is that of a certificate.
    certified_subject: Vec<Vec<u8>>,
    names: Vec<GeneralName>,
    extensions: Vec<(String, Vec<u8>)>,
    challenge_password: Option<String>,
}

impl ClientFacts {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows what a certificate says that is to be renewed: its subject and its subject alternative names.
    ///
    /// Where the plan leaves the subject open, it goes into the CSR byte for byte: the names of a renewal are to be
    /// identical to those of the certificate (RFC 7030 §4.2.2).
    ///
    /// # Errors
    /// [`PlanError::Certificate`].
    pub fn renewing(certificate: &CertificateDer<'_>) -> Result<Self, PlanError> {
        let fields = Fields::read(certificate).ok_or(PlanError::Certificate)?;
        let names = fields.subject_alt_names().ok_or(PlanError::Certificate)?;
        let names = names.iter().map(GeneralName::read).collect::<Result<Vec<_>, _>>();
        let subject = inside(fields.subject, SEQUENCE).ok_or(PlanError::Certificate)?;
        let attributes = subject_attributes(fields.subject).into_iter();
        Ok(Self {
            subject: attributes.map(|each| (each.kind().into(), each.text().into())).collect(),
            certified_subject: subject.iter().map(|each| each.whole.to_vec()).collect(),
            names: names.map_err(|_| PlanError::Certificate)?,
            ..Self::default()
        })
    }

    /// Knows a value of its subject. `kind`: dotted, such as `2.5.4.5` for serialNumber.
    #[must_use]
    pub fn with_subject(mut self, kind: &str, text: &str) -> Self {
        self.subject.push((kind.to_owned(), text.to_owned()));
        self
    }

    /// Knows a name of its own.
    #[must_use]
    pub fn with_name(mut self, name: GeneralName) -> Self {
        self.names.push(name);
        self
    }

    /// Knows what an extension is to hold. `kind`: dotted; `value`: the contents of its extnValue.
    #[must_use]
    pub fn with_extension(mut self, kind: &str, value: &[u8]) -> Self {
        self.extensions.push((kind.to_owned(), value.to_vec()));
        self
    }

    /// Knows what links a CSR to this TLS session: base64 of its channel binding (RFC 7030 §3.5).
    #[must_use]
    pub fn with_challenge_password(mut self, password: &str) -> Self {
        self.challenge_password = Some(password.to_owned());
        self
    }
}

/// Why a client cannot do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is to fill in a value of its subject that it does not know.
    #[error("the server asks for {kind} in the subject, which is not known")]
    Subject {
        /// The type, dotted.
        kind: String,
    },
    /// It is to fill in a name that it does not know.
    #[error("the server asks for a {kind:?} name, of which there is none (left)")]
    Name {
        /// The kind.
        kind: NameKind,
    },
    /// It is to fill in an extension that it does not know.
    #[error("the server asks for the extension {oid}, whose value is not known")]
    Extension {
        /// The extension, dotted.
        oid: String,
    },
    /// It is to link the CSR to its session, and does not know how.
    #[error("the server asks for a challengePassword, which is not known")]
    ChallengePassword,
    /// The certificate to be renewed cannot be read.
    #[error("the certificate that is to be renewed cannot be read")]
    Certificate,
    /// One of its own facts cannot be written.
    #[error("{what} cannot be written into a CSR")]
    Fact {
        /// The fact.
        what: String,
    },
}

impl CsrPlan {
    /// Makes a CSR after the plan, to be signed with a key that [`CsrPlan::key`] takes.
    ///
    /// Where the plan leaves the subject or the names open, all that the client knows of them goes in.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn request(&self, facts: &ClientFacts) -> Result<CsrRequest, PlanError> {
        let mut request = self.with_subject(CsrRequest::default(), facts)?;
        let mut names = facts.names.iter().collect::<Vec<_>>();
        let mut has_names = false;
        for slot in &self.parts.extensions {
            has_names |= slot.kind == oid::SUBJECT_ALT_NAME;
            let value = slot.fill(facts, &mut names)?;
            request = request.with_whole_extension(match slot.is_critical {
                true => critical_extension(&slot.kind, &value),
                false => extension(&slot.kind, &value),
            });
        }
        if !has_names {
            for name in names {
                request = request
                    .with_alternative_name(name)
                    .map_err(|_| PlanError::Fact { what: name.to_string() })?;
            }
        }
        match (self.parts.linking, &facts.challenge_password) {
            (_, Some(password)) => Ok(request.with_challenge_password(password)),
            (Linking::NotAsked, None) => Ok(request),
            (Linking::Required, None) => Err(PlanError::ChallengePassword),
        }
    }

    fn with_subject(
        &self,
        mut request: CsrRequest,
        facts: &ClientFacts,
    ) -> Result<CsrRequest, PlanError> {
        if self.parts.subject.is_empty() {
            if !facts.certified_subject.is_empty() {
                for name in &facts.certified_subject {
                    request = request.with_relative_name(name.clone());
                }
                return Ok(request);
            }
            for (kind, text) in &facts.subject {
                request = request
                    .with_subject_attribute(kind, text)
                    .map_err(|_| PlanError::Fact { what: kind.clone() })?;
            }
            return Ok(request);
        }
        let mut known = facts.subject.iter().collect::<Vec<_>>();
        for relative_name in &self.parts.subject {
            let mut pairs = Vec::new();
            for slot in relative_name {
                pairs.push(slot.fill(&mut known)?);
            }
            // A SET OF is in the order of its encodings.
            pairs.sort_unstable();
            request = request.with_relative_name(tagged(SET, &pairs.concat()));
        }
        Ok(request)
    }
}

impl SubjectSlot {
    /// The AttributeTypeAndValue, its value the server's or the next one that the client knows.
    fn fill(&self, known: &mut Vec<&(String, String)>) -> Result<Vec<u8>, PlanError> {
        let missing = || PlanError::Subject { kind: self.kind.clone() };
        let kind = oid::contents(&self.kind).ok_or_else(missing)?;
        let value = match &self.value {
            Some(value) => value.clone(),
            None => {
                let place = known.iter().position(|(kind, _)| *kind == self.kind);
                let (_, text) = known.remove(place.ok_or_else(missing)?);
                subject_text(&kind, text)
            }
        };
        Ok(sequence(&[&object_identifier(&kind), &value]))
    }
}

impl ExtensionSlot {
    /// The contents of its extnValue.
    fn fill(
        &self,
        facts: &ClientFacts,
        names: &mut Vec<&GeneralName>,
    ) -> Result<Vec<u8>, PlanError> {
        match &self.value {
            ExtensionValue::Given(value) => Ok(value.clone()),
            ExtensionValue::Names(slots) => {
                let mut filled = Vec::new();
                for slot in slots {
                    filled.extend(slot.fill(names)?);
                }
                Ok(tagged(SEQUENCE, &filled))
            }
            ExtensionValue::ClientFills if self.kind == oid::SUBJECT_ALT_NAME => {
                let known: Option<Vec<Vec<u8>>> = names.iter().map(|name| name.to_der()).collect();
                known
                    .filter(|known| !known.is_empty())
                    .map(|known| tagged(SEQUENCE, &known.concat()))
                    .ok_or_else(|| PlanError::Extension { oid: self.oid() })
            }
            ExtensionValue::ClientFills => {
                let oid = self.oid();
                let known = facts.extensions.iter().find(|(kind, _)| *kind == oid);
                known.map(|(_, value)| value.clone()).ok_or(PlanError::Extension { oid })
            }
        }
    }
}

impl NameSlot {
    /// The GeneralName, the server's or the next one of its kind that the client knows.
    fn fill(&self, known: &mut Vec<&GeneralName>) -> Result<Vec<u8>, PlanError> {
        match self {
            Self::Given { der, .. } => Ok(der.clone()),
            Self::ClientFills(kind) => {
                let missing = PlanError::Name { kind: *kind };
                let place = known.iter().position(|name| kind.is_of(name));
                let name = known.remove(place.ok_or_else(|| missing.clone())?);
                name.to_der().ok_or(missing)
            }
        }
    }
}

impl NameKind {
    fn is_of(self, name: &GeneralName) -> bool {
        matches!(
            (self, name),
            (Self::Dns, GeneralName::Dns(_))
                | (Self::Ip, GeneralName::Ip(_))
                | (Self::Email, GeneralName::Email(_))
                | (Self::Uri, GeneralName::Uri(_))
                | (Self::Directory, GeneralName::Directory(_))
        )
    }
}
