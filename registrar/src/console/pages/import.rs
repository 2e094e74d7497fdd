//! A list of devices that may join, as CSV: pasted, or dropped on the field.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::device::{Import, WrongLines};
use crate::admin::problem::Problem;
use crate::console::form::Form;
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, page, token};

/// `GET /console/devices/import`.
pub(in crate::console) async fn form(Extension(visitor): Extension<Visitor>) -> Answer {
    let content = fields(&visitor, "", None);
    Ok(page(&visitor, "devices", "Import devices", &content))
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct List {
    csv: String,
    partial: Option<String>,
}

/// `POST /console/devices/import`.
pub(in crate::console) async fn post(State(console): Shared, form: Form<List>) -> Answer {
    form.allow(Role::Operator)?;
    let wrong_lines =
        if form.fields.partial.is_some() { WrongLines::Skip } else { WrongLines::Refuse };
    let import = Import { csv: form.fields.csv.clone(), wrong_lines };
    let visitor = &form.visitor;
    let content = match console.service.import(&visitor.actor, &import).await {
        Ok(imported) => html! {
            p role="status" { (imported.imported) " devices were added." }
            @if !imported.skipped.is_empty() {
                p { "These lines were left out:" }
                ul { @for line in &imported.skipped { li { (line.field) ": " (line.reason) } } }
            }
            p { a href="/console/devices?state=expected" { "To the expected devices" } }
        },
        Err(problem) if problem.status == 400 => fields(visitor, &form.fields.csv, Some(&problem)),
        Err(problem) => return Err(problem.into()),
    };
    Ok(page(visitor, "devices", "Import devices", &content))
}

fn fields(visitor: &Visitor, csv: &str, problem: Option<&Problem>) -> Markup {
    html! {
        @if let Some(problem) = problem {
            div.problem role="alert" {
                p { (problem.detail) }
                ul { @for line in &problem.errors { li { (line.field) ": " (line.reason) } } }
            }
        }
        form method="post" action="/console/devices/import" {
            (token(visitor))
            label for="csv" { "The list, as CSV" }
            p #csv-help.help {
                "A header with " code { "serial" } " and " code { "manufacturer" } ", and any of "
                code { "name" } ", " code { "profile" } " and " code { "site" }
                "; then a line for each device. Drop a file on the field, or paste its text."
            }
            textarea #csv name="csv" rows="12" required aria-describedby="csv-help" data-drop="text" { (csv) }
            label.check {
                input type="checkbox" name="partial" value="yes";
                " import the right lines even where others are wrong"
            }
            button { "Import" }
        }
    }
}
