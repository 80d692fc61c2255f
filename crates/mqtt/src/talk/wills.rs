//! Wills that wait, in the stream of what is held: they outlive the server that they wait in.

use super::sessions::message;
use super::{Failure, Send, Talk};
use crate::command::Published;
use crate::headers::{self, Source};
use crate::streams::Stream;
use crate::will::OwnWill;
use dialtone_jetstream::api::StoredMessage;
use dialtone_wire::mqtt::PropertiesBuf;
use dialtone_wire::mqtt::subject::{put_subject, put_topic};

/// The token behind the client identifier, in place of a packet identifier.
const WILL: &str = "will";

/// A will that was kept.
#[derive(Clone, Debug)]
pub struct KeptWill {
    /// The client that left it.
    pub client_id: String,
    /// Its user.
    pub user: String,
    /// The hash of the server that it was left at.
    pub origin: String,
    /// When it is due, in seconds since 1970.
    pub due: u64,
    /// When it was kept, in nanoseconds since 1970.
    pub kept: i64,
    /// The will.
    pub will: OwnWill,
}

impl Talk {
    /// Keeps the will of a client until it is due, in seconds since 1970. The answer is for [`super::stored`]. `number` is another one for each will.
    pub fn keep_will(
        &mut self,
        (client_id, user): (&str, &str),
        (due, number): (u64, u64),
        will: &OwnWill,
        send: &mut Send<'_>,
    ) {
        let Published { topic, qos, retain, properties, payload } = will.message();
        let mut subject = Vec::new();
        if put_subject(&mut subject, topic).is_err() {
            return;
        }
        let held = format!("{}{client_id}.{WILL}.{due}-{number}", Stream::Held.prefix());
        self.draft.begin(&[held.as_bytes()]);
        let (server, flags) = (self.settings.server, headers::flags(qos, retain));
        let source = Source { origin: server.as_str(), user };
        self.draft.headers(|out| headers::put_will(out, &subject, flags, (source, due), properties));
        self.draft.payload(payload);
        self.tell(send);
    }

    /// Reads the first will from this sequence on; its answer is for [`will_of`].
    pub fn next_will(&mut self, sequence: u64, send: &mut Send<'_>) {
        self.next_of(Stream::Held, &format!("*.{WILL}.*"), sequence, send);
    }
}

/// The sequence and the will that an answer brings; `None`: there are no more. What is no will is passed over.
///
/// # Errors
/// The stream cannot be read.
pub fn will_of(answer: &[u8]) -> Result<Option<(u64, Option<KeptWill>)>, Failure> {
    Ok(message(answer)?.map(|message| (message.seq, read(&message))))
}

fn read(message: &StoredMessage) -> Option<KeptWill> {
    let client_id = message.subject.strip_prefix(Stream::Held.prefix())?.split('.').next()?.to_owned();
    let (subject, qos, retain) = headers::held(&message.hdrs.0)?;
    let (Source { origin, user }, due) = headers::will(&message.hdrs.0)?;
    let (mut topic, mut properties) = (String::new(), PropertiesBuf::default());
    put_topic(&mut topic, subject).ok()?;
    headers::read_properties(&mut properties, &message.hdrs.0, None);
    let (properties, payload) = (properties.properties(), &*message.data.0);
    let will = OwnWill::kept(&Published { topic: &topic, qos, retain, properties, payload });
    let (user, origin) = (user.to_owned(), origin.to_owned());
    Some(KeptWill { client_id, user, origin, due, kept: message.time.unix_nanos(), will })
}
