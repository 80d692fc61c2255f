//! Following a message over the servers that it goes on to, or back over those that it comes from: each is asked how it goes on there.

use anyhow::Result;
use dialtone_server::explain::{
    Action, Answering, Arrival, Departure, Link, Question, Report, Verdict, What,
};
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Servers that are asked. What is beyond is not followed, and that is said.
const SERVERS_MAX: usize = 64;
/// How long is waited for all of them together.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, and those of the servers that a message goes on to.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Of the server that was asked first, or of the configuration.
    #[serde(flatten)]
    pub first: Report,
    /// Of the others, in the order in which the message comes to them, or the other way round in which one comes from them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// It goes on to more servers than are asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// A server that a message goes on to, or comes from.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// From where, or to where.
    pub from: String,
    /// How the server is linked there.
    pub link: Link,
    /// Its name.
    pub server: String,
    /// How it goes on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Answer {
    /// Of one that nobody else is asked about.
    pub fn alone(first: Report) -> Self {
        Self { first, hops: Vec::new(), is_cut: false }
    }

    /// The verdict of all together: a message has a way if any server knows one. Who may subscribe does not depend on other servers.
    pub fn verdict(&self) -> Verdict {
        let reports = self.hops.iter().filter_map(|hop| hop.report.as_ref());
        match self.first.verdict {
            Verdict::Nowhere
                if self.first.question.action == Action::Publish
                    && reports.into_iter().any(|report| report.verdict == Verdict::Path) =>
            {
                Verdict::Path
            }
            verdict => verdict,
        }
    }
}

/// Where a message goes on to, or comes from.
struct Next {
    from: Answering,
    link: Link,
    server: String,
    id: String,
    account: String,
    subject: String,
}

/// Asks all servers that a message goes on to, or that send what a subscription asks for, one after the other; none twice for the same.
pub fn follow(first: Report, mut ask: impl FnMut(&Question) -> Result<Report>) -> Answer {
    let until = Instant::now() + PATIENCE;
    let mut answer = Answer::alone(first);
    let mut open: VecDeque<Next> = further(&answer.first).collect();
    let mut known = BTreeSet::new();
    while let Some(next) = open.pop_front() {
        if !known.insert((next.id.clone(), next.link, next.account.clone(), next.subject.clone())) {
            continue;
        }
        if answer.hops.len() >= SERVERS_MAX || Instant::now() > until {
            answer.is_cut = true;
            return answer;
        }
        let question = Question {
            account: next.account,
            user: None,
            subject: next.subject,
            server: Some(next.id),
            ..answer.first.question.clone()
        };
        let (by, other) = (next.link.seen_from_there(), next.from.id);
        let question = match question.action {
            Action::Publish => Question { arrives: Some(Arrival { by, from: other }), ..question },
            Action::Subscribe => {
                Question { leaves: Some(Departure { by, to: other }), other: None, ..question }
            }
        };
        let (report, problem) = match ask(&question) {
            Ok(report) => (Some(report), None),
            Err(problem) => (None, Some(format!("{problem:#}"))),
        };
        open.extend(report.iter().flat_map(further));
        let (from, link, server) = (next.from.name, next.link, next.server);
        answer.hops.push(Hop { from, link, server, report, problem });
    }
    answer
}

/// The servers that a report leads on to, or back to, and that can be asked.
fn further(report: &Report) -> impl Iterator<Item = Next> {
    let from = report.server.as_ref();
    let steps = report.steps.iter().filter_map(move |step| Some((from?, step)));
    steps.filter_map(|(from, step)| match &step.what {
        What::Onward { to: neighbor, .. } | What::Upstream { from: neighbor }
            if neighbor.not_asked.is_none() =>
        {
            Some(Next {
                from: from.clone(),
                link: neighbor.link,
                server: neighbor.server.clone(),
                id: neighbor.id.clone(),
                account: neighbor.there.clone(),
                subject: step.subject.clone(),
            })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_server::explain::{Neighbor, Step};

    fn report(server: &str, to: &[(Link, &str)]) -> Report {
        let question = Question::new("A", Action::Publish, "x");
        let step = |(link, to): &(Link, &str)| Step {
            level: 0,
            account: "A".into(),
            subject: "x".into(),
            what: What::Onward {
                to: Neighbor {
                    link: *link,
                    server: (*to).to_owned(),
                    id: (*to).to_owned(),
                    cluster: None,
                    there: "A".into(),
                    not_asked: to.is_empty().then(|| "somebody else's".to_owned()),
                },
                queue_groups: Vec::new(),
            },
        };
        let steps = to.iter().map(step).collect();
        let server = Answering { name: server.to_owned(), id: server.to_owned() };
        Report { question, server: Some(server), verdict: Verdict::Nowhere, steps }
    }

    /// From a subscription each server is asked what it sends to the one before.
    #[test]
    fn a_subscription_is_followed_back() {
        let upstream = |server: &str, from: &[(Link, &str)]| {
            let mut report = report(server, from);
            report.question.action = Action::Subscribe;
            for step in &mut report.steps {
                if let What::Onward { to, .. } = step.what.clone() {
                    step.what = What::Upstream { from: to };
                }
            }
            report
        };
        let mut first = upstream("a", &[(Link::Gateway, "b")]);
        first.question.other = Some("B".into());
        let mut asked = Vec::new();
        let answer = follow(first, |question| {
            assert_eq!((&question.arrives, &question.other), (&None, &None));
            let Departure { by, to } = question.leaves.clone().expect("it leaves");
            let server = question.server.clone().unwrap_or_default();
            asked.push((server.clone(), by, to));
            let further: &[(Link, &str)] = if server == "b" { &[(Link::Spoke, "c")] } else { &[] };
            Ok(Report { verdict: Verdict::Path, ..upstream(&server, further) })
        });
        let to = |server: &str, by, to: &str| (server.to_owned(), by, to.to_owned());
        assert_eq!(asked, [to("b", Link::Gateway, "a"), to("c", Link::Hub, "b")]);
        assert_eq!(answer.verdict(), Verdict::Nowhere, "who may subscribe depends on the first alone");
    }

    /// However servers answer, lies included: each way is followed once, and all are bounded.
    #[test]
    fn each_server_is_asked_once_and_so_many_at_most() {
        let mut asked = Vec::new();
        let first = report("a", &[(Link::Route, "b"), (Link::Gateway, "c"), (Link::Spoke, "")]);
        let answer = follow(first, |question| {
            let server = question.server.clone().unwrap_or_default();
            asked.push((server.clone(), question.arrives.as_ref().map(|arrival| arrival.by)));
            anyhow::ensure!(server != "c", "no answer");
            Ok(Report { verdict: Verdict::Path, ..report(&server, &[(Link::Route, "b"), (Link::Hub, "d")]) })
        });
        let by = |server: &str, link| (server.to_owned(), Some(link));
        assert_eq!(asked, [by("b", Link::Route), by("c", Link::Gateway), by("d", Link::Spoke)]);
        let problems: Vec<_> = answer.hops.iter().map(|hop| hop.problem.as_deref()).collect();
        assert_eq!(problems, [None, Some("no answer"), None]);
        assert_eq!((answer.verdict(), answer.is_cut), (Verdict::Path, false));
        let mut number = 0;
        let endless = follow(report("a", &[(Link::Route, "0")]), |_| {
            number += 1;
            let names = [number.to_string(), format!("{number}x")];
            Ok(report("b", &names.each_ref().map(|name| (Link::Route, name.as_str()))))
        });
        assert_eq!((endless.hops.len(), endless.is_cut), (SERVERS_MAX, true));
    }
}
