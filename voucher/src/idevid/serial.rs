//! The serial number of a device, and where a manufacturer puts it (RFC 8995 §2.3.1).

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};
use thiserror::Error;

use crate::certificate::Certificate;

/// The longest serial number, in octets.
const SERIAL_OCTETS: usize = 255;
/// The longest pattern, in octets.
const PATTERN_OCTETS: usize = 512;
/// The most memory that a compiled pattern takes, in octets.
const COMPILED_OCTETS: usize = 64 * 1024;

/// A device's serial number: 1 to 255 octets of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(String);

/// A serial number that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerialNumberError {
    /// The IDevID has none where the manufacturer's rules look.
    #[error("the IDevID has no serial number: looked for {looked_for}")]
    Absent {
        /// What the rules look for.
        looked_for: String,
    },
    /// It is empty or too long.
    #[error("it has {octets} octets, not 1 to {SERIAL_OCTETS}")]
    Length {
        /// Its length.
        octets: usize,
    },
    /// It has control characters.
    #[error("it has control characters")]
    ControlCharacter,
}

impl SerialNumber {
    /// Takes a serial number as it is written.
    ///
    /// # Errors
    /// [`SerialNumberError::Length`], [`SerialNumberError::ControlCharacter`].
    pub fn parse(text: &str) -> Result<Self, SerialNumberError> {
        if !(1..=SERIAL_OCTETS).contains(&text.len()) {
            return Err(SerialNumberError::Length { octets: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(SerialNumberError::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The serial number as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A regular expression whose group `serial`, else its first group, else all of it, is the serial number.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is too long.
    #[error("the pattern has {octets} octets, more than {PATTERN_OCTETS}")]
    Length {
        /// Its length.
        octets: usize,
    },
    /// It is no regular expression, or one that takes too much memory.
    #[error("the pattern cannot be used: {0}")]
    Syntax(String),
}

impl Pattern {
    /// Compiles a pattern of at most 512 octets. It takes time linear in the text that it looks at.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_OCTETS {
            return Err(PatternError::Length { octets: text.len() });
        }
        RegexBuilder::new(text)
            .size_limit(COMPILED_OCTETS)
            .build()
            .map(Self)
            .map_err(|error| PatternError::Syntax(error.to_string()))
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let captures = self.0.captures(text)?;
        let found = captures.name("serial").or_else(|| captures.get(1));
        found.or_else(|| captures.get(0)).map(|found| found.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

/// Where in an IDevID a manufacturer puts the serial number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerialRule {
    /// The serialNumber attribute (2.5.4.5) of the subject, as RFC 8995 §2.3.1 asks.
    #[default]
    SubjectSerialNumber,
    /// The hwSerialNum of the hardwareModuleName among the subject alternative names, in hexadecimal digits
    /// where it is not text (RFC 4108 §5, IEEE 802.1AR-2018 §8).
    HardwareModuleName,
    /// A pattern over the common name of the subject.
    CommonName(Pattern),
    /// A pattern over the whole subject, such as `CN=pump 7,O=Example`, in the order in which it stands.
    Subject(Pattern),
    /// A list: SHA-256 of the IDevID → serial number, for devices that carry none.
    List(BTreeMap<[u8; 32], SerialNumber>),
}

impl SerialRule {
    /// Finds the device's serial number by this rule, if it is there.
    ///
    /// # Errors
    /// [`SerialNumberError::Length`], [`SerialNumberError::ControlCharacter`] for what was found.
    pub fn find(
        &self,
        certificate: &Certificate,
    ) -> Result<Option<SerialNumber>, SerialNumberError> {
        let parse = |text: Option<&str>| text.map(SerialNumber::parse).transpose();
        match self {
            Self::SubjectSerialNumber => parse(certificate.subject_serial_number()),
            Self::HardwareModuleName => parse(certificate.hardware_serial_number().as_deref()),
            Self::CommonName(pattern) => {
                parse(certificate.subject_common_name().and_then(|name| pattern.find(name)))
            }
            Self::Subject(pattern) => parse(pattern.find(&certificate.subject_text())),
            Self::List(list) => Ok(list.get(&certificate.fingerprint()).cloned()),
        }
    }
}

impl fmt::Display for SerialRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectSerialNumber => formatter.write_str("subject serialNumber (2.5.4.5)"),
            Self::HardwareModuleName => formatter.write_str("hardwareModuleName"),
            Self::CommonName(pattern) => write!(formatter, "common name {:?}", pattern.as_str()),
            Self::Subject(pattern) => write!(formatter, "subject {:?}", pattern.as_str()),
            Self::List(list) => write!(formatter, "a list of {} devices", list.len()),
        }
    }
}

/// A manufacturer's rules; the first one that finds a serial number counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialRules(Vec<SerialRule>);

impl SerialRules {
    /// Takes rules in the order in which they are tried.
    #[must_use]
    pub fn new(rules: Vec<SerialRule>) -> Self {
        Self(rules)
    }

    /// Reads the device's serial number from its IDevID.
    ///
    /// # Errors
    /// [`SerialNumberError`].
    pub fn read(&self, certificate: &Certificate) -> Result<SerialNumber, SerialNumberError> {
        for rule in &self.0 {
            if let Some(serial) = rule.find(certificate)? {
                return Ok(serial);
            }
        }
        let rules: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Err(SerialNumberError::Absent { looked_for: rules.join(", ") })
    }
}

impl Default for SerialRules {
    /// The one place that RFC 8995 knows.
    fn default() -> Self {
        Self(vec![SerialRule::default()])
    }
}

/// Reads the device's serial number from where RFC 8995 §2.3.1 puts it.
///
/// # Errors
/// [`SerialNumberError`].
pub fn serial_number(certificate: &Certificate) -> Result<SerialNumber, SerialNumberError> {
    SerialRules::default().read(certificate)
}
