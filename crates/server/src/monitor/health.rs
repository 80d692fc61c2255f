//! `/healthz`: whether the server can do its work.

use super::options::HealthzOptions;
use crate::log::Event;
use crate::shared::Shared;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// How the server feels.
pub(crate) struct Health {
    /// The status of an HTTP answer.
    pub(super) code: u16,
    status: &'static str,
    error: Option<&'static str>,
    /// The kind of the error, where problems are listed.
    kind: Option<&'static str>,
}

impl Health {
    /// As HTTP tells it, whose status says the rest.
    pub(super) fn value(&self) -> Value {
        let mut out = json!({ "status": self.status });
        self.add_error(&mut out);
        out
    }

    /// As a message tells it.
    pub(crate) fn with_code(&self) -> Value {
        let mut out = json!({ "status": self.status, "status_code": self.code });
        self.add_error(&mut out);
        out
    }

    fn add_error(&self, out: &mut Value) {
        let (Some(object), Some(error)) = (out.as_object_mut(), self.error) else { return };
        match self.kind {
            Some(kind) => object.insert("errors".into(), json!([{ "type": kind, "error": error }])),
            None => object.insert("error".into(), error.into()),
        };
    }
}

pub(crate) fn healthz(shared: &Shared, options: &HealthzOptions) -> Health {
    let HealthzOptions { js_enabled, details, account, stream, consumer } = options;
    if *js_enabled {
        let text = format_args!("Healthcheck: js-enabled deprecated, use js-enabled-only instead");
        shared.log.say(Event::Warning, "", text);
    }
    let (code, status, error) = if !stream.is_empty() && account.is_empty() {
        (400, "error", Some("\"account\" must not be empty when checking stream health"))
    } else if !consumer.is_empty() && stream.is_empty() {
        (400, "error", Some("\"stream\" must not be empty when checking consumer health"))
    } else if shared.lame_duck.load(Ordering::Relaxed) {
        (503, "unavailable", Some("server is in lame duck mode"))
    } else {
        (200, "ok", None)
    };
    let kind = details.then_some(if code == 400 { "BAD_REQUEST" } else { "CONNECTION" });
    Health { code, status, error, kind }
}
