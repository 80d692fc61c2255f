//! What a client asks a pull consumer for.

use crate::json::{self, Field as _, Reader, Strictness, document};
use crate::time::Nanos;

document! {
    /// A request as it stands in the payload.
    pub struct Request = "JSApiConsumerGetNextRequest" {
        /// How long until it is answered with status 408; 0: it waits for ever.
        pub expires: Nanos, "expires" omitempty "time.Duration";
        /// Messages to send at most. Less than 1 counts as 1.
        pub batch: i64, "batch" omitempty "int";
        /// Bytes to send at most; 0: any number.
        pub max_bytes: i64, "max_bytes" omitempty "int";
        /// Do not wait for messages that are not there.
        pub no_wait: bool, "no_wait" omitempty "bool";
        /// After how long without a message a heartbeat is sent; 0: none.
        pub idle_heartbeat: Nanos, "idle_heartbeat" omitempty "time.Duration";
        /// The priority group; empty is none.
        pub group: String, "group" omitempty "string";
        /// Serve it only when so many messages are pending.
        pub min_pending: i64, "min_pending" omitempty "int64";
        /// Serve it only when so many messages wait for acknowledgements.
        pub min_ack_pending: i64, "min_ack_pending" omitempty "int64";
        /// The id of its pin; empty is none.
        pub id: String, "id" omitempty "string";
        /// 0 to 9; the lowest is served first.
        pub priority: i64, "priority" omitempty "int";
    }
}

/// What a payload is.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A document, in which priorities count.
    Document(Request),
    /// A number of messages, and nothing else.
    Batch(i64),
}

impl Request {
    /// Reads a payload: a JSON document, or a number. Anything else asks for one message.
    ///
    /// # Errors
    ///
    /// The reason, as it stands in a status 400.
    pub fn parse(payload: &[u8]) -> Result<Asked, String> {
        let text = payload.trim_ascii();
        if text.first() != Some(&b'{') {
            let batch = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return Ok(Asked::Batch(batch.unwrap_or(1)));
        }
        let (node, _) = json::parse(text).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(Strictness::Lax);
        let mut request = Self::default();
        request.read(&node, Self::GO, &mut reader).map_err(|json::Abort(error)| error)?;
        if let Some(error) = reader.error() {
            return Err(error);
        }
        if request.idle_heartbeat.0 > 0 && request.idle_heartbeat.0.saturating_mul(2) > request.expires.0 {
            return Err("heartbeat value too large".into());
        }
        Ok(Asked::Document(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read() {
        let batch = |payload: &str| match Request::parse(payload.as_bytes()) {
            Ok(Asked::Document(request)) => Ok((request.batch, true)),
            Ok(Asked::Batch(batch)) => Ok((batch, false)),
            Err(error) => Err(error),
        };
        for (payload, expected) in [("", 1), (" 5 ", 5), ("-2", -2), ("x", 1), ("[]", 1)] {
            assert_eq!(batch(payload), Ok((expected, false)), "{payload}");
        }
        assert_eq!(batch("{}"), Ok((0, true)));
        assert_eq!(batch(r#"{"Batch":7,"what":1}"#), Ok((7, true)));
        for (payload, error) in [
            ("{bad", "invalid character 'b' looking for beginning of object key string"),
            (
                r#"{"batch":"x"}"#,
                "json: cannot unmarshal string into Go struct field JSApiConsumerGetNextRequest.batch of type int",
            ),
            (r#"{"batch":1,"expires":3000000000,"idle_heartbeat":2000000000}"#, "heartbeat value too large"),
            (r#"{"idle_heartbeat":1}"#, "heartbeat value too large"),
        ] {
            assert_eq!(batch(payload), Err(error.to_owned()), "{payload}");
        }
    }
}
