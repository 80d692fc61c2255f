//! The options of each endpoint, read from a query or from a body.
//!
//! An option that means nothing to a server without the part it is about is read all the same: one that cannot be
//! understood is an error.

use super::query::Window;
use super::source::{Bad, Source, Subs, by_request, named, same};

/// Rows that are listed if no limit is given. The official figure.
const LIMIT_DEFAULT: usize = 1024;

/// `/connz`
#[derive(Clone, Debug)]
pub(crate) struct ConnzOptions {
    pub(crate) sort: String,
    pub(crate) auth: bool,
    pub(crate) subs: Subs,
    pub(crate) window: Window,
    /// One connection only; 0: all.
    pub(crate) cid: u64,
    /// 0 open, 1 closed, 2 both.
    pub(crate) state: i64,
    pub(crate) user: String,
    pub(crate) account: String,
    /// Only those with a subscription that this filter overlaps.
    pub(crate) filter_subject: String,
    pub(crate) mqtt_client: String,
}

impl ConnzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self {
            sort: source.text(same("sort"))?,
            auth: source.flag(same("auth"))?,
            subs: source.subs()?,
            window: source.window(LIMIT_DEFAULT)?,
            cid: source.unsigned(same("cid"))?,
            state: source.state()?,
            user: source.text(same("user"))?,
            account: source.text(same("acc"))?,
            filter_subject: source.text(by_request("filter_subject"))?,
            mqtt_client: source.text(same("mqtt_client"))?,
        })
    }
}

/// `/subsz`
#[derive(Clone, Debug)]
pub(crate) struct SubszOptions {
    /// Whether they are listed.
    pub(crate) list: bool,
    pub(crate) window: Window,
    pub(crate) account: String,
    /// Only those that would get a message of this subject.
    pub(crate) test: String,
}

impl SubszOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self {
            list: source.flag(named("subs", "subscriptions"))?,
            window: source.window(LIMIT_DEFAULT)?,
            account: source.text(named("acc", "account"))?,
            test: source.text(same("test"))?,
        })
    }
}

/// `/accountz`
#[derive(Clone, Debug)]
pub(crate) struct AccountzOptions {
    pub(crate) account: String,
}

impl AccountzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self { account: source.text(named("acc", "account"))? })
    }
}

/// `/accstatz`
#[derive(Clone, Debug)]
pub(crate) struct AccountStatzOptions {
    /// These only; none: all.
    pub(crate) accounts: Vec<String>,
    /// Those that nobody is in, too.
    pub(crate) unused: bool,
}

impl AccountStatzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self {
            accounts: source.list(by_request("accounts"))?,
            unused: source.flag(named("unused", "include_unused"))?,
        })
    }
}

/// `/healthz`
#[derive(Clone, Debug)]
pub(crate) struct HealthzOptions {
    /// By a name that is deprecated.
    pub(crate) js_enabled: bool,
    /// Not of accounts and streams.
    pub(crate) is_of_server: bool,
    /// Every problem, not the first alone.
    pub(crate) details: bool,
    pub(crate) account: String,
    pub(crate) stream: String,
    pub(crate) consumer: String,
}

impl HealthzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        // Accounts are no part of whether JetStream is on, and of whether the server is well.
        let mut is_of_server = false;
        for name in ["js-enabled-only", "js-server-only"] {
            is_of_server |= source.flag(same(name))?;
        }
        source.flag(same("js-meta-only"))?;
        let js_enabled = source.flag(same("js-enabled"))?;
        Ok(Self {
            is_of_server: is_of_server || js_enabled,
            js_enabled,
            details: source.flag(same("details"))?,
            account: source.text(same("account"))?,
            stream: source.text(same("stream"))?,
            consumer: source.text(same("consumer"))?,
        })
    }
}

/// `/routez`
pub(crate) struct RoutezOptions {
    pub(crate) subs: Subs,
}

impl RoutezOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        source.subs().map(|subs| Self { subs })
    }
}

/// `/gatewayz`
pub(crate) struct GatewayzOptions {
    /// Only this cluster; empty: all.
    pub(crate) name: String,
    /// This account is shown.
    pub(crate) account: String,
    /// All accounts are.
    pub(crate) accounts: bool,
    /// Subscriptions of accounts are listed.
    pub(crate) subs: Subs,
}

impl GatewayzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self {
            subs: source.subs()?,
            name: source.text(named("gw_name", "name"))?,
            account: source.text(named("acc_name", "account_name"))?,
            accounts: source.flag(named("accs", "accounts"))?,
        })
    }
}

/// `/leafz`
pub(crate) struct LeafzOptions {
    /// Only those of this account.
    pub(crate) account: Option<String>,
    /// What they are interested in is listed.
    pub(crate) subs: bool,
}

impl LeafzOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        let account = source.text(named("acc", "account"))?;
        let subs = source.flag(named("subs", "subscriptions"))?;
        Ok(Self { account: Some(account).filter(|name| !name.is_empty()), subs })
    }
}

/// `/jsz`
#[derive(Clone)]
pub(crate) struct JszOptions {
    /// One account; empty: all.
    pub(crate) account: String,
    pub(crate) accounts: bool,
    pub(crate) streams: bool,
    pub(crate) consumers: bool,
    /// Consumers by which other streams take messages.
    pub(crate) direct_consumers: bool,
    /// The configurations of streams and consumers, too.
    pub(crate) config: bool,
    /// What of it this server leads is counted.
    pub(crate) raft: bool,
    /// Only a server that leads answers.
    pub(crate) leader_only: bool,
    pub(crate) window: Window,
}

impl JszOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        let accounts = source.flag(same("accounts"))?;
        let streams = source.flag(same("streams"))?;
        let consumers = source.flag(named("consumers", "consumer"))?;
        let direct_consumers = source.flag(named("direct-consumers", "direct_consumer"))?;
        let config = source.flag(same("config"))?;
        // Streams here lead all that they have.
        source.flag(named("stream-leader-only", "stream_leader_only"))?;
        let raft = source.flag(same("raft"))?;
        let account = source.text(named("acc", "account"))?;
        let window = source.window(LIMIT_DEFAULT)?;
        Ok(Self {
            account,
            accounts,
            streams,
            consumers,
            direct_consumers,
            config,
            raft,
            leader_only: source.flag(named("leader-only", "leader_only"))?,
            window,
        })
    }
}

/// `/ipqueuesz`
pub(crate) struct IpqueueszOptions {
    /// Queues in which nothing waits, too.
    pub(crate) all: bool,
    /// Only those whose name holds this.
    pub(crate) filter: String,
}

impl IpqueueszOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self { all: source.flag(same("all"))?, filter: source.text(named("queues", "filter"))? })
    }
}

/// `PROFILEZ`
pub(crate) struct ProfilezOptions {
    pub(crate) name: String,
}

impl ProfilezOptions {
    pub(crate) fn read(source: &impl Source) -> Result<Self, Bad> {
        Ok(Self { name: source.text(by_request("name"))? })
    }
}
