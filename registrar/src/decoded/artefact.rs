//! The artefacts of BRSKI, decoded whatever their encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_voucher::artefact::{
    Artefact, PledgeRequest, Proximity, RegistrarRequest, Timestamp, Voucher,
};
use brski_voucher::audit::AuditLog;
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::{Encoding, Quirk, Strictness};
use brski_voucher::telemetry::Status;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::{Presented, Unverified};
use serde_json::{Map, Value, json};

use super::{clean, other};
use crate::store::model::hex;

/// Whom to trust, and when.
pub(crate) struct Trust {
    pub(crate) anchors: Anchors,
    pub(crate) time: ValidityTime,
}

/// Whether a signature was looked at.
enum Verdict {
    /// Nobody asked.
    Unasked,
    Holds,
    Fails(String),
}

/// A decoded artefact.
pub(crate) struct Report {
    kind: &'static str,
    encoding: &'static str,
    fields: Map<String, Value>,
    signers: Vec<Certificate>,
    verdict: Verdict,
    forgiven: Vec<Quirk>,
}

/// Decodes an artefact, if it is one. `hint`: the file's name, for reports that look alike.
pub(crate) fn decode(octets: &[u8], hint: &str, trust: Option<&Trust>) -> Option<Report> {
    let signed = || {
        let signed = Signed { octets, encoding: Encoding::guess(octets)?, trust };
        signed.decode(Strictness::Standard).or_else(|| signed.decode(Strictness::Lenient))
    };
    signed().or_else(|| unsigned(octets, hint, trust))
}

/// Why octets that look like a signed artefact are none, such as `as cms: the CMS has no signed attributes`.
pub(crate) fn refusal(octets: &[u8]) -> Option<String> {
    let encoding = Encoding::guess(octets)?;
    let voucher = Unverified::<Voucher>::parse_as(octets, encoding, Strictness::Lenient).err()?;
    Some(format!("as {}: {voucher}", encoding.as_str()))
}

/// Octets that look like a signed artefact.
struct Signed<'a> {
    octets: &'a [u8],
    encoding: Encoding,
    trust: Option<&'a Trust>,
}

impl Signed<'_> {
    fn read<T: Artefact>(&self, strictness: Strictness) -> Option<Unverified<T>> {
        Unverified::parse_as(self.octets, self.encoding, strictness).ok()
    }

    fn decode(&self, strictness: Strictness) -> Option<Report> {
        // A lenient reader takes either root, so that the one which fits is tried first.
        let has_own_root = |report: &Report| !report.forgiven.contains(&Quirk::ForeignRoot);
        self.request(strictness).filter(has_own_root).or_else(|| self.voucher(strictness))
    }

    /// A pledge's request says which registrar it saw; any other is the registrar's.
    fn request(&self, strictness: Strictness) -> Option<Report> {
        let pledge = self.read::<PledgeRequest>(strictness)?;
        if pledge.content().proximity().is_some() {
            let fields = pledge_fields(pledge.content());
            return Some(report("pledge-request", &pledge, fields, self.trust));
        }
        let request = self.read::<RegistrarRequest>(strictness)?;
        let fields = registrar_fields(request.content());
        Some(report("registrar-request", &request, fields, self.trust))
    }

    fn voucher(&self, strictness: Strictness) -> Option<Report> {
        let voucher = self.read::<Voucher>(strictness)?;
        // Some write requests with the root of vouchers; a voucher has none of a request's members, but a pin.
        let request = match pins(voucher.content()) {
            true => None,
            false => self.request(Strictness::Lenient).filter(Report::has_members_of_requests),
        };
        request.or_else(|| {
            Some(report("voucher", &voucher, voucher_fields(voucher.content()), self.trust))
        })
    }
}

fn pins(voucher: &Voucher) -> bool {
    voucher.pinned_domain_cert().is_some()
        || voucher.pinned_domain_pubk().is_some()
        || voucher.pinned_domain_pubk_sha256().is_some()
}

fn report<T: Artefact + Clone>(
    kind: &'static str,
    artefact: &Unverified<T>,
    fields: Map<String, Value>,
    trust: Option<&Trust>,
) -> Report {
    let Presented { mut signers, mut forgiven } = artefact.presented();
    let verdict = match trust {
        None => Verdict::Unasked,
        Some(trust) => match artefact.clone().verify_by_anchors(&trust.anchors, trust.time) {
            Ok(verified) => {
                forgiven = verified.forgiven().to_vec();
                if signers.is_empty() {
                    signers.push(verified.signer().clone());
                }
                Verdict::Holds
            }
            Err(error) => Verdict::Fails(error.to_string()),
        },
    };
    let encoding = artefact.encoding().as_str();
    Report { kind, encoding, fields, signers, verdict, forgiven }
}

/// Audit logs and status reports, which nobody signs.
fn unsigned(octets: &[u8], hint: &str, trust: Option<&Trust>) -> Option<Report> {
    let (kind, fields) = match (AuditLog::parse(octets), Status::parse(octets)) {
        (Ok(log), _) => ("audit-log", audit_fields(&log)),
        (_, Ok(status)) => (status_kind(&status, hint), status_fields(&status)),
        _ => return None,
    };
    let verdict = match trust {
        None => Verdict::Unasked,
        Some(_) => Verdict::Fails("nobody signs it".to_owned()),
    };
    let (signers, forgiven) = (Vec::new(), Vec::new());
    Some(Report { kind, encoding: "json", fields, signers, verdict, forgiven })
}

/// Both reports look alike (RFC 8995 §5.7, §5.9.4); what surrounds them tells them apart.
fn status_kind(status: &Status, hint: &str) -> &'static str {
    let is_enroll = hint.to_ascii_lowercase().contains("enroll")
        || status.reason_context().is_some_and(|context| context.contains("\"pes-details\""));
    if is_enroll { "enroll-status" } else { "voucher-status" }
}

/// Fields with values, in order.
fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect()
}

fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn octets(value: &[u8]) -> Value {
    Value::String(STANDARD.encode(value))
}

fn time(value: &Timestamp) -> Value {
    text(value.as_str())
}

fn pledge_fields(request: &PledgeRequest) -> Map<String, Value> {
    let mut fields = object([
        ("assertion", request.assertion().map(text)),
        ("serial-number", Some(text(request.serial_number()))),
        ("nonce", request.nonce().map(text)),
        ("created-on", request.created_on().map(time)),
    ]);
    if let Some(seen) = request.proximity() {
        let name = match seen {
            Proximity::Certificate(_) => "proximity-registrar-cert",
            Proximity::PublicKey(_) => "proximity-registrar-pubk",
            Proximity::PublicKeySha256(_) => "proximity-registrar-pubk-sha256",
        };
        fields.insert(name.to_owned(), octets(seen.octets()));
    }
    fields
}

fn registrar_fields(request: &RegistrarRequest) -> Map<String, Value> {
    object([
        ("assertion", request.assertion().map(text)),
        ("serial-number", Some(text(request.serial_number()))),
        ("nonce", request.nonce().map(text)),
        ("created-on", request.created_on().map(time)),
        ("idevid-issuer", request.idevid_issuer().map(octets)),
        ("prior-signed-voucher-request", request.prior_signed_voucher_request().map(octets)),
    ])
}

fn voucher_fields(voucher: &Voucher) -> Map<String, Value> {
    object([
        ("assertion", voucher.assertion().map(text)),
        ("serial-number", Some(text(voucher.serial_number()))),
        ("nonce", voucher.nonce().map(text)),
        ("created-on", voucher.created_on().map(time)),
        ("expires-on", voucher.expires_on().map(time)),
        ("idevid-issuer", voucher.idevid_issuer().map(octets)),
        ("pinned-domain-cert", voucher.pinned_domain_cert().map(octets)),
        ("pinned-domain-pubk", voucher.pinned_domain_pubk().map(octets)),
        ("pinned-domain-pubk-sha256", voucher.pinned_domain_pubk_sha256().map(octets)),
        ("domain-cert-revocation-checks", voucher.domain_cert_revocation_checks().map(Value::Bool)),
        ("last-renewal-date", voucher.last_renewal_date().map(time)),
        ("additional-configuration-url", voucher.additional_configuration_url().map(text)),
        ("est-domain", voucher.est_domain().map(text)),
    ])
}

fn audit_fields(log: &AuditLog) -> Map<String, Value> {
    let events: Vec<Value> = log
        .events()
        .iter()
        .map(|event| {
            json!({
                "date": event.date().as_str(),
                "domainID": event.domain().to_string(),
                "nonce": event.nonce(),
                "assertion": event.assertion(),
                "truncated": event.truncated(),
            })
        })
        .collect();
    let left_out = log.truncation();
    object([
        ("version", Some(json!(log.version()))),
        ("events", Some(Value::Array(events))),
        (
            "truncation",
            Some(json!({
                "nonced duplicates": left_out.nonced_duplicates,
                "nonceless duplicates": left_out.nonceless_duplicates,
                "arbitrary": left_out.arbitrary,
            })),
        ),
    ])
}

fn status_fields(status: &Status) -> Map<String, Value> {
    object([
        ("version", Some(json!(status.version()))),
        ("status", Some(Value::Bool(status.status()))),
        ("reason", status.reason().map(text)),
        (
            "reason-context",
            status.reason_context().and_then(|json| serde_json::from_str(json).ok()),
        ),
    ])
}

impl Report {
    /// Whether it has members that no voucher has.
    fn has_members_of_requests(&self) -> bool {
        self.kind == "pledge-request" || self.fields.contains_key("prior-signed-voucher-request")
    }

    /// Adds what was forgiven before the artefact was decoded.
    pub(crate) fn forgive(&mut self, quirk: Quirk) {
        self.forgiven.insert(0, quirk);
    }

    /// Why it is not to be trusted, if that was asked and is so.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Fails(reason) => Some(reason),
            Verdict::Unasked | Verdict::Holds => None,
        }
    }

    /// One JSON object.
    pub(crate) fn to_json(&self) -> Value {
        let signers: Vec<Value> = self.signers.iter().map(signer).collect();
        let forgiven: Vec<&str> = self.forgiven.iter().map(|quirk| quirk.as_str()).collect();
        json!({
            "kind": self.kind,
            "encoding": self.encoding,
            "fields": self.fields,
            "signers": signers,
            "verified": match self.verdict {
                Verdict::Unasked => Value::Null,
                Verdict::Holds => Value::Bool(true),
                Verdict::Fails(_) => Value::Bool(false),
            },
            "forgiven": forgiven,
        })
    }

    /// Some lines for people; the last ones say whether the signature holds, if that was asked.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.content();
        text.push_str(match &self.verdict {
            Verdict::Unasked => "signature not verified; name the CA to trust with --trust\n",
            Verdict::Holds => "signature and chain hold\n",
            Verdict::Fails(_) => "signature or chain does not hold\n",
        });
        for quirk in &self.forgiven {
            text.push_str(&format!("forgiven: {}\n", quirk.as_str()));
        }
        text
    }

    /// What it says and who signed it, for people.
    pub(crate) fn content(&self) -> String {
        let mut text = format!("{} in {}\n", self.kind, self.encoding);
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            text.push_str(&format!("  {name:<30} {}\n", clean(&value)));
        }
        for signer in &self.signers {
            text.push_str(&format!("signed by {}\n", clean(&signer.subject_text())));
            text.push_str(&other::certificate(signer));
        }
        if self.signers.is_empty() && self.encoding != "json" {
            text.push_str("signed by a key that no certificate in it has\n");
        }
        text
    }
}

fn signer(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject_text(),
        "issuer": certificate.issuer_text(),
        "serial": hex(certificate.serial()),
        "sha256": hex(&certificate.fingerprint()),
        "device_serial": certificate.subject_serial_number(),
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// A JWS whose signature nobody looks at.
    fn jws(payload: &str) -> String {
        let (header, payload) =
            (URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), URL_SAFE_NO_PAD.encode(payload));
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"AA"}}]}}"#
        )
    }

    fn kind_and_forgiven(payload: &str) -> Option<(&'static str, Vec<Quirk>)> {
        let report = decode(jws(payload).as_bytes(), "", None)?;
        Some((report.kind, report.forgiven))
    }

    #[test]
    fn tells_a_request_from_a_voucher_by_what_it_says_where_the_root_is_wrong() {
        let foreign = vec![Quirk::ForeignRoot];
        for (members, kind, forgiven) in [
            (r#""proximity-registrar-cert":"AAAA""#, "pledge-request", foreign.clone()),
            (r#""proximity-registrar-pubk":"AAAA""#, "pledge-request", foreign.clone()),
            (r#""prior-signed-voucher-request":"AAAA""#, "registrar-request", foreign),
            (r#""pinned-domain-cert":"AAAA""#, "voucher", Vec::new()),
            (
                r#""pinned-domain-cert":"AAAA","prior-signed-voucher-request":"AAAA""#,
                "voucher",
                Vec::new(),
            ),
            (r#""nonce":"y""#, "voucher", Vec::new()),
        ] {
            let payload =
                format!(r#"{{"ietf-voucher:voucher":{{"serial-number":"x",{members}}}}}"#);
            assert_eq!(kind_and_forgiven(&payload), Some((kind, forgiven)), "{members}");
        }
        let voucher = r#"{"ietf-voucher-request:voucher":{"serial-number":"x","nonce":"y"}}"#;
        assert_eq!(kind_and_forgiven(voucher), Some(("registrar-request", Vec::new())));
    }

    #[test]
    fn decodes_nothing_that_has_no_artefact_inside() {
        for payload in [
            "{}",
            r#"{"ietf-voucher:voucher":{}}"#,
            r#"{"ietf-voucher:voucher":{"serial-number":7}}"#,
            r#"{"ietf-voucher:voucher":{"serial-number":"x","serial-number":"x"}}"#,
        ] {
            assert_eq!(kind_and_forgiven(payload), None, "{payload}");
            assert!(
                refusal(jws(payload).as_bytes()).is_some_and(|why| why.starts_with("as jws: "))
            );
        }
        assert_eq!(refusal(b"hello"), None);
    }
}
