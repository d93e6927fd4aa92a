//! Results for people: named values one below the other, and rows below a header.

use std::fmt::Write as _;

use banger::text::printable;

/// The beginning of a digest's hexadecimal part.
pub(super) fn short_digest(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.chars().take(12).collect()
}

/// `name  value` a line, values aligned.
pub(super) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<width$}  {}", printable(value));
    }
    text
}

/// Rows below a header, columns aligned; nothing at all when there are no rows.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let safe: Vec<[String; N]> = std::iter::once(header.map(str::to_owned))
        .chain(
            rows.iter()
                .map(|row| row.each_ref().map(|cell| printable(cell).into_owned())),
        )
        .collect();
    let width = |column: usize| safe.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in &safe {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_values_are_aligned_and_safe() {
        let rows = [
            ["a".into(), "long\u{1b}".into()],
            ["bcd".into(), String::new()],
        ];
        assert_eq!(
            table(["NAME", "X"], &rows),
            "NAME  X\na     long\\u{1b}\nbcd\n"
        );
        assert_eq!(table(["NAME"], &[]), "");
        assert_eq!(
            fields(&[("id", "1".into()), ("name", "x".into())]),
            "id    1\nname  x\n"
        );
    }
}
