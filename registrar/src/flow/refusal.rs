//! Every reason for which a request gets a no, or a not yet.
//!
//! A refusal knows its reason for the peer (`Display`), its word in the trail and its clause.
//! The HTTP status is chosen in [`http::status`](crate::http::status) alone.

use acme_bridge::Problem;
use brski_est::csr::check::CsrFault;
use brski_est::server_keygen::ProtectionError;
use thiserror::Error;

use crate::policy::quota::Spent;
use crate::policy::timekeeping::ClockBehind;
use crate::store::StoreError;
use crate::store::model::{DeviceState, Verdict};

/// Why a request is not answered with what it asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    // Who asks.
    /// The TLS session carries no client certificate.
    #[error("no client certificate: this request needs the device's IDevID in the TLS handshake")]
    NoClientCertificate,
    /// No configured manufacturer vouches for the client certificate.
    #[error(
        "no manufacturer known here vouches for the client certificate ({reason}); an operator can add its CA with 'registrar manufacturer add'"
    )]
    UnknownManufacturer {
        /// What the path check said.
        reason: String,
    },
    /// The client certificate is one that this registrar issued, where an IDevID is needed.
    #[error(
        "the client certificate was issued by this registrar; this request needs the device's IDevID"
    )]
    IdevidNeeded,
    /// The issued certificate was revoked.
    #[error("the client certificate was revoked")]
    CertificateRevoked,
    /// The issued certificate is not valid now.
    #[error("the client certificate is {reason}; {remedy}")]
    CertificateNotValid {
        /// Since when, or from when on.
        reason: String,
        /// What the device can do.
        remedy: &'static str,
    },
    /// Neither a certificate that is known nor a credential.
    #[error(
        "this request needs the device's certificate in the TLS handshake, or a credential by HTTP Basic; an operator makes one with 'registrar credential add'"
    )]
    NoCredential,
    /// The user name or the secret is wrong, or the credential has ended; which of these, the trail alone says.
    #[error("the user name or the secret is wrong, or the credential is not good any more")]
    CredentialRefused {
        /// Which it is, for the trail.
        reason: String,
    },
    /// Too many failed attempts.
    #[error("too many failed attempts; try again in a minute")]
    TooManyAttempts {
        /// When to try again.
        retry_after_secs: u32,
    },
    /// The credential is used up.
    #[error("the credential {name:?} was good for {uses} enrollments, which were made")]
    CredentialSpent {
        /// Its name.
        name: String,
        /// How many enrollments it was good for.
        uses: u32,
    },
    /// The name that the credential stands for is another device's.
    #[error("the name {name:?} belongs to another device")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// A certificate is renewed over a session with that certificate alone.
    #[error(
        "simplereenroll needs the certificate that is to be renewed in the TLS handshake; use simpleenroll for the first one"
    )]
    RenewalWithoutCertificate,
    /// The IDevID has no usable serial number.
    #[error("the IDevID has no usable serial number: {reason}")]
    SerialNumberUnusable {
        /// What is wrong with it.
        reason: String,
    },
    /// The serial number is known with another key.
    #[error(
        "serial number {serial:?} is known here with another key; an operator must decide which device is genuine"
    )]
    KeyChanged {
        /// The serial number.
        serial: String,
    },
    /// A person refused the device, or none expects it.
    #[error(
        "this registrar lets in only devices that its operator expects; 'registrar device import' or 'registrar device allow' adds one"
    )]
    Unexpected,
    /// A rule of the configuration keeps the device out.
    #[error("a rule of this registrar's policy does not let this device in")]
    RuleRefused {
        /// The rule's name, for the trail.
        rule: String,
    },
    /// A person is asked whether the device may join.
    #[error("an operator is asked whether this device may join; try again")]
    ApprovalWaiting {
        /// When to try again.
        retry_after_secs: u32,
    },
    /// Too many devices of the manufacturer wait for a person.
    #[error("too many devices of this manufacturer wait for an operator; try again later")]
    TooManyWaiting {
        /// How many wait.
        waiting: u64,
        /// When to try again.
        retry_after_secs: u32,
    },
    /// The device, or its manufacturer's devices together, asked for too much.
    #[error("{0}; try again later")]
    QuotaSpent(Spent),
    /// The device is retired or blocked.
    #[error("this device is {}", .state.as_str())]
    DeviceBarred {
        /// Where it stands.
        state: DeviceState,
    },

    // How it is asked.
    /// Nothing lives at this path.
    #[error("nothing is served at this path")]
    UnknownPath,
    /// The EST label names a profile that this device was not admitted with.
    #[error("this device was admitted with another profile than {label:?}; leave the label out")]
    LabelNotAllowed {
        /// The label.
        label: String,
    },
    /// The EST label names no profile.
    #[error("there is no profile {label:?}; leave the label out to use the device's own")]
    UnknownLabel {
        /// The label.
        label: String,
    },
    /// No certificate of ours has this identifier.
    #[error("this registrar issued no certificate with this identifier")]
    UnknownCertificate,
    /// The path is served with another method.
    #[error("this path takes {allowed}")]
    MethodNotAllowed {
        /// The method that it takes.
        allowed: &'static str,
    },
    /// The operation exists and is not offered.
    #[error(
        "this registrar does not offer {operation} here; use simpleenroll, or simplereenroll to renew, with a key that the device made"
    )]
    NotOffered {
        /// The operation.
        operation: &'static str,
    },
    /// The content type is not understood.
    #[error("the content type is {received:?}; this path takes {expected}")]
    MediaType {
        /// What was sent.
        received: String,
        /// What is taken.
        expected: &'static str,
    },
    /// The client takes nothing that can be answered.
    #[error("the client accepts {accepted:?}; the answer is {offered}")]
    NotAcceptable {
        /// The Accept header.
        accepted: String,
        /// What would be sent.
        offered: &'static str,
    },
    /// The body is too long.
    #[error("the body is longer than {limit} octets")]
    BodyTooLong {
        /// The limit in octets.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {limit_secs} seconds; send it whole, at once")]
    BodyTooSlow {
        /// The limit in seconds.
        limit_secs: u64,
    },
    /// The body ended early.
    #[error("the body could not be read")]
    BodyUnreadable,

    // The voucher request.
    /// The voucher request cannot be read.
    #[error("the voucher request cannot be read: {reason}")]
    RequestUnreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// The voucher request is not signed by the key of the TLS session.
    #[error("the voucher request is not signed with the key of the IDevID: {reason}")]
    RequestSignature {
        /// What the verification said.
        reason: String,
    },
    /// The pledge rejected the voucher of this very request.
    #[error(
        "this voucher request ended: the pledge rejected its voucher; send a new one with a new nonce"
    )]
    RequestEnded,
    /// The serial number in the request is not the IDevID's.
    #[error("{reason}")]
    RequestSerial {
        /// Both serial numbers.
        reason: String,
    },
    /// The assertion or the proximity certificate is not what this session shows.
    #[error("{reason}")]
    Proximity {
        /// Both values.
        reason: String,
    },

    // The MASA.
    /// There is no MASA to ask.
    #[error("the MASA cannot be asked: {reason}")]
    MasaUnusable {
        /// Why; an operator can change it.
        reason: String,
    },
    /// The MASA said no.
    #[error("the MASA answered {status}: {text}")]
    MasaRefused {
        /// Its HTTP status.
        status: u16,
        /// Its explanation, cut and cleaned.
        text: String,
    },
    /// The MASA does not accept this registrar.
    #[error("the MASA does not accept this registrar; the operator was told")]
    MasaUnauthorized {
        /// Its explanation, for the trail.
        text: String,
    },
    /// The MASA could not be asked within the time there was.
    #[error("the MASA cannot be reached now; try again")]
    MasaUnavailable {
        /// What failed, for the trail.
        reason: String,
        /// When to try again.
        retry_after_secs: u32,
    },
    /// What the MASA sent is no voucher for this device and this domain.
    #[error("the MASA's voucher is refused: {reason}")]
    VoucherUnusable {
        /// What is wrong with it.
        reason: String,
    },
    /// The device's past, as its MASA tells it, is against policy.
    #[error("this device's history is not accepted here: {reason}")]
    AuditLog {
        /// What is against policy.
        reason: String,
    },
    /// The MASA wants more time.
    #[error("the MASA is still deciding; try again")]
    MasaWaiting {
        /// When to try again.
        retry_after_secs: u32,
    },

    // Telemetry.
    /// The status report cannot be read.
    #[error("the status report cannot be read: {reason}")]
    StatusUnreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing that the report could be about.
    #[error("there is no voucher exchange that this report could be about")]
    NothingToReport,

    // Enrollment.
    /// No voucher yet.
    #[error("this device has no voucher; it must first POST /.well-known/brski/requestvoucher")]
    NoVoucher,
    /// The CSR cannot be read.
    #[error("the CSR cannot be read: {reason}")]
    CsrUnreadable {
        /// What is wrong with it.
        reason: String,
    },
    /// The CSR is not signed with its own key.
    #[error("the CSR does not prove possession of its key: {reason}")]
    CsrSignature {
        /// What the verification said.
        reason: String,
    },
    /// The CSR's key is not one that the profile takes.
    #[error("the CSR is refused: {0}")]
    CsrKey(CsrFault),
    /// The CSR's names are not exactly the assigned one.
    #[error("the CSR is refused: {0}")]
    CsrName(CsrFault),
    /// The CSR asks for something that the profile does not give.
    #[error("the CSR is refused: {0}")]
    CsrExtension(CsrFault),
    /// Somebody else holds the CSR's key.
    #[error("the CSR is refused: its key belongs to {holder}; make a new one")]
    CsrKeyHeld {
        /// Who.
        holder: &'static str,
    },
    /// The profile wants another key at each renewal, or the same one.
    #[error("the CSR is refused: this profile renews certificates with {wanted} alone")]
    CsrRenewalKey {
        /// Which key it takes.
        wanted: &'static str,
    },
    /// The key that is to be made cannot be encrypted as the CSR asks.
    #[error("the key cannot be encrypted as the CSR asks: {0}")]
    KeyProtection(ProtectionError),
    /// The profile wants a challengePassword.
    #[error(
        "the CSR has no challengePassword; it must be base64 of this session's tls-exporter (TLS 1.3): linking of identity and proof of possession is required"
    )]
    LinkingMissing,
    /// The challengePassword does not link the CSR to this session.
    #[error(
        "the challengePassword is not base64 of this session's tls-exporter; linking of identity and proof of possession failed"
    )]
    ChallengePassword,
    /// The certificate is not there yet.
    #[error("the certificate is being made; try again")]
    CertificateWaiting {
        /// When to try again.
        retry_after_secs: u32,
    },
    /// The issuer will not issue for this CSR.
    #[error("the CA refused: {reason}")]
    IssuerRefused {
        /// What the CA said.
        reason: String,
        /// The same as the bridge knows it, where an ACME CA said it.
        problem: Option<Box<Problem>>,
    },
    /// The issuer could not issue.
    #[error("the certificate could not be made now; try again")]
    IssuerFailed {
        /// What failed, for the trail.
        reason: String,
        /// When to try again.
        retry_after_secs: u32,
        /// What the CA said as the bridge knows it, where an ACME CA said it.
        problem: Option<Box<Problem>>,
    },
    /// An operator ended the order of this CSR a moment ago.
    #[error("an operator cancelled this enrollment")]
    OrderCancelled {
        /// The operator's words, for the trail.
        reason: String,
    },

    // Ours.
    /// The clock is earlier than what the trail holds.
    #[error("the registrar's clock is wrong, and nothing is issued until it is right; try again")]
    ClockBehind(ClockBehind),
    /// The store failed.
    #[error("the registrar cannot keep what it would promise; try again")]
    Store(#[from] StoreError),
    /// The registrar's key does not sign: its token is away, or locked.
    #[error("the registrar's key is not there at the moment; try again")]
    KeyUnavailable {
        /// What was to be signed, for the trail.
        reason: String,
    },
    /// The registrar could not sign or build what it should.
    #[error("the registrar failed; its operator was told")]
    Internal {
        /// What failed, for the trail.
        reason: String,
    },
}

impl Refusal {
    /// Its word in the trail.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoClientCertificate => "no-client-certificate",
            Self::UnknownManufacturer { .. } => "unknown-manufacturer",
            Self::IdevidNeeded => "idevid-needed",
            Self::CertificateRevoked => "certificate-revoked",
            Self::CertificateNotValid { .. } => "certificate-not-valid",
            Self::NoCredential => "no-credential",
            Self::CredentialRefused { .. } => "credential-refused",
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::CredentialSpent { .. } => "credential-spent",
            Self::NameTaken { .. } => "name-taken",
            Self::RenewalWithoutCertificate => "renewal-without-certificate",
            Self::SerialNumberUnusable { .. } => "serial-number-unusable",
            Self::KeyChanged { .. } => "identity-key-changed",
            Self::Unexpected => "device-unexpected",
            Self::RuleRefused { .. } => "device-refused-by-rule",
            Self::ApprovalWaiting { .. } => "approval-waiting",
            Self::TooManyWaiting { .. } => "approvals-full",
            Self::QuotaSpent(_) => "quota-spent",
            Self::DeviceBarred { .. } => "device-barred",
            Self::UnknownPath => "unknown-path",
            Self::UnknownLabel { .. } => "unknown-label",
            Self::UnknownCertificate => "unknown-certificate",
            Self::LabelNotAllowed { .. } => "label-not-allowed",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::NotOffered { .. } => "not-offered",
            Self::MediaType { .. } => "media-type-unknown",
            Self::NotAcceptable { .. } => "not-acceptable",
            Self::BodyTooLong { .. } => "body-too-long",
            Self::BodyTooSlow { .. } => "body-too-slow",
            Self::BodyUnreadable => "body-unreadable",
            Self::RequestUnreadable { .. } => "voucher-request-unreadable",
            Self::RequestSignature { .. } => "voucher-request-signature",
            Self::RequestEnded => "voucher-request-ended",
            Self::RequestSerial { .. } => "voucher-request-serial",
            Self::Proximity { .. } => "voucher-request-proximity",
            Self::MasaUnusable { .. } => "masa-unusable",
            Self::MasaRefused { .. } => "masa-refused",
            Self::MasaUnauthorized { .. } => "masa-unauthorized",
            Self::MasaUnavailable { .. } => "masa-unavailable",
            Self::VoucherUnusable { .. } => "voucher-unusable",
            Self::AuditLog { .. } => "audit-log-refused",
            Self::MasaWaiting { .. } => "masa-waiting",
            Self::StatusUnreadable { .. } => "status-unreadable",
            Self::NothingToReport => "status-without-exchange",
            Self::NoVoucher => "no-voucher",
            Self::CsrUnreadable { .. } => "csr-unreadable",
            Self::CsrSignature { .. } => "csr-signature",
            Self::CsrKey(_) => "csr-key",
            Self::CsrName(_) => "csr-name",
            Self::CsrExtension(_) => "csr-extension",
            Self::CsrKeyHeld { .. } => "csr-key-held",
            Self::CsrRenewalKey { .. } => "csr-renewal-key",
            Self::KeyProtection(_) => "key-protection",
            Self::LinkingMissing => "csr-linking-missing",
            Self::ChallengePassword => "csr-challenge-password",
            Self::CertificateWaiting { .. } => "certificate-waiting",
            Self::IssuerRefused { .. } => "issuer-refused",
            Self::IssuerFailed { .. } => "issuer-failed",
            Self::OrderCancelled { .. } => "enrollment-cancelled",
            Self::ClockBehind(_) => "clock-behind",
            Self::Store(_) => "store-failed",
            Self::KeyUnavailable { .. } => "key-unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    /// The clause that it follows.
    #[must_use]
    pub fn clause(&self) -> &'static str {
        match self {
            Self::NoClientCertificate | Self::UnknownManufacturer { .. } | Self::IdevidNeeded => {
                "RFC 8995 §5.1"
            }
            Self::CertificateRevoked
            | Self::CertificateNotValid { .. }
            | Self::RenewalWithoutCertificate => "RFC 7030 §3.3.2",
            Self::NoCredential
            | Self::CredentialRefused { .. }
            | Self::TooManyAttempts { .. }
            | Self::CredentialSpent { .. }
            | Self::NameTaken { .. } => "RFC 7030 §3.2.3",
            Self::SerialNumberUnusable { .. } | Self::KeyChanged { .. } => "RFC 8995 §2.3.1",
            Self::DeviceBarred { .. }
            | Self::Unexpected
            | Self::RuleRefused { .. }
            | Self::TooManyWaiting { .. }
            | Self::QuotaSpent(_)
            | Self::ApprovalWaiting { .. } => "RFC 8995 §5.3",
            Self::UnknownPath
            | Self::UnknownCertificate
            | Self::UnknownLabel { .. }
            | Self::LabelNotAllowed { .. }
            | Self::NotOffered { .. } => "RFC 7030 §3.2.2",
            Self::MethodNotAllowed { .. } => "RFC 9110 §15.5.6",
            Self::MediaType { .. } | Self::NotAcceptable { .. } => "RFC 8995 §5.6",
            Self::BodyTooLong { .. } | Self::BodyTooSlow { .. } | Self::BodyUnreadable => {
                "RFC 9110 §15.5"
            }
            Self::RequestUnreadable { .. } | Self::RequestEnded => "RFC 8995 §5.3",
            Self::RequestSignature { .. } | Self::RequestSerial { .. } => "RFC 8995 §5.5",
            Self::Proximity { .. } => "RFC 8995 §5.2",
            Self::MasaUnusable { .. } => "RFC 8995 §2.3.2",
            Self::MasaRefused { .. }
            | Self::VoucherUnusable { .. }
            | Self::MasaWaiting { .. }
            | Self::MasaUnavailable { .. } => "RFC 8995 §5.6",
            Self::AuditLog { .. } => "RFC 8995 §5.8.3",
            Self::MasaUnauthorized { .. } => "RFC 8995 §5.4",
            Self::StatusUnreadable { .. } | Self::NothingToReport => "RFC 8995 §5.7",
            Self::NoVoucher => "RFC 8995 §5.9",
            Self::CsrUnreadable { .. } | Self::CsrKey(_) | Self::CsrKeyHeld { .. } => {
                "RFC 7030 §4.2.1"
            }
            Self::CsrRenewalKey { .. } => "RFC 7030 §4.2.2",
            Self::KeyProtection(_) => "RFC 7030 §4.4.1",
            Self::CsrSignature { .. } | Self::ChallengePassword | Self::LinkingMissing => {
                "RFC 7030 §3.5"
            }
            Self::CsrName(_) => "draft-ietf-acme-integrations §7",
            Self::CsrExtension(_) => "RFC 8995 §5.9.2",
            Self::CertificateWaiting { .. } | Self::OrderCancelled { .. } => "RFC 7030 §4.2.3",
            Self::IssuerRefused { .. } | Self::IssuerFailed { .. } => "RFC 8555 §6.7",
            Self::ClockBehind(_)
            | Self::Store(_)
            | Self::KeyUnavailable { .. }
            | Self::Internal { .. } => "",
        }
    }

    /// How it stands in the trail.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::CertificateWaiting { .. }
            | Self::MasaWaiting { .. }
            | Self::ApprovalWaiting { .. } => Verdict::Waiting,
            Self::MasaUnavailable { .. }
            | Self::IssuerFailed { .. }
            | Self::MasaUnauthorized { .. }
            | Self::ClockBehind(_)
            | Self::Store(_)
            | Self::KeyUnavailable { .. }
            | Self::Internal { .. } => Verdict::Failed,
            _ => Verdict::Refused,
        }
    }

    /// Whether the trail keeps it: not what any scanner makes, nor each turn of a client that waits.
    #[must_use]
    pub fn leaves_event(&self) -> bool {
        !matches!(
            self,
            Self::UnknownPath
                | Self::UnknownCertificate
                | Self::MethodNotAllowed { .. }
                | Self::TooManyAttempts { .. }
                | Self::CertificateWaiting { .. }
                | Self::ApprovalWaiting { .. }
                // The watch over the clock tells it once.
                | Self::ClockBehind(_)
                // The first of them is told with its decision.
                | Self::TooManyWaiting { .. }
                | Self::QuotaSpent(_)
        )
    }

    /// What the trail says, which may be fuller than what the peer is told.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::MasaUnavailable { reason, .. }
            | Self::IssuerFailed { reason, .. }
            | Self::KeyUnavailable { reason }
            | Self::OrderCancelled { reason }
            | Self::Internal { reason } => format!("{self}: {reason}"),
            Self::CredentialRefused { reason } => format!("{self}: {reason}"),
            Self::MasaUnauthorized { text } => format!("{self}: {text}"),
            Self::RuleRefused { rule } => format!("{self}: {rule}"),
            Self::TooManyWaiting { waiting, .. } => format!("{self}: {waiting} wait"),
            Self::Store(error) => format!("{self}: {error}"),
            Self::ClockBehind(behind) => format!("{self}: {behind}"),
            _ => self.to_string(),
        }
    }
}
