//! Tables of text: the parameters of tasks, the results of runs.

/// A table with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// Reads CSV (RFC 4180): fields may stand in quotes, and then hold commas, line ends and doubled quotes. Blank
    /// lines at the end are none.
    ///
    /// # Errors
    /// There is no header, a quote is not closed, or a row has another number of fields.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        let (mut row, mut field) = (Vec::new(), String::new());
        let mut quoted = false;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => {
                    letters.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut field));
                    lines.push(std::mem::take(&mut row));
                }
                '\r' if !quoted => {}
                other => field.push(other),
            }
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        if !field.is_empty() || !row.is_empty() {
            row.push(field);
            lines.push(row);
        }
        // Editors leave a blank line at the end.
        while lines.last().is_some_and(|row| row.iter().all(String::is_empty) && row.len() == 1) {
            lines.pop();
        }
        let mut lines = lines.into_iter();
        let columns = lines.next().ok_or("the table has no header")?;
        let rows: Vec<_> = lines.collect();
        match rows.iter().position(|row| row.len() != columns.len()) {
            None => Ok(Self { columns, rows }),
            Some(at) => Err(format!("row {} has another number of fields", at + 1)),
        }
    }

    /// Number of rows without the header.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether there is such a column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }

    /// A field.
    ///
    /// # Errors
    /// There is no such row or column.
    pub fn get(&self, row: usize, column: &str) -> Result<&str, String> {
        let place = self.columns.iter().position(|known| known == column);
        let place = place.ok_or_else(|| format!("there is no column {column:?}"))?;
        let row = self.rows.get(row).ok_or_else(|| format!("there is no row {row}"))?;
        Ok(&row[place])
    }

    /// A field as a number.
    ///
    /// # Errors
    /// As [`Rows::get`], and when it is no number.
    pub fn number<T: std::str::FromStr>(&self, row: usize, column: &str) -> Result<T, String> {
        let text = self.get(row, column)?;
        text.trim().parse().map_err(|_| format!("{column} = {text:?} is not a number that fits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_and_without_quotes() {
        let rows = Rows::read("a,b\n1,\"x, \"\"y\"\"\nz\"\r\n2,\n").unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.get(0, "b").unwrap(), "x, \"y\"\nz");
        assert_eq!(rows.number::<u32>(1, "a").unwrap(), 2);
        assert!(rows.number::<u32>(1, "b").unwrap_err().contains("not a number"));
        assert!(rows.get(2, "a").is_err() && rows.get(0, "c").is_err());
        for bad in ["", "a,b\n1\n", "a\n\"x"] {
            assert!(Rows::read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Rows::read("a,b\n1,2").unwrap().len(), 1);
        assert_eq!(Rows::read("a,b\n1,2\n\n\r\n").unwrap().len(), 1);
    }
}
