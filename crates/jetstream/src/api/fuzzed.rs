//! What holds of every request, whatever it says: for fuzzing, and a property test.

use super::*;
use crate::config::{
    AccountLimits, ConsumerConfig, ConsumerCreation, ConsumerRequest, Consumers, Context, Creation, Naming,
    ServerLimits, StreamConfig, StreamRequest, check_naming, create_consumer, create_stream,
    static_consumer_metadata, update_stream,
};
use crate::json::{Field, Strictness, to_vec};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// A request as one text: the subject behind `$JS.API.`, a space, the body. What is read is written so that it is read again as the same, and what is
/// accepted once is accepted again as the same.
pub fn request_holds(input: &[u8]) {
    let split = input.iter().position(|byte| *byte == b' ').unwrap_or(input.len());
    let (subject, body) = (&input[..split], input.get(split + 1..).unwrap_or_default());
    let subject = [API_PREFIX, &String::from_utf8_lossy(subject)].concat();
    let Some(request) = parse(&subject, "") else { return };
    match request.endpoint {
        Endpoint::StreamCreate | Endpoint::StreamUpdate => {
            read_again(body, StreamRequest::GO).iter().for_each(stream_holds);
        }
        Endpoint::ConsumerCreate | Endpoint::ConsumerCreateNamed | Endpoint::DurableCreate => {
            let requests = read_again::<ConsumerRequest>(body, ConsumerRequest::GO);
            requests.iter().for_each(|read| consumer_holds(&request, read));
        }
        Endpoint::StreamNames | Endpoint::StreamList => drop(read_again::<StreamsRequest>(body, "")),
        Endpoint::StreamInfo => drop(read_again::<StreamInfoRequest>(body, "")),
        Endpoint::StreamPurge => drop(read_again::<PurgeRequest>(body, "")),
        Endpoint::StreamSnapshot => drop(read_again::<SnapshotRequest>(body, "")),
        Endpoint::StreamRestore => drop(read_again::<RestoreRequest>(body, "")),
        Endpoint::MessageDelete => drop(read_again::<MessageDeleteRequest>(body, "")),
        Endpoint::MessageGet | Endpoint::DirectGet => drop(read_again::<MessageGetRequest>(body, "")),
        Endpoint::ConsumerNames | Endpoint::ConsumerList => drop(read_again::<ConsumersRequest>(body, "")),
        Endpoint::ConsumerPause => drop(read_again::<PauseRequest>(body, "")),
        Endpoint::ConsumerUnpin => drop(read_plain::<UnpinRequest>(body, "")),
        Endpoint::ConsumerReset => drop(read_plain::<ResetRequest>(body, "")),
        Endpoint::ConsumerNext => drop(read_plain::<NextRequest>(body, "")),
        _ => {}
    }
}

/// Reads a body in both modes. What strict mode reads, lax mode reads alike.
fn read_again<T>(body: &[u8], go: &str) -> Option<T>
where
    T: Field + serde::Serialize + Default + PartialEq + Debug,
{
    let lax = read_request::<T>(body, go, Strictness::Lax).ok();
    if let Ok(strict) = read_request::<T>(body, go, Strictness::Strict) {
        assert_eq!(Some(&strict), lax.as_ref(), "strict mode only refuses");
    }
    let document = lax?;
    let written = to_vec(&document);
    let again = read_request::<T>(&written, go, Strictness::Strict);
    assert_eq!(again.as_ref(), Ok(&document), "{}", String::from_utf8_lossy(&written));
    Some(document)
}

fn with_context<T>(streams: &BTreeMap<String, StreamConfig>, check: impl FnOnce(Context<'_>) -> T) -> T {
    let tiers = BTreeMap::from([(String::new(), AccountLimits::NONE)]);
    let server = ServerLimits::default();
    check(Context { tiers: &tiers, server: &server, streams })
}

fn stream_holds(request: &StreamRequest) {
    let name = &request.config.name;
    let none = BTreeMap::new();
    let Ok(Creation::New(config)) = with_context(&none, |context| create_stream(name, request, context))
    else {
        return;
    };
    let one = BTreeMap::from([(name.clone(), (*config).clone())]);
    let same = StreamRequest { config: (*config).clone(), pedantic: false };
    let again = with_context(&one, |context| create_stream(name, &same, context));
    assert_eq!(again, Ok(Creation::Existing));
    let updated = with_context(&one, |context| update_stream(name, &same, &mut std::iter::empty(), context));
    assert_eq!(updated, Ok(*config));
}

/// No other consumers, or one.
struct One<'a>(Option<(&'a str, &'a ConsumerConfig)>);

impl Consumers for One<'_> {
    fn by_name(&self, name: &str) -> Option<ConsumerConfig> {
        self.0.filter(|(known, _)| *known == name).map(|(_, config)| config.clone())
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &ConsumerConfig)) {
        self.0.iter().for_each(|(name, config)| each(name, config));
    }

    fn countable(&self) -> i64 {
        self.0.iter().filter(|(_, config)| config.is_countable()).count() as i64
    }

    fn is_bound(&self, _: &str) -> bool {
        true
    }
}

fn consumer_holds(subject: &Request<'_>, request: &ConsumerRequest) {
    let naming = match subject.endpoint {
        Endpoint::DurableCreate => Naming::Durable { consumer: subject.consumer },
        Endpoint::ConsumerCreate => Naming::Unnamed,
        _ => Naming::Named { consumer: subject.consumer, filter: subject.rest },
    };
    let mut request = request.clone();
    if check_naming(subject.stream, naming, &mut request).is_err() {
        return;
    }
    let stream =
        StreamConfig { num_replicas: 1, subjects: vec!["a.>".to_owned()], ..StreamConfig::default() };
    let create = |request: &ConsumerRequest, one: &One<'_>| {
        let mut new_name = || "FUZZED".to_owned();
        with_context(&BTreeMap::new(), |context| {
            create_consumer(request, &stream, one, &mut new_name, context)
        })
    };
    let Ok(ConsumerCreation::New { name, config }) = create(&request, &One(None)) else { return };
    let same = ConsumerRequest {
        stream_name: request.stream_name.clone(),
        config: ConsumerConfig { name: name.clone(), ..(*config).clone() },
        ..ConsumerRequest::default()
    };
    let again = create(&same, &One(Some((&name, &same.config))));
    let pause_until = same.config.pause_until.map(crate::time::Time::utc);
    let mut config = Box::new(ConsumerConfig { pause_until, ..same.config.clone() });
    // The level is that of what was asked for: a `priority_timeout` below zero, which becomes none, counts there, as officially.
    static_consumer_metadata(&mut config);
    assert_eq!(again, Ok(ConsumerCreation::Update { name, config }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &str = include_str!("../../tests/configurations.txt");

    /// Recorded requests, as inputs.
    fn inputs() -> Vec<String> {
        let subjects =
            [("SC", "STREAM.CREATE."), ("CC", "CONSUMER.CREATE."), ("CD", "CONSUMER.DURABLE.CREATE.")];
        let input = |line: &str| {
            let (operation, rest) = line.split_once(' ')?;
            let (_, subject) = subjects.iter().find(|(known, _)| *known == operation)?;
            (!line.contains("{{x*")).then(|| [subject, rest].concat())
        };
        RECORDED.lines().filter_map(input).collect()
    }

    #[test]
    fn recorded_requests_hold() {
        let inputs = inputs();
        assert!(inputs.len() > 500, "{}", inputs.len());
        for input in inputs {
            request_holds(input.as_bytes());
            request_holds(input.replace("CREATE.X ", "CREATE.X \u{a0}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn requests_with_changed_bytes_hold(
            which in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let inputs = inputs();
            let mut input = which.get(&inputs).clone().into_bytes();
            // Two documents, one over the other.
            let second = other.get(&inputs).split_once(' ').map_or("", |(_, body)| body);
            if changes.len() % 2 == 0 {
                input.extend_from_slice(second.as_bytes());
            }
            let printable = b"{}[]:,\"0-.ex\\ <a";
            for (at, byte) in changes {
                let at = at.index(input.len());
                input[at] = printable[usize::from(byte) % printable.len()];
            }
            request_holds(&input);
            request_holds(&input[..cut.index(input.len())]);
        }
    }
}
