//! The ways in which an artefact is written and signed, and how strictly one is read.

/// How an artefact is written and signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON in CMS SignedData, of content type id-ct-animaJSONVoucher (RFC 8366 §5.4).
    #[default]
    Cms,
    /// The same with content type id-data, as every published example has it; for peers that know nothing else.
    ///
    /// On reading, it is the same as [`Encoding::Cms`].
    CmsIdData,
    /// JSON in JWS, general JSON serialization (draft-ietf-anima-jws-voucher).
    Jws,
    /// CBOR in COSE_Sign1 (draft-ietf-anima-constrained-voucher).
    Cose,
}

impl Encoding {
    /// The media type that an artefact is sent with.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Cms | Self::CmsIdData => media_type::VOUCHER_CMS,
            Self::Jws => media_type::VOUCHER_JWS,
            Self::Cose => media_type::VOUCHER_COSE,
        }
    }

    /// The encoding of a media type; its parameters and the case of its letters do not matter.
    #[must_use]
    pub fn of_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| essence.eq_ignore_ascii_case(known);
        if is(media_type::VOUCHER_CMS) {
            Some(Self::Cms)
        } else if is(media_type::VOUCHER_JWS) {
            Some(Self::Jws)
        } else if is(media_type::VOUCHER_COSE) || is(media_type::VOUCHER_COSE_OLD) {
            Some(Self::Cose)
        } else {
            None
        }
    }

    /// Guesses the encoding of an artefact from how it begins.
    #[must_use]
    pub fn guess(octets: &[u8]) -> Option<Self> {
        match octets.iter().find(|octet| !octet.is_ascii_whitespace())? {
            // A SEQUENCE, or base64 of one.
            0x30 | b'M' => Some(Self::Cms),
            b'{' => Some(Self::Jws),
            // Tag 18, or an array of four.
            0xd2 | 0x84 | 0x9f => Some(Self::Cose),
            _ => None,
        }
    }

    /// Its word: `cms`, `jws` or `cose`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cms | Self::CmsIdData => "cms",
            Self::Jws => "jws",
            Self::Cose => "cose",
        }
    }
}

/// How much of what encoders do wrong is read all the same; chosen for each manufacturer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// What the standards' own examples need.
    #[default]
    Standard,
    /// More: base64 around DER, line breaks in base64, the other artefact's JSON root, an idevid-issuer that is
    /// no extension value, COSE without its tag, an empty first POST
    /// (see [`forgiven_by`](crate::verify::ParseError::forgiven_by)).
    Lenient,
}

/// What was wrong and forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quirk {
    /// The content type of the CMS is id-data, not id-ct-animaJSONVoucher.
    ContentTypeData,
    /// It is BER, not DER: indefinite lengths, lengths in more octets than needed, or strings in pieces.
    Ber,
    /// The signature algorithm is the key's, or carries parameters that it has not, NULL most often.
    SignatureAlgorithm,
    /// The signed attributes are not in DER order.
    AttributeOrder,
    /// The certificates are not in DER order, and the signer's is not the first.
    CertificateOrder,
    /// Base64 has another alphabet, no padding, or bits that mean nothing.
    Base64Spelling,
    /// There are line breaks in base64 (lenient).
    FoldedBase64,
    /// The CMS came in base64 (lenient).
    Base64Body,
    /// The outermost member is that of the other artefact (lenient).
    ForeignRoot,
    /// The idevid-issuer is a bare key identifier or text (lenient).
    RawIdevidIssuer,
    /// The COSE_Sign1 has no tag (lenient).
    Untagged,
    /// There is nothing: a pledge that wants to see the registrar's certificate first (lenient).
    EmptyPost,
}

impl Quirk {
    /// Its word, with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContentTypeData => "content-type-id-data",
            Self::Ber => "ber",
            Self::SignatureAlgorithm => "signature-algorithm",
            Self::AttributeOrder => "attribute-order",
            Self::CertificateOrder => "certificate-order",
            Self::Base64Spelling => "base64-spelling",
            Self::FoldedBase64 => "folded-base64",
            Self::Base64Body => "base64-body",
            Self::ForeignRoot => "foreign-root",
            Self::RawIdevidIssuer => "raw-idevid-issuer",
            Self::Untagged => "untagged",
            Self::EmptyPost => "empty-post",
        }
    }
}

/// Media types.
pub mod media_type {
    /// A voucher or voucher request as JSON in CMS (RFC 8366 §8.3).
    pub const VOUCHER_CMS: &str = "application/voucher-cms+json";
    /// The same as JSON in JWS (draft-ietf-anima-jws-voucher §7).
    pub const VOUCHER_JWS: &str = "application/voucher-jws+json";
    /// The same as CBOR in COSE (draft-ietf-anima-constrained-voucher §14).
    pub const VOUCHER_COSE: &str = "application/voucher+cose";
    /// What [`VOUCHER_COSE`] was called until December 2023, and what peers still send.
    pub const VOUCHER_COSE_OLD: &str = "application/voucher-cose+cbor";
    /// A status report of a pledge (RFC 8995 §5.7) or an audit log (RFC 8995 §5.8).
    pub const JSON: &str = "application/json";
}
