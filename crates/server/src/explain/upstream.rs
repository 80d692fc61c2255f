//! From which other servers messages come to a subscription, and whether those know that they are wanted here.

use super::context::{ExplainContext, text};
use super::onward::{self, SERVERS_MAX, kind_of};
use super::publish::{At, cut};
use super::report::{Departure, Question, Report, Step, Verdict, What};
use super::subscribe;
use crate::links::Link as OpenLink;
use dialtone_broker::account::Account;
use dialtone_broker::explain::{self, Wanted};
use dialtone_broker::kind::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Filters that are listed of what a server wants.
const FILTERS_MAX: usize = 20;

/// Links to other servers, and to which of these messages are to go.
pub(super) struct Upstream<'a> {
    context: &'a ExplainContext<'a>,
    open: Vec<OpenLink>,
    /// The messages go on to a server of this kind and id. `None`: somebody here wants them.
    onward_to: Option<(Kind, &'a str)>,
}

impl<'a> Upstream<'a> {
    /// Of messages that somebody here wants.
    pub(super) fn of(context: &'a ExplainContext<'a>) -> Self {
        Self { context, open: context.node.delivery.links(), onward_to: None }
    }

    /// The links to the server that the messages go on to, in an account.
    fn to_server(&self, account: &Account) -> impl Iterator<Item = &OpenLink> {
        let is_to = |link: &&OpenLink| {
            self.onward_to.is_some_and(|(kind, id)| link.kind == kind && link.server.id == *id)
        };
        self.open.iter().filter(is_to).filter(|link| carries(link, account))
    }

    /// Adds the servers from which messages come in an account.
    pub(super) fn add(&self, at: At<'_>, steps: &mut Vec<Step>) {
        let goes_on = |link: &OpenLink| match self.onward_to {
            None => true,
            Some((to, id)) => link.server.id != id && explain::goes_on(link.kind, to, at.subject.as_bytes()),
        };
        let mut known = BTreeSet::new();
        let brings = |link: &&OpenLink| {
            link.end.brings()
                && carries(link, at.account)
                && goes_on(link)
                && known.insert((link.kind, link.server.id.clone()))
        };
        let all: Vec<What> = self.open.iter().filter(brings).filter_map(|link| self.step(at, link)).collect();
        let more = all.len().saturating_sub(SERVERS_MAX);
        let note =
            (more > 0).then(|| What::Note { note: format!("it comes from {more} servers more"), at: None });
        steps.extend(all.into_iter().take(SERVERS_MAX).chain(note).map(|what| step(self.context, at, what)));
    }

    fn step(&self, at: At<'_>, link: &OpenLink) -> Option<What> {
        let from = onward::neighbor(self.context.node, at.account, link, &self.open)?;
        Some(What::Upstream { from })
    }
}

/// Whether messages of an account may go by a link.
fn carries(link: &OpenLink, account: &Account) -> bool {
    link.session.peer.place().account.is_none_or(|own| own.id == account.id)
}

fn step(context: &ExplainContext<'_>, at: At<'_>, what: What) -> Step {
    Step { level: at.level, account: context.name(at.account), subject: at.subject.to_owned(), what }
}

/// What another server gets of messages that are published here, or come here from further servers.
pub(super) fn report_departure(
    context: &ExplainContext<'_>,
    question: &Question,
    account: &Arc<Account>,
    departure: &Departure,
) -> Report {
    let at = At { level: 0, account, subject: &question.subject };
    let onward_to = kind_of(departure.by).map(|kind| (kind, departure.to.as_str()));
    let upstream = Upstream { onward_to, ..Upstream::of(context) };
    let mut steps = Vec::new();
    let report =
        |verdict, steps| Report { question: question.clone(), server: context.server(), verdict, steps };
    let wanted = wanted(&upstream, at, question.queue.as_deref());
    let is_wanted = wanted.as_ref().is_some_and(|wanted| !wanted.filters.is_empty());
    steps.push(step(context, at, wanted.map_or_else(nowhere, listed)));
    if !is_wanted {
        return report(Verdict::Nowhere, steps);
    }
    let note = "what users of the account publish here goes on to it".to_owned();
    steps.push(step(context, at, What::Note { note, at: None }));
    upstream.add(at, &mut steps);
    // Other servers in all accounts take streams and ask services themselves, by agreements that are the same there.
    if upstream.onward_to.is_some_and(|(kind, _)| !kind.is_in_all_accounts()) {
        let sources = explain::sources(account, question.subject.as_bytes(), &context.node.accounts.all());
        subscribe::add(context, (at, Some(&upstream)), &sources, &mut steps, &mut Vec::new());
    }
    cut(&mut steps);
    report(Verdict::Path, steps)
}

/// What the server has told that it wants; `None`: it is not linked in this account.
fn wanted(upstream: &Upstream<'_>, at: At<'_>, queue: Option<&str>) -> Option<Wanted> {
    let queue = queue.map(str::as_bytes);
    let links = upstream.to_server(at.account);
    links.fold(None, |found: Option<Wanted>, link| {
        let mut found = found.unwrap_or_default();
        let here = Wanted::of(&link.end.interest(), at.account, at.subject.as_bytes(), queue);
        found.filters.extend(here.filters);
        found.withheld.extend(here.withheld);
        Some(found)
    })
}

fn listed(wanted: Wanted) -> What {
    let Wanted { filters, withheld } = wanted;
    if filters.is_empty() && withheld.is_empty() {
        let why = "that server has not told of anybody there who wants such messages";
        return What::Stops { why: why.into(), at: None };
    }
    let more = [&filters, &withheld].map(|all| all.len().saturating_sub(FILTERS_MAX)).iter().sum();
    let few = |all: BTreeSet<Box<[u8]>>| all.iter().take(FILTERS_MAX).map(|filter| text(filter)).collect();
    What::Wanted { filters: few(filters), withheld: few(withheld), more }
}

fn nowhere() -> What {
    What::Stops { why: "that server is not linked to this one in this account".into(), at: None }
}
