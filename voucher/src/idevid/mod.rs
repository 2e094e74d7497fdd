//! What an IDevID says: which device this is, who issued it, and where its MASA lives (RFC 8995 §2.3).

mod issuer;
mod masa_url;
mod serial;

pub use issuer::{IssuerForm, issuer, issuer_form, issuer_of};
pub use masa_url::{MasaUrl, MasaUrlError};
pub use serial::{
    Pattern, PatternError, SerialNumber, SerialNumberError, SerialRule, SerialRules, serial_number,
};
