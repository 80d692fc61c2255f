//! An answer in words.

use dialtone_server::explain::{Action, Kind, Live, Report, Rule, Step, Verdict, What, Who};
use std::fmt::Write as _;

/// An answer, for people: a line a step, further in where the way forks.
pub fn describe(report: &Report) -> String {
    let question = &report.question;
    let does = match question.action {
        Action::Publish => "publishes to",
        Action::Subscribe => "subscribes to",
    };
    let user = match question.user.as_deref() {
        None => "someone".to_owned(),
        Some(jwt) if jwt.starts_with("ey") => "the user of the JWT".to_owned(),
        Some(name) => format!("user {name}"),
    };
    let queue = question.queue.as_ref().map(|queue| format!(" in queue group {queue}")).unwrap_or_default();
    let mut out = format!("{user} of account {} {does} {}{queue}\n", question.account, question.subject);
    for step in &report.steps {
        let indent = "  ".repeat(usize::from(step.level) + 1);
        for (at, line) in lines(step, question.action).into_iter().enumerate() {
            let further = if at == 0 { "" } else { "  " };
            let _ = writeln!(out, "{indent}{further}{line}");
        }
    }
    out.push_str(match (report.verdict, question.action, question.other.is_some()) {
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

fn lines(step: &Step, action: Action) -> Vec<String> {
    let place = |at: &Option<String>| at.as_ref().map(|at| format!("  [{at}]")).unwrap_or_default();
    match &step.what {
        What::Permission { allowed, rule, each_looked_at } => {
            let verb = match action {
                Action::Publish => "publish",
                Action::Subscribe => "subscribe",
            };
            let may = if *allowed { "may" } else { "may not" };
            let mut lines = vec![format!("{may} {verb} {}: {}", step.subject, decides(rule.as_ref(), verb))];
            if *each_looked_at {
                lines.push("it reaches out of what is allowed: each message is looked at, too".to_owned());
            }
            lines
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
        What::Stops { why, at } => vec![format!("stops: {why}{}", place(at))],
        What::Note { note, at } => vec![format!("note: {note}{}", place(at))],
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
    let mut lines = Vec::new();
    let may: Vec<&str> = users.iter().filter(|who| who.may).map(|who| who.user.as_str()).collect();
    let more = if more > 0 { format!(" ({more} users more are not listed)") } else { String::new() };
    match (may.is_empty(), others) {
        (_, Some(others)) => lines.push(format!("may receive it: {others}")),
        (false, None) => lines.push(format!("may receive it: {}{more}", may.join(", "))),
        (true, None) if users.is_empty() => lines.push("the account has no users".to_owned()),
        (true, None) => lines.push(format!("none of its users may receive it{more}")),
    }
    for who in users.iter().filter(|who| !who.may) {
        lines.push(format!("{} may not: {}", who.user, decides(who.rule.as_ref(), "subscribe")));
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
