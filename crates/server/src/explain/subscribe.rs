//! From where a subscription gets messages.

use super::context::{ExplainContext, place, text};
use super::missing;
use super::publish::{At, STEPS_MAX, cut};
use super::report::{Kind, Question, Report, Step, Verdict, What};
use super::upstream::Upstream;
use super::users::Users;
use dialtone_broker::account::Account;
use dialtone_broker::explain::{self, Source};
use dialtone_subject::set;
use std::sync::Arc;

pub(super) fn report(
    context: &ExplainContext<'_>,
    question: &Question,
    account: &Arc<Account>,
    users: &Users,
) -> Report {
    let filter = question.subject.as_bytes();
    let queue = question.queue.as_deref().map(str::as_bytes);
    let mut steps = Vec::new();
    let step = |at: At<'_>, what| Step {
        level: at.level,
        account: context.name(at.account),
        subject: at.subject.to_owned(),
        what,
    };
    let at = At { level: 0, account, subject: &question.subject };
    for note in context.left_out.note().iter().chain(&users.note) {
        steps.push(step(at, What::Note { note: note.clone(), at: None }));
    }
    let (what, allowed) = users.subscribe(filter, queue);
    steps.push(step(at, what));
    let report =
        |verdict, steps| Report { question: question.clone(), server: context.server(), verdict, steps };
    if !allowed {
        return report(Verdict::Refused, steps);
    }
    for mapping in context.agreements(&account.name).mappings {
        if set::overlap(mapping.subject.as_bytes(), filter) {
            let to: Vec<&str> = mapping.destinations.iter().map(|d| d.subject.as_str()).collect();
            let note = format!(
                "the account maps what is published to {} to {}: only what it becomes arrives",
                mapping.subject,
                to.join(", ")
            );
            steps.push(step(at, What::Note { note, at: place(&mapping.at) }));
        }
    }
    let mappings = context.agreements(&account.name).mappings;
    for mapping in explain::mapped_to(account, filter) {
        let found = mappings.iter().find(|claimed| claimed.subject == mapping.subject());
        let note = format!("what is published to {} may become such a subject", mapping.subject());
        steps.push(step(at, What::Note { note, at: found.and_then(|mapping| place(&mapping.at)) }));
    }
    let sources = explain::sources(account, filter, &context.node.accounts.all());
    let mut from = vec![account.clone()];
    let note = "what users of the account itself publish arrives".to_owned();
    steps.push(step(at, What::Note { note, at: None }));
    let upstream = Upstream::of(context);
    upstream.add(at, &mut steps);
    add(context, (at, Some(&upstream)), &sources, &mut steps, &mut from);
    let other = question.other.as_deref().and_then(|other| context.account(other).ok());
    let known: Vec<&str> = from.iter().map(|account| &*account.name).collect();
    steps.extend(missing::of_subscription(context, at, other.as_deref(), &known));
    cut(&mut steps);
    let comes = other.is_none_or(|other| from.iter().any(|account| Arc::ptr_eq(account, &other)));
    report(if comes { Verdict::Path } else { Verdict::Nowhere }, steps)
}

/// Adds accounts from which messages come, and the servers from which they come in those that are taken as streams.
pub(super) fn add(
    context: &ExplainContext<'_>,
    (at, upstream): (At<'_>, Option<&Upstream<'_>>),
    sources: &[Source],
    steps: &mut Vec<Step>,
    from: &mut Vec<Arc<Account>>,
) {
    for source in sources {
        let (kind, exporter, importer, subject, local, before): (_, _, _, _, _, &[Source]) = match source {
            Source::Stream(import) => {
                (Kind::Stream, &import.exporter, &import.importer, &import.subject, &import.local, &[])
            }
            Source::Service(importer, import, before) => {
                (Kind::Service, &import.exporter, importer, &import.subject, &import.local, before)
            }
        };
        from.push(if kind == Kind::Stream { exporter.clone() } else { importer.clone() });
        if steps.len() > STEPS_MAX {
            continue;
        }
        let (export, here, export_at) = context.import(&importer.name, &exporter.name, subject, local);
        let what = What::Import {
            kind,
            exporter: context.name(exporter),
            export,
            importer: context.name(importer),
            import: subject.to_string(),
            local: local.to_string(),
            at: here,
            export_at,
        };
        steps.push(Step {
            level: at.level,
            account: context.name(at.account),
            subject: at.subject.to_owned(),
            what,
        });
        let before_it = At { level: at.level.saturating_add(1), account: importer, subject: local };
        if let (Source::Stream(import), Some(upstream)) = (source, upstream) {
            let there = text(&import.filter_in_exporter(at.subject.as_bytes()));
            upstream.add(At { account: exporter, subject: &there, ..before_it }, steps);
        }
        // What is asked of others is translated where it is published.
        add(context, (before_it, None), before, steps, from);
    }
}
