//! What a client asks a pull consumer for.

use crate::api::NextRequest;
use crate::json::{self, Field as _, Reader, Strictness};

/// What a payload is.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A document, in which priorities count.
    Document(NextRequest),
    /// A number of messages, and nothing else.
    Batch(i64),
}

impl Asked {
    /// Reads a payload: a JSON document, or a number. Anything else asks for one message.
    ///
    /// # Errors
    ///
    /// The reason, as it stands in a status 400.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        let text = payload.trim_ascii();
        if text.first() != Some(&b'{') {
            let batch = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return Ok(Self::Batch(batch.unwrap_or(1)));
        }
        let (node, _) = json::parse(text).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(Strictness::Lax);
        let mut request = NextRequest::default();
        request.read(&node, NextRequest::GO, &mut reader).map_err(|json::Abort(error)| error)?;
        if let Some(error) = reader.error() {
            return Err(error);
        }
        if request.idle_heartbeat.0 > 0 && request.idle_heartbeat.0.saturating_mul(2) > request.expires.0 {
            return Err("heartbeat value too large".into());
        }
        Ok(Self::Document(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read() {
        let batch = |payload: &str| match Asked::parse(payload.as_bytes()) {
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
