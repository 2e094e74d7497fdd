//! Devices that wait for a person: yes, under which name, or no.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::PageQuery;
use crate::admin::api::approval::{Grant, WaitingView};
use crate::console::form::{Form, given};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, Trouble, live, moment, next, page, short, token};

/// How many questions a page has.
const ROWS: u32 = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Place {
    after: String,
}

/// `GET /console/approvals`.
pub(in crate::console) async fn list(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(place): Query<Place>,
) -> Answer {
    let query = PageQuery { limit: Some(ROWS), after: given(place.after.clone()) };
    let found = console.service.approvals(&query).await?;
    let list = html! {
        @if found.items.is_empty() { p { "Nobody waits." } }
        @for waiting in &found.items { (question(&visitor, waiting)) }
        (next("/console/approvals", &[], found.next.as_deref()))
    };
    // A page further down stays as it is: what is on it would move under the reader's hand.
    let content = match given(place.after) {
        None => live("waiting", "/console/approvals", &list),
        Some(_) => list,
    };
    Ok(page(&visitor, "approvals", "Approvals", &content))
}

fn question(visitor: &Visitor, waiting: &WaitingView) -> Markup {
    let WaitingView { approval, manufacturer, serial } = waiting;
    let reason = match approval.reason.as_str() {
        "key-changed" => "its serial number is known, with another key",
        _ => "nobody expects it",
    };
    let heading = format!("question-{}", approval.id);
    html! {
        article.question aria-labelledby=(heading) {
            h2 id=(heading) { (serial) " of " (manufacturer) }
            dl.facts {
                dt { "Why it is asked" } dd { (reason) }
                dt { "Asks from" } dd { (approval.peer) }
                dt { "Asked first" } dd { (moment(&approval.created_at)) }
                dt { "Asked last" } dd { (moment(&approval.asked_at)) }
                dt { "Its key" } dd { (short(&approval.spki)) }
                dt { "Device" } dd { a href={ "/console/devices/" (approval.device) } { (approval.device) } }
            }
            @if visitor.actor.role >= Role::Approver { (decision(visitor, &approval.id, serial)) }
        }
    }
}

fn decision(visitor: &Visitor, id: &str, serial: &str) -> Markup {
    html! {
        form.decision method="post" action={ "/console/approvals/" (id) } {
            (token(visitor))
            label for={ "name-" (id) } { "Name, if not by the template" }
            input id={ "name-" (id) } name="name" maxlength="253";
            label for={ "profile-" (id) } { "Profile, if not its own" }
            input id={ "profile-" (id) } name="profile" maxlength="64";
            button name="action" value="grant" { "Let it in" span.unseen { ": " (serial) } }
            " "
            button.danger name="action" value="refuse" formnovalidate { "Refuse" span.unseen { ": " (serial) } }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct Decision {
    action: Verdict,
    #[serde(default)]
    name: String,
    #[serde(default)]
    profile: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Grant,
    Refuse,
}

/// `POST /console/approvals/ID`.
pub(in crate::console) async fn post(
    State(console): Shared,
    Path(id): Path<String>,
    form: Form<Decision>,
) -> Result<Response, Trouble> {
    form.allow(Role::Approver)?;
    let (service, actor) = (&console.service, &form.visitor.actor);
    let Decision { action, name, profile } = form.fields;
    match action {
        Verdict::Grant => {
            let terms = Grant { name: given(name), profile: given(profile) };
            service.grant(actor, &id, terms).await?
        }
        Verdict::Refuse => service.refuse(actor, &id).await?,
    };
    Ok(Redirect::to("/console/approvals").into_response())
}
