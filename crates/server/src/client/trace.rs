//! The protocol in the log: what the client sent, without its secrets and with long payloads cut.

use super::Client;
use crate::log::Event;
use dialtone_config::options::Log;
use dialtone_wire::client::Op;

/// Fields of CONNECT that a trace shows. Everything else could be a secret (CVE-2020-26149).
const SHOWN: [&str; 14] = [
    "verbose",
    "pedantic",
    "echo",
    "tls_required",
    "headers",
    "no_responders",
    "protocol",
    "lang",
    "version",
    "name",
    "user",
    "nkey",
    "account",
    "new_account",
];

impl Client {
    #[cold]
    pub(super) fn trace(&self, op: &Op<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = match op {
            Op::Publish(message) => {
                let verb = if message.header_bytes.is_some() { "HPUB" } else { "PUB" };
                let reply = message.reply.map(|r| text(r) + " ").unwrap_or_default();
                let headers = message.header_bytes.map(|h| format!("{h} ")).unwrap_or_default();
                format!("{verb} {} {reply}{headers}{}", text(message.subject), message.body_bytes())
            }
            Op::Subscribe { filter, queue, sid } => {
                let queue = queue.map(|q| text(q) + " ").unwrap_or_default();
                format!("SUB {} {queue}{}", text(filter), text(sid))
            }
            Op::Unsubscribe { sid, max } => {
                format!("UNSUB {}{}", text(sid), max.map(|m| format!(" {m}")).unwrap_or_default())
            }
            Op::Connect(json) => format!("CONNECT {}", redact(json)),
            Op::Ping => "PING".into(),
            Op::Pong => "PONG".into(),
            Op::Info => "INFO".into(),
            Op::Ok => "+OK".into(),
            Op::Err(problem) => format!("-ERR {}", text(problem)),
        };
        self.log(Event::TraceIn, format_args!("<<- [{line}]"));
        if let Op::Publish(message) = op {
            let log = &self.policy.options.log;
            let shown = if log.trace_headers { message.headers() } else { message.body() };
            let body = traced_body(log, shown);
            self.log(Event::TraceIn, format_args!("<<- MSG_PAYLOAD: [{body}]"));
        }
    }
}

/// A payload as a trace shows it: quoted, and cut where the options say so.
pub(crate) fn traced_body(log: &Log, body: &[u8]) -> String {
    let max = log.traced_message_bytes_max;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match body.get(..max) {
        Some(front) if max > 0 && body.len() > max => format!("{:?}", text(front) + "..."),
        _ => format!("{:?}", text(body)),
    }
}

/// CONNECT's JSON with every value hidden that is not known to be harmless.
pub(crate) fn redact(json: &[u8]) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(json) else {
        return "[REDACTED]".into();
    };
    let hide = |(name, value): (String, serde_json::Value)| {
        let shown = SHOWN.contains(&name.to_ascii_lowercase().as_str());
        (name, if shown { value } else { "[REDACTED]".into() })
    };
    serde_json::Value::Object(fields.into_iter().map(hide).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_the_log() {
        let json =
            br#"{"user":"u","pass":"S3","auth_token":"S3","jwt":"S3","sig":"S3","tls_key":"S3","PASS":"S3"}"#;
        let shown = redact(json);
        assert!(shown.contains("\"user\":\"u\"") && !shown.contains("S3"), "{shown}");
        assert_eq!(redact(b"{\"pass\":\"S3\""), "[REDACTED]");
    }
}
