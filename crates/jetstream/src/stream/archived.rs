//! Messages that come from elsewhere as they were stored there: out of an archive, or of an official server's folder.

use super::marks::{self, TtlValue, given};
use super::pattern::firing;
use super::{Marks, Store, Stream, Ttl};
use std::borrow::Cow;

/// A message as it was stored elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived<'a> {
    /// Its sequence, above the stream's last.
    pub seq: u64,
    /// When it was stored: nanoseconds since 1970.
    pub time: i64,
    /// The subject that it was stored under.
    pub subject: &'a [u8],
    /// The header block, empty if there is none.
    pub headers: &'a [u8],
    /// What is behind the headers.
    pub payload: &'a [u8],
}

impl Stream {
    /// What is to be stored of it at the time `now` (nanoseconds since 1970). Nothing is refused: what its headers asked for was decided when
    /// it was published, so only what lasts is read from them: its id, how long it lives, its schedule, and which source it is from.
    pub fn archived<'a>(&self, message: &Archived<'a>, now: i64) -> Store<'a> {
        let mut store = Store {
            seq: message.seq,
            time: message.time,
            subject: Cow::Borrowed(message.subject),
            headers: Cow::Borrowed(message.headers),
            payload: Cow::Borrowed(message.payload),
            ..Store::default()
        }
        .measured();
        if message.headers.is_empty() {
            return store;
        }
        let (marks, features) = (Marks::of(message.headers), &self.settings.features);
        let is_remembered = now.saturating_sub(message.time) < self.settings.duplicate_window;
        if let Some(id) = given(marks.msg_id).filter(|_| is_remembered) {
            store.msg_id = Cow::Borrowed(id);
        }
        store.is_marker = marks.is_marker();
        if features.ttl {
            store.ttl = match marks::ttl(marks.ttl) {
                Some(TtlValue::Never) => Ttl::Never,
                Some(TtlValue::Seconds(seconds)) => {
                    Ttl::Until(message.time.saturating_add(seconds.saturating_mul(1_000_000_000)))
                }
                Some(TtlValue::None) | None => Ttl::None,
            };
        }
        store.sourced = given(marks.source).and_then(|value| self.sourced(value));
        if features.schedules {
            store.schedule = firing(&marks, message.time, now).ok().flatten().map(|firing| firing.at);
        }
        store
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Effects, Features, Proposal, Settings};
    use super::*;

    fn stream(features: Features) -> Stream {
        Stream::new(Settings { name: "S".into(), features, duplicate_window: 100, ..Settings::default() })
    }

    #[test]
    fn what_lasts_is_read_from_headers_and_nothing_else_happens() {
        let headers = b"NATS/1.0\r\nNats-Msg-Id: a\r\nNats-TTL: 5\r\nNats-Rollup: all\r\nNats-Expected-Last-Sequence: 77\r\n\r\n";
        let message = Archived { seq: 7, time: 50, subject: b"s", headers, payload: b"x" };
        let mut stream = stream(Features { ttl: true, ..Features::default() });
        let first = Archived { seq: 3, headers: b"", ..message };
        let mut effects = Effects::default();
        let store = stream.archived(&first, 60);
        stream.apply(&Proposal::Store(store), &mut effects);
        let store = stream.archived(&message, 60);
        assert_eq!((&*store.msg_id, store.ttl, store.rollup), (&b"a"[..], Ttl::Until(5_000_000_050), None));
        stream.apply(&Proposal::Store(store), &mut effects);
        let totals = stream.totals();
        assert_eq!((totals.count, totals.first, totals.last), (2, 3, 7), "it rolls nothing up");
        assert_eq!(&*stream.archived(&message, 150).msg_id, b"", "its id is no longer remembered");
    }

    #[test]
    fn a_stream_goes_on_behind_the_last_message_of_each_source() {
        let sources = vec!["A > >".into(), "B b.* x.*".into()];
        let mut stream = Stream::new(Settings { sources, ..Settings::default() });
        let mut effects = Effects::default();
        for (seq, source) in
            [(1, "A 4 > > a.1 Ab3"), (2, "B 2 b.* x.* b.1"), (3, "C 9 > > c"), (4, "A x > > a"), (5, "A 6")]
        {
            let headers = format!("NATS/1.0\r\nNats-Stream-Source: {source}\r\n\r\n");
            let message = Archived { seq, time: 1, subject: b"s", headers: headers.as_bytes(), payload: b"" };
            let store = stream.archived(&message, 1).into_owned();
            stream.apply(&Proposal::Store(store), &mut effects);
        }
        let place = |index: &str| stream.place_of(index).map(|place| (place.seq, place.identity.to_vec()));
        assert_eq!(place("A > >"), Some((4, b"Ab3".to_vec())));
        assert_eq!(place("B b.* x.*"), Some((2, Vec::new())));
        assert_eq!(place("C > >"), None, "it is none of its sources");
    }

    #[test]
    fn a_stream_without_lifetimes_lets_messages_live() {
        let headers = b"NATS/1.0\r\nNats-TTL: 5\r\nNats-Schedule: @at 1970-01-01T00:00:00Z\r\n\r\n";
        let message = Archived { seq: 1, time: 50, subject: b"s", headers, payload: b"" };
        let store = stream(Features::default()).archived(&message, 60);
        assert_eq!((store.ttl, store.schedule), (Ttl::None, None));
    }
}
