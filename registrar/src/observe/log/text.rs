//! Fields of a line of text: `name=value`, the value quoted and escaped where it is not plain.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes fields so that none can look like another, or like another line.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, result: Ok(()), gap: "" };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
    /// What stands before the next field.
    gap: &'static str,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        let gap = std::mem::replace(&mut self.gap, " ");
        self.result = match field.name() {
            // Messages are ours; what is formatted into them loses whatever could break the line.
            "message" => write!(self.writer, "{gap}{}", escaped(value)),
            name if is_bare(value) => write!(self.writer, "{gap}{name}={value}"),
            name => write!(self.writer, "{gap}{name}={value:?}"),
        };
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` arrives here too, and its text is as hostile as the value.
        self.write(field, &format!("{value:?}"));
    }
}

/// Whether a value needs no quotes to be told from what stands around it.
fn is_bare(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|each| each.is_ascii_graphic() && !b"\"'=\\".contains(&each))
}

/// The text with everything escaped that moves a cursor, and the quotes left as they are.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, each| {
        // Writing to a String cannot fail.
        let _ = match each {
            '"' | '\'' | '\\' => line.write_char(each),
            _ => write!(line, "{}", each.escape_debug()),
        };
        line
    })
}
