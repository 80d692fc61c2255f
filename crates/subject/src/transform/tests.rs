use super::*;
use proptest::prelude::*;

fn apply(source: &str, destination: &str, subject: &str) -> String {
    let transform = Transform::new(source, destination).unwrap_or_else(|e| panic!("{destination}: {e}"));
    let mut out = Vec::new();
    transform.apply(subject.as_bytes(), &mut || 8, &mut out);
    String::from_utf8(out).expect("text")
}

#[track_caller]
fn check(source: &str, destination: &str, subject: &str, expected: &str) {
    assert_eq!(apply(source, destination, subject), expected, "{source} -> {destination}");
}

#[test]
fn tokens_are_put_in_another_order() {
    check("a.*.*", "b.$2.$1", "a.x.y", "b.y.x");
    check("a.*.*", "b.{{wildcard(2)}}.{{ Wildcard( 1 ) }}", "a.x.y", "b.y.x");
    check("a.>", "b.>", "a.x.y", "b.x.y");
    check(">", "b.>", "x.y", "b.x.y");
    check("b.>", ">", "b.x.y", "x.y");
    check("*.a.>", "z.$1.>", "q.a.x.y", "z.q.x.y");
    check("a", "b.c", "a", "b.c");
    check("a.*", "b", "a.x", "b");
    check("a.*", "b.$.$x.$1", "a.x", "b.$.$x.x");
    check("a.*", "b.$0", "a.x", "b.a");
}

/// The examples of the official documentation.
#[test]
fn functions_do_what_is_documented() {
    check("*", "{{splitFromLeft(1,3)}}", "12345", "123.45");
    check("*", "{{SplitFromRight(1,3)}}", "12345", "12.345");
    check("*", "{{sliceFromLeft(1,3)}}", "1234567890", "123.456.789.0");
    check("*", "{{slicefromright(1,3)}}", "1234567890", "1.234.567.890");
    check("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi");
    check("*", "{{left(1,2)}}.{{right(1,2)}}", "abcde", "ab.de");
    check("*", "{{left(1,9)}}.{{right(1,0)}}", "abcde", "abcde.abcde");
    check("*", "{{split(1,)}}", "abc", "a.b.c");
    check("*.*", "p.$1.{{partition(10,1,2)}}", "foo.bar", "p.foo.0");
    check("baz", "p.{{partition(10)}}", "baz", "p.0");
    check("a.*", "r.{{random(3)}}", "a.b", "r.1");
    check("a", "r.{{partition(0)}}.{{random(0)}}", "a", "r.0.0");
}

#[test]
fn what_cannot_be_compiled_is_told_in_the_official_words() {
    #[track_caller]
    fn check(source: &str, destination: &str, expected: &str) {
        let error = Transform::new(source, destination).expect_err(destination).to_string();
        assert_eq!(error.strip_prefix("invalid mapping destination: ").unwrap_or(&error), expected);
    }
    for (source, destination) in [("a..b", "c"), ("a", "b.*"), ("a.>", "b"), ("a", "b.>"), ("a", "")] {
        check(source, destination, "invalid subject");
    }
    for bad in ["b..c", "b.", "b c", "b.$1 c", "b\tc", "b\r\nc", "b\u{c}c", "b.{{x c"] {
        check("a.*", bad, "invalid transform");
    }
    check("a", ">.b", "invalid transform in b");
    check("a.*", "b.$2", "wildcard index out of range in $2: [2]");
    check("a", "b.$1", "wildcard index out of range in $1");
    check("a.*", "{{unknown(1)}}", "unknown function in {{unknown(1)}}");
    check("a.*", "{{wildcard}}", "unknown function in {{wildcard}}");
    check("a.*", "{{wildcard()}}", "not enough arguments passed to the function in {{wildcard()}}");
    check("a.*", "{{wildcard(1,2)}}", "too many arguments passed to the function in {{wildcard(1,2)}}");
    check("a.*", "{{split(1)}}", "not enough arguments passed to the function in {{split(1)}}");
    check("a.*", "{{left(1,2,3)}}", "too many arguments passed to the function in {{left(1,2,3)}}");
    let invalid = "function argument is invalid or in the wrong format in ";
    for bad in ["{{wildcard(x)}}", "{{partition()}}", "{{random(x)}}", "{{left(1,x)}}", "{{split(1,a b)}}"] {
        check("a.*", bad, &format!("{invalid}{bad}"));
    }
}

#[test]
fn imports_only_reorder_and_use_everything() {
    assert!(Transform::reversible("a.*.*", "b.$2.$1").is_ok());
    let text = |e: Result<Transform, TransformError>| e.expect_err("refused").to_string();
    let unused = "invalid mapping destination: not using all of the token wildcard(s) in b.$1";
    assert_eq!(text(Transform::reversible("a.*.*", "b.$1")), unused);
    let function = "invalid mapping destination: the only mapping function allowed for import transforms is {{Wildcard()}} in {{left(1,2)}}";
    assert_eq!(text(Transform::reversible("a.*", "b.{{left(1,2)}}")), function);
    assert_eq!(number_wildcards("a.*.b.*.>"), "a.$1.b.$2.>");
    let (text, stood) = unnumber_wildcards("a.$2.{{wildcard(1)}}.$x");
    assert_eq!((text.as_str(), stood), ("a.*.*.$x", vec!["$2", "{{wildcard(1)}}"]));
}

/// A function by its definition, on whole strings.
fn naive(function: &str, token: &str, n: usize) -> String {
    let whole = n == 0 || n >= token.len();
    let chars: Vec<char> = token.chars().collect();
    let text = |part: &[char]| part.iter().collect::<String>();
    let slices = |chars: &[char]| chars.chunks(n).map(text).collect::<Vec<_>>().join(".");
    match function {
        _ if whole => token.to_owned(),
        "splitFromLeft" => format!("{}.{}", text(&chars[..n]), text(&chars[n..])),
        "splitFromRight" => {
            let at = chars.len() - n;
            format!("{}.{}", text(&chars[..at]), text(&chars[at..]))
        }
        "sliceFromLeft" => slices(&chars),
        "sliceFromRight" => {
            // Backwards it is a slice from the left.
            let backwards: Vec<char> = chars.iter().rev().copied().collect();
            slices(&backwards).chars().rev().collect()
        }
        "left" => text(&chars[..n]),
        "right" => text(&chars[chars.len() - n..]),
        other => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn functions_are_what_their_definition_says(
        function in prop::sample::select(vec![
            "splitFromLeft", "splitFromRight", "sliceFromLeft", "sliceFromRight", "left", "right",
        ]),
        token in "[a-z]{1,12}", n in 0usize..14, before in "[a-z]{1,3}",
    ) {
        let destination = format!("x.{{{{{function}(2, {n})}}}}.$1");
        let found = apply("*.*", &destination, &format!("{before}.{token}"));
        let image = Transform::new("*.*", &destination).expect("a transform").image();
        prop_assert!(crate::set::matches(&image, found.as_bytes()));
        prop_assert_eq!(found, format!("x.{}.{before}", naive(function, &token, n)));
    }

    #[test]
    fn split_drops_what_is_empty(token in "[a-c-]{1,12}") {
        let pieces: Vec<&str> = token.split('-').filter(|piece| !piece.is_empty()).collect();
        prop_assert_eq!(apply("*", "{{split(1,-)}}", &token), pieces.join("."));
    }

    #[test]
    fn an_order_and_its_reverse_cancel_out(
        tokens in prop::collection::vec("[a-z]{1,3}", 1..5), seed in any::<u64>(), tail in prop::option::of("[a-z]"),
    ) {
        let mut order: Vec<usize> = (1..=tokens.len()).collect();
        let len = order.len();
        for at in 0..len {
            order.swap(at, (seed as usize >> at) % len);
        }
        let end = if tail.is_some() { ".>" } else { "" };
        let source = format!("s.{}{end}", vec!["*"; tokens.len()].join("."));
        let there = order.iter().map(|n| format!("${n}")).collect::<Vec<_>>().join(".");
        let mut back = vec![String::new(); tokens.len()];
        for (at, n) in order.iter().enumerate() {
            back[n - 1] = format!("${}", at + 1);
        }
        let subject = format!("s.{}{}", tokens.join("."), tail.map(|t| format!(".{t}")).unwrap_or_default());
        let moved = apply(&source, &format!("s.{there}{end}"), &subject);
        prop_assert_eq!(apply(&source, &format!("s.{}{end}", back.join(".")), &moved), subject);
    }

    #[test]
    fn any_text_is_compiled_or_refused(source in "[a*>.]{0,6}", destination in "[a$1{}(),wildcardpt .>*]{0,24}") {
        if let Ok(transform) = Transform::new(&source, &destination) {
            transform.apply(b"a.b.c", &mut || 7, &mut Vec::new());
        }
    }

    /// Whatever a file or a JWT asks for, what a message becomes is a subject.
    #[test]
    fn what_a_transform_makes_can_be_sent(
        destination in "([a$1-3 \t\r\n\x0c.]|\\{\\{(split|left|right|sliceFromLeft|splitFromRight|wildcard|partition|random)\\([1-3 ,-]{0,5}\\)\\}\\}|\\.){1,8}",
        subject in "[!-)+-=?-~]{1,4}(\\.[!-)+--/-=?-~]{1,4}){2}",
    ) {
        let subject: String = subject.replace("..", ".");
        prop_assume!(crate::is_valid_literal(subject.as_bytes()) && subject.split('.').count() == 3);
        if let Ok(transform) = Transform::new("*.*.*", &destination) {
            let mut out = Vec::new();
            transform.apply(subject.as_bytes(), &mut || 7, &mut out);
            // A function may leave nothing of a token; nothing matches such a subject.
            let is_sendable = !out.is_empty() && !out.iter().any(|b| b.is_ascii_whitespace());
            prop_assert!(is_sendable, "{:?} made {:?}", destination, String::from_utf8_lossy(&out));
        }
    }
}
