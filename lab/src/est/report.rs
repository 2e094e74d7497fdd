//! What an EST operation came to: lines for people, an object for programs.

use std::path::PathBuf;

use brski_est::client::Renewal;
use brski_est::csr_attributes::{CsrPlan, ExtensionValue, Linking, NameSlot, Source};
use brski_voucher::certificate::Certificate;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Serialize;

use crate::pki;
use crate::report::{date, hexadecimal};

/// A certificate.
#[derive(Debug, Serialize)]
pub struct CertificateReport {
    /// Its subject; empty for many.
    pub subject: String,
    /// The DNS names in it.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Start of its validity: RFC 3339.
    pub not_before: String,
    /// End of its validity: RFC 3339.
    pub not_after: String,
    /// SHA-256 of the whole of it, hexadecimal.
    pub sha256: String,
    /// The certificate.
    pub pem: String,
}

impl CertificateReport {
    /// The report of a certificate; nothing where it cannot be read.
    #[must_use]
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let read = Certificate::from_der(der).ok()?;
        Some(Self {
            subject: read.subject_text(),
            names: read.dns_names().into_iter().map(str::to_owned).collect(),
            issuer: read.issuer_text(),
            serial: hexadecimal(read.serial()),
            not_before: date(read.not_before()),
            not_after: date(read.not_after()),
            sha256: hexadecimal(&read.fingerprint()),
            pem: pki::pem("CERTIFICATE", der),
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let names = self.names.join(", ");
        let lines = [
            ("subject", self.subject.as_str()),
            ("names", &names),
            ("issuer", &self.issuer),
            ("serial", &self.serial),
            ("valid", &format!("{} to {}", self.not_before, self.not_after)),
            ("sha256", &self.sha256),
        ];
        lines_of(&lines)
    }
}

/// A certificate that was issued, and where it is kept.
#[derive(Debug, Serialize)]
pub struct IssuedReport {
    /// The certificate.
    #[serde(flatten)]
    pub certificate: CertificateReport,
    /// The files that were written: the certificate, what was sent beside it, the key.
    pub files: Vec<PathBuf>,
}

/// What a server asks for in a CSR.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    /// `template` (RFC 9908), `list` (RFC 7030), or `none` where the server asks for nothing.
    pub source: &'static str,
    /// The key; empty where any will do.
    pub key: String,
    /// The hash; empty where any will do.
    pub hash: String,
    /// The names that the server gives.
    pub names: Vec<String>,
    /// The kinds of what the client is to fill in: names, parts of the subject, extensions.
    pub client_fills: Vec<String>,
    /// Whether a challengePassword must link the CSR to its session.
    pub challenge_password: bool,
    /// The extensions, dotted.
    pub extensions: Vec<String>,
    /// What was not understood, dotted.
    pub unknown: Vec<String>,
}

impl PlanReport {
    /// The report of a plan.
    #[must_use]
    pub fn of(plan: &CsrPlan) -> Self {
        let source = match plan.source() {
            _ if plan.is_empty() => "none",
            Source::Template => "template",
            _ => "list",
        };
        let slots = plan.subject().iter().flatten().filter(|slot| slot.value().is_none());
        let mut client_fills: Vec<String> =
            slots.map(|slot| format!("subject {}", slot.kind())).collect();
        for extension in plan.extensions() {
            match extension.value() {
                ExtensionValue::ClientFills => {
                    client_fills.push(format!("extension {}", extension.oid()));
                }
                ExtensionValue::Names(names) => {
                    client_fills.extend(names.iter().filter_map(|name| match name {
                        NameSlot::ClientFills(kind) => Some(format!("name {kind:?}")),
                        _ => None,
                    }));
                }
                _ => {}
            }
        }
        Self {
            source,
            key: plan.key().map(describe_key).unwrap_or_default(),
            hash: plan.hash().map(|hash| hash.to_string()).unwrap_or_default(),
            names: plan.given_names().map(ToString::to_string).collect(),
            client_fills,
            challenge_password: plan.linking() == Linking::Required,
            extensions: plan.extensions().iter().map(|each| each.oid()).collect(),
            unknown: plan.unknown().iter().map(|each| each.oid().to_owned()).collect(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let source = match self.source {
            "template" => "a template (RFC 9908)",
            "list" => "a list (RFC 7030)",
            _ => "nothing: the CSR is the client's choice",
        };
        let linking = if self.challenge_password { "required" } else { "" };
        lines_of(&[
            ("asks by", source),
            ("key", &self.key),
            ("hash", &self.hash),
            ("names", &self.names.join(", ")),
            ("client fills", &self.client_fills.join(", ")),
            ("challengePassword", linking),
            ("extensions", &self.extensions.join(", ")),
            ("not understood", &self.unknown.join(", ")),
        ])
    }
}

/// When to renew.
#[derive(Debug, Serialize)]
pub struct RenewalReport {
    /// From when on: RFC 3339.
    pub start: String,
    /// Until when: RFC 3339.
    pub end: String,
    /// Where a person reads why; empty where the server does not say.
    pub explanation_url: String,
    /// When to ask again, in seconds.
    pub ask_again_secs: u32,
}

impl RenewalReport {
    /// The report of renewal information.
    #[must_use]
    pub fn of(renewal: &Renewal) -> Self {
        let window = renewal.info().window();
        let url = renewal.info().explanation_url().unwrap_or_default();
        Self {
            start: moment(window.start()),
            end: moment(window.end()),
            explanation_url: url.to_owned(),
            ask_again_secs: renewal.ask_again().secs(),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        lines_of(&[
            ("renew from", self.start.as_str()),
            ("until", &self.end),
            ("because", &self.explanation_url),
            ("ask again in", &format!("{} s", self.ask_again_secs)),
        ])
    }
}

fn moment(time: UnixTime) -> String {
    date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn describe_key(wish: &brski_est::csr_attributes::KeyWish) -> String {
    use brski_est::csr_attributes::KeyWish;

    match wish {
        KeyWish::Kind(kind) => kind.to_string(),
        KeyWish::Rsa { bits } => format!("rsa of {bits} bits"),
        KeyWish::AnyCurve => "on any elliptic curve".to_owned(),
        KeyWish::Unknown { oid } => format!("unknown ({oid})"),
        _ => "unknown".to_owned(),
    }
}

/// Lines of a word and a value; those without a value are left out.
fn lines_of(lines: &[(&str, &str)]) -> String {
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    let width = shown.clone().map(|(word, _)| word.len()).max().unwrap_or(0);
    shown.map(|(word, value)| format!("{word:<width$}  {value}\n")).collect()
}
