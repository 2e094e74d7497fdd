//! Every kind of event that the trail can hold, in one place: what `[notify]` may choose from, what the metrics count
//! by, and what docs/OPERATING.md explains.

/// A kind, and when such an event is written.
pub type Kind = (&'static str, &'static str);

/// The kinds of events, in the order of a device's life; refusals follow.
pub const KINDS: &[Kind] = &[
    ("identity-renewed", "the registrar's own certificate is renewed, with the same key"),
    ("identity-installed", "an operator installed a certificate of the registrar"),
    (
        "identity-renewal-failed",
        "the registrar's own certificate ends, and nothing here can renew it",
    ),
    ("domain-root-changed", "an operator made a new root of the domain"),
    ("domain-root-left", "an earlier root of the domain is served no more"),
    ("domain-root-expiring", "the root of the domain ends within a year"),
    ("manufacturer-added", "an operator lets the devices of a manufacturer join"),
    ("manufacturer-changed", "an operator changes the settings of a manufacturer"),
    ("device-expected", "an operator imported or allowed a device"),
    ("device-admitted", "policy or a person let a device in"),
    ("approval-asked", "a device waits for a person"),
    ("approval-granted", "an operator let a device in that waited"),
    ("approval-refused", "an operator refused a device that waited"),
    ("approval-forgotten", "a device that stopped asking waits for a person no more: others do"),
    ("voucher-asked", "the MASA is asked for a voucher"),
    ("voucher-issued", "the MASA's voucher passed every check and goes to the pledge"),
    ("voucher-signer-unknown", "no anchor of the voucher's signer is known; forwarded as received"),
    ("voucher-from-store", "the MASA is away; a voucher that was fetched ahead goes to the pledge"),
    ("voucher-wanted", "an operator wants a voucher fetched ahead"),
    ("voucher-fetched-ahead", "the MASA gave a voucher without a nonce, for when it is away"),
    ("voucher-not-fetched", "the MASA gave no voucher without a nonce, or none that can be used"),
    ("audit-log-accepted", "nothing in the device's audit log is against policy"),
    ("audit-log-missing", "the MASA has no audit log that can be read; the device goes on"),
    ("voucher-accepted", "the pledge accepts its voucher"),
    ("voucher-rejected", "the pledge rejects its voucher: it does not trust this domain"),
    ("enrollment-approved", "a CSR passed every check and goes to its issuer"),
    ("key-generated", "a key is made for a device that asked for it"),
    ("certificate-issued", "a certificate is here"),
    ("key-sent", "a key that was made for a device goes to it, with its certificate"),
    ("certificate-unwanted", "a certificate came after an operator had said no; it is revoked"),
    ("certificate-mismatch", "what the CA issued is not what was ordered; it is revoked"),
    ("certificate-revoked-at-ca", "the CA has revoked a certificate"),
    ("order-retried", "an operator let a failed order begin anew"),
    ("order-cancelled", "an operator ended an order"),
    ("issuer-fallback", "an order goes to the profile's other issuer"),
    ("acme-account-refused", "the CA refuses the account"),
    ("acme-configuration-refused", "the CA refuses what the configuration asks for"),
    ("acme-contact-refused", "the CA refuses the contacts of the account"),
    ("acme-alarm", "something at the CA needs a person"),
    ("acme-key-changed", "an operator gave the account another key"),
    ("acme-account-deactivated", "an operator ended the account"),
    ("enrollment-refused", "the CA will not issue for this CSR"),
    ("enrollment-failed", "the CA could not issue"),
    ("enrollment-confirmed", "the pledge says that its enrollment worked"),
    ("enrollment-failed-at-pledge", "the pledge says that its enrollment failed"),
    ("device-renamed", "an operator gave a device another name"),
    ("device-retired", "an operator took a device out of service, or put another in its place"),
    ("device-blocked", "an operator barred a device"),
    ("device-restored", "an operator let a retired or blocked device in again"),
    ("credential-added", "an operator made a credential"),
    ("credential-revoked", "an operator revoked a credential"),
    ("settings-differ", "another node on the database has other settings, which devices notice"),
    ("settings-agree", "all nodes on the database have the same settings again"),
    ("clock-behind", "a node's clock is earlier than the newest event: it issues nothing"),
    ("clock-right", "a node's clock is earlier than the newest event no more: it issues again"),
    ("clock-confirmed", "an operator vouched for the clock, against the times of earlier events"),
    ("admin-unauthenticated", "somebody came to the admin listener without saying who"),
    ("admin-forbidden", "an administrator asked for more than their role may"),
    ("no-client-certificate", "refused: the TLS session carries no client certificate"),
    ("unknown-manufacturer", "refused: no manufacturer known here vouches for the device"),
    ("idevid-needed", "refused: an issued certificate where an IDevID is needed"),
    ("certificate-revoked", "an operator revoked a certificate; or refused: it was revoked"),
    ("certificate-not-valid", "refused: the issued certificate has ended, or has not begun"),
    ("no-credential", "refused: neither a certificate that is known nor a credential"),
    ("credential-refused", "refused: a wrong name or secret, or a credential that has ended"),
    ("credential-spent", "refused: the credential is used up"),
    ("name-taken", "refused: the name of the credential belongs to another device"),
    (
        "renewal-without-certificate",
        "refused: simplereenroll without the certificate to be renewed",
    ),
    ("serial-number-unusable", "refused: the IDevID has no usable serial number"),
    ("identity-key-changed", "refused: a known serial number with another key"),
    ("device-unexpected", "refused: no operator expects the device, or a person said no"),
    ("device-refused-by-rule", "refused: a rule of the configuration keeps the device out"),
    ("approvals-full", "refused: too many devices of the manufacturer wait for a person"),
    ("quota-spent", "refused: the device, or its manufacturer's devices, asked for too much"),
    ("device-barred", "refused: the device is retired or blocked"),
    ("unknown-label", "refused: there is no profile of this name"),
    ("label-not-allowed", "refused: the device was admitted with another profile"),
    ("not-offered", "refused: an EST operation that is not offered"),
    ("media-type-unknown", "refused: a body of another media type"),
    ("not-acceptable", "refused: the client does not take the answer's media type"),
    ("body-too-long", "refused: the body is too long"),
    ("body-too-slow", "refused: the body did not arrive in time"),
    ("body-unreadable", "refused: the body broke off"),
    ("voucher-request-unreadable", "refused: the voucher request cannot be read"),
    ("voucher-request-signature", "refused: the voucher request is not signed by the IDevID's key"),
    ("voucher-request-ended", "refused: the pledge rejected the voucher of this very request"),
    ("voucher-request-serial", "refused: the request names another serial number than the IDevID"),
    ("voucher-request-proximity", "refused: the pledge saw another registrar certificate"),
    ("masa-unusable", "refused: there is no MASA that may be asked"),
    ("masa-refused", "refused: the MASA said no"),
    ("masa-unauthorized", "failed: the MASA does not accept this registrar"),
    ("masa-unavailable", "failed: the MASA cannot be reached"),
    ("audit-log-refused", "refused: the device's audit log is against policy; EST is closed to it"),
    ("masa-waiting", "waiting: the MASA wants more time"),
    ("voucher-unusable", "refused: what the MASA sent is no voucher for this device and domain"),
    ("status-version-unknown", "a status report has a version that is not known here"),
    ("status-unreadable", "refused: the status report cannot be read"),
    ("status-without-exchange", "refused: there is nothing that the report could be about"),
    ("no-voucher", "refused: the device has no voucher yet"),
    ("csr-unreadable", "refused: the CSR cannot be read"),
    ("csr-signature", "refused: the CSR does not prove possession of its key"),
    ("csr-key", "refused: the profile does not take the CSR's key"),
    ("csr-name", "refused: the CSR names something else than the device's own name"),
    ("csr-extension", "refused: the CSR asks for an extension that the profile does not give"),
    ("csr-key-held", "refused: somebody else holds the key of the CSR"),
    ("csr-renewal-key", "refused: the profile renews with another key, or with the same one"),
    ("key-protection", "refused: the key to be made cannot be encrypted as the CSR asks"),
    ("csr-linking-missing", "refused: the profile wants a challengePassword"),
    ("csr-challenge-password", "refused: the challengePassword does not belong to this session"),
    ("issuer-refused", "refused: the CA's refusal, told again to the same CSR"),
    ("issuer-failed", "failed: the issuer cannot take the CSR, or its failure is told again"),
    ("enrollment-cancelled", "refused: an operator cancelled the order of this CSR a moment ago"),
    ("store-failed", "failed: the database could not be read"),
    ("key-unavailable", "failed: the token with the registrar's key does not sign"),
    ("internal", "failed: the registrar could not build or sign what it should"),
];

/// What is decided without an event: the turns of a client that waits, and what any scanner makes.
pub const LOGGED_ONLY: &[&str] = &[
    "approval-waiting",
    "certificate-waiting",
    "too-many-attempts",
    "unknown-certificate",
    "unknown-path",
    "method-not-allowed",
];

/// The kind as the table holds it, if it is one.
#[must_use]
pub fn known(kind: &str) -> Option<&'static str> {
    KINDS.iter().map(|(word, _)| *word).find(|word| *word == kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The words with hyphens that stand as literals in the files which make events, tests aside.
    fn words_of_the_source(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                words_of_the_source(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let makes_events = ["Verdict::", ".event(", "Event {", " record("];
            if !path.ends_with("kinds.rs") && makes_events.iter().any(|word| code.contains(word)) {
                // Every second piece between quotes is a literal, or the gap between two of them: both are judged.
                found.extend(code.split('"').filter(|text| is_word(text)).map(str::to_owned));
            }
        }
    }

    fn is_word(text: &str) -> bool {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|each| each.is_ascii_lowercase());
        text.contains('-') && text.split('-').all(is_part)
    }

    fn found() -> BTreeSet<String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = BTreeSet::new();
        for folder in ["flow", "admin", "http", "issue", "trail", "policy", "identity", "daemon"] {
            words_of_the_source(&source.join(folder), &mut found);
        }
        found
    }

    #[test]
    fn each_kind_of_the_source_is_in_the_table() {
        for word in found() {
            assert!(
                known(&word).is_some() || LOGGED_ONLY.contains(&word.as_str()),
                "{word:?} is no kind of the table"
            );
        }
    }

    #[test]
    fn each_kind_of_the_table_is_in_the_source() {
        let found = found();
        for (word, _) in KINDS.iter().filter(|(word, _)| word.contains('-')) {
            assert!(found.contains(*word), "nothing makes {word:?}");
        }
    }

    #[test]
    fn no_kind_stands_twice_or_is_a_verdict() {
        let words: BTreeSet<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        assert_eq!(words.len(), KINDS.len());
        for verdict in ["done", "refused", "waiting", "failed"] {
            assert_eq!(known(verdict), None);
        }
    }
}
