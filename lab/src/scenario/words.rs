//! The words of a scenario file, each a choice of few.

use brski_voucher::encoding::Encoding;

use crate::fault::{Fault, Liar};
use crate::masa::{LogNumbers, LogStyle, Pinning};
use crate::pki::Oddity;
use crate::pledge::tls::TlsVersions;

impl From<crate::up::Issuer> for IssuerKind {
    fn from(issuer: crate::up::Issuer) -> Self {
        match issuer {
            crate::up::Issuer::Acme => Self::Pebble,
            crate::up::Issuer::Local => Self::Local,
        }
    }
}

/// How like a known word an unknown one must be for a guess.
const LIKENESS: f64 = 0.6;

/// The known word that is most like an unknown one, if one is like it at all.
pub(crate) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |word: &str| strsim::jaro_winkler(unknown, word);
    known
        .filter(|word| likeness(word) >= LIKENESS)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

/// A choice of few, each with a word.
pub trait Word: Copy + 'static {
    /// All of them, with their words.
    const WORDS: &'static [(&'static str, Self)];
}

macro_rules! words {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $kind {
            $($(#[$doc])* $variant,)+
        }

        impl Word for $kind {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }

        impl $kind {
            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// The kind of an IDevID's key.
    KeyKind {
        /// P-256.
        P256 "ec-p256",
        /// P-384.
        P384 "ec-p384",
        /// RSA of 2048 bits.
        Rsa2048 "rsa-2048",
        /// Ed25519.
        Ed25519 "ed25519",
    }
}

words! {
    /// What a manufacturer's serial numbers look like.
    SerialStyle {
        /// `PUMPS-0001`.
        Plain "plain",
        /// `PID:LAB-9000 SN:PUMPS-0001`, as secure unique device identifiers have it.
        Product "product",
        /// As many characters as X.520 allows, 64.
        Long "long",
        /// With characters beyond ASCII.
        NonAscii "non-ascii",
    }
}

words! {
    /// How an IDevID says where its MASA is (RFC 8995 §2.3.2).
    UrlStyle {
        /// `localhost:9443`.
        Authority "authority",
        /// `https://localhost:9443`.
        Https "https",
        /// `https://localhost:9443/.well-known/brski`.
        Path "path",
        /// `HTTPS://LOCALHOST:9443/.well-known/brski/`.
        Capitals "capitals",
        /// `http://localhost:9443`: the scheme does not matter.
        Http "http",
        /// Not at all: the operator told the registrar.
        Absent "absent",
    }
}

words! {
    /// What a MASA says of its devices.
    MasaPolicy {
        /// They are near the registrar that asks, as they said themselves.
        Proximity "proximity",
        /// They belong to the domain that asks.
        Verified "verified",
        /// Nothing, but it is noted who asked.
        Logged "logged",
        /// They were sold to somebody else: no voucher.
        Refuse "refuse",
    }
}

words! {
    /// How a MASA has registrars prove themselves by HTTP.
    LoginKind {
        /// Not at all.
        None "none",
        /// RFC 7617.
        Basic "basic",
        /// RFC 7616.
        Digest "digest",
    }
}

words! {
    /// Which certificates a MASA asks registrars for in TLS.
    ClientKind {
        /// None.
        None "none",
        /// One of this site's domain CA.
        Domain "domain",
    }
}

words! {
    /// Where certificates come from.
    IssuerKind {
        /// The device CA inside the registrar.
        Local "local",
        /// Pebble, a real ACME CA for tests.
        Pebble "pebble",
        /// The lab's own ACME CA, which lies when it is told to.
        Lying "lying",
    }
}

impl IssuerKind {
    /// Its word in reports.
    #[must_use]
    pub fn reported(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pebble => "acme",
            Self::Lying => "lying",
        }
    }

    /// Whether such an issuer lets this lie be told: one of a CA takes a CA that lies.
    pub(super) fn tells(self, fault: &Fault) -> bool {
        self == Self::Lying || fault.card().liar != Liar::Ca
    }
}

words! {
    /// How a fleet comes.
    ArrivalKind {
        /// All at once, or within a moment.
        Burst "burst",
        /// So many a second.
        Rate "rate",
        /// More and more a second.
        Ramp "ramp",
    }
}

words! {
    /// Where a fleet's devices are, as the registrar sees it.
    Addresses {
        /// Each at an address of its own.
        Own "own",
        /// All behind one address, as behind a join proxy.
        Shared "shared",
    }
}

words! {
    /// What shall become of a fleet's devices.
    Verdict {
        /// They get a certificate.
        Onboarded "onboarded",
        /// The registrar says no.
        Refused "refused",
    }
}

impl Word for Encoding {
    const WORDS: &'static [(&'static str, Self)] =
        &[("cms", Self::Cms), ("jws", Self::Jws), ("cose", Self::Cose)];
}

impl Word for TlsVersions {
    const WORDS: &'static [(&'static str, Self)] =
        &[("any", Self::Any), ("1.2", Self::Tls12), ("1.3", Self::Tls13)];
}

impl Word for Oddity {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("utf8-serial", Self::Utf8Serial),
        ("no-authority-key-identifier", Self::NoAuthorityKeyIdentifier),
        ("server-usage", Self::ServerUsage),
        ("private-extension", Self::PrivateExtension),
    ];
}

impl Word for Pinning {
    const WORDS: &'static [(&'static str, Self)] = &[("top", Self::Top), ("own", Self::Own)];
}

impl Word for LogStyle {
    const WORDS: &'static [(&'static str, Self)] =
        &[("body", Self::Body), ("path", Self::Path), ("url", Self::Url)];
}

impl Word for LogNumbers {
    const WORDS: &'static [(&'static str, Self)] =
        &[("strings", Self::Strings), ("numbers", Self::Numbers)];
}
