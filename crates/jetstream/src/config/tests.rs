//! The checks against more than a thousand recorded answers of the official server, which `tests/configurations.txt` has.

use super::check_stream::official_creation;
use super::create_consumer::official_consumer;
use super::update_stream::official_update;
use super::*;
use crate::error::{self, ApiError};
use crate::json::{Strictness, from_slice, to_string};
use std::collections::BTreeMap;

const RECORDED: &str = include_str!("../../tests/configurations.txt");
const GIGABYTE: i64 = 1_000_000_000;

/// What a server has, as far as the checks see it.
struct World {
    account: BTreeMap<String, AccountLimits>,
    server: ServerLimits,
    streams: BTreeMap<String, StreamConfig>,
    consumers: BTreeMap<String, Consumed>,
}

#[derive(Default)]
struct Consumed(BTreeMap<String, ConsumerConfig>);

impl Consumers for Consumed {
    fn by_name(&self, name: &str) -> Option<ConsumerConfig> {
        self.0.get(name).cloned()
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &ConsumerConfig)) {
        self.0.iter().for_each(|(name, config)| each(name, config));
    }

    fn countable(&self) -> i64 {
        self.0.values().filter(|config| config.is_countable()).count() as i64
    }

    fn is_bound(&self, _: &str) -> bool {
        false
    }
}

impl World {
    fn of(limits: &str) -> Self {
        let mut account = AccountLimits::NONE;
        let mut server = ServerLimits {
            memory_bytes_max: GIGABYTE,
            storage_bytes_max: GIGABYTE,
            ..ServerLimits::default()
        };
        for (name, value) in limits.split_whitespace().filter_map(|limit| limit.split_once('=')) {
            let number = || value.parse().expect("a number");
            match name {
                "memory_bytes_max" => account.memory_bytes_max = number(),
                "storage_bytes_max" => account.storage_bytes_max = number(),
                "streams_max" => account.streams_max = number(),
                "consumers_max" => account.consumers_max = number(),
                "ack_pending_max" => account.ack_pending_max = number(),
                "memory_stream_bytes_max" => account.memory_stream_bytes_max = number(),
                "storage_stream_bytes_max" => account.storage_stream_bytes_max = number(),
                "max_bytes_required" => account.max_bytes_required = value == "true",
                "server_ack_pending_max" => server.ack_pending_max = number(),
                "server_request_batch_max" => server.request_batch_max = number(),
                "server_duplicate_window_max" => server.duplicate_window_max.0 = number(),
                other => panic!("what is {other}?"),
            }
        }
        let account = BTreeMap::from([(String::new(), account)]);
        Self { account, server, streams: BTreeMap::new(), consumers: BTreeMap::new() }
    }

    fn context(&self) -> Context<'_> {
        Context { tiers: &self.account, server: &self.server, streams: &self.streams }
    }

    fn stream_shown(&self, name: &str) -> String {
        let mut config = self.streams[name].clone();
        config.metadata = shown_metadata(&config.metadata);
        to_string(&config)
    }

    fn create(&mut self, name: &str, body: &str) -> Result<String, ApiError> {
        let request: StreamRequest = read(body, StreamRequest::GO)?;
        match official_creation(name, &request, self.context())? {
            Creation::Existing => {}
            Creation::New(config) => drop(self.streams.insert(name.to_owned(), *config)),
        }
        Ok(self.stream_shown(name))
    }

    fn update(&mut self, name: &str, body: &str) -> Result<String, ApiError> {
        let request: StreamRequest = read(body, StreamRequest::GO)?;
        let none = Consumed::default();
        let consumers = self.consumers.get(name).unwrap_or(&none);
        let mut consumers = consumers.0.iter().map(|(name, config)| (name.as_str(), config));
        let config = official_update(name, &request, &mut consumers, self.context())?;
        self.streams.insert(name.to_owned(), config);
        Ok(self.stream_shown(name))
    }

    fn consume(&mut self, subject: &str, is_durable: bool, body: &str) -> Result<String, ApiError> {
        let mut request: ConsumerRequest = read(body, ConsumerRequest::GO)?;
        let mut tokens = subject.splitn(3, '.');
        let stream = tokens.next().unwrap_or_default();
        let naming = match (tokens.next(), tokens.next()) {
            (Some(consumer), _) if is_durable => Naming::Durable { consumer },
            (Some(consumer), filter) => Naming::Named { consumer, filter: filter.unwrap_or_default() },
            (None, _) => Naming::Unnamed,
        };
        check_naming(stream, naming, &mut request)?;
        let config = self.streams.get(stream).ok_or(error::STREAM_NOT_FOUND)?;
        let none = Consumed::default();
        let consumers = self.consumers.get(stream).unwrap_or(&none);
        let mut new_name = || "EPHEMERAL".to_owned();
        let creation = official_consumer(&request, config, consumers, &mut new_name, self.context())?;
        let (ConsumerCreation::New { name, config } | ConsumerCreation::Update { name, config }) = creation;
        let mut shown = *config.clone();
        shown.metadata = shown_metadata(&shown.metadata);
        self.consumers.entry(stream.to_owned()).or_default().0.insert(name, *config);
        Ok(to_string(&shown))
    }

    fn delete_consumer(&mut self, subject: &str) -> Result<String, ApiError> {
        let (stream, name) = subject.split_once('.').expect("two names");
        // The recorded name of one that came without a name is another one.
        let consumers = self.consumers.get_mut(stream).ok_or(error::CONSUMER_NOT_FOUND)?;
        let removed = consumers.0.remove(name).or_else(|| consumers.0.remove("EPHEMERAL"));
        removed.map(|_| "ok".to_owned()).ok_or(error::CONSUMER_NOT_FOUND.error())
    }

    fn answer(&mut self, line: &str) -> String {
        let mut words = line.splitn(3, ' ');
        let operation = words.next().unwrap_or_default();
        let (subject, body) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answer = match operation {
            "SC" => self.create(subject, body),
            "SU" => self.update(subject, body),
            "SD" => {
                self.streams.remove(subject).map(|_| "ok".to_owned()).ok_or(error::STREAM_NOT_FOUND.error())
            }
            "CC" => self.consume(subject, false, body),
            "CD" => self.consume(subject, true, body),
            "CX" => self.delete_consumer(subject),
            other => panic!("what is {other}?"),
        };
        answer.unwrap_or_else(|error| to_string(&error))
    }
}

fn read<T: crate::json::Field + Default>(body: &str, go: &str) -> Result<T, ApiError> {
    let mut request = T::default();
    from_slice(body.as_bytes(), go, Strictness::Strict, &mut request)
        .map_err(|error| error::INVALID_JSON.with(error))?;
    Ok(request)
}

/// A line without its abbreviations.
fn whole(line: &str, abbreviations: &[(&str, &str)]) -> String {
    let mut text = line.to_owned();
    for (short, long) in abbreviations {
        text = text.replace(short, long);
    }
    while let Some((before, behind)) = text.split_once("{{x*") {
        let (count, behind) = behind.split_once("}}").expect("it is closed");
        text = [before, &"x".repeat(count.parse().expect("a number")), behind].concat();
    }
    text
}

#[test]
fn the_official_server_answers_the_same() {
    let mut world = World::of("");
    let (mut abbreviations, mut asked, mut differences) = (Vec::new(), String::new(), Vec::new());
    let mut answers = 0;
    for (at, line) in RECORDED.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        } else if let Some(rest) = line.strip_prefix("abbreviation ") {
            abbreviations.extend(rest.split_once(' '));
        } else if let Some(limits) = line.strip_prefix("world") {
            world = World::of(limits);
        } else if let Some(expected) = line.strip_prefix("= ") {
            let expected = whole(expected, &abbreviations);
            let answer = world.answer(&asked);
            answers += 1;
            if answer != expected {
                let short = |text: &str| text.chars().take(900).collect::<String>();
                differences.push(format!(
                    "line {}: {}\n  official {}\n  ours     {}",
                    at + 1,
                    short(&asked),
                    short(&expected),
                    short(&answer)
                ));
            }
        } else {
            asked = whole(line, &abbreviations);
        }
    }
    assert!(answers > 1000, "{answers}");
    assert!(differences.is_empty(), "{} of {answers} differ:\n{}", differences.len(), differences.join("\n"));
}
