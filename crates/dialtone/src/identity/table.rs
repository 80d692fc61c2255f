//! Tables of text, in the well-known layout: a title, groups of rows, columns as wide as their widest cell.

use std::fmt::Write as _;

/// A table that is being filled.
pub struct Table {
    title: String,
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<String>),
    Line,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        // What comes from a token must not paint on the terminal.
        let safe = |cell: &&str| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.rows.push(Row::Cells(cells.iter().map(safe).collect()));
    }

    /// Adds a row, unless the value is empty.
    pub fn row_if(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.row([name, value]);
        }
    }

    /// Adds a row for each value, the first with the name.
    pub fn list<T: AsRef<str>>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        for (at, value) in values.into_iter().enumerate() {
            self.row([if at == 0 { name } else { "" }, value.as_ref()]);
        }
    }

    /// Draws a line between what was and what comes.
    pub fn line(&mut self) {
        if !matches!(self.rows.last(), None | Some(Row::Line)) {
            self.rows.push(Row::Line);
        }
    }

    /// The table as text.
    pub fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            let Row::Cells(cells) = row else { continue };
            widths.resize(widths.len().max(cells.len()), 0);
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let title = self.title.chars().count();
        let inner = |widths: &[usize]| widths.iter().map(|w| w + 3).sum::<usize>().saturating_sub(1);
        if widths.is_empty() {
            widths.push(title);
        }
        if let (true, Some(last)) = (inner(&widths) < title + 2, widths.len().checked_sub(1)) {
            let missing = title + 2 - inner(&widths);
            widths.iter_mut().skip(last).for_each(|width| *width += missing);
        }
        let whole = inner(&widths);
        let line = widths.iter().fold(String::from("+"), |line, width| line + &"-".repeat(width + 2) + "+");
        let mut text = format!("+{}+\n|{:^whole$}|\n{line}\n", "-".repeat(whole), self.title);
        let mut rows = self.rows.as_slice();
        if let Some((Row::Line, before)) = rows.split_last() {
            rows = before;
        }
        for row in rows {
            match row {
                Row::Line => text.push_str(&line),
                Row::Cells(cells) => {
                    for (at, width) in widths.iter().enumerate() {
                        let cell = cells.get(at).map_or("", String::as_str);
                        let _ = write!(text, "| {cell:width$} ");
                    }
                    text.push('|');
                }
            }
            text.push('\n');
        }
        text + &line + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_it_must_be() {
        let mut table = Table::new("A long title it is");
        table.row(["a", "b\n\x1b[1m"]);
        table.line();
        table.line();
        table.list("l", ["1", "2"]);
        table.line();
        assert_eq!(
            table.render(),
            "+--------------------+\n\
             | A long title it is |\n\
             +---+----------------+\n\
             | a | b  [1m         |\n\
             +---+----------------+\n\
             | l | 1              |\n\
             |   | 2              |\n\
             +---+----------------+\n"
        );
        assert_eq!(Table::new("t").render(), "+---+\n| t |\n+---+\n+---+\n");
    }
}
