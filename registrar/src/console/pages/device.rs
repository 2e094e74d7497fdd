//! One device: what it is, what can be done with it, and its story.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::approvals::NAME;
use super::{Shared, artefacts};
use crate::admin::actor::Role;
use crate::admin::api::certificate::CertificateView;
use crate::admin::api::device::{DeviceStory, DeviceView, EnrollmentView, Rename, Replace, Retire};
use crate::admin::api::event::EventView;
use crate::admin::problem::Problem;
use crate::console::form::{Form, blame};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, Trouble, badge, live, moment, page, short, token};

/// The field with the device that takes the place of another one.
const BY: &str = "The device that takes its place (identifier, name or serial number)";

/// `GET /console/devices/ID`.
pub(in crate::console) async fn show(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Answer {
    let story = console.service.device(&id).await?;
    let device = &story.device;
    let title = device.name.as_deref().or(device.serial.as_deref()).unwrap_or(&device.id);
    let path = format!("/console/devices/{}", device.id);
    let artefacts = artefacts::section(&console, &device.id).await.map_err(Problem::from)?;
    let content = html! {
        (live("story", &path, &told(&story, &artefacts)))
        @if visitor.actor.role >= Role::Operator { (actions(&visitor, device)) }
    };
    Ok(page(&visitor, "devices", title, &content))
}

fn told(story: &DeviceStory, artefacts: &Markup) -> Markup {
    html! {
        (facts(&story.device, story.voucher.as_deref()))
        @if !story.certificates.is_empty() { (certificates(&story.certificates)) }
        @if !story.enrollments.is_empty() { (enrollments(&story.enrollments)) }
        (artefacts)
        (timeline(&story.events))
    }
}

fn facts(device: &DeviceView, voucher: Option<&str>) -> Markup {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    html! {
        dl.facts {
            dt { "State" } dd { (badge(&device.state)) }
            dt { "Name" } dd { (or_none(&device.name)) }
            @match &device.credential {
                Some(name) => { dt { "Credential" } dd { (name) } },
                None => {
                    dt { "Serial number" } dd { (or_none(&device.serial)) }
                    dt { "Manufacturer" } dd { (or_none(&device.manufacturer)) }
                },
            }
            dt { "Profile" } dd { (device.profile) }
            dt { "Site" } dd { (or_none(&device.site)) }
            @if let Some(voucher) = voucher { dt { "Voucher" } dd { (badge(voucher)) } }
            dt { "Came first" } dd { (moment(&device.created_at)) }
            dt { "Changed" } dd { (moment(&device.updated_at)) }
            dt { "Identifier" } dd { code { (device.id) } }
        }
    }
}

fn certificates(certificates: &[CertificateView]) -> Markup {
    html! {
        section aria-labelledby="certificates" {
            h2 #certificates { "Certificates" }
            div.wide tabindex="0" role="region" aria-label="Table of certificates" {
                table {
                    thead {
                        tr {
                            th { "SHA-256" } th { "Serial number" } th { "Issuer" } th { "Begins" }
                            th { "Ends" } th { "Revoked" }
                        }
                    }
                    tbody {
                        @for certificate in certificates.iter().rev() {
                            tr {
                                td { (short(&certificate.fingerprint)) }
                                td { (short(&certificate.serial)) }
                                td { (certificate.issuer) }
                                td { (moment(&certificate.not_before)) }
                                td { (moment(&certificate.not_after)) }
                                td {
                                    @match &certificate.revoked_at {
                                        Some(at) => (moment(at)),
                                        None => "no",
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn enrollments(enrollments: &[EnrollmentView]) -> Markup {
    html! {
        section aria-labelledby="enrollments" {
            h2 #enrollments { "Enrollments" }
            @for enrollment in enrollments.iter().rev() {
                details id={ "enrollment-" (enrollment.id) } {
                    summary {
                        (badge(&enrollment.state)) " at " (enrollment.issuer)
                        @if let Some(order) = &enrollment.order { ", order " (order) }
                    }
                    @if let Some(reason) = &enrollment.reason { p { (reason) } }
                    ol { @for step in &enrollment.steps { li { (step) } } }
                }
            }
        }
    }
}

fn timeline(events: &[EventView]) -> Markup {
    html! {
        section aria-labelledby="timeline" {
            h2 #timeline { "Story" }
            ol.story {
                @for event in events.iter().rev() {
                    li {
                        (moment(&event.time)) " " (badge(&event.verdict)) " "
                        strong { (event.kind) }
                        p { (event.detail) }
                        p.help { (event.peer) " · " (event.clause) }
                    }
                }
            }
        }
    }
}

fn actions(visitor: &Visitor, device: &DeviceView) -> Markup {
    let path = format!("/console/devices/{}", device.id);
    let is_out = device.state == "retired" || device.state == "blocked";
    html! {
        section.actions aria-labelledby="actions" {
            h2 #actions { "What can be done" }
            form method="post" action=(path) {
                (token(visitor))
                label for="name" { "Another name" }
                input #name name="name" required maxlength="253" value=(device.name.as_deref().unwrap_or_default());
                button name="action" value="rename" { "Rename" }
            }
            form method="post" action=(path) {
                (token(visitor))
                label for="by" { (BY) }
                input #by name="by" required maxlength="256";
                button name="action" value="replace" { "Replace" }
            }
            form method="post" action=(path) {
                (token(visitor))
                @if is_out {
                    button name="action" value="restore" { "Restore" }
                } @else {
                    button name="action" value="block" { "Block" }
                    " "
                    button.danger name="action" value="retire" data-confirm="Retire this device? Its certificates are revoked." { "Retire" }
                    label.check {
                        input type="checkbox" name="free_name" value="yes";
                        " and free its name"
                    }
                }
            }
        }
    }
}

/// What shall be done with the device.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(in crate::console) enum Action {
    Rename { name: String },
    Replace { by: String },
    Block,
    Restore,
    Retire { free_name: Option<String> },
}

/// `POST /console/devices/ID`.
pub(in crate::console) async fn post(
    State(console): Shared,
    Path(id): Path<String>,
    form: Form<Action>,
) -> Result<Response, Trouble> {
    form.allow(Role::Operator)?;
    let (service, actor) = (&console.service, &form.visitor.actor);
    let done: Result<DeviceView, Problem> = match form.fields {
        Action::Rename { name } => service
            .rename(actor, &id, &Rename { name })
            .await
            .map_err(|problem| blame(problem, &[("name", "Another name", NAME)])),
        Action::Replace { by } => {
            service.replace(actor, &id, &Replace { by }).await.map_err(|problem| {
                blame(problem, &[("", BY, "Another device, of which this fits one alone.")])
            })
        }
        Action::Block => service.block(actor, &id).await,
        Action::Restore => service.restore(actor, &id).await,
        Action::Retire { free_name } => {
            service.retire(actor, &id, Retire { free_name: free_name.is_some() }).await
        }
    };
    Ok(Redirect::to(&format!("/console/devices/{}", done?.id)).into_response())
}
