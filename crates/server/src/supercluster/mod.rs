//! The supercluster that this server is in: [`dialtone_mesh::gateways`] decides, and here is who is asked and who is told.

mod settings;

pub(crate) use settings::settings;

use crate::machine::{Driven, Machine, Outcome};
use crate::policy::Identity;
use dialtone_mesh::gateways::{Action, Event, Gateways as Mesh, Note, Settings};
use dialtone_mesh::{DialId, LinkId, RouteUrl};
use dialtone_wire::gateway::{Connect, Info};
use dialtone_wire::{CloseReason, route};
use std::time::Instant;

/// What a connection is to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// It says CONNECT.
    Connect(Box<Connect>),
    /// It says INFO.
    Info(Box<Info>),
    /// Messages may go by it.
    Join {
        /// The other cluster.
        gateway: String,
    },
    /// It ends, behind this error if there is one.
    Close(CloseReason, Option<String>),
}

/// What the dialer is to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Connect.
    Dial(Box<Dial>),
    /// Tell all servers of the cluster.
    TellRoutes(Box<route::Info>),
    /// Log something.
    Note(Note),
}

/// Another cluster is dialled.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) dial: DialId,
    pub(crate) gateway: String,
    pub(crate) url: RouteUrl,
    pub(crate) is_configured: bool,
    pub(crate) attempt: u32,
}

/// One server's part in its supercluster.
pub type Supercluster = Driven<Member>;

/// The supercluster as this server sees it.
pub struct Member(Mesh);

impl Machine for Member {
    type Event<'e> = Event<'e>;
    type Order = Order;
    type Task = Task;

    fn lost(link: LinkId) -> Event<'static> {
        Event::Lost { link }
    }

    fn timeout() -> Event<'static> {
        Event::Timeout
    }

    fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Outcome<Order, Task>>) {
        let mut actions = Vec::new();
        self.0.handle(event, now, &mut actions);
        out.extend(actions.into_iter().map(outcome));
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.0.next_timeout()
    }
}

/// Whose an action is.
fn outcome(action: Action) -> Outcome<Order, Task> {
    match action {
        Action::SendConnect { link, connect } => Outcome::Order(link, Order::Connect(connect)),
        Action::SendInfo { link, info } => Outcome::Order(link, Order::Info(info)),
        Action::Join { link, gateway, .. } => Outcome::Order(link, Order::Join { gateway }),
        Action::Close { link, reason, error } => Outcome::Order(link, Order::Close(reason, error)),
        Action::Dial { dial, gateway, url, configured, attempt } => {
            Outcome::Task(Task::Dial(Box::new(Dial {
                dial,
                gateway,
                url,
                is_configured: configured,
                attempt,
            })))
        }
        Action::TellRoutes(info) => Outcome::Task(Task::TellRoutes(info)),
        Action::Note(note) => Outcome::Task(Task::Note(note)),
    }
}

impl Supercluster {
    /// Begins to be in a supercluster.
    pub(crate) fn begin(&self, identity: &Identity, settings: Settings) {
        let me = dialtone_mesh::Identity {
            id: identity.id.clone(),
            name: identity.name.clone(),
            made_up_cluster: String::new(),
            seed: crate::random::random(),
        };
        self.start(Member(Mesh::new(me, settings)), Event::Started);
    }

    /// What a server of the cluster that has just come is told.
    pub(crate) fn tellings(&self) -> Vec<route::Info> {
        self.read(|member| member.0.tellings()).unwrap_or_default()
    }
}
