//! The DNS name of a device: a template, made legal, made unique.
//!
//! A name is assigned once, at admission, and stored; it is never computed again.
//! Where it loses more than letter case on the way to a legal label, or is taken,
//! 8 hexadecimal digits of SHA-256(manufacturer NUL serial) are added, so that two serial numbers never share a name.

use aws_lc_rs::digest;
use thiserror::Error;

use crate::store::model::hex;

/// The longest DNS label (RFC 1035 §2.3.4).
const LABEL_OCTETS: usize = 63;
/// Hexadecimal digits that tell two names apart.
const DISTINCTION_DIGITS: usize = 8;
/// Hexadecimal digits of an opaque label.
const OPAQUE_DIGITS: usize = 16;

/// What a name is made of.
#[derive(Clone, Copy, Debug)]
pub struct NameSource<'a> {
    /// The operator's name for the manufacturer.
    pub manufacturer: &'a str,
    /// The serial number in the IDevID.
    pub serial: &'a str,
}

/// The names to try for a device, in order of preference: as the template says, then made distinct.
///
/// `template`: text with `{serial}`, `{manufacturer}` or `{opaque}`; `zone`: the DNS zone, lower case.
/// Each name is one label below the zone, lower case, of letters, digits and inner hyphens.
/// The second is absent where the first is distinct already.
#[must_use]
pub fn candidates(template: &str, zone: &str, source: NameSource<'_>) -> Vec<String> {
    let digest = distinction(source);
    let wanted = template
        .replace("{serial}", source.serial)
        .replace("{manufacturer}", source.manufacturer)
        .replace("{opaque}", prefix(&digest, OPAQUE_DIGITS));
    let label = legal_label(&wanted);
    let suffix = prefix(&digest, DISTINCTION_DIGITS);
    let distinct = with_suffix(&label, suffix);
    let labels = if label == wanted.to_lowercase() && !label.is_empty() {
        vec![label, distinct]
    } else {
        vec![distinct]
    };
    labels.into_iter().map(|label| format!("{label}.{zone}")).collect()
}

/// A name that an operator writes, and why it is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{written:?} is no name for a device: {reason}")]
pub struct NameError {
    /// What was written.
    pub written: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The whole name that an operator means: one label, alone or followed by the zone.
///
/// `zone`: of the device's profile, lower case. Gives lower case.
///
/// # Errors
/// [`NameError`] if it is longer than a label, has other characters than letters, digits and inner hyphens,
/// or lies in another zone.
pub fn device_name(written: &str, zone: &str) -> Result<String, NameError> {
    let wrong = |reason: String| {
        let written = written.chars().take(300).collect();
        Err(NameError { written, reason })
    };
    let lower = written.to_ascii_lowercase();
    let label = match lower.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.')) {
        Some(label) => label,
        None if lower.contains('.') => {
            return wrong(format!("it is not one label below the zone {zone} of its profile"));
        }
        None => lower.as_str(),
    };
    let is_legal = (1..=LABEL_OCTETS).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'-');
    if !is_legal {
        return wrong("a label is 1 to 63 letters, digits and inner hyphens".to_owned());
    }
    Ok(format!("{label}.{zone}"))
}

fn distinction(source: NameSource<'_>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(source.manufacturer.as_bytes());
    context.update(&[0]);
    context.update(source.serial.as_bytes());
    hex(context.finish().as_ref())
}

/// The nearest legal label; empty if nothing is left.
fn legal_label(text: &str) -> String {
    let mut label = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            label.push(character);
        } else if character == '-' || !label.ends_with('-') {
            // A run of foreign characters becomes one hyphen; hyphens of the serial number stay.
            label.push('-');
        }
    }
    shorten(label.trim_matches('-'), LABEL_OCTETS).to_owned()
}

fn with_suffix(label: &str, suffix: &str) -> String {
    let room = LABEL_OCTETS - DISTINCTION_DIGITS - 1;
    match shorten(label, room) {
        "" => suffix.to_owned(),
        label => format!("{label}-{suffix}"),
    }
}

/// At most `octets` of an ASCII label, not ending in a hyphen.
fn shorten(label: &str, octets: usize) -> &str {
    prefix(label, octets).trim_end_matches('-')
}

fn prefix(text: &str, octets: usize) -> &str {
    text.get(..octets).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(template: &str, serial: &str) -> Vec<String> {
        let source = NameSource { manufacturer: "acme-devices", serial };
        candidates(template, "iot.example.org", source)
    }

    #[test]
    fn keeps_a_legal_serial_number_and_lowers_its_case() {
        assert_eq!(names("{serial}", "Pump-0042")[0], "pump-0042.iot.example.org");
    }

    #[test]
    fn adds_a_distinction_where_characters_are_lost() {
        let names = names("{serial}", "PID:C9500-16X SN:FCW2117A56M");
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("pid-c9500-16x-sn-fcw2117a56m-"), "{}", names[0]);
        assert_eq!(names[0].len(), "pid-c9500-16x-sn-fcw2117a56m-12345678.iot.example.org".len());
    }

    #[test]
    fn two_serial_numbers_that_look_alike_get_two_names() {
        assert_ne!(names("{serial}", "a b"), names("{serial}", "a/b"));
    }

    #[test]
    fn a_long_serial_number_fits_into_a_label() {
        for name in names("{serial}", &"x".repeat(200)) {
            assert!(name.split('.').next().unwrap().len() <= 63, "{name}");
        }
    }

    #[test]
    fn a_serial_number_of_nothing_legal_still_gets_a_name() {
        let names = names("{serial}", "///");
        assert_eq!(names[0].split('.').next().unwrap().len(), 8);
    }

    #[test]
    fn an_opaque_name_shows_nothing_of_the_serial_number() {
        let names = names("{opaque}", "0042");
        assert!(!names[0].contains("0042"));
        assert_eq!(names[0].split('.').next().unwrap().len(), 16);
    }

    #[test]
    fn an_operator_writes_a_label_or_the_whole_name() {
        for written in ["Pump-7", "pump-7.iot.example.org", "PUMP-7.IOT.EXAMPLE.ORG"] {
            let name = device_name(written, "iot.example.org").unwrap();
            assert_eq!(name, "pump-7.iot.example.org");
        }
        for written in [
            "",
            "-a",
            "a-",
            "a b",
            "a.b",
            "*.iot.example.org",
            "a.b.iot.example.org",
            "a.eviliot.example.org",
            ".iot.example.org",
            "a.example.org",
            "pümp",
            &"x".repeat(64),
        ] {
            device_name(written, "iot.example.org").unwrap_err();
        }
    }

    #[test]
    fn a_hyphen_never_begins_or_ends_a_label() {
        for serial in ["-a", "a-", "-", " a ", &format!("{}-{}", "a".repeat(62), "b")] {
            for name in names("{serial}", serial) {
                let label = name.split('.').next().unwrap();
                assert!(!label.starts_with('-') && !label.ends_with('-'), "{name}");
            }
        }
    }
}
