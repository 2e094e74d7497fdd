//! What a manufacturer's IDevIDs are like where that is not what RFC 8995 asks for: what an operator sets, one value for
//! each manufacturer.

use std::collections::BTreeMap;
use std::fmt;

use brski_voucher::idevid::{
    Pattern, PatternError, SerialNumber, SerialNumberError, SerialRule, SerialRules,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::Sha256;

/// How many places may be looked at, one after the other.
const PLACES_MOST: usize = 8;
/// How many devices a list may have.
const LISTED_MOST: usize = 10_000;

/// The options of a manufacturer that concern its IDevIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdevidOptions {
    /// Where the serial number stands: the first place that has one counts; none: where RFC 8995 §2.3.1 puts it.
    pub serial: Vec<SerialPlace>,
    /// What becomes of a device whose IDevID has ended.
    pub ended: EndedIdevid,
}

/// What becomes of a device whose IDevID has ended (RFC 8995 §2.6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedIdevid {
    /// It is nobody's device.
    #[default]
    Refused,
    /// It is judged as if its IDevID went on.
    Accepted,
}

/// A place in an IDevID where the serial number may stand (RFC 8995 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "in", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SerialPlace {
    /// The serialNumber attribute (2.5.4.5) of the subject.
    SubjectSerialNumber,
    /// The hwSerialNum of the hardwareModuleName among the subject alternative names (RFC 4108 §5).
    HardwareModuleName,
    /// The common name of the subject.
    CommonName {
        /// A regular expression of at most 512 octets: its group "serial", else its first group, else all of it.
        pattern: String,
    },
    /// The whole subject, such as `CN=pump 7,O=Example`.
    Subject {
        /// A regular expression of at most 512 octets: its group "serial", else its first group, else all of it.
        pattern: String,
    },
    /// Nowhere: the operator says which device it is.
    List {
        /// SHA-256 of the IDevID, hexadecimal, and the serial number; at most 10000.
        devices: BTreeMap<String, String>,
    },
}

/// A place that cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerialPlaceError {
    /// There are too many.
    #[error("there are {places} places for the serial number, more than {PLACES_MOST}")]
    Places {
        /// How many.
        places: usize,
    },
    /// A pattern that is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The list is too long, or empty.
    #[error("the list has {devices} devices, not 1 to {LISTED_MOST}")]
    Length {
        /// How many.
        devices: usize,
    },
    /// What stands for an IDevID is no digest.
    #[error("{text:?} in the list is no SHA-256: 64 hexadecimal digits")]
    Fingerprint {
        /// What it is.
        text: String,
    },
    /// A serial number that is none.
    #[error("the serial number {text:?} in the list: {reason}")]
    Serial {
        /// What it is.
        text: String,
        /// Why it is none.
        reason: SerialNumberError,
    },
}

impl IdevidOptions {
    /// The rules that read a serial number.
    ///
    /// # Errors
    /// [`SerialPlaceError`] for the first place that cannot be looked at.
    pub fn serial_rules(&self) -> Result<SerialRules, SerialPlaceError> {
        match self.serial.len() {
            0 => Ok(SerialRules::default()),
            1..=PLACES_MOST => {
                let rules = self.serial.iter().map(SerialPlace::rule);
                Ok(SerialRules::new(rules.collect::<Result<_, _>>()?))
            }
            places => Err(SerialPlaceError::Places { places }),
        }
    }
}

impl SerialPlace {
    fn rule(&self) -> Result<SerialRule, SerialPlaceError> {
        Ok(match self {
            Self::SubjectSerialNumber => SerialRule::SubjectSerialNumber,
            Self::HardwareModuleName => SerialRule::HardwareModuleName,
            Self::CommonName { pattern } => SerialRule::CommonName(Pattern::parse(pattern)?),
            Self::Subject { pattern } => SerialRule::Subject(Pattern::parse(pattern)?),
            Self::List { devices } => {
                if !(1..=LISTED_MOST).contains(&devices.len()) {
                    return Err(SerialPlaceError::Length { devices: devices.len() });
                }
                SerialRule::List(devices.iter().map(listed).collect::<Result<_, _>>()?)
            }
        })
    }
}

fn listed(entry: (&String, &String)) -> Result<([u8; 32], SerialNumber), SerialPlaceError> {
    let (fingerprint, serial) = entry;
    let Sha256(digest) = Sha256::parse(fingerprint)
        .ok_or_else(|| SerialPlaceError::Fingerprint { text: fingerprint.clone() })?;
    let serial = SerialNumber::parse(serial)
        .map_err(|reason| SerialPlaceError::Serial { text: serial.clone(), reason })?;
    Ok((digest, serial))
}

impl fmt::Display for SerialPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectSerialNumber => formatter.write_str("subject-serial-number"),
            Self::HardwareModuleName => formatter.write_str("hardware-module-name"),
            Self::CommonName { pattern } => write!(formatter, "common-name={pattern}"),
            Self::Subject { pattern } => write!(formatter, "subject={pattern}"),
            Self::List { devices } => write!(formatter, "a list of {} devices", devices.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(devices: &[(&str, &str)]) -> SerialPlace {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        SerialPlace::List { devices: devices.iter().map(owned).collect() }
    }

    fn rules(serial: Vec<SerialPlace>) -> Result<SerialRules, SerialPlaceError> {
        IdevidOptions { serial, ..IdevidOptions::default() }.serial_rules()
    }

    #[test]
    fn options_come_back_as_they_were_written() {
        let pattern = || "^SN:(.+)$".to_owned();
        let options = IdevidOptions {
            serial: vec![
                SerialPlace::SubjectSerialNumber,
                SerialPlace::HardwareModuleName,
                SerialPlace::CommonName { pattern: pattern() },
                SerialPlace::Subject { pattern: pattern() },
                list(&[(&"0a".repeat(32), "P-1")]),
            ],
            ended: EndedIdevid::Accepted,
        };
        for options in [options, IdevidOptions::default()] {
            let text = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<IdevidOptions>(&text).unwrap(), options);
            assert!(options.serial_rules().is_ok());
        }
        // What is not written is as it always was.
        assert_eq!(serde_json::from_str::<IdevidOptions>("{}").unwrap(), IdevidOptions::default());
    }

    #[test]
    fn what_names_no_place_is_refused_by_its_name() {
        let digest = "0a".repeat(32);
        let long = "x".repeat(300);
        let many: BTreeMap<String, String> =
            (0..=LISTED_MOST).map(|number| (format!("{number:064x}"), "S".into())).collect();
        for (places, words) in [
            (vec![SerialPlace::HardwareModuleName; 9], "there are 9 places"),
            (vec![SerialPlace::CommonName { pattern: "(".into() }], "cannot be used"),
            (vec![SerialPlace::Subject { pattern: "a".repeat(513) }], "513 octets"),
            (vec![list(&[])], "0 devices"),
            (vec![SerialPlace::List { devices: many }], "10001 devices"),
            (vec![list(&[("0a", "P-1")])], "no SHA-256"),
            (vec![list(&[(&digest, &long)])], "300 octets"),
            (vec![list(&[(&digest, "a\nb")])], "control characters"),
        ] {
            let error = rules(places).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
