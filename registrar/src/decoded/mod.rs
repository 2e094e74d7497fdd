//! Artefacts, CSRs and certificates as text for people: on the command line, and in the console.

pub(crate) mod artefact;
pub(crate) mod other;

/// What octets are that a device or a MASA sent; they were judged when they came, and are not judged again.
///
/// `hint`: a word for those that look alike.
pub(crate) fn text(octets: &[u8], hint: &str) -> Option<String> {
    let artefact = artefact::decode(octets, hint, None).map(|report| report.content());
    artefact.or_else(|| other::describe(octets))
}

/// A cell whose content a device or a CA chose must neither move the cursor nor turn the line around.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|each| match each {
            each if each.is_control() || is_directional(each) => {
                each.escape_default().collect::<Vec<_>>()
            }
            each => vec![each],
        })
        .collect()
}

/// Marks, embeddings, overrides and isolates of the Unicode bidirectional algorithm.
fn is_directional(each: char) -> bool {
    matches!(each,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
