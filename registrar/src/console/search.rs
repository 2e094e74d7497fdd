//! The searches above lists: their fields, and what is said where one of them cannot be right.

use maud::{Markup, html};

pub(super) use super::form::Allowed;
use crate::admin::problem::Problem;

/// A field to write in. `longest`: in characters.
pub(super) fn text(name: &str, label: &str, value: &str, longest: u32) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value) maxlength=(longest);
        }
    }
}

/// A field to write in, which offers these words.
pub(super) fn offered<'a>(
    name: &str,
    label: &str,
    value: &str,
    words: impl Iterator<Item = &'a str>,
) -> Markup {
    let list = format!("{name}-words");
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value) maxlength="64" list=(list);
            datalist id=(list) { @for word in words { option value=(word) {} } }
        }
    }
}

/// A field that names a device.
pub(super) fn device(value: &str) -> Markup {
    text("device", DEVICE, value, 256)
}

/// One of these words, or none of them.
pub(super) fn choice(name: &str, label: &str, words: &[&str], chosen: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for word in words { option value=(word) selected[*word == chosen] { (word) } }
            }
        }
    }
}

/// The search itself, which a reader without scripts sends with its button.
pub(super) fn form(path: &str, fields: &Markup) -> Markup {
    html! {
        form.filter method="get" action=(path) role="search" { (fields) button { "Search" } }
    }
}

/// The label of the field that names a device.
pub(super) const DEVICE: &str = "Device (identifier, name or serial number)";

/// What is said in the place of the list: the field, and what is allowed.
///
/// # Errors
/// The problem itself, if no field is to blame for it.
pub(super) fn wrong(problem: Problem, fields: &[Allowed]) -> Result<Markup, Problem> {
    let is_ours = matches!(problem.status, 400 | 404 | 409);
    let field = fields.iter().find(|(word, ..)| problem.detail.contains(word));
    match field.filter(|_| is_ours) {
        None => Err(problem),
        Some((_, label, allowed)) => Ok(html! {
            div.problem role="alert" {
                p { strong { (label) } ": " (problem.detail) }
                p { (allowed) }
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::problem::Kind;

    const FIELDS: [Allowed; 2] = [("kind", "Kind", "a kind"), ("", "Device", "a device")];

    #[test]
    fn the_field_is_named_that_a_problem_is_about() {
        let shown = |detail: &str| {
            wrong(Problem::invalid(detail, ""), &FIELDS).map(|markup| markup.into_string())
        };
        assert!(shown("no kind <x>").unwrap().contains("Kind</strong>: no kind &lt;x&gt;"));
        assert!(shown("nothing").unwrap().contains("Device</strong>"));
    }

    #[test]
    fn a_database_that_is_away_is_nobodys_mistake() {
        let problem = Problem::new(Kind::Unavailable, "the kind of disk", "");
        assert!(wrong(problem, &FIELDS).is_err());
    }
}
