//! Extended key usages in the configuration: a word, or an object identifier; never one that no device may have.

use super::reader::Reader;

/// id-kp-serverAuth.
pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
/// id-kp-clientAuth.
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

/// The words for common usages.
const WORDS: [(&str, &str); 5] = [
    ("server-auth", SERVER_AUTH),
    ("client-auth", CLIENT_AUTH),
    ("code-signing", "1.3.6.1.5.5.7.3.3"),
    ("email-protection", "1.3.6.1.5.5.7.3.4"),
    ("time-stamping", "1.3.6.1.5.5.7.3.8"),
];
/// What makes a registrar of its holder, or anything at all.
const FORBIDDEN: [(&str, &str); 2] =
    [("cmcRA", "1.3.6.1.5.5.7.3.28"), ("anyExtendedKeyUsage", "2.5.29.37.0")];

/// Reads a usage: a word such as `client-auth`, or an object identifier.
///
/// # Errors
/// What is wrong with it.
pub fn usage(text: &str) -> Result<String, String> {
    if let Some((_, oid)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok((*oid).to_owned());
    }
    let arcs: Vec<&str> = text.split('.').collect();
    let is_arc = |arc: &&str| {
        arc.parse::<u64>().is_ok()
            && (*arc == "0" || !arc.starts_with('0'))
            && !arc.starts_with('+')
    };
    if arcs.len() < 3 || arcs.len() > 20 || !arcs.iter().all(is_arc) {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
        return Err(format!(
            "{text:?} is neither an object identifier nor one of {}",
            words.join(", ")
        ));
    }
    match FORBIDDEN.iter().find(|(_, oid)| *oid == text) {
        Some((name, _)) => Err(format!("{text} is {name}, which no device may have")),
        None => Ok(text.to_owned()),
    }
}

impl Reader {
    /// The usages of a key; what is wrong with one is a problem of the file.
    pub(super) fn usages(&mut self, key: &str, words: &[String]) -> Vec<String> {
        let mut usages = Vec::with_capacity(words.len());
        for word in words {
            match usage(word) {
                Ok(oid) => usages.push(oid),
                Err(reason) => self.problem(key, reason),
            }
        }
        usages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_identifiers_are_usages_and_nothing_else_is() {
        assert_eq!(usage("client-auth").unwrap(), CLIENT_AUTH);
        assert_eq!(usage("1.3.6.1.4.1.99999.1").unwrap(), "1.3.6.1.4.1.99999.1");
        for wrong in
            ["", "clientAuth", "1.3", "1.3.", "1.3.x", "1.3.06", "1.3.+6", "1..3", "-1.3.6"]
        {
            assert!(usage(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_would_make_a_registrar_of_a_device_is_refused() {
        assert!(usage("1.3.6.1.5.5.7.3.28").unwrap_err().contains("cmcRA"));
        assert!(usage("2.5.29.37.0").unwrap_err().contains("anyExtendedKeyUsage"));
    }
}
