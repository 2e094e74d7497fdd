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
use crate::admin::api::device::DeviceView;
use crate::console::form::{Allowed, Form, blame, given};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, Trouble, badge, live, moment, next, page, short, token};

/// How many questions a page has.
const ROWS: u32 = 25;

/// What the fields of a decision take.
const FIELDS: [Allowed; 2] = [
    ("profile", "Profile", "One of the profiles of the configuration; empty: its own."),
    ("name", "Name", NAME),
];
/// What a name may be.
pub(super) const NAME: &str = "Labels of 1 to 63 letters, digits and '-' with dots between them, none of which \
                               begins or ends with '-'; without a dot, it is put below the zone.";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Place {
    after: String,
    decided: String,
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
    let list = match given(place.after) {
        None => live("waiting", "/console/approvals", &list),
        Some(_) => list,
    };
    let decided = match given(place.decided) {
        None => None,
        Some(device) => console.service.device(&device).await.ok().map(|story| story.device),
    };
    let content = html! {
        @if let Some(device) = &decided { (verdict(device)) }
        (list)
    };
    Ok(page(&visitor, "approvals", "Approvals", &content))
}

/// What came of the last decision; whoever goes by the keyboard goes on from here.
fn verdict(device: &DeviceView) -> Markup {
    let proves = device.serial.as_deref().unwrap_or(&device.id);
    html! {
        p.done role="status" tabindex="-1" autofocus {
            (proves) " is " (badge(&device.state)) " now"
            @if let Some(name) = &device.name { ", as " (name) }
        }
    }
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
            // What is being written, and where somebody is, stays when the list asks for itself again.
            input id={ "name-" (id) } name="name" maxlength="253" hx-preserve="true";
            label for={ "profile-" (id) } { "Profile, if not its own" }
            input id={ "profile-" (id) } name="profile" maxlength="64" hx-preserve="true";
            button id={ "grant-" (id) } name="action" value="grant" { "Let it in" span.unseen { ": " (serial) } }
            " "
            button.danger id={ "refuse-" (id) } name="action" value="refuse" formnovalidate { "Refuse" span.unseen { ": " (serial) } }
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
    let device = match action {
        Verdict::Grant => {
            let terms = Grant { name: given(name), profile: given(profile) };
            service.grant(actor, &id, terms).await.map_err(|problem| blame(problem, &FIELDS))?
        }
        Verdict::Refuse => service.refuse(actor, &id).await?,
    };
    Ok(Redirect::to(&format!("/console/approvals?decided={}", device.id)).into_response())
}
