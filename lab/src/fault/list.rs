//! The list. No two share liar, clause and field.

use super::Liar::{Ca, Masa, Pledge, Proxy};
use super::Stage::{Enroll, EnrollStatus, Reenroll, Voucher, VoucherStatus};
use super::{Card, Liar, Stage};

macro_rules! faults {
    ($($variant:ident $name:literal $liar:ident $stage:ident $clause:literal $field:literal $status:literal $event:literal;)+) => {
        /// A lie; see [`Fault::card`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $(#[doc = concat!("`", $name, "`: ", $field, ", ", $clause, ".")] $variant,)+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What there is to know about it.
            #[must_use]
            pub fn card(self) -> Card {
                let (name, liar, stage, clause, field, status, event): (_, Liar, Stage, _, _, _, _) =
                    match self {
                        $(Self::$variant => ($name, $liar, $stage, $clause, $field, $status, $event),)+
                    };
                Card { name, liar, stage, clause, field, status, event }
            }
        }
    };
}

faults! {
    // A pledge asks for a voucher: who it is.
    NoCertificate "no-client-certificate" Pledge Voucher "RFC 8995 §5.1" "client certificate" 401 "no-client-certificate";
    StrangeIdevid "idevid-of-a-stranger" Pledge Voucher "RFC 8995 §5.3" "IDevID issuer" 403 "unknown-manufacturer";
    SelfSignedIdevid "idevid-self-signed" Pledge Voucher "RFC 8995 §2.3" "IDevID signature" 403 "unknown-manufacturer";
    ExpiredIdevid "idevid-expired" Pledge Voucher "RFC 8995 §2.6.2" "IDevID validity" 403 "unknown-manufacturer";
    EarlyIdevid "idevid-not-valid-yet" Pledge Voucher "RFC 8995 §2.6.2" "IDevID notBefore" 403 "unknown-manufacturer";
    NamelessIdevid "idevid-without-serial-number" Pledge Voucher "RFC 8995 §2.3.1" "IDevID serialNumber" 403 "serial-number-unusable";
    MasalessIdevid "idevid-without-masa" Pledge Voucher "RFC 8995 §2.3.2" "IDevID MASA URL" 403 "masa-unusable";
    PlainMasaUrl "idevid-with-a-masa-on-this-host" Pledge Voucher "RFC 8995 §11.4" "IDevID MASA host" 403 "masa-unusable";
    TwinIdevid "serial-number-with-another-key" Pledge Voucher "RFC 8995 §5.3" "IDevID public key" 202 "approval-asked";
    // What it sends.
    RequestEmpty "voucher-request-empty" Pledge Voucher "RFC 8995 §5.2" "body" 406 "voucher-request-unreadable";
    RequestGarbage "voucher-request-garbage" Pledge Voucher "RFC 8995 §5.2" "ContentInfo" 406 "voucher-request-unreadable";
    RequestCut "voucher-request-cut-off" Pledge Voucher "RFC 5652 §5.1" "SignedData" 406 "voucher-request-unreadable";
    RequestTrailing "voucher-request-with-octets-behind" Pledge Voucher "RFC 5652 §3" "octets behind" 406 "voucher-request-unreadable";
    RequestBase64 "voucher-request-in-base64" Pledge Voucher "RFC 8995 §6" "transfer encoding" 406 "voucher-request-unreadable";
    RequestIsVoucher "voucher-in-place-of-a-request" Pledge Voucher "RFC 8995 §3.4" "ietf-voucher-request:voucher" 406 "voucher-request-unreadable";
    RequestSignature "voucher-request-signature-changed" Pledge Voucher "RFC 5652 §5.4" "signature" 403 "voucher-request-signature";
    RequestContent "voucher-request-content-changed" Pledge Voucher "RFC 5652 §11.2" "messageDigest" 403 "voucher-request-signature";
    RequestStolen "voucher-request-of-another-device" Pledge Voucher "RFC 8995 §5.5" "signer" 403 "voucher-request-signature";
    RequestSerial "voucher-request-for-another-serial-number" Pledge Voucher "RFC 8995 §5.5" "serial-number" 403 "voucher-request-serial";
    RequestSerialCase "voucher-request-serial-number-in-another-case" Pledge Voucher "RFC 8995 §5.5" "serial-number case" 403 "voucher-request-serial";
    RequestAssertion "voucher-request-asserts-logged" Pledge Voucher "RFC 8995 §5.2" "assertion" 401 "voucher-request-proximity";
    RequestProximityOwn "voucher-request-near-itself" Pledge Voucher "RFC 8995 §5.2" "proximity-registrar-cert" 401 "voucher-request-proximity";
    RequestProximityCa "voucher-request-near-the-domain-ca" Pledge Voucher "RFC 8995 §5.5.5" "proximity-registrar-cert" 401 "voucher-request-proximity";
    RequestAfterRejection "voucher-request-after-its-rejection" Pledge VoucherStatus "RFC 8995 §5.6" "nonce" 406 "voucher-request-ended";
    RequestLong "voucher-request-too-long" Pledge Voucher "RFC 9110 §15.5.14" "Content-Length" 413 "body-too-long";
    RequestType "voucher-request-as-json" Pledge Voucher "RFC 8995 §5.6" "Content-Type" 415 "media-type-unknown";
    RequestNoType "voucher-request-without-a-type" Pledge Voucher "RFC 9110 §8.3" "Content-Type" 415 "media-type-unknown";
    RequestAccept "voucher-in-html-please" Pledge Voucher "RFC 9110 §15.5.7" "Accept" 406 "not-acceptable";
    RequestGet "voucher-request-by-get" Pledge Voucher "RFC 9110 §15.5.6" "requestvoucher method" 405 "";
    RequestOldPath "voucher-request-at-the-draft-path" Pledge Voucher "RFC 8995 §8.3" "path" 404 "";
    // What it says of its voucher.
    StatusGarbage "voucher-status-garbage" Pledge VoucherStatus "RFC 8995 §5.7" "body" 400 "status-unreadable";
    StatusVersionless "voucher-status-without-version" Pledge VoucherStatus "RFC 8995 §5.7" "version" 400 "status-unreadable";
    StatusText "voucher-status-as-text" Pledge VoucherStatus "RFC 8995 §5.7" "status" 400 "status-unreadable";
    StatusTwice "voucher-status-twice-in-one" Pledge VoucherStatus "RFC 8259 §4" "status" 400 "status-unreadable";
    StatusType "voucher-status-with-another-type" Pledge VoucherStatus "RFC 8995 §5.7" "Content-Type" 415 "media-type-unknown";
    StatusNobody "voucher-status-of-nobody" Pledge VoucherStatus "RFC 8995 §5.7" "client certificate" 401 "no-client-certificate";
    StatusStranger "voucher-status-of-a-stranger" Pledge VoucherStatus "RFC 8995 §5.7" "IDevID issuer" 403 "unknown-manufacturer";
    StatusUnasked "voucher-status-without-a-voucher" Pledge VoucherStatus "RFC 8995 §5.7" "voucher" 404 "status-without-exchange";
    StatusPut "voucher-status-by-put" Pledge VoucherStatus "RFC 9110 §15.5.6" "voucher_status method" 405 "";
    EnrollStatusGarbage "enroll-status-garbage" Pledge EnrollStatus "RFC 8995 §5.9.4" "body" 400 "status-unreadable";
    EnrollStatusType "enroll-status-with-another-type" Pledge EnrollStatus "RFC 8995 §5.9.4" "Content-Type" 415 "media-type-unknown";
    EnrollStatusNobody "enroll-status-of-nobody" Pledge EnrollStatus "RFC 8995 §5.9.4" "client certificate" 401 "no-client-certificate";
    EnrollStatusUnknown "enroll-status-of-a-device-that-never-came" Pledge EnrollStatus "RFC 8995 §5.9.4" "device" 404 "status-without-exchange";
    // It asks for a certificate.
    EnrollUnvouchered "enrollment-without-a-voucher" Pledge Enroll "RFC 8995 §5.9" "voucher" 403 "no-voucher";
    EnrollRejected "enrollment-after-rejecting-the-voucher" Pledge Enroll "RFC 8995 §5.7" "voucher status" 403 "no-voucher";
    EnrollNobody "enrollment-of-nobody" Pledge Enroll "RFC 7030 §3.2.3" "client certificate" 401 "no-credential";
    EnrollWrongSecret "enrollment-with-a-wrong-secret" Pledge Enroll "RFC 7617 §2" "Authorization" 401 "credential-refused";
    EnrollStranger "enrollment-of-a-stranger" Pledge Enroll "RFC 7030 §3.3.2" "client certificate" 403 "unknown-manufacturer";
    EnrollType "csr-with-another-type" Pledge Enroll "RFC 7030 §4.2.1" "Content-Type" 415 "media-type-unknown";
    EnrollGet "enrollment-by-get" Pledge Enroll "RFC 9110 §15.5.6" "simpleenroll method" 405 "";
    EnrollLabel "enrollment-at-an-unknown-label" Pledge Enroll "RFC 7030 §3.2.2" "label" 404 "unknown-label";
    EnrollFull "full-cmc" Pledge Enroll "RFC 7030 §4.3" "operation" 501 "not-offered";
    CsrEmpty "csr-empty" Pledge Enroll "RFC 7030 §4.2.1" "body" 400 "csr-unreadable";
    CsrGarbage "csr-garbage" Pledge Enroll "RFC 8951 §3.1" "base64" 400 "csr-unreadable";
    CsrCut "csr-cut-off" Pledge Enroll "RFC 2986 §4" "CertificationRequest" 400 "csr-unreadable";
    CsrTrailing "csr-with-octets-behind" Pledge Enroll "RFC 2986 §4" "octets behind" 400 "csr-unreadable";
    CsrIsKey "private-key-in-place-of-a-csr" Pledge Enroll "RFC 7030 §6" "private key" 400 "csr-unreadable";
    CsrLong "csr-too-long" Pledge Enroll "RFC 9110 §15.5.14" "CSR length" 413 "body-too-long";
    CsrSignature "csr-signature-changed" Pledge Enroll "RFC 7030 §3.4" "signature" 400 "csr-signature";
    CsrStolenKey "csr-with-a-key-that-it-does-not-have" Pledge Enroll "RFC 7030 §3.4" "subjectPKInfo" 400 "csr-signature";
    CsrHeldKey "csr-with-the-key-of-its-idevid-sibling" Pledge Enroll "RFC 7030 §4.2.1" "public key" 400 "csr-key-held";
    CsrKeyKind "csr-with-a-key-that-the-profile-does-not-take" Pledge Enroll "RFC 9908 §3" "key type" 400 "csr-key";
    CsrPassword "csr-linked-to-another-session" Pledge Enroll "RFC 7030 §3.5" "challengePassword" 403 "csr-challenge-password";
    NameForeign "name-of-another-device" Pledge Enroll "draft-ietf-acme-integrations §7" "dNSName" 403 "csr-name";
    NameNone "no-name" Pledge Enroll "RFC 8995 §5.9.2" "subjectAltName" 403 "csr-name";
    NameTwo "a-second-name" Pledge Enroll "draft-ietf-acme-integrations §7" "second dNSName" 403 "csr-name";
    NameWild "wildcard-name" Pledge Enroll "RFC 6125 §6.4.3" "dNSName" 403 "csr-name";
    NameBelow "name-below-its-own" Pledge Enroll "RFC 9444 §4" "dNSName" 403 "csr-name";
    NameZone "name-of-the-zone" Pledge Enroll "draft-ietf-acme-integrations §7" "zone" 403 "csr-name";
    NameNul "name-with-nul" Pledge Enroll "RFC 5280 §4.2.1.6" "dNSName" 403 "csr-name";
    NameAddress "ip-address" Pledge Enroll "RFC 8738 §3" "iPAddress" 403 "csr-name";
    NameUri "uri" Pledge Enroll "RFC 5280 §4.2.1.6" "uniformResourceIdentifier" 403 "csr-name";
    NameCommon "common-name-of-another-device" Pledge Enroll "RFC 6125 §6.4.4" "commonName" 403 "csr-name";
    AsksCa "ca-certificate" Pledge Enroll "RFC 5280 §4.2.1.9" "cA" 400 "csr-extension";
    AsksCertSign "key-usage-cert-sign" Pledge Enroll "RFC 5280 §4.2.1.3" "keyCertSign" 400 "csr-extension";
    AsksRa "usage-of-a-registrar" Pledge Enroll "RFC 6402 §2.10" "id-kp-cmcRA" 400 "csr-extension";
    AsksAny "usage-for-anything" Pledge Enroll "RFC 5280 §4.2.1.12" "anyExtendedKeyUsage" 400 "csr-extension";
    AsksCode "usage-for-code" Pledge Enroll "RFC 5280 §4.2.1.12" "id-kp-codeSigning" 400 "csr-extension";
    AsksPolicies "certificate-policies" Pledge Enroll "RFC 5280 §4.2.1.4" "certificatePolicies" 400 "csr-extension";
    AsksConstraints "name-constraints" Pledge Enroll "RFC 5280 §4.2.1.10" "nameConstraints" 400 "csr-extension";
    AsksUnknown "critical-extension-that-nobody-knows" Pledge Enroll "RFC 5280 §4.2" "extension" 400 "csr-extension";
    RenewIdevid "renewal-with-the-idevid" Pledge Reenroll "RFC 7030 §4.2.2" "client certificate" 403 "renewal-without-certificate";
    RenewStranger "renewal-with-a-look-alike" Pledge Reenroll "RFC 7030 §3.3.2" "certificate bytes" 403 "renewal-without-certificate";
    RenewOther "renewal-of-another-devices-name" Pledge Reenroll "RFC 7030 §4.2.2" "dNSName" 403 "csr-name";
    // Somebody stands between.
    ProxyBare "proxy-ends-tls" Proxy Voucher "RFC 8995 §5.1" "client certificate" 401 "no-client-certificate";
    ProxyStranger "proxy-ends-tls-with-its-own-certificate" Proxy Voucher "RFC 8995 §5.3" "IDevID issuer" 403 "unknown-manufacturer";
    ProxyDevice "proxy-is-a-genuine-device" Proxy Voucher "RFC 8995 §5.5" "signer" 403 "voucher-request-signature";
    ProxyResigns "proxy-signs-for-the-device" Proxy Voucher "RFC 8995 §5.5" "serial-number" 403 "voucher-request-serial";
    ProxySeen "proxy-shows-its-own-certificate" Proxy Voucher "RFC 8995 §5.2" "proximity-registrar-cert" 401 "voucher-request-proximity";
    ProxyGarbage "garbage-before-tls" Proxy Voucher "RFC 8446 §5.1" "TLSPlaintext" 0 "";
    ProxyCuts "voucher-request-that-breaks-off" Proxy Voucher "RFC 9112 §8" "Content-Length" 400 "body-unreadable";
    ProxySlow "voucher-request-that-never-ends" Proxy Voucher "RFC 9110 §15.5.9" "body" 408 "body-too-slow";
    ProxyEnrolls "proxy-enrolls-in-the-devices-place" Proxy Enroll "RFC 8995 §5.9" "client certificate" 403 "no-voucher";
    // The MASA lies.
    MasaAway "masa-closed" Masa Voucher "RFC 8995 §5.6" "status 503" 503 "masa-unavailable";
    MasaRefuses "masa-refuses" Masa Voucher "RFC 8995 §5.5.4" "status 403" 403 "masa-refused";
    MasaNonce "voucher-with-another-nonce" Masa Voucher "RFC 8995 §5.6.1" "nonce" 502 "voucher-unusable";
    MasaSerial "voucher-for-another-device" Masa Voucher "RFC 8995 §5.6.1" "serial-number" 502 "voucher-unusable";
    MasaPin "voucher-that-pins-another-domain" Masa Voucher "RFC 8995 §5.6.2" "pinned-domain-cert" 502 "voucher-unusable";
    MasaUnauthorized "masa-knows-nobody" Masa Voucher "RFC 8995 §5.4" "status 401" 502 "masa-unauthorized";
    MasaWaits "masa-wants-time" Masa Voucher "RFC 8995 §5.6" "status 202" 202 "masa-waiting";
    MasaRedirects "masa-sends-elsewhere" Masa Voucher "RFC 8995 §5.6" "Location" 502 "masa-refused";
    MasaSlow "voucher-that-never-comes" Masa Voucher "RFC 8995 §5.6" "answer time" 503 "masa-unavailable";
    MasaHuge "voucher-without-an-end" Masa Voucher "RFC 8995 §5.6" "answer length" 502 "voucher-unusable";
    MasaType "voucher-of-another-type" Masa Voucher "RFC 8995 §5.6" "Content-Type" 502 "voucher-unusable";
    MasaSigner "voucher-of-another-signer" Masa Voucher "RFC 8995 §5.6.1" "signer" 502 "voucher-unusable";
    MasaForeignLog "audit-log-with-a-strangers-domain" Masa Enroll "RFC 8995 §5.8.3" "domainID" 403 "audit-log-refused";
    MasaGarbage "voucher-garbage" Masa Voucher "RFC 8366 §6" "body" 502 "voucher-unusable";
    // The CA issues something else than what was ordered: it is handed to nobody, and revoked.
    CaOtherKey "certificate-for-another-key" Ca Enroll "RFC 8555 §7.4.2" "subjectPublicKeyInfo" 500 "certificate-mismatch";
    CaOtherName "certificate-for-another-name" Ca Enroll "RFC 8555 §7.4.2" "dNSName" 500 "certificate-mismatch";
    CaSecondName "certificate-for-a-second-name" Ca Enroll "RFC 8555 §7.4.2" "second dNSName" 500 "certificate-mismatch";
    CaNoName "certificate-without-a-name" Ca Enroll "RFC 8555 §7.4.2" "subjectAltName" 500 "certificate-mismatch";
    CaAddress "certificate-for-an-address-too" Ca Enroll "RFC 8738 §3" "iPAddress" 500 "certificate-mismatch";
    CaExpired "certificate-that-has-ended" Ca Enroll "RFC 5280 §4.1.2.5" "notAfter" 500 "certificate-mismatch";
    CaEarly "certificate-that-has-not-begun" Ca Enroll "RFC 5280 §4.1.2.5" "notBefore" 500 "certificate-mismatch";
    CaEternal "certificate-for-a-hundred-years" Ca Enroll "RFC 5280 §4.1.2.5" "validity" 500 "certificate-mismatch";
    CaNoClientUsage "certificate-without-client-auth" Ca Enroll "RFC 5280 §4.2.1.12" "id-kp-clientAuth" 500 "certificate-mismatch";
    CaAsCa "certificate-of-a-ca" Ca Enroll "RFC 5280 §4.2.1.9" "cA" 500 "certificate-mismatch";
    CaForged "certificate-signature-changed" Ca Enroll "RFC 5280 §6.1.3" "signature" 500 "certificate-mismatch";
    CaUnknownRoot "chain-to-an-unknown-root" Ca Enroll "RFC 5280 §6.1" "trust anchor" 500 "certificate-mismatch";
    CaLoop "chain-in-a-loop" Ca Enroll "RFC 5280 §6.1" "path" 500 "certificate-mismatch";
    CaLeafOnly "chain-without-its-intermediate" Ca Enroll "RFC 8555 §9.1" "intermediate" 500 "certificate-mismatch";
    CaPrivateKey "chain-with-a-private-key" Ca Enroll "RFC 8555 §11.4" "PRIVATE KEY" 500 "certificate-mismatch";
    CaTooMany "chain-of-thirteen" Ca Enroll "RFC 8555 §11.4" "number of certificates" 500 "certificate-mismatch";
    CaLongChain "chain-of-200-kib" Ca Enroll "RFC 8555 §11.4" "length" 500 "certificate-mismatch";
    CaGarbageChain "chain-garbage" Ca Enroll "RFC 8555 §9.1" "body" 500 "certificate-mismatch";
    // It refuses, or gives nothing that can be answered.
    CaHostileProblem "problem-with-hostile-words" Ca Enroll "RFC 8555 §6.7" "detail" 400 "enrollment-refused";
    CaRejects "name-rejected" Ca Enroll "RFC 8555 §6.7" "rejectedIdentifier" 403 "enrollment-refused";
    CaNoChallenge "challenge-that-nobody-knows" Ca Enroll "RFC 8555 §8" "type" 500 "enrollment-failed";
    CaBadToken "challenge-token-with-a-path" Ca Enroll "RFC 8555 §8.1" "token" 500 "enrollment-failed";
    CaOtherAuthorization "authorization-for-another-name" Ca Enroll "RFC 8555 §7.1.4" "identifier" 500 "enrollment-failed";
    // What it says cannot be used now: the device is told to come back, and the order waits.
    CaHugeChain "chain-without-an-end" Ca Enroll "RFC 8555 §7.4.2" "answer length" 202 "";
    CaSlowChain "chain-that-never-comes" Ca Enroll "RFC 8555 §7.4.2" "answer time" 202 "";
    CaHtml "page-in-place-of-an-order" Ca Enroll "RFC 8555 §7.4" "body" 202 "";
    CaRedirect "redirect-off-the-origin" Ca Enroll "RFC 8555 §6.1" "status 307" 202 "";
    CaForeignOrder "order-at-another-server" Ca Enroll "RFC 8555 §7.4" "Location host" 202 "";
    CaNoLocation "order-without-a-location" Ca Enroll "RFC 8555 §7.4" "Location" 202 "";
    CaBadLocation "order-location-malformed" Ca Enroll "RFC 8555 §7.4" "Location syntax" 202 "";
    CaForeignAuthorization "authorization-at-another-server" Ca Enroll "RFC 8555 §7.1.3" "authorizations" 202 "";
    CaForeignFinalize "finalize-at-another-server" Ca Enroll "RFC 8555 §7.1.3" "finalize" 202 "";
    CaForeignCertificate "certificate-at-another-server" Ca Enroll "RFC 8555 §7.1.3" "certificate" 202 "";
    CaBadNonce "nonce-malformed" Ca Enroll "RFC 8555 §6.5.1" "Replay-Nonce" 202 "";
    CaNoNonce "nonce-never-good-enough" Ca Enroll "RFC 8555 §6.5" "badNonce" 202 "";
    CaProcessing "processing-without-an-end" Ca Enroll "RFC 8555 §7.1.6" "status" 202 "";
    CaInvalid "order-invalid-without-a-reason" Ca Enroll "RFC 8555 §7.1.6" "error" 202 "";
    CaLimits "too-many-orders" Ca Enroll "RFC 8555 §6.6" "rateLimited" 202 "";
    CaFails "ca-fails" Ca Enroll "RFC 8555 §6.7" "serverInternal" 202 "";
    CaTerms "terms-to-be-read" Ca Enroll "RFC 8555 §7.3.3" "userActionRequired" 202 "acme-account-refused";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_share_a_name_or_liar_clause_and_field() {
        let cards: Vec<Card> = Fault::ALL.iter().map(|fault| fault.card()).collect();
        assert!(cards.len() >= 60, "{}", cards.len());
        let names: BTreeSet<&str> = cards.iter().map(|card| card.name).collect();
        assert_eq!(names.len(), cards.len());
        let mut places = BTreeSet::new();
        for card in cards {
            assert!(places.insert((card.liar, card.clause, card.field)), "{card:?}");
            assert!(
                [0, 202].contains(&card.status) || (400..=599).contains(&card.status),
                "{card:?}"
            );
        }
    }
}
