//! By what a source is told from the others of a stream.

use super::{StreamSource, SubjectTransform};
use dialtone_wire::interserver::short_hash;

impl StreamSource {
    /// The name under which messages say that they are from here, and by which a position in it is kept: the stream (with a hash of what
    /// leads to it, if it is external or read by a durable consumer), what is taken and what becomes of it. The official form: what stands
    /// in `Nats-Stream-Source` besides the sequence and the original subject.
    pub fn index_name(&self) -> String {
        let (filters, destinations) = if self.subject_transforms.is_empty() {
            (or_all(&self.filter_subject).to_owned(), ">".to_owned())
        } else {
            let each = |part: fn(&SubjectTransform) -> &str| {
                let all: Vec<&str> = self.subject_transforms.iter().map(|one| or_all(part(one))).collect();
                all.join("\u{c}")
            };
            (each(|one| &one.src), each(|one| &one.dest))
        };
        format!("{} {filters} {destinations}", self.origin_name())
    }

    /// The stream, with a hash of the external prefix and of the durable consumer.
    pub fn origin_name(&self) -> String {
        let mut name = self.name.clone();
        if let Some(external) = &self.external {
            name = format!("{name}:{}", short_name(&external.api));
        }
        if let Some(consumer) = &self.consumer {
            name = format!("{name}:C={}", short_name(&consumer.name));
        }
        name
    }
}

/// Eight letters and digits that stand for a text, as official servers make them.
pub fn short_name(text: &str) -> String {
    String::from_utf8_lossy(&short_hash::<8>(text.as_bytes())).into_owned()
}

fn or_all(subject: &str) -> &str {
    if subject.is_empty() { ">" } else { subject }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ExternalStream, SourceConsumer};

    #[test]
    fn a_source_is_named_as_officially() {
        let source = StreamSource { name: "A".into(), ..StreamSource::default() };
        assert_eq!(source.index_name(), "A > >");
        let filtered = StreamSource { filter_subject: "a.*".into(), ..source.clone() };
        assert_eq!(filtered.index_name(), "A a.* >");
        let transform = |src: &str, dest: &str| SubjectTransform { src: src.into(), dest: dest.into() };
        let transforms = vec![transform("a.1", "x.1"), transform("a.2", "")];
        let transformed = StreamSource { subject_transforms: transforms, ..source.clone() };
        assert_eq!(transformed.index_name(), "A a.1\u{c}a.2 x.1\u{c}>");
        let external = ExternalStream { api: "$JS.hub.API".into(), ..ExternalStream::default() };
        let consumer = SourceConsumer { name: "C".into(), ..SourceConsumer::default() };
        let far = StreamSource { external: Some(external), consumer: Some(consumer), ..source };
        let (api, name) = (short_name("$JS.hub.API"), short_name("C"));
        assert_eq!(far.index_name(), format!("A:{api}:C={name} > >"));
    }
}
