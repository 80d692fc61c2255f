//! Questions and answers: plain values that travel as JSON.

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// An account, by its name or public NKey.
    pub account: String,
    /// A user in it, by name or NKey; in operator mode, its JWT or the name of one who is connected. `None`: any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the user does.
    pub action: Action,
    /// With which subject.
    pub subject: String,
    /// For subscribing: in which queue group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The account at the other end: where the message should arrive, or come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// The id of the server that is to answer. `None`: the one that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Nobody publishes there: another server sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrives: Option<Arrival>,
    /// Nobody subscribes there: another server wants what comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Departure>,
}

impl Question {
    /// What any user of an account does, asked of the server that gets the question.
    pub fn new(account: &str, action: Action, subject: &str) -> Self {
        let (account, subject) = (account.to_owned(), subject.to_owned());
        Self {
            account,
            user: None,
            action,
            subject,
            queue: None,
            other: None,
            server: None,
            arrives: None,
            leaves: None,
        }
    }
}

/// How a message comes to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// What sends it, to who gets it.
    pub by: Link,
    /// The id of the server that sends it: it does not go back there.
    pub from: String,
}

/// How a message goes on from a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// What gets it, to who sends it.
    pub by: Link,
    /// The id of the server that gets it.
    pub to: String,
}

/// How another server is linked to one: what it is to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A server of the same cluster.
    Route,
    /// A server of another cluster.
    Gateway,
    /// A hub.
    Hub,
    /// A leaf node.
    Spoke,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Route, Self::Gateway, Self::Hub, Self::Spoke];

    /// As it is written, and as metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Gateway => "gateway",
            Self::Hub => "hub",
            Self::Spoke => "spoke",
        }
    }

    /// What the server at this end is to the other one.
    pub fn seen_from_there(self) -> Self {
        match self {
            Self::Hub => Self::Spoke,
            Self::Spoke => Self::Hub,
            same => same,
        }
    }
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Publishes.
    #[serde(rename = "pub")]
    Publish,
    /// Subscribes.
    #[serde(rename = "sub")]
    Subscribe,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked.
    pub question: Question,
    /// The server that answers, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Answering>,
    /// In short.
    pub verdict: Verdict,
    /// The way, in order.
    pub steps: Vec<Step>,
}

/// A server that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// The answer in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is a way.
    Path,
    /// The user's rights refuse.
    Refused,
    /// It may set out, and comes nowhere where somebody may have it, or not where it should.
    Nowhere,
}

/// One step of a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How many forks lie before it.
    pub level: u8,
    /// The account that it is in.
    pub account: String,
    /// The subject there.
    pub subject: String,
    /// What happens.
    #[serde(flatten)]
    pub what: What,
}

/// An entry of somebody's rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Such as `publish deny`.
    pub list: String,
    /// As it was written. `None`: nothing in the list fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// `file:line:column`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// A user, with the rule that decides for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its name or NKey.
    pub user: String,
    /// Whether it may.
    pub may: bool,
    /// The only way in which it may, such as in a queue group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// What decides. `None`: it has all rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
}

/// Who listens now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Subscriptions without a queue group that get it.
    pub subscriptions: usize,
    /// Queue groups of which one member gets it.
    pub queue_groups: Vec<String>,
    /// Subscriptions that ask for it, and whose rights do not let them have it.
    pub withheld: usize,
}

/// A consumer of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamConsumer {
    /// Its name.
    pub name: String,
    /// Where it sends messages. `None`: it is asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivers_to: Option<String>,
    /// Why it hands out nothing now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
}

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stream.
    Stream,
    /// A service.
    Service,
}

/// Another server that this one is linked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// How it is linked.
    pub link: Link,
    /// Its name.
    pub server: String,
    /// Its id.
    pub id: String,
    /// The other cluster, by a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The account there.
    pub there: String,
    /// Why it cannot be asked what goes on there, or comes from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
}

/// What happens at a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum What {
    /// The rights of the user decide.
    Permission {
        /// How.
        allowed: bool,
        /// The only way in which it may, such as to answer requests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
        /// What decides. `None`: it has all rights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<Rule>,
        /// For a subscription: each message is looked at too, for it reaches out of what is allowed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        each_looked_at: bool,
    },
    /// No user was named: what the rights of each decide.
    Users {
        /// Users who may, or may not: of each the first few.
        users: Vec<Who>,
        /// Users that are not listed.
        more: usize,
    },
    /// The account maps the subject.
    Mapping {
        /// What the mapping is for.
        mapping: String,
        /// With how many of a hundred messages.
        percent: u8,
        /// Where they go. `None`: nowhere, on purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// A part of that is drawn for each message.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        drawn: bool,
        /// `file:line:column`
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// The message is in the account under this subject.
    Arrives {
        /// Users who may subscribe to it, or may not: of each the first few.
        users: Vec<Who>,
        /// Users that are not listed.
        more: usize,
        /// Users are not known by the configuration: everyone, or those that have a JWT.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        others: Option<String>,
        /// Who listens now, if a server answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        live: Option<Live>,
    },
    /// A stream stores it, or would.
    Stored {
        /// Which.
        stream: String,
        /// Under which subject, where the stream has another one for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored_as: Option<String>,
        /// Why it refuses a message without headers and payload now. `None`: it takes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
        /// What else a publisher should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// Consumers that get it, by name; of many the first few.
        consumers: Vec<StreamConsumer>,
        /// Consumers that are not listed.
        more: usize,
    },
    /// It crosses to or from another account.
    Import {
        /// What is shared.
        kind: Kind,
        /// Who exports it.
        exporter: String,
        /// What is exported.
        export: String,
        /// Who imports it.
        importer: String,
        /// What the import takes.
        import: String,
        /// What that is called where it is imported.
        local: String,
        /// Where the import stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// Where the export stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        export_at: Option<String>,
    },
    /// It goes on to another server.
    Onward {
        /// Which.
        #[serde(flatten)]
        to: Neighbor,
        /// It goes there only if a member of one of these is drawn there. Empty: in any case.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        queue_groups: Vec<String>,
    },
    /// Messages may come from another server.
    Upstream {
        /// Which.
        #[serde(flatten)]
        from: Neighbor,
    },
    /// The other server has told that it wants such messages.
    Wanted {
        /// By which filters; of many the first few.
        filters: Vec<String>,
        /// By these, and its rights do not let it have them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        withheld: Vec<String>,
        /// Filters that are not listed.
        more: usize,
    },
    /// It does not go on.
    Stops {
        /// Why.
        why: String,
        /// Where that stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
    /// Something to know.
    Note {
        /// What.
        note: String,
        /// Where that stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
    },
}
