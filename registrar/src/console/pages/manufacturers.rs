//! Whose devices may come, and where their MASAs are.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::manufacturer::{
    IdevidView, ManufacturerView, NewManufacturer, NewMasaOptions,
};
use crate::admin::api::masa::MasaTest;
use crate::console::form::{Allowed, Form, blame, given};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, Trouble, badge, moment, page, token};

/// What the fields of a new manufacturer take, by the options that the same problems name on the command line.
const FIELDS: [Allowed; 6] = [
    ("--masa-url", "The MASA's address", URL),
    ("--masa-host", "Hosts", "host or host:port, without scheme and path, separated by blanks."),
    ("--masa-ca", "The CA of its MASA's TLS certificate", PEM),
    ("--voucher-ca", "The CA of its voucher signers", PEM),
    ("--ca", "The CA that signed its IDevIDs", PEM),
    (
        "--name",
        "Name",
        "1 to 64 letters, digits, '.', '_' and '-', which no other manufacturer has.",
    ),
];
const URL: &str = "host, host:port or https://host/path, as an IDevID has it.";
const PEM: &str = "CA certificates as PEM: -----BEGIN CERTIFICATE-----, lines of base64, -----END CERTIFICATE-----.";

/// `GET /console/manufacturers`.
pub(in crate::console) async fn list(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let manufacturers = console.service.manufacturers().await?;
    let content = html! {
        @if manufacturers.is_empty() { p { "None yet: no device can join." } }
        @else { (table(&visitor, &manufacturers)) }
        @if visitor.actor.role >= Role::Operator { (new(&visitor)) }
    };
    Ok(page(&visitor, "manufacturers", "Manufacturers", &content))
}

fn table(visitor: &Visitor, manufacturers: &[ManufacturerView]) -> Markup {
    let may_act = visitor.actor.role >= Role::Operator;
    html! {
        div.wide tabindex="0" role="region" aria-label="Table of manufacturers" {
            table {
                thead {
                    tr {
                        th { "Name" } th.number { "Anchors" } th { "MASA" } th { "Hosts" }
                        th.number { "Voucher anchors" } th { "Without a voucher" } th { "Added" }
                        @if may_act { th { "Test" } }
                    }
                }
                tbody {
                    @for each in manufacturers {
                        tr {
                            td { a href={ "/console/devices?manufacturer=" (each.name) } { (each.name) } }
                            td.number { (each.anchors) }
                            td { (each.masa_url.as_deref().unwrap_or("as the IDevID says")) }
                            td {
                                @if each.masa_hosts.is_empty() { "any public one" }
                                @else { (each.masa_hosts.join(", ")) }
                            }
                            td.number { (each.voucher_anchors) }
                            td { @if each.est_without_brski { "may enroll" } @else { "no" } }
                            td { (moment(&each.created_at)) }
                            @if may_act { td { (test_form(visitor, each)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Where the IDevIDs say where the MASA is, the address of one of them is asked for.
fn test_form(visitor: &Visitor, manufacturer: &ManufacturerView) -> Markup {
    let field = format!("url-{}", manufacturer.name);
    html! {
        form.row method="post" action={ "/console/manufacturers/" (manufacturer.name) "/test" } {
            (token(visitor))
            @if manufacturer.masa_url.is_none() {
                label for=(field) { "MASA of an IDevID" span.unseen { " of " (manufacturer.name) } }
                input id=(field) name="url" required maxlength="256" placeholder="masa.example.com";
            }
            button { "Test the MASA" span.unseen { " of " (manufacturer.name) } }
        }
    }
}

fn new(visitor: &Visitor) -> Markup {
    html! {
        section aria-labelledby="new" {
            h2 #new { "Add a manufacturer" }
            form method="post" action="/console/manufacturers/add" {
                (token(visitor))
                label for="name" { "Name (1 to 64 letters, digits, '.', '_', '-')" }
                input #name name="name" required maxlength="64" pattern="[A-Za-z0-9._\\-]{1,64}";
                (pem("ca", "The CA that signed its IDevIDs (PEM)", true))
                label for="masa_url" { "The MASA's address, if not the one in the IDevID" }
                input #masa_url name="masa_url" type="url" placeholder="https://masa.example.com";
                label for="masa_hosts" { "Hosts that its MASA may have, separated by blanks; none: any public one" }
                input #masa_hosts name="masa_hosts";
                (pem("masa_ca", "The CA of its MASA's TLS certificate (PEM), if not a public one", false))
                (pem("voucher_ca", "The CA of its voucher signers (PEM), if not that of its IDevIDs", false))
                label.check {
                    input type="checkbox" name="est_without_brski" value="yes";
                    " expected or approved devices may enroll with their IDevID alone"
                }
                button { "Add" }
            }
        }
    }
}

fn pem(name: &str, label: &str, is_required: bool) -> Markup {
    html! {
        label for=(name) { (label) }
        textarea id=(name) name=(name) rows="4" required[is_required] spellcheck="false" data-drop="text" {}
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct New {
    name: String,
    ca: String,
    #[serde(default)]
    masa_url: String,
    #[serde(default)]
    masa_hosts: String,
    #[serde(default)]
    masa_ca: String,
    #[serde(default)]
    voucher_ca: String,
    est_without_brski: Option<String>,
}

/// `POST /console/manufacturers/add`.
pub(in crate::console) async fn add(
    State(console): Shared,
    form: Form<New>,
) -> Result<Response, Trouble> {
    form.allow(Role::Operator)?;
    let New { name, ca, masa_url, masa_hosts, masa_ca, voucher_ca, est_without_brski } =
        form.fields;
    let new = NewManufacturer {
        name: name.trim().to_owned(),
        ca,
        masa_url: given(masa_url),
        masa_ca: given(masa_ca),
        masa_hosts: masa_hosts.split_whitespace().map(str::to_owned).collect(),
        voucher_ca: given(voucher_ca),
        masa: NewMasaOptions::default(),
        idevid: IdevidView::default(),
        est_without_brski: est_without_brski.is_some(),
    };
    let added = console.service.add_manufacturer(&form.visitor.actor, new).await;
    added.map_err(|problem| blame(problem, &FIELDS))?;
    Ok(Redirect::to("/console/manufacturers").into_response())
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct Test {
    #[serde(default)]
    url: String,
}

/// `POST /console/manufacturers/NAME/test`.
pub(in crate::console) async fn test(
    State(console): Shared,
    Path(name): Path<String>,
    form: Form<Test>,
) -> Answer {
    form.allow(Role::Operator)?;
    let (service, actor) = (&console.service, &form.visitor.actor);
    let test = MasaTest { url: given(form.fields.url) };
    let view = service.test_masa(actor, &name, test).await;
    let view = view.map_err(|problem| blame(problem, &[("MASA", "MASA of an IDevID", URL)]))?;
    let content = html! {
        p role="status" {
            @if view.works { (badge("works")) " Nothing here keeps devices from their vouchers." }
            @else { (badge("failed")) " Devices get no voucher from there." }
        }
        ol.story {
            @for stage in &view.stages {
                li {
                    (badge(&stage.outcome)) " " strong { (stage_title(&stage.stage)) }
                    p { (stage.detail) }
                }
            }
        }
        p.help { "No voucher was asked for." }
        p { a href="/console/manufacturers" { "To the manufacturers" } }
    };
    let title = format!("The MASA at {}", view.url);
    Ok(page(&form.visitor, "manufacturers", &title, &content))
}

fn stage_title(stage: &str) -> &str {
    match stage {
        "host" => "May it be called?",
        "name" => "Has its name an address?",
        "connection" => "Does somebody listen there?",
        "tls" => "Does it prove who it is?",
        "http" => "Does it answer?",
        other => other,
    }
}
