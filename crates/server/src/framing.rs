//! The framing of `dialtone_wire::websocket`, as connections have it.

use dialtone_net::framing::{Decoded, Ended, Framed, Framing, FramingError};
use dialtone_wire::websocket::{Stream, stream};
use std::io::IoSlice;

/// The frames of one connection.
pub(crate) struct WebSocketFraming(pub(crate) Stream);

impl Framing for WebSocketFraming {
    fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Decoded {
        let decoded = self.0.decode(input, extra);
        let ended = decoded.ended.map(|ended| match ended {
            stream::Ended::Closed => Ended::Closed,
            stream::Ended::Invalid(why) => Ended::Broken(FramingError::Invalid(why)),
            stream::Ended::TooLarge => Ended::Broken(FramingError::TooLarge),
        });
        Decoded { used: decoded.used, plain: decoded.plain, ended }
    }

    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed {
        match self.0.frame(slices.iter().map(|slice| &**slice), out) {
            stream::Framed::Head(bytes) => Framed::Head(bytes),
            stream::Framed::Whole(bytes) => Framed::Whole(bytes),
        }
    }

    fn take_control(&mut self, out: &mut Vec<u8>) {
        if self.0.has_control() {
            self.0.take_control(out);
        }
    }

    fn take_farewell(&mut self, wanted: Option<&[u8]>) -> Option<Vec<u8>> {
        self.0.take_farewell(wanted)
    }
}
