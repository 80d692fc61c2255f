//! What becomes of a message that a user publishes.

use super::context::{ExplainContext, place, text};
use super::report::{Arrival, Kind, Question, Report, Step, Verdict, What};
use super::users::Users;
use super::{missing, onward, stored};
use dialtone_broker::account::Account;
use dialtone_broker::explain::{self, Chance, Disposition, Place, Request};
use dialtone_broker::sharing::responses;
use std::sync::Arc;

/// Steps of an answer; what is beyond is left out.
pub(super) const STEPS_MAX: usize = 1000;

pub(super) fn report(
    context: &ExplainContext<'_>,
    question: &Question,
    account: &Arc<Account>,
    users: &Users,
) -> Report {
    let chances = explain::publish(account, &users.rights(), question.subject.as_bytes());
    let other = question.other.as_deref().and_then(|other| context.account(other).ok());
    let mut walk =
        Walk { context, users, wanted: other.clone(), sender: None, steps: Vec::new(), reached: Vec::new() };
    let at = At { level: 0, account, subject: &question.subject };
    for note in context.left_out.note().iter().chain(&users.note) {
        walk.note(at, note.clone());
    }
    if question.subject.as_bytes().starts_with(responses::PREFIX) {
        let note = "subjects that begin so are of answers to requests of other accounts: one that is waited for goes \
                    back to who asked, and no other goes anywhere";
        walk.note(at, note.into());
    }
    walk.chances(at, &chances);
    let Walk { mut steps, reached, .. } = walk;
    let is_wanted =
        |place: &&(Arc<Account>, bool)| other.as_ref().is_none_or(|other| Arc::ptr_eq(other, &place.0));
    let comes_there = reached.iter().filter(is_wanted).any(|(_, may_be_had)| *may_be_had);
    let denied = chances
        .iter()
        .all(|chance| matches!(chance.then, Disposition::Denied(..) | Disposition::Reserved(_)));
    let verdict = match (denied, comes_there) {
        (true, _) => Verdict::Refused,
        (false, true) => Verdict::Path,
        (false, false) => Verdict::Nowhere,
    };
    if !denied {
        let arrived: Vec<&str> = explain::places(&chances).iter().map(|p| &*p.account.name).collect();
        let subjects = chances.iter().filter_map(|chance| match &chance.then {
            Disposition::Arrives(place) => Some(text(&place.subject)),
            _ => None,
        });
        for subject in subjects {
            let at = At { level: 0, account, subject: &subject };
            let mut missing = missing::of_message(context, at, other.as_deref(), &arrived);
            // What is true of two subjects that a mapping makes is listed once.
            missing.retain(|step| steps.iter().all(|told: &Step| told.what != step.what));
            steps.extend(missing);
        }
    }
    cut(&mut steps);
    Report { question: question.clone(), server: context.server(), verdict, steps }
}

/// What becomes of a message that another server sends.
pub(super) fn report_arrival(
    context: &ExplainContext<'_>,
    question: &Question,
    account: &Arc<Account>,
    arrival: &Arrival,
) -> Report {
    let kind = onward::kind_of(arrival.by);
    let chances = kind.map(|kind| explain::arrive(account, kind, question.subject.as_bytes()));
    let other = question.other.as_deref().and_then(|other| context.account(other).ok());
    let users = Users { all: Vec::new(), is_one: false, note: None };
    let mut walk = Walk {
        context,
        users: &users,
        wanted: other.clone(),
        sender: Some(&arrival.from),
        steps: Vec::new(),
        reached: Vec::new(),
    };
    walk.chances(At { level: 0, account, subject: &question.subject }, &chances.unwrap_or_default());
    let Walk { mut steps, reached, .. } = walk;
    let is_wanted =
        |place: &&(Arc<Account>, bool)| other.as_ref().is_none_or(|other| Arc::ptr_eq(other, &place.0));
    let comes_there = reached.iter().filter(is_wanted).any(|(_, may_be_had)| *may_be_had);
    let verdict = if comes_there { Verdict::Path } else { Verdict::Nowhere };
    cut(&mut steps);
    Report { question: question.clone(), server: context.server(), verdict, steps }
}

/// Accounts that import a stream up to which all are listed, though one of them is asked for: more would hide that one.
const ASIDE_MAX: usize = 20;

/// Keeps no more steps than there may be, and says that there are more.
pub(super) fn cut(steps: &mut Vec<Step>) {
    if steps.len() <= STEPS_MAX {
        return;
    }
    steps.truncate(STEPS_MAX);
    if let Some(last) = steps.last_mut() {
        let note = format!("there is more than these {STEPS_MAX} steps; name the account at the other end");
        *last = Step { level: 0, what: What::Note { note, at: None }, ..last.clone() };
    }
}

/// Where on a way one is.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub level: u8,
    pub account: &'a Arc<Account>,
    pub subject: &'a str,
}

impl At<'_> {
    fn deeper(self) -> Self {
        Self { level: self.level.saturating_add(1), ..self }
    }
}

struct Walk<'a> {
    context: &'a ExplainContext<'a>,
    users: &'a Users,
    /// Where the message should arrive.
    wanted: Option<Arc<Account>>,
    /// The id of the server that sends it.
    sender: Option<&'a str>,
    steps: Vec<Step>,
    /// Accounts that it came to, and whether somebody may have it there.
    reached: Vec<(Arc<Account>, bool)>,
}

impl Walk<'_> {
    fn step(&mut self, at: At<'_>, what: What) {
        // One more than there may be, so that who cuts knows that something is missing.
        if self.steps.len() <= STEPS_MAX {
            let account = self.context.name(at.account);
            self.steps.push(Step { level: at.level, account, subject: at.subject.to_owned(), what });
        }
    }

    fn note(&mut self, at: At<'_>, note: String) {
        self.step(at, What::Note { note, at: None });
    }

    /// What an account makes of a message.
    fn chances(&mut self, at: At<'_>, chances: &[Chance]) {
        for chance in chances {
            let mut inner = at;
            if let Some((mapping, outcome)) = &chance.mapping {
                let mappings = self.context.agreements(&at.account.name).mappings;
                let found = mappings.iter().find(|m| m.subject == mapping.subject());
                let to = outcome.to.as_deref().map(text);
                // A destination that is the subject itself is no other way.
                self.step(
                    at,
                    What::Mapping {
                        mapping: mapping.subject().to_owned(),
                        percent: outcome.percent,
                        to,
                        drawn: outcome.is_drawn,
                        at: found.and_then(|mapping| place(&mapping.at)),
                    },
                );
                if chances.len() > 1 {
                    inner = at.deeper();
                }
            }
            match &chance.then {
                Disposition::Lost => {
                    self.step(
                        inner,
                        What::Stops { why: "the mapping loses it, on purpose".into(), at: None },
                    );
                }
                Disposition::Denied(subject, publishing) => {
                    let subject = text(subject);
                    let at = At { subject: &subject, ..inner };
                    self.step(at, self.users.publish(publishing));
                }
                Disposition::Reserved(subject) => {
                    let subject = text(subject);
                    let at = At { subject: &subject, ..inner };
                    let why = "servers keep subjects that begin so for themselves".into();
                    self.step(at, What::Stops { why, at: None });
                }
                Disposition::Arrives(place) => self.place(inner, place),
            }
        }
    }

    fn place(&mut self, at: At<'_>, place: &Place) {
        if self.is_full_for(place) {
            return;
        }
        let subject = text(&place.subject);
        let at = At { subject: &subject, account: &place.account, ..at };
        if !place.publishing.is_empty() {
            self.step(at, self.users.publish(&place.publishing));
        }
        let arrives = self.context.arrives(at.account, at.subject, &place.listeners);
        let may_be_had = self.context.may_be_had(&arrives, at.account, &place.subject);
        self.reached.push((place.account.clone(), may_be_had));
        self.step(at, arrives);
        // Where it came from another account or server, its publisher's own streams are told of there.
        let is_origin = self.sender.is_none() && at.level == 0;
        let stored = stored::steps(self.context, at.account, at.subject, is_origin);
        stored.into_iter().for_each(|what| self.step(at, what));
        let (onward, more) = onward::steps(self.context, at.account, &place.onward, self.sender);
        onward.into_iter().for_each(|what| self.step(at, what));
        if more > 0 {
            self.note(at, format!("it goes on to {more} servers more"));
        }
        let many = place.streams.len() > ASIDE_MAX;
        for (import, there) in &place.streams {
            let aside = self.wanted.as_ref().is_some_and(|wanted| !Arc::ptr_eq(wanted, &import.importer));
            if self.is_full_for(there) || (many && aside) {
                continue;
            }
            let (export, here, export_at) = self.context.import(
                &import.importer.name,
                &import.exporter.name,
                &import.subject,
                &import.local,
            );
            let what = What::Import {
                kind: Kind::Stream,
                exporter: self.context.name(&import.exporter),
                export,
                importer: self.context.name(&import.importer),
                import: import.subject.to_string(),
                local: import.local.to_string(),
                at: here,
                export_at,
            };
            self.step(at, what);
            self.place(at.deeper(), there);
        }
        for request in &place.services {
            self.request(at, request);
        }
    }

    /// Whether the answer is full: only the account where the message should arrive is still added.
    fn is_full_for(&self, place: &Place) -> bool {
        let is_wanted = self.wanted.as_ref().is_some_and(|wanted| Arc::ptr_eq(wanted, &place.account));
        self.steps.len() > STEPS_MAX && !is_wanted
    }

    fn request(&mut self, at: At<'_>, request: &Request) {
        let import = &request.import;
        let (export, here, export_at) =
            self.context.import(&at.account.name, &import.exporter.name, &import.subject, &import.local);
        let what = What::Import {
            kind: Kind::Service,
            exporter: self.context.name(&import.exporter),
            export,
            importer: self.context.name(at.account),
            import: import.subject.to_string(),
            local: import.local.to_string(),
            at: here,
            export_at,
        };
        self.step(at, what);
        let subject = text(&request.subject);
        let there = At { account: &import.exporter, subject: &subject, ..at }.deeper();
        if request.chances.is_empty() {
            let why = "it was asked on the way already: a request comes to no service twice, nor through more than 64";
            return self.step(there, What::Stops { why: why.into(), at: None });
        }
        self.chances(there, &request.chances);
    }
}
