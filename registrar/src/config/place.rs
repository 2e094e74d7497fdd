//! Where in the file a key stands, for what is said of it.

use toml::de::{DeArray, DeTable, DeValue};

/// The line of a key, from 1 on; of the nearest section above it that is there, if the key itself is not.
///
/// `key`: dotted, with quoted parts and `[N]`, from 1 on, for the members of a list.
pub(super) fn line(text: &str, key: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = Some(root.get_ref());
    let mut list: Option<&DeArray<'_>> = None;
    let mut place = None;
    for part in parts(key) {
        let value = match part {
            Part::Name(name) => {
                let Some((found, value)) = table.and_then(|table| table.get_key_value(name)) else {
                    break;
                };
                place = Some(found.span().start);
                value
            }
            Part::Number(number) => {
                let Some(value) = list.and_then(|list| list.get(number.checked_sub(1)?)) else {
                    break;
                };
                place = Some(value.span().start);
                value
            }
        };
        (table, list) = match value.get_ref() {
            DeValue::Table(inner) => (Some(inner), None),
            DeValue::Array(inner) => (None, Some(inner)),
            _ => (None, None),
        };
    }
    let before = text.get(..place?)?;
    Some(before.bytes().filter(|octet| *octet == b'\n').count() + 1)
}

enum Part<'a> {
    Name(&'a str),
    Number(usize),
}

/// The parts of a dotted key.
fn parts(key: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = key;
    while !rest.is_empty() {
        let (name, after) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some(split) => split,
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return parts;
                }
                rest.split_at(end)
            }
        };
        parts.push(Part::Name(name));
        rest = after;
        if let Some((number, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
            parts.extend(number.parse().ok().map(Part::Number));
            rest = after;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keys_sections_and_members_of_lists() {
        let text = "[listen]\nest = \"x\"\n\n[zone.\"iot.example.org\"]\nchallenge = [\"a\"]\n\
                    [policy]\nunexpected = \"ask\"\n[[policy.rule]]\ndecision = \"ask\"\n\
                    [[policy.rule]]\nserial = []\n[policy.quota]\ndevice_vouchers = { most = 0, secs = 1 }\n";
        for (key, expected) in [
            ("listen.est", Some(2)),
            ("zone.\"iot.example.org\".challenge", Some(5)),
            ("policy.unexpected", Some(7)),
            ("policy.rule[1].decision", Some(9)),
            ("policy.rule[2].serial", Some(11)),
            ("policy.quota.device_vouchers.most", Some(13)),
            // What is not there is missing in its section.
            ("listen.dns", Some(1)),
            ("profile.default", None),
            ("", None),
            ("policy.rule[x", Some(8)),
        ] {
            assert_eq!(line(text, key), expected, "{key}");
        }
    }

    #[test]
    fn no_key_and_no_text_is_too_strange() {
        for key in
            ["\"", "[", "]", "..", "a.", "policy.rule[0]", "policy.rule[99999999999999999999]"]
        {
            for text in ["", "[policy]\nrule = [1]", "= ="] {
                let _ = line(text, key);
            }
        }
    }
}
