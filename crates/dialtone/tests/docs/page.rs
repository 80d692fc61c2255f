//! The blocks of a page, and the shell script that plays them from top to bottom.

use std::fmt::Write as _;

/// What a block between two fences is, by what stands behind the first.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sh`: commands, which must succeed.
    Commands,
    /// `console`: commands behind `$ `, each with its whole output.
    Session,
    /// `conf FILE`: a configuration that is good; commands below find it under this name.
    Configuration(String),
    /// `text` or `json`, or commands that stand below `<!-- not run: REASON -->`.
    Shown,
}

/// A block.
#[derive(Debug)]
pub struct Block {
    pub kind: Kind,
    /// The line of the page that its first line is, from 1.
    pub line: usize,
    pub text: String,
    /// Why it is not run though it could be.
    pub not_run: Option<String>,
}

/// The ports that pages speak of. Servers have the first by default.
pub const PORTS: [&str; 9] = ["4222", "4223", "4224", "4225", "6222", "6223", "7222", "7223", "7422"];

/// The text with other ports.
fn at(ports: &[u16; PORTS.len()], text: &str) -> String {
    // In two steps: a port that is free may be one that pages speak of.
    let marked =
        (0..).zip(PORTS).fold(text.to_owned(), |text, (n, name)| text.replace(name, &format!("\0{n}\0")));
    (0..).zip(ports).fold(marked, |text, (n, port)| text.replace(&format!("\0{n}\0"), &port.to_string()))
}

/// The blocks of a page.
///
/// Errors: a block of an unknown kind, or without end.
pub fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut out = Vec::new();
    let mut not_run = None;
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            let reason = line.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
            not_run = reason.map(str::to_owned);
            continue;
        };
        let mut text = String::new();
        loop {
            let (line, _) = lines.next().ok_or_else(|| format!("line {number}: the block does not end"))?;
            if line == "```" {
                break;
            }
            let _ = writeln!(text, "{line}");
        }
        let kind = match (&not_run, kind.split_once(' ').unwrap_or((kind, ""))) {
            (Some(_), _) | (None, ("text" | "json", "")) => Kind::Shown,
            (None, ("sh", "")) => Kind::Commands,
            (None, ("console", "")) => Kind::Session,
            (None, ("conf", "")) => Kind::Configuration(format!("line-{number}.conf")),
            (None, ("conf", file)) => Kind::Configuration(file.to_owned()),
            (None, _) => {
                return Err(format!(
                    "line {number}: say `sh`, `console`, `conf FILE` or `text` behind the fence"
                ));
            }
        };
        out.push(Block { kind, line: number + 1, text, not_run: not_run.take() });
    }
    Ok(out)
}

/// What a command of a session prints.
#[derive(Debug)]
pub struct Output {
    /// Where the script puts it.
    pub file: String,
    /// The command's line on the page.
    pub line: usize,
    pub expected: String,
}

/// The script of a page, for bash; servers listen on these ports. And the outputs that are then to be compared.
pub fn script(blocks: &[Block], ports: &[u16; PORTS.len()]) -> (String, Vec<Output>) {
    let mut out = at(ports, PREAMBLE);
    let mut outputs = Vec::new();
    for block in blocks {
        let text = at(ports, &block.text);
        match &block.kind {
            Kind::Shown => {}
            Kind::Configuration(file) => {
                let _ = writeln!(out, "cat >{file} <<'END OF BLOCK'\n{text}END OF BLOCK");
                command(&mut out, &format!("dialtone -t -c {file}"), block.line, "");
            }
            Kind::Commands => {
                for (line, at) in commands(&text) {
                    command(&mut out, &line, block.line + at, "");
                }
            }
            Kind::Session => {
                for (at, line) in text.lines().enumerate() {
                    let line_of_page = block.line + at;
                    if let Some(line) = line.strip_prefix("$ ") {
                        let file = format!("output-{line_of_page}");
                        // What is shown may well be that it is refused.
                        command(&mut out, line, line_of_page, &format!(" >{file} 2>&1 || true"));
                        outputs.push(Output { file, line: line_of_page, expected: String::new() });
                    } else if let Some(output) = outputs.last_mut() {
                        let _ = writeln!(output.expected, "{line}");
                    }
                }
            }
        }
    }
    (out, outputs)
}

/// The commands of a block, each with its line in it; a backslash at the end of a line joins the next one.
fn commands(text: &str) -> Vec<(String, usize)> {
    let mut out: Vec<(String, usize)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in text.lines().enumerate() {
        match out.last_mut() {
            Some((before, _)) if goes_on => *before = format!("{before}\n{line}"),
            _ if line.trim().is_empty() => {}
            _ => out.push((line.to_owned(), at)),
        }
        goes_on = line.ends_with('\\');
    }
    out
}

/// Adds a command. A server goes to the background, where it has not gone by itself, and is waited for until it listens.
fn command(out: &mut String, line: &str, number: usize, redirect: &str) {
    let line =
        line.replace("cargo run --release -- ", "dialtone ").replace("cargo run --release", "dialtone");
    let code = line.split(" #").next().unwrap_or_default().trim_end();
    let mut words = code.split_whitespace();
    let is_server = words.next() == Some("dialtone")
        && words.next().is_none_or(|word| matches!(word, "-c" | "--config" | "&"));
    let background = if is_server && !code.ends_with('&') { " &" } else { "" };
    let code = if background.is_empty() { &line } else { code };
    let or = if redirect.is_empty() { format!(" || fail {number} $?") } else { redirect.to_owned() };
    let _ = writeln!(out, "{{ {code}{background}\n}}{or}");
    if is_server {
        let _ = writeln!(out, "listens $! {number}");
    }
}

const PREAMBLE: &str = "set -u
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
fail() { echo \"line $1: exit code $2\"; exit 1; }
listens() {
  until (exec 3<>/dev/tcp/127.0.0.1/4222) 2>/dev/null; do
    kill -0 $1 2>/dev/null || fail $2 'of a server that ended'
    sleep 0.05
  done
}
";
