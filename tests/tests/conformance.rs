//! docs/CONFORMANCE.md claims nothing that is not there: each file of its tables exists, and each test is one.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use brski_tests::programs::workspace;

/// The head of the tables that make claims.
const HEAD: &str = "| requirement | section | file | test |";
/// The store's tests are functions that run on each database; a macro makes tests of them.
const SHARED: &str = "tests/tests/store/";

/// A file that a cell names, with the words in backquotes that follow it.
struct Named {
    path: String,
    words: Vec<String>,
}

/// Reads a cell: paths from the workspace's root, each perhaps with words in backquotes.
fn read(cell: &str) -> Vec<Named> {
    let mut named: Vec<Named> = Vec::new();
    // Every second piece stands in backquotes.
    for (number, piece) in cell.split('`').enumerate() {
        if number % 2 == 1 {
            let last = named.last_mut().unwrap_or_else(|| panic!("{cell:?} begins with a word"));
            last.words.push(piece.to_owned());
            continue;
        }
        let paths = piece.split([',', ' ']).filter(|path| !path.is_empty());
        named.extend(paths.map(|path| Named { path: path.to_owned(), words: Vec::new() }));
    }
    named
}

/// The third and fourth cell of each row, with the row.
fn claims(text: &str) -> Vec<(&str, &str, &str)> {
    let mut claims = Vec::new();
    let mut is_table = false;
    for line in text.lines() {
        if line == HEAD {
            is_table = true;
        } else if !line.starts_with('|') {
            is_table = false;
        } else if is_table && !line.starts_with("|---") {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let [_, _, file, test] = cells.as_slice() else {
                panic!("{} cells: {line}", cells.len());
            };
            claims.push((line, file.trim(), test.trim()));
        }
    }
    claims
}

/// The rows that belong to no table, since no head stands above them: nobody would look at what they claim.
fn strays(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |number: usize| lines.get(number).is_some_and(|line| line.starts_with('|'));
    let begins = |number: &usize| is_row(*number) && (*number == 0 || !is_row(*number - 1));
    let is_head =
        |number: usize| lines.get(number + 1).is_some_and(|line| line.starts_with("|---"));
    let beginnings = (0..lines.len()).filter(begins);
    beginnings.filter(|number| !is_head(*number)).map(|number| lines[number]).collect()
}

fn text(root: &Path, path: &str, row: &str) -> String {
    let path = root.join(path);
    assert!(path.exists(), "{} is not there: {row}", path.display());
    match path.is_dir() {
        true => String::new(),
        false => std::fs::read_to_string(&path).unwrap_or_default(),
    }
}

/// Whether a text has a function of this name that is a test.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().enumerate().any(|(number, line)| {
        let begins = line.trim_start().trim_start_matches("async ").starts_with("fn ");
        let attributes = &lines[number.saturating_sub(4)..number];
        begins
            && line.contains(&format!("fn {name}("))
            && attributes.iter().rev().take_while(|line| line.trim() != "}").any(|line| {
                let line = line.trim();
                line == "#[test]" || line.starts_with("#[tokio::test")
            })
    })
}

#[test]
fn every_file_and_test_that_is_named_is_there() {
    let root = workspace();
    let document = std::fs::read_to_string(root.join("docs/CONFORMANCE.md")).unwrap();
    assert_eq!(strays(&document), Vec::<&str>::new(), "rows without a head");
    let claims = claims(&document);
    assert!(claims.len() > 100, "{} rows are read", claims.len());
    for (row, files, tests) in claims {
        let (files, tests) = (read(files), read(tests));
        assert!(!files.is_empty() && !tests.is_empty(), "a file and a test are named: {row}");
        for Named { path, words } in files {
            let text = text(&root, &path, row);
            for word in words {
                assert!(text.contains(&word), "{path} does not say {word}: {row}");
            }
        }
        for Named { path, words } in tests {
            let text = text(&root, &path, row);
            for word in words {
                let is_shared = path.starts_with(SHARED) && text.contains(&format!("fn {word}("));
                assert!(is_shared || is_test(&text, &word), "{path} has no test {word}: {row}");
            }
        }
    }
}

#[test]
fn a_test_is_a_function_with_the_attribute_of_one() {
    let source =
        "#[test]\nfn one() {\n}\n\n#[tokio::test]\nasync fn two() {\n}\n\nfn helper() {\n}\n";
    for (name, expected) in
        [("one", true), ("two", true), ("helper", false), ("three", false), ("on", false)]
    {
        assert_eq!(is_test(source, name), expected, "{name}");
    }
}

#[test]
fn a_row_without_a_head_is_found() {
    assert!(strays("text\n| a |\n|---|\n| b |\n\n| c |\n|---|\n").is_empty());
    assert_eq!(strays("| a |\n|---|\n| b |\n\n| c |\n| d |\n"), ["| c |"]);
    assert_eq!(strays("| c |"), ["| c |"]);
}

#[test]
fn a_cell_names_files_and_what_is_in_them() {
    let named = read("a/b.rs `x`, `y`, c/d.txt, e/");
    let paths: Vec<&str> = named.iter().map(|each| each.path.as_str()).collect();
    assert_eq!(paths, ["a/b.rs", "c/d.txt", "e/"]);
    assert_eq!(named[0].words, ["x", "y"]);
    assert!(named[1].words.is_empty());
}
