//! Every error and every reason of the official server is here in its words: a checklist made of tables.

use dialtone_wire::error::Consequence;
use dialtone_wire::{CloseReason, ProtocolError};

fn lines(table: &'static str) -> Vec<&'static str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_error_has_its_words_and_its_consequence() {
    let ours: Vec<String> = ProtocolError::ALL
        .iter()
        .map(|error| {
            let then = match error.then() {
                Consequence::Closes => "closes",
                Consequence::Stays => "stays",
            };
            format!("{then} {}", error.text())
        })
        .collect();
    assert_eq!(ours, lines(include_str!("official_errors.txt")));
}

#[test]
fn every_reason_has_its_words() {
    let ours: Vec<&str> = CloseReason::ALL.iter().map(|reason| reason.text()).collect();
    assert_eq!(ours, lines(include_str!("official_reasons.txt")));
    assert_eq!(ours.len(), 37);
    for (number, reason) in CloseReason::ALL.iter().enumerate() {
        assert_eq!(u8::try_from(number).ok().and_then(CloseReason::from_number), Some(*reason));
    }
}
