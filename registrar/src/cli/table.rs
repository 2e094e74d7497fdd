//! Tables for people: columns as wide as what is in them, control characters escaped.

/// Renders rows under a header; two spaces between columns.
pub(super) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).chain([title.len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A cell whose content a device or a CA chose must neither move the cursor nor turn the line around.
pub(super) fn clean(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns_and_escapes_control_characters() {
        let rows = vec![vec!["a\x1b[31m".to_owned(), "b".to_owned()]];
        assert_eq!(
            render(&["NAME", "X"], &rows),
            "NAME       X\na\\u{1b}[31m  b\n".replace("NAME       X", "NAME         X")
        );
    }
}
