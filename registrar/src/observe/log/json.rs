//! Lines of JSON in which no character moves a cursor.
//!
//! JSON must escape U+0000 to U+001F alone (RFC 8259 §7); terminals obey more than those, such as U+009B, and
//! show text after U+202E backwards.

use std::io;

use tracing_subscriber::fmt::MakeWriter;

/// Makes writers that escape.
pub(super) struct Escaping<M>(pub(super) M);

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for Escaping<M> {
    type Writer = EscapingWriter<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }
}

/// Escapes what is written, a whole line at a time.
pub(super) struct EscapingWriter<W>(W);

impl<W: io::Write> io::Write for EscapingWriter<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write_all(escaped(&String::from_utf8_lossy(octets)).as_bytes())?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A line of JSON in which what is not printable is written as `\u` and four digits. Such characters stand within
/// strings only, the one at the end of the line aside.
fn escaped(line: &str) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(line.len());
    for each in line.chars() {
        let is_printable = each.is_ascii() && each != '\u{7f}' || each.escape_debug().len() == 1;
        if is_printable {
            text.push(each);
            continue;
        }
        for unit in each.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_same_as_before() {
        let hostile = "a\u{7f}\u{9b}\u{202e}\u{e0001}é§ \u{10ffff}";
        let line = serde_json::to_string(hostile).unwrap();
        let text = escaped(&line);
        assert_eq!(text, "\"a\\u007f\\u009b\\u202e\\udb40\\udc01é§ \\udbff\\udfff\"");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
        assert_eq!(escaped("{}\n"), "{}\n");
    }
}
