//! What a MASA is like, and what it does wrong on demand.

use std::time::Duration;

use brski_est::authentication::Credentials;
use brski_voucher::artefact::Directions;
use rustls_pki_types::CertificateDer;

/// What a MASA is like, from its start on.
#[derive(Clone, Debug)]
pub struct MasaOptions {
    /// Which certificate of the registrar's chain it pins.
    pub pinning: Pinning,
    /// What registrars must prove themselves with by HTTP.
    pub login: Option<Login>,
    /// The CA of the certificates that registrars must show in TLS; none: no certificate is asked for.
    pub clients: Option<CertificateDer<'static>>,
    /// How it answers a request for an audit log.
    pub log: LogStyle,
    /// How long a voucher without a nonce lasts (RFC 8995 §5.6).
    pub lifetime: Duration,
    /// Where its vouchers send pledges.
    pub directions: Directions,
}

impl Default for MasaOptions {
    fn default() -> Self {
        Self {
            pinning: Pinning::default(),
            login: None,
            clients: None,
            log: LogStyle::default(),
            lifetime: Duration::from_secs(20 * 60),
            directions: Directions::default(),
        }
    }
}

/// Which certificate of the chain that a registrar shows is pinned (RFC 8995 §5.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The top: what the registrar shows of its chain is what it wants pinned.
    #[default]
    Top,
    /// The registrar's own.
    Own,
}

/// A name and a password, and how they are asked for.
#[derive(Clone, Debug)]
pub struct Login {
    /// How.
    pub scheme: Scheme,
    /// Which.
    pub credentials: Credentials,
}

/// How a MASA asks for a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 7617.
    Basic,
    /// RFC 7616 with SHA-256.
    Digest,
}

/// How a MASA answers a request for an audit log (RFC 8995 §5.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// 200 with the log.
    #[default]
    Body,
    /// 201 with the path of the log.
    Path,
    /// 201 with the whole URL of the log.
    Url,
}

/// What a MASA does wrong, on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Nothing.
    #[default]
    None,
    /// Answers 503.
    Unavailable,
    /// Refuses with 403.
    Refuses,
    /// Answers 401 without saying what it wants.
    Unauthorized,
    /// Wants more time: 202.
    Waits,
    /// Sends the registrar elsewhere: 307.
    Redirects,
    /// Begins an answer and never ends it.
    Slow,
    /// Sends an answer without an end.
    Huge,
    /// Answers with another media type.
    WrongType,
    /// Answers with something that is no voucher.
    Garbage,
    /// Signs vouchers with another nonce.
    WrongNonce,
    /// Signs vouchers without a nonce.
    NoNonce,
    /// Signs vouchers for another device.
    WrongSerial,
    /// Signs vouchers with a key that it made up.
    WrongSigner,
    /// Pins its own CA instead of the domain's.
    WrongPin,
    /// Refuses a request without a nonce that carries an earlier voucher.
    NoRenewal,
    /// Has no audit log: 404.
    NoLog,
    /// Fails to give the audit log: 503.
    LogUnavailable,
    /// Logs another domain beside the registrar's.
    ForeignLog,
    /// Gives something that is no audit log.
    GarbageLog,
    /// Gives an audit log without an end.
    HugeLog,
    /// Says that the audit log is at another host.
    LogElsewhere,
}
