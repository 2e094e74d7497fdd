//! What a form sends, and that it is one of our own: each carries the token of its session.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Console;
use super::guard::Visitor;
use super::layout::message;
use crate::admin::actor::Role;
use crate::admin::problem::{FieldProblem, Kind, Problem};

/// The name of the field with the session's token.
pub(super) const TOKEN_FIELD: &str = "form_token";

/// A form of somebody who is logged in.
pub(super) struct Form<T> {
    /// Who sent it.
    pub(super) visitor: Visitor,
    /// What it says.
    pub(super) fields: T,
}

impl<T> Form<T> {
    /// Refuses whoever has less than this role.
    ///
    /// # Errors
    /// That the role is needed.
    pub(super) fn allow(&self, role: Role) -> Result<(), Problem> {
        if self.visitor.actor.role >= role {
            return Ok(());
        }
        let (name, own) = (&self.visitor.actor.name, self.visitor.actor.role.as_str());
        Err(Problem::new(
            Kind::Forbidden,
            format!("{name} has the role {own}; this needs {}", role.as_str()),
            "ask somebody with that role, or have it given to you in [admin]",
        ))
    }
}

#[derive(Deserialize)]
struct Token {
    form_token: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<Console>> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<Console>) -> Result<Self, Response> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| {
            let hint = "send less at once; 'registrar device import' takes larger lists";
            message(&Problem::new(Kind::TooLarge, rejection.body_text(), hint)).into_response()
        })?;
        let visitor = visitor.ok_or_else(foreign)?;
        let token: Token = serde_urlencoded::from_bytes(&body).map_err(|_| foreign())?;
        let own = visitor.session.form_token.as_bytes();
        verify_slices_are_equal(own, token.form_token.as_bytes()).map_err(|_| foreign())?;
        let fields = serde_urlencoded::from_bytes(&body).map_err(|error| {
            let hint = "go back, look at the fields of the form, and send it again";
            message(&Problem::invalid(error.to_string(), hint)).into_response()
        })?;
        Ok(Self { visitor, fields })
    }
}

fn foreign() -> Response {
    let problem = Problem::new(
        Kind::Forbidden,
        "the form does not belong to this log-in, and nothing was changed",
        "open the page again and repeat it",
    );
    message(&problem).into_response()
}

/// What one field takes: the word that a problem has which is about it, its label, and what is allowed.
pub(super) type Allowed = (&'static str, &'static str, &'static str);

/// The same problem with the field of the form that it is about, and what is allowed there.
pub(super) fn blame(mut problem: Problem, fields: &[Allowed]) -> Problem {
    let hint = problem.hint.as_deref().unwrap_or_default();
    let is_about = |word: &str| problem.detail.contains(word) || hint.contains(word);
    let field = fields.iter().find(|(word, ..)| is_about(word)).filter(|_| problem.status < 500);
    if let Some((_, label, allowed)) = field {
        let (field, reason) = ((*label).to_owned(), (*allowed).to_owned());
        problem.errors = vec![FieldProblem { field, reason }];
        // Hints are for the command line.
        problem.hint = Some("Go back: what you wrote is still there.".to_owned());
    }
    problem
}

/// A field that was left empty is none.
pub(super) fn given(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
