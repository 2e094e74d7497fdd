//! The pledge-facing side: connections, requests, answers. It brings facts to [`flow`](crate::flow) and does what is decided.

mod admit;
pub mod app;
pub mod body;
pub mod brski;
pub mod crl;
pub mod est;
pub mod headers;
pub mod issuer_problem;
pub mod listener;
pub mod locks;
pub mod measure;
pub mod routes;
pub mod status;
