//! What a stream says of messages that are traced: whether it stores them, under which subject, or why it does not.

use dialtone_broker::trace::{Intake, IntakeOutcome};
use dialtone_jetstream::stream::{Admitted, Proposal, Publish, Refusal};
use dialtone_wire::header;

/// Notes what was decided on a message. Whether that was all that was wanted of it.
pub(super) fn decide(
    intake: &Intake,
    published: &Publish<'_>,
    admitted: &Result<Option<Admitted<'_>>, Refusal>,
) -> bool {
    let (outcome, is_stored) = match admitted {
        Ok(Some(Admitted::Proposal(proposal))) => (stored(proposal, published), true),
        // Of a batch: whether it is stored is decided with the last message of that.
        Ok(None) => (IntakeOutcome { subject: published.subject.into(), ..IntakeOutcome::default() }, true),
        Ok(Some(Admitted::Duplicate(_))) => {
            (IntakeOutcome { error: Some("msgid is duplicate".into()), ..IntakeOutcome::default() }, false)
        }
        Err(refusal) => (refused(refusal, published), false),
    };
    intake.decide(outcome);
    intake.only && is_stored
}

fn stored(proposal: &Proposal<'_>, published: &Publish<'_>) -> IntakeOutcome {
    let subject = match proposal {
        Proposal::Store(store) | Proposal::Skip(store) => &store.subject,
        Proposal::Batch(stores) => stores.last().map_or(published.subject, |store| &store.subject),
        _ => published.subject,
    };
    let is_unwanted = match proposal {
        Proposal::Skip(_) => true,
        Proposal::Store(store) => store.is_skipped,
        _ => false,
    };
    IntakeOutcome { subject: subject.into(), is_unwanted, error: None }
}

/// Official servers show what they call the error inside, which is what the publisher is told, with its code, for most of them. What the
/// store finds is found behind all else, when the subject is known.
fn refused(refusal: &Refusal, published: &Publish<'_>) -> IntakeOutcome {
    let value = |name: &str| {
        let value = header::value(published.headers, name.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    let coded = || format!("{refusal} ({})", refusal.code());
    let (error, is_late) = match refusal {
        Refusal::StoreFailed(why) => ((*why).to_owned(), true),
        Refusal::TtlInvalid => (coded(), true),
        Refusal::StreamNotMatch | Refusal::RollupFailed(_) => (refusal.to_string(), false),
        Refusal::MessageTooLarge => ("maximum payload exceeded".to_owned(), false),
        Refusal::TtlDisabled => ("message TTL disabled".to_owned(), false),
        Refusal::WrongLastMsgId(last) => {
            (format!("last msgid mismatch: {:?} vs {last:?}", value("Nats-Expected-Last-Msg-Id")), false)
        }
        Refusal::WrongLastSequence(last) => {
            let (of_stream, of_subject) =
                (value("Nats-Expected-Last-Sequence"), value("Nats-Expected-Last-Subject-Sequence"));
            let is_of_subject = of_stream.is_empty() || of_stream == last.to_string();
            match is_of_subject {
                true => (format!("last sequence by subject mismatch: {of_subject} vs {last}"), false),
                false => (format!("last sequence mismatch: {of_stream} vs {last}"), false),
            }
        }
        _ => (coded(), false),
    };
    let subject = if is_late { published.subject } else { b"" };
    IntakeOutcome { subject: subject.into(), is_unwanted: false, error: Some(error.into()) }
}
