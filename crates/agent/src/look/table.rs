use std::fmt::Write as _;

/// Rows in columns: all right-aligned but the last. The first row is the heading.
pub(super) fn of(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns.saturating_sub(1)).map(|it| width(it).unwrap_or(0)).collect();
    let mut table = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(table, "{cell:>width$}  "); // writing to a String cannot fail
        }
        table.push_str(row.last().map_or("", String::as_str));
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_they_must_be_and_the_last_one_ends_where_it_ends() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["N", "LONG", "NAME"]), row(["1,000", "é", "a b"]), row(["2", "3", ""])];
        assert_eq!(super::of(&rows), "    N  LONG  NAME\n1,000     é  a b\n    2     3\n");
        assert_eq!(super::of(&[]), "");
    }
}
