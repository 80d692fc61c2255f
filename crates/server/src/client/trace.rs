//! The protocol in the log: what the client sent, without its secrets and with long payloads cut.

use super::Client;
use crate::log::{Event, redact};
use dialtone_config::options::Log;
use dialtone_wire::client::Op;

impl Client {
    #[cold]
    pub(super) fn trace(&self, op: &Op<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = match op {
            Op::Publish(message) => {
                let verb = if message.has_headers() { "HPUB" } else { "PUB" };
                let reply = message.reply.map(|r| text(r) + " ").unwrap_or_default();
                let headers = Some(message.header_bytes)
                    .filter(|&h| h > 0)
                    .map(|h| format!("{h} "))
                    .unwrap_or_default();
                format!("{verb} {} {reply}{headers}{}", text(message.subject), message.body_bytes())
            }
            Op::Subscribe { filter, queue, sid } => {
                let queue = queue.map(|q| text(q) + " ").unwrap_or_default();
                format!("SUB {} {queue}{}", text(filter), text(sid))
            }
            Op::Unsubscribe { sid, max } => {
                format!("UNSUB {}{}", text(sid), max.map(|m| format!(" {m}")).unwrap_or_default())
            }
            Op::Connect(json) => format!("CONNECT {}", redact::connect(json)),
            Op::Ping => "PING".into(),
            Op::Pong => "PONG".into(),
            // A client has no business to send these; an error is logged by itself.
            Op::Info | Op::Ok | Op::Err(_) => return,
        };
        self.log(Event::TraceIn, format_args!("<<- [{line}]"));
        if let Op::Publish(message) = op {
            let log = &self.conduct.policy.options.log;
            let shown = if log.trace_headers { message.headers() } else { message.body() };
            if !shown.is_empty() {
                let body = traced_body(log, shown);
                self.log(Event::TraceIn, format_args!("<<- MSG_PAYLOAD: [{body}]"));
            }
        }
    }

    /// A subscription is gone, by UNSUB or with the client.
    pub(super) fn trace_gone(&self, sid: &[u8]) {
        if self.conduct.traced {
            self.log(Event::TraceIn, format_args!("<-> [DELSUB {}]", String::from_utf8_lossy(sid)));
        }
    }
}

/// A payload as a trace shows it: quoted, and cut where the options say so.
pub(crate) fn traced_body(log: &Log, body: &[u8]) -> String {
    redact::quoted(body, log.traced_message_bytes_max)
}
