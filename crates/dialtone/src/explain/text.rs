//! An answer in words.

use super::hops::Answer;
use dialtone_server::explain::{
    Action, Kind, Link, Live, Neighbor, Report, Rule, Step, StreamConsumer, Verdict, What, Who,
};
use std::fmt::Write as _;

/// An answer, for people: a line a step, further in where the way forks.
pub fn describe(answer: &Answer) -> String {
    let report = &answer.first;
    let question = &report.question;
    let does = match question.action {
        Action::Publish => "publishes to",
        Action::Subscribe => "subscribes to",
    };
    let is_any = report.steps.iter().any(|step| matches!(step.what, What::Users { .. }));
    let user = match question.user.as_deref() {
        None if is_any => "any user".to_owned(),
        None => "someone".to_owned(),
        Some(jwt) if jwt.starts_with("ey") => "the user of the JWT".to_owned(),
        Some(name) => format!("user {name}"),
    };
    let queue = question.queue.as_ref().map(|queue| format!(" in queue group {queue}")).unwrap_or_default();
    let mut out = format!("{user} of account {} {does} {}{queue}\n", question.account, question.subject);
    steps(report, &mut out);
    for hop in &answer.hops {
        let (by, what) = match question.action {
            Action::Publish => (from(hop.link), "how it goes on there"),
            Action::Subscribe => (to(hop.link), "what comes from there"),
        };
        let _ = writeln!(out, "at server {}, by {by} {}", hop.server, hop.from);
        if let Some(problem) = &hop.problem {
            let _ = writeln!(out, "  stops: it does not say {what}: {problem}");
        }
        hop.report.iter().for_each(|report| steps(report, &mut out));
    }
    if answer.is_cut {
        out.push_str("it goes on to more servers, which were not asked\n");
    }
    out.push_str(match (answer.verdict(), question.action, question.other.is_some()) {
        (Verdict::Path, Action::Publish, false) => "it may be received\n",
        (Verdict::Path, Action::Publish, true) => "it arrives there\n",
        (Verdict::Path, Action::Subscribe, false) => "it may subscribe\n",
        (Verdict::Path, Action::Subscribe, true) => "messages come from there\n",
        (Verdict::Refused, ..) => "it is refused\n",
        (Verdict::Nowhere, Action::Publish, false) => "nobody may receive it\n",
        (Verdict::Nowhere, Action::Publish, true) => {
            "it does not arrive there, where somebody may receive it\n"
        }
        (Verdict::Nowhere, Action::Subscribe, _) => "nothing comes from there\n",
    });
    out
}

/// How a message came to a server.
fn from(link: Link) -> &'static str {
    match link {
        Link::Route => "a route from",
        Link::Gateway => "a gateway from",
        Link::Hub => "its leaf node",
        Link::Spoke => "its hub",
    }
}

/// How a message goes on from a server.
fn to(link: Link) -> &'static str {
    match link {
        Link::Route => "a route to",
        Link::Gateway => "a gateway to",
        Link::Hub => "its leaf node",
        Link::Spoke => "its hub",
    }
}

fn steps(report: &Report, out: &mut String) {
    for step in &report.steps {
        let indent = "  ".repeat(usize::from(step.level) + 1);
        for (at, line) in lines(step, report.question.action).into_iter().enumerate() {
            let further = if at == 0 { "" } else { "  " };
            let _ = writeln!(out, "{indent}{further}{line}");
        }
    }
}

fn lines(step: &Step, action: Action) -> Vec<String> {
    let place = |at: &Option<String>| at.as_ref().map(|at| format!("  [{at}]")).unwrap_or_default();
    match &step.what {
        What::Permission { allowed, only, rule, each_looked_at } => {
            let verb = verb(action);
            let subject = &step.subject;
            let decides = decides(rule.as_ref(), verb);
            let mut lines = vec![match (*allowed, only) {
                (true, None) => format!("may {verb} {subject}: {decides}"),
                (true, Some(only)) => format!("may {verb} {subject} only {only}: allow_responses"),
                (false, None) => format!("may not {verb} {subject}: {decides}"),
                (false, Some(only)) => format!("may not {verb} {subject}: {decides}; it may {only}"),
            }];
            if *each_looked_at {
                lines.push("it reaches out of what is allowed: each message is looked at, too".to_owned());
            }
            lines
        }
        What::Users { users, more } => {
            who(users, *more, &format!("{} {}", verb(action), step.subject), verb(action))
        }
        What::Mapping { mapping, percent, to, drawn, at } => {
            let to = match to {
                Some(to) if *drawn => format!("such as {to}, a part of it drawn for each message"),
                Some(to) => to.clone(),
                None => "nowhere".to_owned(),
            };
            let share = if *percent == 100 { String::new() } else { format!("{percent} of 100: ") };
            vec![format!(
                "mapping {mapping} in account {}: {share}{} becomes {to}{}",
                step.account,
                step.subject,
                place(at)
            )]
        }
        What::Arrives { users, more, others, live } => {
            let mut lines = vec![format!("arrives in account {} as {}", step.account, step.subject)];
            lines.extend(receivers(users, *more, others.as_deref()));
            lines.extend(live.as_ref().map(listening));
            lines
        }
        What::Import { kind, exporter, export, importer, import, local, at, export_at } => {
            let (kind, does) = match kind {
                Kind::Stream => ("stream", "takes"),
                Kind::Service => ("service", "asks"),
            };
            let named = if local == import { String::new() } else { format!(" as {local}") };
            vec![
                format!(
                    "{kind}: account {importer} {does} {import} of account {exporter}{named}{}",
                    place(at)
                ),
                format!("exported as {export}{}", place(export_at)),
            ]
        }
        What::Stored { stream, stored_as, refused, notes, consumers, more } => {
            let kept = stored_as.as_ref().map(|kept| format!(" as {kept}")).unwrap_or_default();
            let mut lines = vec![match refused {
                Some(why) => format!("stream {stream} refuses it: {why}"),
                None => format!("stream {stream} stores it{kept}"),
            }];
            lines.extend(notes.iter().map(|note| format!("note: {note}")));
            lines.push(given_out(consumers, *more, refused.is_some()));
            lines
        }
        What::Onward { to, queue_groups } => onward(step, to, queue_groups),
        What::Upstream { from } => upstream(step, from),
        What::Wanted { filters, withheld, more } => wanted(filters, withheld, *more),
        What::Stops { why, at } => vec![format!("stops: {why}{}", place(at))],
        What::Note { note, at } => vec![format!("note: {note}{}", place(at))],
    }
}

/// The consumers of a stream that get a message.
fn given_out(consumers: &[StreamConsumer], more: usize, is_refused: bool) -> String {
    if consumers.is_empty() {
        return "no consumer gets it".to_owned();
    }
    let named = |one: &StreamConsumer| {
        let to = one.delivers_to.as_ref().map(|to| format!("sends it to {to}"));
        let about: Vec<String> = to.into_iter().chain(one.idle.clone()).collect();
        if about.is_empty() { one.name.clone() } else { format!("{} ({})", one.name, about.join("; ")) }
    };
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let get = if is_refused { "would get" } else { "get" };
    format!("consumers that {get} it: {}{more}", consumers.iter().map(named).collect::<Vec<_>>().join(", "))
}

/// Where a message goes on to.
fn onward(step: &Step, to: &Neighbor, queue_groups: &[String]) -> Vec<String> {
    let only = match queue_groups.is_empty() {
        true => String::new(),
        false => format!(", if a member of {} is drawn there", queue_groups.join(" or ")),
    };
    other(to, ("goes on to", &account(step, to, "to"), &only))
}

/// Where messages come from.
fn upstream(step: &Step, from: &Neighbor) -> Vec<String> {
    other(from, ("may come from", &account(step, from, "from"), ""))
}

/// The account there, if it is called otherwise.
fn account(step: &Step, there: &Neighbor, preposition: &str) -> String {
    let name = &there.there;
    if *name == step.account { String::new() } else { format!(", {preposition} account {name}") }
}

/// Another server, by what it is linked, and whether that is the end; with the words before that, and those behind.
fn other(other: &Neighbor, (before, account, behind): (&str, &str, &str)) -> Vec<String> {
    let Neighbor { link, server, cluster, not_asked, .. } = other;
    let cluster = cluster.as_ref().map(|name| format!(" of cluster {name}")).unwrap_or_default();
    let (what, by) = match link {
        Link::Route => ("server", ", by a route"),
        Link::Gateway => ("server", ", by a gateway"),
        Link::Hub => ("hub", ""),
        Link::Spoke => ("leaf node", ""),
    };
    let mut lines = vec![format!("{before} {what} {server}{cluster}{by}{account}{behind}")];
    lines.extend(not_asked.as_ref().map(|why| format!("stops: {why}")));
    lines
}

/// What another server has told that it wants.
fn wanted(filters: &[String], withheld: &[String], more: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if !filters.is_empty() {
        lines.push(format!("that server has told that it wants {}", filters.join(", ")));
    }
    if !withheld.is_empty() {
        lines.push(format!("its rights do not let it have {}", withheld.join(", ")));
    }
    if more > 0 {
        lines.push(format!("{more} filters more are not listed"));
    }
    lines
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Publish => "publish",
        Action::Subscribe => "subscribe",
    }
}

fn decides(rule: Option<&Rule>, verb: &str) -> String {
    let Some(Rule { list, entry, at }) = rule else { return "nothing denies it".to_owned() };
    let at = at.as_ref().map(|at| format!("  [{at}]")).unwrap_or_default();
    match entry {
        Some(entry) => format!("{list} {entry}{at}"),
        None => format!("nothing that is listed under {verb} allow fits"),
    }
}

fn receivers(users: &[Who], more: usize, others: Option<&str>) -> Vec<String> {
    match others {
        Some(others) => vec![format!("may receive it: {others}")],
        None if users.is_empty() => vec!["the account has no users".to_owned()],
        None => who(users, more, "receive it", "subscribe"),
    }
}

/// Who may do something, and why the others may not; `verb` says which of their rights decide.
fn who(users: &[Who], more: usize, what: &str, verb: &str) -> Vec<String> {
    let named = |who: &Who| match &who.only {
        Some(only) => format!("{} (only {only})", who.user),
        None => who.user.clone(),
    };
    let may: Vec<String> = users.iter().filter(|who| who.may).map(named).collect();
    let more = if more > 0 { format!(" ({more} users more are not listed)") } else { String::new() };
    let mut lines = vec![if may.is_empty() {
        format!("none of its users may {what}{more}")
    } else {
        format!("may {what}: {}{more}", may.join(", "))
    }];
    for who in users.iter().filter(|who| !who.may) {
        let only = who.only.as_ref().map(|only| format!("; it may {only}")).unwrap_or_default();
        lines.push(format!("{} may not: {}{only}", who.user, decides(who.rule.as_ref(), verb)));
    }
    lines
}

fn listening(live: &Live) -> String {
    let plural = if live.subscriptions == 1 { "" } else { "s" };
    let mut out = format!("listening now: {} subscription{plural}", live.subscriptions);
    if !live.queue_groups.is_empty() {
        let _ = write!(out, ", one of each queue group of {}", live.queue_groups.join(", "));
    }
    if live.withheld > 0 {
        let _ = write!(out, "; withheld from {}, whose rights do not let them have it", live.withheld);
    }
    out
}
