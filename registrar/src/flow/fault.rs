//! Whose fault it is that a request does not get what it asks for.
//!
//! Metrics count errors by it, so that an operator sees whom to call: the device's maker, the MASA, the CA, the
//! machine's administrator, or nobody, since policy did what it was told.

use super::refusal::Refusal;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The client's: it asked for what it cannot have, or in the wrong way.
    Pledge,
    /// The MASA's.
    Masa,
    /// The issuer's.
    Ca,
    /// This machine's: its database, its keys, its configuration.
    Local,
    /// Nobody's: the operator's rules say no.
    Policy,
}

impl Refusal {
    /// Whose fault it is; none where the client just has to wait.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::MasaWaiting { .. }
            | Self::ApprovalWaiting { .. }
            | Self::CertificateWaiting { .. } => None,
            Self::UnknownManufacturer { .. }
            | Self::CertificateRevoked
            | Self::CertificateNotValid { .. }
            | Self::CredentialSpent { .. }
            | Self::NameTaken { .. }
            | Self::KeyChanged { .. }
            | Self::Unexpected
            | Self::RuleRefused { .. }
            | Self::TooManyWaiting { .. }
            | Self::QuotaSpent(_)
            | Self::DeviceBarred { .. }
            | Self::LabelNotAllowed { .. }
            | Self::OrderCancelled { .. }
            | Self::AuditLog { .. }
            // An operator names another MASA, or allows its host.
            | Self::MasaUnusable { .. } => Some(Fault::Policy),
            Self::MasaRefused { .. }
            | Self::MasaUnauthorized { .. }
            | Self::MasaUnavailable { .. }
            | Self::VoucherUnusable { .. } => Some(Fault::Masa),
            Self::IssuerRefused { .. } | Self::IssuerFailed { .. } => Some(Fault::Ca),
            Self::ClockBehind(_)
            | Self::Store(_)
            | Self::KeyUnavailable { .. }
            | Self::Internal { .. } => Some(Fault::Local),
            Self::NoClientCertificate
            | Self::IdevidNeeded
            | Self::SerialNumberUnusable { .. }
            | Self::UnknownPath
            | Self::UnknownCertificate
            | Self::UnknownLabel { .. }
            | Self::MethodNotAllowed { .. }
            | Self::NotOffered { .. }
            | Self::MediaType { .. }
            | Self::NotAcceptable { .. }
            | Self::BodyTooLong { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyUnreadable
            | Self::RequestUnreadable { .. }
            | Self::RequestSignature { .. }
            | Self::RequestEnded
            | Self::RequestSerial { .. }
            | Self::Proximity { .. }
            | Self::StatusUnreadable { .. }
            | Self::NothingToReport
            | Self::NoVoucher
            | Self::CsrUnreadable { .. }
            | Self::CsrSignature { .. }
            | Self::NoCredential
            | Self::CredentialRefused { .. }
            | Self::TooManyAttempts { .. }
            | Self::RenewalWithoutCertificate
            | Self::CsrKey(_)
            | Self::CsrName(_)
            | Self::CsrExtension(_)
            | Self::CsrKeyHeld { .. }
            | Self::CsrRenewalKey { .. }
            | Self::KeyProtection(_)
            | Self::LinkingMissing
            | Self::ChallengePassword => Some(Fault::Pledge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::model::Verdict;

    #[test]
    fn only_what_waits_is_nobodys_fault() {
        let waiting = Refusal::CertificateWaiting { retry_after_secs: 5 };
        assert_eq!((waiting.fault(), waiting.verdict()), (None, Verdict::Waiting));
        for (refusal, fault) in [
            (Refusal::NoVoucher, Fault::Pledge),
            (Refusal::MasaRefused { status: 403, text: String::new() }, Fault::Masa),
            (Refusal::IssuerRefused { reason: String::new(), problem: None }, Fault::Ca),
            (Refusal::Internal { reason: String::new() }, Fault::Local),
            (Refusal::Unexpected, Fault::Policy),
        ] {
            assert_eq!(refusal.fault(), Some(fault));
        }
    }
}
