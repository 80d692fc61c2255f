//! The conversation with streams that a test plays.

use super::*;
use crate::command::Published;
use crate::streams::tests::settings;
use dialtone_jetstream::api::Bytes;
use dialtone_jetstream::json::to_string;
use dialtone_wire::mqtt::{Properties, Qos};
use std::time::Duration;

/// Something that was sent: subject, reply, headers, payload.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    subject: String,
    reply: Option<String>,
    headers: String,
    payload: String,
}

struct World {
    talk: Talk,
    now: Instant,
    sent: VecDeque<Sent>,
    answers: Vec<Answer>,
    is_heard: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl World {
    fn new() -> Self {
        let talk = Talk::new(Arc::new(settings()), 7);
        Self { talk, now: Instant::now(), sent: VecDeque::new(), answers: Vec::new(), is_heard: true }
    }

    fn act(&mut self, act: impl FnOnce(&mut Talk, Instant, &mut Send<'_>, &mut dyn FnMut(Answer))) {
        let Self { talk, now, sent, answers, is_heard } = self;
        let mut send = |message: &Message<'_>| {
            sent.push_back(Sent {
                subject: text(message.subject),
                reply: message.reply.map(text),
                headers: text(message.headers()),
                payload: text(message.payload()),
            });
            usize::from(*is_heard)
        };
        act(talk, *now, &mut send, &mut |answer| answers.push(answer));
    }

    /// What was sent next.
    fn next(&mut self) -> Sent {
        self.sent.pop_front().expect("something was sent")
    }

    /// Answers what was sent, and returns what came of it.
    fn answer(&mut self, sent: &Sent, payload: &str) -> Vec<Answer> {
        let subject = sent.reply.clone().expect("an answer is wanted");
        let framed = format!("{payload}\r\n");
        let message =
            Message { subject: subject.as_bytes(), reply: None, header_bytes: 0, framed: framed.as_bytes() };
        self.act(|talk, now, send, out| talk.answer(now, &message, send, out));
        std::mem::take(&mut self.answers)
    }

    fn expire(&mut self, after: Duration) -> Vec<Answer> {
        self.now += after;
        self.act(|talk, now, send, out| talk.expire(now, send, out));
        std::mem::take(&mut self.answers)
    }
}

const NO_STREAM: &str = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
const NO_MESSAGE: &str =
    r#"{"type":"x","error":{"code":404,"err_code":10037,"description":"no message found"}}"#;

fn stored_message(subject: &str, headers: &str, data: &str) -> String {
    let encoded = |text: &str| to_string(&Bytes(text.as_bytes().to_vec()));
    format!(
        r#"{{"type":"x","message":{{"subject":"{subject}","seq":9,"hdrs":{},"data":{},"time":"2026-01-02T03:04:05Z"}}}}"#,
        encoded(headers),
        encoded(data)
    )
}

fn publish(payload: &[u8]) -> Published<'_> {
    Published { topic: "t", qos: Qos::ExactlyOnce, retain: true, properties: Properties::NONE, payload }
}

fn packet() -> PacketId {
    PacketId::new(5).unwrap()
}

#[test]
fn streams_are_looked_for_and_made_where_they_are_not() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.prepare(now, send));
    let asked: Vec<Sent> = world.sent.drain(..).collect();
    let subjects: Vec<&str> = asked.iter().map(|sent| sent.subject.as_str()).collect();
    assert_eq!(subjects[..2], ["$JS.API.STREAM.INFO.$MQTT_sess", "$JS.API.STREAM.INFO.$MQTT_msgs"]);
    assert_eq!(asked[0].reply.as_deref(), Some("$MQTT.JSA.NUmM6cRx.7.1"));
    assert_eq!(text(&world.talk.answers()), "$MQTT.JSA.NUmM6cRx.7.*");
    assert_eq!(world.answer(&asked[0], NO_STREAM), []);
    let create = world.next();
    assert_eq!(create.subject, "$JS.API.STREAM.CREATE.$MQTT_sess");
    assert!(create.payload.starts_with(r#"{"name":"$MQTT_sess","#), "{}", create.payload);
    for sent in &asked[1..] {
        assert_eq!(world.answer(sent, r#"{"type":"x"}"#), []);
    }
    // Somebody else was quicker.
    let exists =
        r#"{"type":"x","error":{"code":400,"err_code":10058,"description":"stream name already in use"}}"#;
    assert_eq!(world.answer(&create, exists), [Answer::Prepared(Ok(()))]);
    assert_eq!(world.talk.deadline(), None);
}

#[test]
fn without_jetstream_nothing_is_there() {
    let mut world = World::new();
    world.is_heard = false;
    world.act(|talk, now, send, _| talk.prepare(now, send));
    assert_eq!(world.talk.deadline(), Some(world.now));
    assert_eq!(world.expire(Duration::ZERO), [Answer::Prepared(Err(Failure::Nobody))]);
    assert_eq!(world.expire(Duration::from_secs(9)), []);
}

#[test]
fn what_is_not_answered_in_time_has_failed_and_its_answer_is_too_late() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.load(now, "sub", send));
    let asked = world.next();
    assert_eq!(asked.subject, "$JS.API.STREAM.MSG.GET.$MQTT_sess");
    assert_eq!(asked.payload, r#"{"last_by_subj":"$MQTT.sess.ZCesaM56"}"#);
    assert_eq!(world.talk.deadline(), Some(world.now + Duration::from_secs(5)));
    assert_eq!(world.expire(Duration::from_millis(4999)), []);
    assert_eq!(world.expire(Duration::from_millis(1)), [Answer::Loaded(Err(Failure::TimedOut))]);
    assert_eq!(world.answer(&asked, NO_MESSAGE), []);
}

#[test]
fn a_record_is_loaded_and_saved_and_deleted() {
    let mut world = World::new();
    let mut load = |answer: &str| {
        world.act(|talk, now, send, _| talk.load(now, "sub", send));
        let asked = world.next();
        world.answer(&asked, answer)
    };
    assert_eq!(load(NO_MESSAGE), [Answer::Loaded(Ok(None))]);
    let found = load(&stored_message("$MQTT.sess.ZCesaM56", "", r#"{"id":"sub","subs":{"t":1}}"#));
    let [Answer::Loaded(Ok(Some(found)))] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.0.subscriptions.len(), found.1), (1, 9));
    for bad in [
        stored_message("s", "", r#"{"id":"other"}"#),
        stored_message("s", "", "no"),
        "no".into(),
        "{}".into(),
    ] {
        let answer = load(&bad);
        assert!(matches!(answer.as_slice(), [Answer::Loaded(Err(Failure::Bad(_)))]), "{bad}: {answer:?}");
    }
    let record = Record {
        id: "sub".into(),
        pubrel: Some(Box::new(crate::streams::release_consumer(
            &settings(),
            crate::streams::Hash::of("sub"),
        ))),
        ..found.0.clone()
    };
    let mut save = |answer: &str| {
        world.act(|talk, now, send, _| talk.save(now, &record, 9, Saving::Packet(packet()), send));
        let sent = world.next();
        assert_eq!(sent.subject, "$MQTT.sess.ZCesaM56");
        assert_eq!(sent.headers, "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence:9\r\n\r\n");
        world.answer(&sent, answer)
    };
    assert_eq!(
        save(r#"{"stream":"$MQTT_sess","seq":10}"#),
        [Answer::Saved(Saving::Packet(packet()), Ok(10))]
    );
    let overtaken = save(
        r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 11"},"stream":"x","seq":0}"#,
    );
    assert!(
        matches!(overtaken.as_slice(), [Answer::Saved(_, Err(failure))] if failure.is_overtaken()),
        "{overtaken:?}"
    );
    assert!(matches!(save("{}").as_slice(), [Answer::Saved(_, Err(Failure::Bad(_)))]));
    world.act(|talk, _, send, _| talk.delete(&record, 9, send));
    let sent = world.next();
    assert_eq!(
        (sent.subject.as_str(), sent.reply),
        ("$JS.API.CONSUMER.DELETE.$MQTT_out.$MQTT_PUBREL_ZCesaM56", None)
    );
    let sent = world.next();
    assert_eq!(
        (sent.subject.as_str(), sent.payload.as_str()),
        ("$JS.API.STREAM.MSG.DELETE.$MQTT_sess", r#"{"seq":9,"no_erase":true}"#)
    );
}

/// Names of consumers come from a record that others may have written.
#[test]
fn a_name_that_would_be_another_request_is_asked_nowhere() {
    let mut world = World::new();
    for name in ["", "a.b", "*", ">", "a b", "a\r\nPUB"] {
        world.act(|talk, _, send, _| talk.delete_consumer(Stream::Messages, name, send));
        assert!(world.sent.is_empty(), "{name}");
    }
}

#[test]
fn messages_are_stored_held_and_released() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.hold(now, packet(), "c", b"t", &publish(b"x"), send));
    let sent = world.next();
    assert_eq!((sent.subject.as_str(), sent.payload.as_str()), ("$MQTT.qos2.in.c.5", "x"));
    assert_eq!(sent.headers, "NATS/1.0\r\nNmqtt-Pub:25\r\nNmqtt-Subject:t\r\n\r\n");
    let again = r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"},"stream":"$MQTT_qos2in","seq":0}"#;
    assert_eq!(world.answer(&sent, again), [Answer::Stored(Ticket::Held(packet()), Ok(()))]);
    world.act(|talk, now, send, _| talk.release(now, packet(), "c", send));
    let asked = world.next();
    assert_eq!(asked.payload, r#"{"last_by_subj":"$MQTT.qos2.in.c.5"}"#);
    let answer = world.answer(&asked, &stored_message("$MQTT.qos2.in.c.5", &sent.headers, "x"));
    let [Answer::Held(_, Ok(Some(held)))] = answer.as_slice() else { panic!("{answer:?}") };
    assert_eq!(
        (held.sequence, held.subject.as_slice(), held.qos, held.retain),
        (9, &b"t"[..], Qos::ExactlyOnce, true)
    );
    assert_eq!(held.payload, b"x");
    world.act(|talk, now, send, _| {
        let marks = crate::headers::Marks { retain: true, client: None };
        talk.store(now, Ticket::Released(packet()), b"t", (&publish(b"x"), marks), send);
    });
    let sent = world.next();
    assert_eq!(
        (sent.subject.as_str(), sent.headers.as_str()),
        ("$MQTT.msgs.t", "NATS/1.0\r\nNmqtt-Pub:2\r\nNmqtt-Retain:1\r\n\r\n")
    );
    // What fails for a message that is not held fails.
    assert!(matches!(world.answer(&sent, again).as_slice(), [Answer::Stored(Ticket::Released(_), Err(_))]));
    world.act(|talk, now, send, _| talk.received(now, packet(), "sub", send));
    let sent = world.next();
    assert_eq!(
        (sent.subject.as_str(), sent.headers.as_str()),
        ("$MQTT.out.pubrel.ZCesaM56", "NATS/1.0\r\nNmqtt-PubRel:5\r\n\r\n")
    );
    let stored = r#"{"stream":"$MQTT_out","seq":1}"#;
    assert_eq!(world.answer(&sent, stored), [Answer::Stored(Ticket::Received(packet()), Ok(()))]);
}

#[test]
fn what_is_retained_is_written_and_removed() {
    let mut world = World::new();
    world.act(|talk, _, send, _| talk.retain(b"t", &publish(b"x"), send));
    let sent = world.next();
    assert_eq!((sent.subject.as_str(), sent.reply), ("$MQTT.rmsgs.t", None));
    assert_eq!(
        sent.headers,
        "NATS/1.0\r\nNmqtt-RTopic:t\r\nNmqtt-RFlags:5\r\nNmqtt-ROrigin:NUmM6cRx\r\n\r\n"
    );
    world.talk.set_user("u");
    world.act(|talk, _, send, _| talk.retain(b"t", &publish(b"x"), send));
    assert!(world.next().headers.ends_with("Nmqtt-ROrigin:NUmM6cRx\r\nNmqtt-RSource:u\r\n\r\n"));
    world.act(|talk, _, send, _| talk.unretain(b"t.a", send));
    let sent = world.next();
    assert_eq!(
        (sent.subject.as_str(), sent.payload.as_str()),
        ("$JS.API.STREAM.PURGE.$MQTT_rmsgs", r#"{"filter":"$MQTT.rmsgs.t.a"}"#)
    );
    // The topic `t/*` is a subject that is a filter: others' messages are not its.
    world.act(|talk, _, send, _| talk.unretain(b"t.*", send));
    assert!(world.sent.is_empty());
}

/// Which is retained says the index, page by page; few are read at a time, and one subscription comes after the other.
#[test]
fn retained_messages_are_found_by_the_index() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.retained(now, 1, &[b"t.>", b"t"], send));
    world.act(|talk, now, send, _| talk.retained(now, 2, &[b"u"], send));
    let headers = "NATS/1.0\r\nNmqtt-RTopic:T\r\nNmqtt-RFlags:3\r\n\r\n";
    let page = |from: usize, to: usize| {
        let subjects: Vec<String> = (from..to).map(|n| format!("\"$MQTT.rmsgs.t.{n:02}\":1")).collect();
        format!(
            r#"{{"type":"x","total":30,"offset":{from},"limit":20,"config":{{}},"state":{{"subjects":{{{}}}}}}}"#,
            subjects.join(",")
        )
    };
    let (mut found, mut reading_most, mut lists) = (Vec::new(), 0, 0);
    while let Some(sent) = world.sent.pop_front() {
        reading_most = reading_most.max(world.sent.len() + 1);
        let answer = if sent.subject == "$JS.API.STREAM.INFO.$MQTT_rmsgs" {
            lists += 1;
            assert!(sent.payload.contains(r#""subjects_filter":"$MQTT.rmsgs.t.\u003e""#), "{}", sent.payload);
            if sent.payload.contains(r#""offset":20"#) { page(20, 30) } else { page(0, 20) }
        } else {
            let subject = sent
                .payload
                .strip_prefix(r#"{"last_by_subj":""#)
                .and_then(|rest| rest.strip_suffix("\"}"))
                .unwrap()
                .to_owned();
            // Some were removed meanwhile, and one was written by somebody who does not know how.
            match subject.as_str() {
                "$MQTT.rmsgs.t.03" => NO_MESSAGE.to_owned(),
                "$MQTT.rmsgs.t.04" => stored_message(&subject, "", "x"),
                // An older server wrote this one.
                "$MQTT.rmsgs.t.06" => {
                    stored_message(&subject, "", r#"{"topic":"t/06","msg":"eA==","flags":5}"#)
                }
                "$MQTT.rmsgs.t.05" => "nonsense".to_owned(),
                _ => stored_message(&subject, headers, "x"),
            }
        };
        for answer in world.answer(&sent, &answer) {
            found.push(match answer {
                Answer::Retained(of, message) => format!("{of} {} {:?}", message.subject, message.qos),
                Answer::RetainedEnd(of) => format!("{of} end"),
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!((lists, found.len()), (2, 1 + 27 + 1 + 2));
    assert!(reading_most <= 17, "{reading_most}");
    assert!(
        found.contains(&"1 t.29 AtLeastOnce".to_owned()) && found.contains(&"1 t AtLeastOnce".to_owned())
    );
    assert_eq!(found[found.len() - 3..], ["1 end", "2 u AtLeastOnce", "2 end"]);
}

/// A stream that does not answer holds up no subscription for ever.
#[test]
fn what_is_retained_is_given_up_in_time() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.retained(now, 1, &[b"*"], send));
    assert_eq!(world.expire(Duration::from_secs(5)), [Answer::RetainedEnd(1)]);
    world.act(|talk, now, send, _| talk.retained(now, 2, &[b"a"], send));
    assert_eq!(world.expire(Duration::from_secs(5)), [Answer::RetainedEnd(2)]);
}

/// A client without room gets no more than what was asked for before, and the others later.
#[test]
fn what_is_retained_waits_for_room() {
    let mut world = World::new();
    world.act(|talk, now, send, _| talk.retained(now, 1, &[b"*"], send));
    let subjects: Vec<String> = (10..50).map(|n| format!("\"$MQTT.rmsgs.{n}\":1")).collect();
    let page = format!(
        r#"{{"type":"x","total":40,"limit":100,"config":{{}},"state":{{"subjects":{{{}}}}}}}"#,
        subjects.join(",")
    );
    let sent = world.next();
    world.answer(&sent, &page);
    world.talk.pause_retained();
    let answer_all = |world: &mut World| {
        let mut found = Vec::new();
        while let Some(sent) = world.sent.pop_front() {
            let subject = sent.payload.split('"').nth(3).unwrap().to_owned();
            let message =
                stored_message(&subject, "NATS/1.0\r\nNmqtt-RTopic:T\r\nNmqtt-RFlags:3\r\n\r\n", "x");
            found.extend(world.answer(&sent, &message));
        }
        found
    };
    assert_eq!(answer_all(&mut world).len(), 16);
    world.act(|talk, now, send, out| talk.resume_retained(now, send, out));
    let found = answer_all(&mut world);
    assert_eq!((found.len(), found.last()), (25, Some(&Answer::RetainedEnd(1))));
}
