//! How a spoke comes in: it is sent INFO at once, says CONNECT, and is told in a second INFO in what account it is and what it may do there.

use super::{LeafConnection, Side};
use crate::cluster::{joined, leaf_address, leaf_urls};
use crate::compression::wanted;
use crate::conduct::Claim;
use crate::leafs::Remote;
use crate::lines::{self, Speaker as _};
use crate::log::Event;
use crate::policy::{COMPATIBLE_VERSION, ListenerKind};
use crate::system;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_config::Secret;
use dialtone_config::options::{Permissions as Rights, Rules};
use dialtone_identity::authenticator::{Credentials, Shown};
use dialtone_identity::permission::Permissions;
use dialtone_subject::is_valid_filter;
use dialtone_wire::CloseReason;
use dialtone_wire::interserver::{PROTOCOL, SubjectRules};
use dialtone_wire::leaf::{Connect, Info};
use dialtone_wire::s2::Mode;
use std::sync::Arc;

/// The JetStream API level. The official figure.
const API_LEVEL: u64 = 5;

/// The rights that a spoke came in with.
pub(super) struct Granted {
    /// Those of its user.
    rights: Rights,
    /// What it does not want beside.
    denied: Vec<String>,
}

impl Granted {
    fn effective(&self) -> Rights {
        let mut rights = self.rights.clone();
        rights.subscribe.deny.extend(self.denied.iter().cloned());
        rights
    }
}

/// What shows who a spoke is.
fn credentials(connect: &mut Connect) -> Credentials {
    use std::mem::take;
    Credentials {
        user: take(&mut connect.user),
        password: Secret::new(take(&mut connect.pass)),
        token: Secret::new(take(&mut connect.auth_token)),
        nkey: take(&mut connect.nkey),
        signature: take(&mut connect.sig),
        proxy_signature: take(&mut connect.proxy_sig),
        jwt: take(&mut connect.jwt).into(),
    }
}

/// What it says of itself, as clients say it.
fn described(connect: &Connect) -> dialtone_wire::Connect {
    dialtone_wire::Connect {
        name: connect.name.clone(),
        version: connect.version.clone(),
        ..dialtone_wire::Connect::NOTHING
    }
}

impl LeafConnection {
    /// The server speaks first.
    pub(super) fn send_greeting(&mut self, turn: &mut Turn) {
        if self.conduct.greets_later() {
            return;
        }
        let Side::Accepted { nonce, .. } = &self.side else { return };
        let info = Info {
            nonce: nonce.to_string(),
            compression: self.wanted_compression().text().into(),
            ..self.info()
        };
        self.send_info(&info, turn);
    }

    fn wanted_compression(&self) -> Mode {
        let own = self.conduct.policy.options.leafnodes.as_ref();
        match own {
            _ if self.is_deflated => Mode::NotSupported,
            Some(own) => wanted(&own.listener.compression),
            None => Mode::Off,
        }
    }

    /// Whether INFO of a spoke means anything.
    pub(super) fn may_be_compressed(&self) -> bool {
        !matches!(self.wanted_compression(), Mode::Off | Mode::NotSupported)
    }

    /// A spoke that has not said CONNECT asks for compression: INFO comes again behind it, in S2, and CONNECT is waited for there.
    pub(super) fn agree_with_spoke(&mut self, info: &Info, turn: &mut Turn) {
        let policy = self.conduct.policy.clone();
        let Some(own) = policy.options.leafnodes.as_ref() else { return };
        if !self.is_stranger() || self.compression.agreed().is_some() {
            return;
        }
        match self.compression.agree(&own.listener.compression, &info.compression) {
            Ok(false) => {}
            Ok(true) => {
                self.compression.state().set_strange(true);
                self.compression.begin(&self.link, self.conduct.peer());
                self.send_greeting(turn);
            }
            Err(unknown) => self.refuse(&unknown.to_string(), CloseReason::ProtocolViolation, turn),
        }
    }

    fn send_info(&self, info: &Info, turn: &mut Turn) {
        let mut out = Vec::with_capacity(512);
        info.encode(&mut out);
        lines::send(&self.conduct, "INFO", &out, turn);
    }

    /// Other servers have come or gone where leaf nodes may connect: a spoke that is in is told.
    pub(super) fn tell_urls(&mut self, turn: &mut Turn) {
        // There is no cluster any more when this server ends: then a spoke is to go to those that it knows.
        let Some(of_all) = self.conduct.node.cluster.leaf_urls() else { return };
        if let Side::Accepted { urls: told, .. } = &mut self.side
            && self.leaf.is_some()
            && *told != *of_all
        {
            told.clone_from(&of_all);
            self.send_info(&Info { client_id: 0, ..self.info() }, turn);
        }
    }

    /// Where else in the cluster it may connect, and here.
    fn urls(&self) -> Vec<String> {
        let node = &self.conduct.node;
        match node.cluster.leaf_urls() {
            Some(of_all) => of_all.to_vec(),
            None => leaf_urls(&self.conduct.policy.options, &node.settings.identity),
        }
    }

    fn info(&self) -> Info {
        let (policy, node) = (&self.conduct.policy, &self.conduct.node);
        let own = policy.options.leafnodes.as_ref();
        let clients = &policy.clients().info;
        let tls = policy.of(ListenerKind::LeafNodes).tls.as_ref();
        let address = leaf_address(&policy.options, &node.settings.identity);
        let (host, port) = address.unwrap_or_default();
        let ip = joined(&host, port);
        Info {
            server_id: node.settings.identity.id.clone(),
            server_name: node.settings.identity.name.clone(),
            version: COMPATIBLE_VERSION.into(),
            proto: PROTOCOL,
            git_commit: clients.git_commit.clone(),
            go: clients.go.clone(),
            host,
            port,
            headers: policy.options.clients.headers,
            auth_required: true,
            tls_required: tls.is_some(),
            tls_verify: own.and_then(|own| own.listener.tls.as_ref()).is_some_and(|tls| tls.verify),
            max_payload: policy.options.limits.payload_bytes_max as i64,
            ip,
            client_id: self.peer().id.0,
            cluster: self.own_cluster(),
            api_lvl: API_LEVEL,
            info_on_connect: true,
            leafnode_urls: self.urls(),
            ..Info::default()
        }
    }

    /// The other end says who it is.
    pub(super) fn take_connect(&mut self, json: &[u8], turn: &mut Turn) {
        let Some(mut connect) = lines::readable(&self.conduct, Connect::parse(json)) else { return };
        if !connect.lang.is_empty() {
            return self.refuse("attempted to connect to leaf node port", CloseReason::WrongPort, turn);
        }
        if !connect.gateway.is_empty() {
            let gateway = &connect.gateway;
            let error = format!("Rejecting connection from gateway {gateway:?} on the leafnode port");
            return self.refuse(&error, CloseReason::WrongGateway, turn);
        }
        if connect.cluster.contains(' ') {
            let reason = CloseReason::ProtocolViolation;
            return self.refuse("cluster name cannot contain spaces", reason, turn);
        }
        if let Some(leaf) = &self.leaf {
            // Who comes again is one too many; the official server takes it for another connection.
            let remote = &leaf.remote;
            let is_same = (&connect.name, &connect.remote_account) == (&remote.server_name, &remote.account);
            if is_same && !connect.name.is_empty() && !connect.remote_account.is_empty() {
                let reason = CloseReason::DuplicateRemoteLeafnodeConnection;
                self.refuse(reason.text(), reason, turn);
            }
            return;
        }
        self.measure(turn);
        let Side::Accepted { nonce, pending, .. } = &mut self.side else { return };
        self.conduct.present(Shown::new(credentials(&mut connect), nonce));
        *pending = Some(Box::new(connect));
        self.conduct.begin_check(turn.now());
        self.authenticate(turn);
    }

    fn authenticate(&mut self, turn: &mut Turn) {
        let Side::Accepted { pending, .. } = &self.side else { return };
        let said = pending.as_deref().map(described);
        let claim = Claim { said: said.as_ref(), is_repeated: false };
        let login = self.conduct.authenticate(&claim, turn);
        if self.carry_out(login, turn) {
            self.finish_connect(turn);
        }
    }

    /// Answers of checks that took long have come. True if it may go on.
    pub(super) fn take_verdicts(&mut self, turn: &mut Turn) -> bool {
        let Side::Accepted { pending, .. } = &self.side else { return false };
        let said = pending.as_deref().map(described);
        let claim = Claim { said: said.as_ref(), is_repeated: false };
        let login = self.conduct.take_verdicts(&claim, turn);
        let is_in = self.carry_out(login, turn);
        self.conduct.take_place(turn.now());
        if is_in {
            self.finish_connect(turn);
        }
        is_in
    }

    /// The other end is who it says: the rest of CONNECT counts.
    fn finish_connect(&mut self, turn: &mut Turn) {
        let Side::Accepted { pending, .. } = &mut self.side else { return };
        let Some(connect) = pending.take() else { return };
        self.compression.state().set_strange(false);
        if let Some(own) = self.conduct.policy.options.leafnodes.as_ref()
            && self.compression.agreed().is_none()
        {
            self.compression.leave_out(&own.listener.compression, &connect.compress_mode);
        }
        let own = self.own_cluster();
        if !own.is_empty() && own == connect.cluster {
            let error = "remote leafnode has same cluster name";
            return self.refuse(error, CloseReason::ClusterNamesIdentical, turn);
        }
        if let Some(least) = self.version_missed(&connect.version) {
            // The official server's leaf nodes look at what comes behind this INFO.
            self.send_info(&self.connect_info(), turn);
            let error = format!("connection rejected since minimum version required is {least:?}");
            return self.refuse(&error, CloseReason::MinimumVersionRequired, turn);
        }
        self.peer().set_hub(connect.is_hub);
        let headers = connect.headers && self.conduct.policy.options.clients.headers;
        self.peer().set_understands_headers(headers);
        self.peer().set_protocol(connect.protocol);
        if !connect.cluster.is_empty() {
            self.peer().set_leaf_cluster(connect.cluster.as_bytes());
        }
        // Its own user's rights, before what it does not want beside.
        let info = self.connect_info();
        self.send_info(&info, turn);
        if let Side::Accepted { urls, .. } = &mut self.side {
            *urls = info.leafnode_urls;
        }
        let mut denied = connect.deny_pub.clone();
        denied.retain(|filter| is_valid_filter(filter.as_bytes()));
        if let Side::Accepted { granted, .. } = &mut self.side {
            *granted = Some(Box::new(Granted { rights: rights_of(&self.conduct.place), denied }));
        }
        self.deny(turn);
        let Connect { name, server_id, remote_account, isolate, .. } = *connect;
        let is_isolated =
            isolate || self.conduct.policy.options.leafnodes.as_ref().is_some_and(|own| own.isolate);
        let remote = Remote { server_id, server_name: name, account: remote_account };
        self.join(remote, is_isolated, turn);
        if let Some(leaf) = &self.leaf {
            system::leaf_connected(&self.conduct.node, turn, &leaf.account);
        }
    }

    /// The answer to CONNECT.
    fn connect_info(&self) -> Info {
        let place = &self.conduct.place;
        let account = place.account.as_deref();
        let rights = place.permissions.as_deref().map(Permissions::source);
        Info {
            connect_info: true,
            remote_account: account.map_or_else(String::new, |account| account.name.to_string()),
            acc_is_sys: account.is_some_and(|account| account.is_system()),
            import: rights.and_then(|rights| rules(&rights.subscribe)),
            export: rights.and_then(|rights| rules(&rights.publish)),
            ..self.info()
        }
    }

    /// The version that the other end would have to have, if it has a lower one.
    fn version_missed(&self, version: &str) -> Option<String> {
        let least = self.conduct.policy.options.leafnodes.as_ref()?.listener.version_min?;
        let mut parts = version.split(['.', '-', '+']).map(|part| part.parse::<u64>().ok());
        let found: Option<Vec<u64>> = parts.by_ref().take(3).collect();
        let is_met = found.is_some_and(|found| found.len() == 3 && found >= least.to_vec());
        (!is_met).then(|| least.map(|part| part.to_string()).join("."))
    }

    /// It does not get what it does not want.
    fn deny(&mut self, turn: &mut Turn) {
        let Side::Accepted { granted: Some(granted), .. } = &self.side else { return };
        if granted.denied.is_empty() {
            return;
        }
        let account = self.conduct.place.account.clone();
        let permissions = Some(Arc::new(Permissions::new(&granted.effective())));
        self.peer().set_place(Place { account, permissions });
        self.conduct.take_place(turn.now());
    }

    /// Takes over what has changed of its user's rights. What each end has told the other goes by those that it came in with: with others it
    /// has to come in anew.
    pub(super) fn take_rights(&mut self, turn: &mut Turn) {
        if !self.conduct.take_place(turn.now()) || self.leaf.is_none() {
            return;
        }
        let Side::Accepted { granted: Some(granted), .. } = &self.side else { return };
        let rights = rights_of(&self.conduct.place);
        if rights == granted.rights {
            self.deny(turn);
        } else if rights != granted.effective() {
            self.log(Event::LeafClosed, format_args!("The rights of its user have changed"));
            self.peer().close(CloseReason::ClientClosed);
        }
    }
}

fn rights_of(place: &Place) -> Rights {
    place.permissions.as_deref().map_or_else(Rights::default, |own| own.source().clone())
}

/// Rules as INFO has them; `None`: they say nothing.
fn rules(rules: &Rules) -> Option<SubjectRules> {
    let allow = rules.allow.clone().unwrap_or_default();
    let says = !allow.is_empty() || !rules.deny.is_empty();
    says.then(|| SubjectRules { allow, deny: rules.deny.clone() })
}
