//! The frame of every page, and the pieces that several pages are made of.

use axum::response::{Html, IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::assets::address;
use super::form::TOKEN_FIELD;
use super::guard::Visitor;
use crate::admin::problem::{Kind, Problem};

/// The pages in the order of their links.
pub(super) const PAGES: [(&str, &str); 7] = [
    ("now", "Now"),
    ("devices", "Devices"),
    ("approvals", "Approvals"),
    ("orders", "Orders"),
    ("manufacturers", "Manufacturers"),
    ("events", "Events"),
    ("health", "Health"),
];

/// When a page that could not be made may be tried again, in seconds.
const RETRY_SECS: u32 = 10;

/// What a handler gives: a page, or a problem, which becomes one.
pub(super) type Answer = Result<Page, Trouble>;

/// A whole page.
pub(super) struct Page(pub(super) Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

/// A problem, shown as a page.
pub(super) struct Trouble(pub(super) Problem);

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        message(&self.0).into_response()
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            // The script may neither make styles nor evaluate text: the policy forbids both.
            meta name="htmx-config"
                content="{\"includeIndicatorStyles\":false,\"allowEval\":false,\"historyCacheSize\":0,\"selfRequestsOnly\":true}";
            title { (title) " – registrar" }
            link rel="icon" href=(address("icon.svg")) type="image/svg+xml";
            link rel="stylesheet" href=(address("console.css"));
            script src=(address("htmx.min.js")) defer {}
            script src=(address("sse.min.js")) defer {}
            script src=(address("console.js")) defer {}
        }
    }
}

/// A page for somebody who is logged in. `place`: the word of its link in [`PAGES`].
pub(super) fn page(visitor: &Visitor, place: &str, title: &str, content: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                a.skip href="#content" { "To the content" }
                header {
                    span.brand { "registrar" }
                    nav aria-label="Pages" {
                        ul {
                            @for (word, label) in PAGES {
                                li {
                                    a href={ "/console/" (word) }
                                        aria-current=[(word == place).then_some("page")] { (label) }
                                }
                            }
                        }
                    }
                    form.who method="post" action="/console/logout" {
                        (token(visitor))
                        span { (visitor.actor.name) " · " (visitor.actor.role.as_str()) }
                        button.quiet { "Log out" }
                    }
                }
                // Empty while all is well; the script says here that the registrar is away.
                p #connection role="status" {}
                main #content tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    })
}

/// A page for somebody who is not logged in.
pub(super) fn plain(title: &str, content: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                header { span.brand { "registrar" } }
                main #content.narrow tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    })
}

/// A page that says what is wrong and what to do.
pub(super) fn message(problem: &Problem) -> impl IntoResponse + use<> {
    let is_away = matches!(problem.known_kind(), Some(Kind::Unavailable | Kind::NoDaemon));
    let content = html! {
        p.problem role="alert" { (problem.detail) }
        @if !problem.errors.is_empty() {
            ul {
                @for error in &problem.errors { li { strong { (error.field) } ": " (error.reason) } }
            }
        }
        @if let Some(hint) = &problem.hint { p { (hint) } }
        @if is_away {
            p #connection role="status" data-away="" {
                "This page tries again by itself; without scripts, load it again."
            }
        }
        p { a href="/console/now" { "To the first page" } }
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, plain(&problem.title, &content)).into_response();
    if is_away {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECS));
    }
    response
}

/// What each form carries.
pub(super) fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(visitor.session.form_token); }
}

/// A part of a page that asks for itself again whenever something happened.
pub(super) fn live(id: &str, path: &str, content: &Markup) -> Markup {
    html! {
        div hx-ext="sse" sse-connect="/console/live" {
            div id=(id) data-live="" hx-get=(path)
                hx-trigger="sse:changed throttle:1s, sse:away throttle:1s, again"
                hx-select={ "#" (id) } hx-swap="outerHTML" { (content) }
        }
    }
}

/// A moment, in UTC, as RFC 3339 has it.
pub(super) fn moment(text: &str) -> Markup {
    html! { time datetime=(text) { (text) } }
}

/// A state or a verdict as a word with a colour; the word alone says all.
pub(super) fn badge(word: &str) -> Markup {
    let tone = match word {
        "enrolled" | "issued" | "done" | "valid" | "granted" | "accepted" | "works" => "good",
        "refused" | "failed" | "invalid" | "blocked" | "rejected" => "bad",
        "pending" | "waiting" | "asked" | "unclear" => "open",
        _ => "calm",
    };
    html! { span class={ "badge " (tone) } { (word) } }
}

/// The beginning of a long identifier, with the whole of it where a pointer rests or a reader asks.
pub(super) fn short(text: &str) -> Markup {
    let beginning: String = text.chars().take(16).collect();
    html! { code title=(text) { (beginning) } }
}

/// A link to the next page of a list.
pub(super) fn next(path: &str, pairs: &[(&str, &str)], after: Option<&str>) -> Markup {
    let Some(after) = after else {
        return html! {};
    };
    let mut pairs: Vec<(&str, &str)> =
        pairs.iter().filter(|(_, value)| !value.is_empty()).copied().collect();
    pairs.push(("after", after));
    let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
    html! { p { a rel="next" href={ (path) "?" (query) } { "Next page" } } }
}
