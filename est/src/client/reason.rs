//! What a server says when it refuses, fit to be shown and logged: bounded, and without what moves a cursor.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::media_type;

/// The longest reason that is kept, in characters.
const REASON_CHARACTERS: usize = 1000;
/// How much of a body is looked at, in octets.
const BODY_OCTETS: usize = 16 * 1024;

/// The reason in the body of a refusal.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    // A CMC response (RFC 7030 §4.2.3) is for programs, and this one does not read it.
    if media_type::is(content_type, media_type::CERTS_ONLY) {
        return "a CMC response".to_owned();
    }
    let text = String::from_utf8_lossy(body.get(..BODY_OCTETS).unwrap_or(body));
    if media_type::is(content_type, "text/html") || text.trim_start().starts_with('<') {
        return cleaned(&without_tags(&text), REASON_CHARACTERS);
    }
    cleaned(&text, REASON_CHARACTERS)
}

/// One line of at most so many characters: runs of white space become one space, control and format characters go.
pub(super) fn cleaned(text: &str, most: usize) -> String {
    let spaced = text.split(|each: char| each.is_whitespace() || each.is_control());
    let words: Vec<String> = spaced
        .map(|word| word.chars().filter(|each| !is_format(*each)).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ").chars().take(most).collect()
}

/// Characters without a form of their own: those that are not seen, and those that turn the direction of writing.
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A page's text: tags become spaces.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut is_inside = false;
    for character in page.chars() {
        match character {
            '<' => is_inside = true,
            '>' if is_inside => {
                is_inside = false;
                text.push(' ');
            }
            other if !is_inside => text.push(other),
            _ => {}
        }
    }
    text
}
