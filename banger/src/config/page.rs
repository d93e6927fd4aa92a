//! A page of documentation, as Markdown and as a man page from one source.

use std::fmt::Write as _;

use clap_mangen::roff::{Roff, bold, roman};

/// A page in the making: sections of paragraphs, tables, lists and examples.
///
/// Text between backquotes is code.
#[derive(Debug, Default)]
pub struct Page {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Section(String),
    Paragraph(String),
    /// The first row is the header.
    Table(Vec<Vec<String>>),
    List(Vec<String>),
    Example(String),
}

impl Page {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn section(&mut self, title: &str) {
        self.parts.push(Part::Section(title.into()));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.parts.push(Part::Paragraph(text.into()));
    }

    pub(super) fn table<const N: usize, S: Into<String>>(
        &mut self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [S; N]>,
    ) {
        let header = header.map(str::to_owned).to_vec();
        let rows = rows.into_iter().map(|row| row.map(Into::into).to_vec());
        self.parts
            .push(Part::Table(std::iter::once(header).chain(rows).collect()));
    }

    pub(super) fn list<const N: usize>(&mut self, items: [&str; N]) {
        self.parts
            .push(Part::List(items.map(str::to_owned).to_vec()));
    }

    pub(super) fn example(&mut self, text: &str) {
        self.parts.push(Part::Example(text.into()));
    }

    /// The page as Markdown, below a title.
    #[must_use]
    pub fn to_markdown(&self, title: &str) -> String {
        let mut text = format!("# {title}\n");
        for part in &self.parts {
            text.push('\n');
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Section(title) => writeln!(text, "## {title}"),
                Part::Paragraph(paragraph) => writeln!(text, "{}", wrapped(paragraph, 120)),
                Part::Example(example) => writeln!(text, "```toml\n{}\n```", example.trim_end()),
                Part::List(items) => items.iter().try_for_each(|item| writeln!(text, "- {item}")),
                Part::Table(rows) => table(&mut text, rows),
            };
        }
        text
    }

    /// The sections of the page as they stand in a man page.
    #[must_use]
    pub fn to_roff(&self) -> Roff {
        let mut roff = Roff::new();
        for part in &self.parts {
            match part {
                Part::Section(title) => {
                    roff.control("SH", [title.to_uppercase().as_str()]);
                }
                Part::Paragraph(paragraph) => {
                    roff.control("PP", []);
                    roff.text([roman(paragraph.replace('`', ""))]);
                }
                Part::Example(example) => {
                    roff.control("PP", []);
                    roff.control("nf", []);
                    roff.control("RS", ["4"]);
                    roff.text([roman(example.trim_end())]);
                    roff.control("RE", []);
                    roff.control("fi", []);
                }
                Part::List(items) => {
                    for item in items {
                        roff.control("IP", ["\\(bu", "2"]);
                        roff.text([roman(item.replace('`', ""))]);
                    }
                }
                Part::Table(rows) => {
                    let (header, rows) = rows.split_first().expect("a table has a header");
                    for row in rows {
                        term(&mut roff, header, row);
                    }
                }
            }
        }
        roff
    }
}

/// A row of a table as a term and what is said of it: the last column as a sentence, those before by name.
fn term(roff: &mut Roff, header: &[String], row: &[String]) {
    roff.control("TP", []);
    roff.text([bold(row[0].as_str())]);
    let last = row.len() - 1;
    let named = header.iter().zip(row).take(last).skip(1);
    let named: Vec<String> = named
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let sentence = match (named.is_empty(), row[last].ends_with('.')) {
        (true, _) => row[last].clone(),
        (false, true) => format!("{} ({})", row[last], named.join("; ")),
        (false, false) => format!("{}; {}: {}", named.join("; "), header[last], row[last]),
    };
    roff.text([roman(sentence.replace('`', ""))]);
}

fn table(text: &mut String, rows: &[Vec<String>]) -> std::fmt::Result {
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let cell = cell.replace('|', "\\|");
            match index > 0 && column + 1 < row.len() && is_code(&cell) {
                true => format!("`{cell}`"),
                false => cell,
            }
        });
        writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "))?;
        if index == 0 {
            writeln!(text, "|{}", " --- |".repeat(row.len()))?;
        }
    }
    Ok(())
}

/// Whether a cell is a name or a path and no sentence.
fn is_code(cell: &str) -> bool {
    cell.contains(['.', '/', '_', '$']) && !cell.contains(' ')
}

/// A paragraph in lines of at most `width` characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}
